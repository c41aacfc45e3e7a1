# Responses made of values that run code or change when looked at: ties, overloading, magic. They are
# sent as Perl would print them, and the app's own variables stay as they were.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my $code = <<'APP';
use strict;
use warnings;
use B ();
{
    package Text; use overload '""' => sub { "text of $_[0]{of}" }, fallback => 1;
    sub new { bless { of => $_[1] }, $_[0] }
    package List; use overload '@{}' => sub { $_[0]->() }, fallback => 1;
    sub new { bless $_[1], $_[0] }
    package TiedScalar; sub TIESCALAR { bless [$_[1]] } sub FETCH { $_[0][0] }
    package TiedArray; require Tie::Array; our @ISA = 'Tie::StdArray';
    package DyingArray; sub TIEARRAY { bless [] } sub FETCHSIZE { 2 } sub FETCH { die "in FETCH\n" }
    package LyingArray; sub TIEARRAY { bless [] } sub FETCHSIZE { 1_000 } sub FETCH { $_[1] < 2 ? 'x' : undef }
    package DyingText; use overload '""' => sub { die "in text\n" }, fallback => 1;
    package Shrinking; our $victim; use overload '""' => sub { @$victim = (); 'shrunk' }, fallback => 1;
    package ErrText; use overload '""' => sub { eval { die "inner\n" }; 'text' }, fallback => 1;
}
sub tied_scalar { tie my $x, 'TiedScalar', $_[0]; \$x }
sub tied_array { tie my @x, 'TiedArray'; @x = @_; \@x }
sub upgraded { my $x = shift; utf8::upgrade($x); $x }

my ($number, $float, $string, $latin, @pieces) = (42, 1.5, 'plain', upgraded("\xe4"), upgraded("p\xf6"), 7);
my %answer = (
    tied_response => sub { tied_array(200, ['X-A' => 'a'], ['body']) },
    tied_headers  => sub { [200, tied_array('X-A' => 'a'), ['body']] },
    tied_body     => sub { [200, ['X-A' => 'a'], tied_array('bo', 'dy')] },
    tied_status   => sub { my $r = [undef, ['X-A' => 'a'], ['body']]; tie $r->[0], 'TiedScalar', 200; $r },
    tied_value    => sub { my @h = ('X-A' => 0); tie $h[1], 'TiedScalar', 'a'; [200, \@h, ['body']] },
    tied_name     => sub { my @h = (0 => 'a'); tie $h[0], 'TiedScalar', 'X-A'; [200, \@h, ['body']] },
    tied_piece    => sub { my @b = (0); tie $b[0], 'TiedScalar', 'body'; [200, ['X-A' => 'a'], \@b] },
    text_value    => sub { [200, ['X-A' => Text->new(1)], [Text->new(2)]] },
    text_body     => sub { [200, [], Text->new('it')] },
    text_status   => sub { [Text->new(204), [], ['body']] },
    list_headers  => sub { my @h = ('X-A' => 'a'); [200, List->new(sub { \@h }), ['body']] },
    list_body     => sub { my @b = ('body'); [200, ['X-A' => 'a'], List->new(sub { \@b })] },
    substr_value  => sub { my $x = 'xay'; [200, ['X-A' => substr($x, 1, 1)], ['body']] },
    substr_lvalue => sub { my $x = 'xbody'; sub { [200, ['X-A' => 'a'], \@_] }->(substr $x, 1) },
    match_value   => sub { 'xay' =~ /(a)/; my @b = ('body'); sub { [200, ['X-A' => $1], \@b] }->() },
    match_alias   => sub { 'xay body' =~ /(a)y (.*)/; sub { my $r = \@_; [200, ['X-A' => 'a'], $r] }->($2) },
    numbers       => sub {
        [200, ['X-A' => $number, 'X-B' => $float, 'X-C' => -1, 'X-D' => 18446744073709551615, 'X-E' => 1e3],
            [$number, $float]]
    },
    booleans      => sub { [200, ['X-A' => !!1, 'X-B' => !!0], [!!1, !!0]] },
    latin         => sub { [200, ['X-A' => $latin], \@pieces] },
    undef_value   => sub { [200, ['X-A' => undef], ['body']] },
    undef_piece   => sub { [200, ['X-A' => 'a'], ['bo', undef, 'dy']] },
    hole          => sub { my @b = ('bo'); $b[2] = 'dy'; [200, ['X-A' => 'a'], \@b] },
    status_text   => sub { ['201 Made', ['X-A' => 'a'], ['body']] },
    reference     => sub { [200, ['X-A' => 'a'], [[]]] },
    many_headers  => sub { [200, [map { ("X-$_" => $_) } 1 .. 90], ['body']] },
    read_only     => sub { [200, ['X-A' => 'a'], ['body', map { $_ } 1]] },
    constant      => sub { use constant ANSWER => [200, ['X-A' => 5], ['body']]; ANSWER },
    glob_value    => sub { no strict; [200, ['X-A' => *STDOUT], ['body']] },
    version       => sub { [200, ['X-A' => v1.2], ['body']] },
    dying_response => sub { tie my @x, 'DyingArray'; \@x },
    dying_headers => sub { tie my @x, 'DyingArray'; [200, \@x, ['body']] },
    dying_body    => sub { tie my @x, 'DyingArray'; [200, [], \@x] },
    dying_text    => sub { [200, ['X-A' => bless [], 'DyingText'], ['body']] },
    dying_piece   => sub { [200, [], ['body', bless [], 'DyingText']] },
    lying_headers => sub { tie my @x, 'LyingArray'; [200, \@x, ['body']] },
    shrinking     => sub {
        my $r = [200, ['X-A' => bless([], 'Shrinking')], ['body', 'more']]; $Shrinking::victim = $r->[2];
        $r
    },
    blessed       => sub { bless [200, ['X-A' => 'a'], ['body']], 'Response' },
    error_kept    => sub {
        sub { my $respond = shift; eval { die "outer\n" }; $respond->([200, [], [bless [], 'ErrText']]);
        warn "kept: $@" }
    },
);
sub flags { my ($ref) = @_; my $f = B::svref_2object($ref)->FLAGS;
    join ',', map { $f & $_ ? 1 : 0 } B::SVf_IOK, B::SVf_NOK, B::SVf_POK, B::SVf_ROK, 0x20000000 }
