# Responses that must not go out: the client gets a 500 of which nothing came from the app, the app's
# owner a message; a body that fails on its way ends the connection so that it cannot look complete.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my $code = <<'APP';
use strict;
use warnings;
{
    package Body;
    sub new { my ($class, $code) = @_; bless { code => $code }, $class }
    sub getline { $_[0]{code}->() }
    sub close { print {*STDERR} "closed\n" }
    package Lies; use overload '""' => sub { die "no string for you\n" }, fallback => 1;
    package Speaks; use overload '""' => sub { 'spoken' }, fallback => 1;
    package Tied; sub TIEARRAY { bless [] } sub FETCHSIZE { 3 } sub FETCH { die "no fetching\n" }
}
my $n = 0;
tie my @tied, 'Tied';
my %answer = (
    cr         => sub { [200, ['X-A' => "a\rX-Evil: 1"], ['body']] },
    lf         => sub { [200, ['X-A' => "a\nX-Evil: 1"], ['body']] },
    crlf       => sub { [200, ['X-A' => "a\r\nX-Evil: 1"], ['body']] },
    nul        => sub { [200, ['X-A' => "a\0b"], ['body']] },
    control    => sub { [200, ['X-A' => "a\x01b"], ['body']] },
    del        => sub { [200, ['X-A' => "a\x7fb"], ['body']] },
    name_crlf  => sub { [200, ["X-A: 1\r\nX-Evil" => 1], ['body']] },
    name_space => sub { [200, ['X A' => 1], ['body']] },
    name_colon => sub { [200, ['X:A' => 1], ['body']] },
    name_empty => sub { [200, ['' => 1], ['body']] },
    name_high  => sub { [200, ["X\xe4" => 1], ['body']] },
    name_wide  => sub { [200, ["X\x{263a}" => 1], ['body']] },
    name_undef => sub { [200, [undef, 1], ['body']] },
    name_status => sub { [200, ['Status' => 1], ['body']] },
    wide_value => sub { [200, ['X-A' => "\x{263a}"], ['body']] },
    wide_body  => sub { [200, [], ['body', "\x{263a}"]] },
    odd        => sub { [200, ['X-A' => 1, 'X-B'], ['body']] },
    no_list    => sub { [200, { 'X-A' => 1 }, ['body']] },
    no_headers => sub { [200, undef, ['body']] },
    length_word => sub { [200, ['Content-Length' => 'four'], ['body']] },
    length_sign => sub { [200, ['Content-Length' => '+4'], ['body']] },
    two_lengths => sub { [200, ['Content-Length' => 4, 'Content-Length' => 5], ['body']] },
    coding     => sub { [200, ['Transfer-Encoding' => 'gzip'], ['body']] },
    status_word => sub { ['ok', [], ['body']] },
    status_undef => sub { [undef, [], ['body']] },
    status_99  => sub { [99, [], ['body']] },
    status_1000 => sub { [1000, [], ['body']] },
    status_100 => sub { [100, [], []] },
    status_199 => sub { [199, [], []] },
    status_minus => sub { [-200, [], ['body']] },
    status_crlf => sub { ["200 OK\r\nX-Evil: 1", [], ['body']] },
    die        => sub { die "died on purpose\n" },
    die_object => sub { die bless {}, 'Speaks' },
    undef      => sub { undef },
    nothing    => sub { return },
    a_string   => sub { 'body' },
    a_hash     => sub { {} },
    empty      => sub { [] },
    one        => sub { [200] },
    no_body    => sub { [200, []] },
    hash_body  => sub { [200, [], {}] },
    lying_value => sub { [200, ['X-A' => bless {}, 'Lies'], ['body']] },
    lying_body => sub { [200, [], [bless {}, 'Lies']] },
    tied       => sub { \@tied },
    tied_headers => sub { [200, \@tied, ['body']] },
    undef_value => sub { [200, ['X-A' => undef], ['body']] },
    speaking   => sub { [200, ['X-A' => bless {}, 'Speaks'], [bless {}, 'Speaks']] },
    getline_dies => sub { my $i = 0; [200, [], Body->new(sub { $i++ ? die "lost the line\n" : 'body' })] },
    getline_wide => sub { my $i = 0; [200, [], Body->new(sub { $i++ ? "\x{263a}" : 'body' })] },
);
sub {
    my ($env) = @_;
    return $answer{ $env->{QUERY_STRING} }->();
};
APP