my @watched = \($number, $float, $string, $latin, @pieces);
my @before = map { flags($_) } @watched;
sub {
    my ($env) = @_;
    my $name = $env->{QUERY_STRING};
    return [200, [], [join ' ', map { flags($watched[$_]) eq $before[$_] ? 'same' : 'changed' }
        0 .. $#watched]] if $name eq 'watched';
    return $answer{$name}->();
};
APP

my $server = start_server(code => $code);

sub answer {
    my ($name) = @_;
    return $server->ask("GET /?$name HTTP/1.1\r\nHost: a\r\n\r\n");
}

subtest 'ties, overloading and magic' => sub {
    for my $name (
        qw(tied_response tied_headers tied_body tied_status tied_value tied_name tied_piece list_headers
        list_body substr_value match_value undef_piece hole blessed substr_lvalue)
        )
    {
        my $response = answer($name);
        is join('|', $response->status, $response->header('X-A'), $response->body), '200|a|body',
            $name;
    }
    is answer('text_value')->header('X-A'), 'text of 1',     'text of an object as header';
    is answer('text_value')->body,          'text of 2',     'and in the body';
    is answer('text_body')->body,           'text of it',    'and as the body';
    is answer('match_alias')->status,       200,             'an alias of a match variable';
    is answer('glob_value')->header('X-A'), '*main::STDOUT', 'a glob';
    is answer('version')->status,           500,             'the control characters of a v-string';
};

subtest 'numbers, booleans, characters' => sub {
    my $response = answer('numbers');
    is join('|', map { scalar $response->header("X-$_") } 'A' .. 'E'),
        '42|1.5|-1|18446744073709551615|1000', 'numbers as headers';
    is $response->body,                           '421.5',  'numbers in the body';
    is answer('booleans')->body,                  '1',      'booleans';
    is answer('booleans')->header('X-B'),         '',       'false is empty';
    is answer('latin')->header('X-A'),            "\xe4",   'characters as bytes in a header';
    is answer('latin')->body,                     "p\xf67", 'and in the body';
    is answer('latin')->header('Content-Length'), 3,        'counted as bytes';
    is answer('constant')->header('X-A'),         5,        'constants';
    is answer('many_headers')->header('X-90'),    90,       'many headers';
    like answer('reference')->body, qr/\AARRAY\(/, 'a reference is text like any other';
};

subtest 'the app keeps its values as they are' => sub {
    answer($_) for qw(numbers latin);
    unlike answer('watched')->body, qr/changed/, 'no flag changed';
};

subtest 'status' => sub {
    is answer('status_text')->status, 201, 'its leading digits count';
    is answer('text_status')->status, 500, 'an object is read as text';
};

subtest 'an undefined header' => sub {
    is answer('undef_value')->header('X-A'), '', 'is empty';
    ok $server->stderr_like(qr/header X-A has an undefined value/), 'and warned of';
};

subtest 'code that dies while it is looked at' => sub {
    for my $name (qw(dying_response dying_headers dying_body dying_text dying_piece)) {
        is answer($name)->status, 500, "$name: refused";
    }
    ok $server->stderr_like(qr/in FETCH/), 'a FETCH is reported';
    ok $server->stderr_like(qr/in text/),  'and a conversion';
};

subtest 'code that changes what is looked at' => sub {
    is answer('shrinking')->body,       '',  'a body that shrinks';
    is answer('lying_headers')->status, 500, 'an array that lies about its length';
};

subtest 'variables of the app' => sub {
    is answer('error_kept')->body, 'text', 'a conversion that uses eval';
    ok $server->stderr_like(qr/kept: outer/), 'leaves $@ alone';
};

is answer('constant')->status, 200, 'it still answers';
$server->stop_ok;
done_testing;