my $server = start_server(code => $code);

# What comes back for a name, and what the server wrote meanwhile.
sub outcome {
    my ($name) = @_;
    my $before = length $server->stderr;
    my $client = $server->connect;
    $client->send("GET /?$name HTTP/1.1\r\nHost: a\r\n\r\n");
    my $response = $client->response;
    $client->close;
    $server->stderr_like(qr/\n/, from => $before)
        if !$response->is_complete || $response->status == 500;
    return ($response, substr $server->stderr, $before);
}

# Names of answers, and what the message has to speak of.
my @refused = (
    ['cr',           qr/X-A/],
    ['lf',           qr/X-A/],
    ['crlf',         qr/X-A/],
    ['nul',          qr/X-A/],
    ['control',      qr/X-A/],
    ['del',          qr/X-A/],
    ['name_crlf',    qr/header/i],
    ['name_space',   qr/header.*X A/i],
    ['name_colon',   qr/header.*X:A/i],
    ['name_empty',   qr/header/i],
    ['name_high',    qr/header/i],
    ['name_wide',    qr/header|wide/i],
    ['name_undef',   qr/header/i],
    ['name_status',  qr/Status/],
    ['wide_value',   qr/wide|X-A/i],
    ['wide_body',    qr/wide/i],
    ['odd',          qr/header/i],
    ['no_list',      qr/header/i],
    ['no_headers',   qr/header/i],
    ['length_word',  qr/Content-Length/],
    ['length_sign',  qr/Content-Length/],
    ['two_lengths',  qr/Content-Length/],
    ['coding',       qr/Transfer-Encoding/],
    ['status_word',  qr/status/i],
    ['status_undef', qr/status/i],
    ['status_99',    qr/status.*99/i],
    ['status_1000',  qr/status.*1000/i],
    ['status_100',   qr/status.*100/i],
    ['status_199',   qr/status.*199/i],
    ['status_minus', qr/status/i],
    ['die',          qr/died on purpose/],
    ['die_object',   qr/spoken/],
    ['undef',        qr/undef|nothing/i],
    ['nothing',      qr/undef|nothing/i],
    ['a_string',     qr/string|scalar|body/i],
    ['a_hash',       qr/hash/i],
    ['empty',        qr/element|empty|array/i],
    ['one',          qr/element|array/i],
    ['no_body',      qr/element|array|body/i],
    ['hash_body',    qr/body|hash/i],
    ['lying_value',  qr/no string for you/],
    ['lying_body',   qr/no string for you/],
    ['tied',         qr/no fetching/],
    ['tied_headers', qr/no fetching/],
);

for my $case (@refused) {
    my ($name,     $pattern) = @$case;
    my ($response, $log)     = outcome($name);
    is($response->status, 500, "$name: 500");
    like($log, $pattern, "$name: the message says why");
    unlike(
        $response->head . $response->body,
        qr/X-A|Evil|on purpose|spoken|no string|fetching/,
        "$name: nothing of it reaches the client"
    );
}

subtest 'a status that carries a header is no header' => sub {
    my ($response) = outcome('status_crlf');
    unlike($response->head, qr/Evil/, 'whatever is done with it');
};

subtest 'an undefined value is empty, with a warning' => sub {
    my ($response, $log) = outcome('undef_value');
    is($response->status,        200, 'served');
    is($response->header('X-A'), '',  'empty');
    ok($server->stderr_like(qr/X-A|undef|uninitialized/i), 'a warning');
};

subtest 'objects with string overloading' => sub {
    my ($response) = outcome('speaking');
    is($response->status,        200,      'served');
    is($response->header('X-A'), 'spoken', 'as a header');
    is($response->body,          'spoken', 'as a body');
};

subtest 'a body that fails on its way' => sub {
    for my $name (qw(getline_dies getline_wide)) {
        my ($response, $log) = outcome($name);
        is($response->status, 200, "$name: the head was out") if defined $response->status;
        ok(!$response->is_complete, "$name: it does not look complete");
        ok($server->stderr_like($name =~ /wide/ ? qr/wide/i : qr/lost the line/),
            "$name: the message says why");
    }
};

subtest 'the server is as good as before' => sub {
    my ($response) = outcome('speaking');
    is($response->status, 200, 'it serves');
};

$server->stop_ok;
done_testing;
