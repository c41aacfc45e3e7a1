# Bodies that are read while they are sent: files, handles of all kinds, objects with getline.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my $file  = SprigTest::temp_path('file');
my $bytes = join '', map { "$_ " . ('x' x ($_ % 90)) . "\n" } 1 .. 5000;
spew($file, $bytes);

my $code = "my \$file = '$file';\n" . <<'APP';
use strict;
use warnings;
use IO::File;
my %closed;
{
    package Body;
    sub new { my ($class, %self) = @_; bless \%self, $class }
    sub getline { my $self = shift; $self->{code}->($self) }
    sub close { my $self = shift; $closed{ $self->{name} }++; $self->{on_close}->() if $self->{on_close}; 1 }
    package NoClose; sub new { bless [2], shift } sub getline { $_[0][0]-- > 0 ? 'part' : undef }
    package Own; our @ISA = 'IO::File'; sub getline { my $l = $_[0]->SUPER::getline; defined $l ? uc $l : undef }
    package Lines; sub TIEHANDLE { bless [qw(one two three)] } sub READLINE { shift @{ $_[0] } } sub CLOSE { $closed{tied}++ }
    package Auto; our $AUTOLOAD; sub new { bless { n => 2 } }
    sub AUTOLOAD { my $self = shift; my ($n) = $AUTOLOAD =~ /(\w+)\z/; return if $n eq 'DESTROY';
        return $closed{auto}++ if $n eq 'close'; $n eq 'getline' ? $self->{n}-- > 0 ? 'auto' : undef : die "no $n" }
    sub can { $_[1] =~ /\A(?:getline|close)\z/ ? sub { } : undef }
}
sub list { my ($name, @parts) = @_; Body->new(name => $name, code => sub { shift @parts }) }
sub opened { open my $fh, $_[0], $file or die "$file: $!"; $fh }

my $slurped;
my %answer = (
    file => sub { opened('<') },
    file_raw => sub { opened('<:raw') },
    file_object => sub { IO::File->new($file, '<') },
    file_from => sub { my $fh = opened('<'); seek $fh, 1000, 0; $fh },
    file_read => sub { my $fh = opened('<'); readline $fh for 1 .. 10; $fh },
    file_utf8 => sub { opened('<:utf8') },
    file_own => sub { my $fh = opened('<'); bless $fh, 'Own' },
    file_glob => sub { no warnings 'once'; open FH, '<', $file or die; *FH },
    file_io => sub { my $fh = opened('<'); *{$fh}{IO} },
    file_end => sub { my $fh = opened('<'); seek $fh, 0, 2; $fh },
    memory => sub { open my $fh, '<', \"in\nmemory" or die; $fh },
    pipe => sub { open my $fh, '-|', 'printf piped' or die; $fh },
    tied => sub { my $fh = do { no warnings 'once'; local *T }; tie *$fh, 'Lines'; $fh },
    object => sub { list(object => 'a', "b\n", '', '0') },
    no_close => sub { NoClose->new },
    auto => sub { Auto->new },
    empties => sub { my $n = 0; Body->new(name => 'empties', code => sub { ++$n < 30 ? '' : $n == 30 ? 'late' : undef }) },
    record => sub { my $n = 0; Body->new(name => 'record', code => sub { $n++ ? undef : ref $/ ? "record of ${$/}" : 'line' }) },
    many => sub { my $n = 0; Body->new(name => 'many', code => sub { $n++ < 20_000 ? "line $n\n" : undef }) },
    large => sub { my $n = 0; Body->new(name => 'large', code => sub { $n++ < 40 ? 'L' x 100_000 : undef }) },
    text_object => sub { my $n = 0; Body->new(name => 'text_object', code => sub { $n++ ? undef : bless {}, 'Text' }) },
    dies => sub { my $n = 0; Body->new(name => 'dies', code => sub { $n++ ? die "in getline\n" : 'some' }) },
    wide => sub { my $n = 0; Body->new(name => 'wide', code => sub { $n++ ? "\x{263a}" : 'some' }) },
    close_dies => sub { my $n = 0; Body->new(name => 'close_dies', code => sub { $n++ ? undef : 'some' },
        on_close => sub { die "in close\n" }) },
    endless => sub { Body->new(name => 'endless', code => sub { 'E' x 65_536 }) },
);
{ package Text; use overload '""' => sub { 'text' }, fallback => 1 }

sub {
    my ($env) = @_;
    my ($name, $status) = split /,/, $env->{QUERY_STRING};
    return [200, [], [join ' ', map { "$_=$closed{$_}" } sort keys %closed]] if $name eq 'closed';
    return [200, [], [$/ eq "\n" ? 'newline' : 'changed']] if $name eq 'separator';
    return [200, ['Content-Length' => 10], opened('<')] if $name eq 'part';
    return [$status || 200, [], $answer{$name}->()];
};
APP

my $server = start_server(code => $code);

sub answer {
    my ($name, %option) = @_;
    my $method  = $option{method}  || 'GET';
    my $version = $option{version} || '1.1';
    return $server->ask("$method /?$name HTTP/$version\r\nHost: a\r\n\r\n", method => $method);
}

sub n_closed {
    my ($name) = @_;
    return answer('closed')->body =~ /\b\Q$name\E=([0-9]+)/ ? $1 : 0;
}

subtest 'files' => sub {
    for my $name (qw(file file_raw file_object file_glob file_io)) {
        my $response = answer($name);
        is $response->body,                     $bytes,        "$name: every byte";
        is $response->header('Content-Length'), length $bytes, "$name: the length is known";
    }
    is answer('file_from')->body, substr($bytes, 1000), 'from the place that was sought';
    is answer('file_read')->body, join('', (split /^/, $bytes)[10 .. 4999]),
        'from behind what was read';
    is answer('file_end')->body,  '',        'nothing from its end on';
    is answer('file_own')->body,  uc $bytes, 'through its own getline where the class has one';
    is answer('file_utf8')->body, $bytes,    'through its layers';
    is answer('part')->body,      substr($bytes, 0, 10), 'no more than Content-Length says';
    is answer('file', method => 'HEAD')->header('Content-Length'), length $bytes,
        'HEAD: the length alone';
    is answer('file', version => '1.0')->body, $bytes, 'HTTP/1.0';
};

subtest 'handles that are no files' => sub {
    is answer('memory')->body, "in\nmemory",  'in memory';
    is answer('pipe')->body,   'piped',       'a pipe';
    is answer('tied')->body,   'onetwothree', 'tied';
    is n_closed('tied'),       1,             'closed once';
};

subtest 'objects' => sub {
    is answer('object')->body,       "ab\n0",           'all parts, empty ones left out';
    is answer('no_close')->body,     'partpart',        'without close';
    is answer('auto')->body,         'autoauto',        'with AUTOLOAD';
    is answer('record')->body,       'record of 65536', 'getline is asked for records';
    is answer('separator')->body,    'newline',         'and $/ is as it was';
    is answer('empties')->body,      'late',            'nothing yet is not the end';
    is answer('text_object')->body,  'text',            'an object that is text';
    is answer('many')->body,         join('', map { "line $_\n" } 1 .. 20_000), 'many small parts';
    is length answer('large')->body, 4_000_000,                                 'large parts';
    is n_closed($_), 1, "$_ was closed once"
        for qw(object auto record empties text_object many large);
};

subtest 'close without reading' => sub {
    answer('object', method => 'HEAD');
    is n_closed('object'), 2, 'HEAD';
    answer('object,204');
    is n_closed('object'), 3, 'status 204';
    answer('object,304');
    is n_closed('object'), 4, 'status 304';
};

subtest 'failures on the way' => sub {
    my %message = (dies => 'in getline', close_dies => 'in close', wide => 'wide character');
    for my $name (sort keys %message) {
        my $client = $server->connect;
        $client->send("GET /?$name HTTP/1.1\r\nHost: a\r\n\r\n");
        my $response = eval { $client->response };
        ok !$response || !$response->is_complete,     "$name: the answer does not look complete";
        ok $server->stderr_like(qr/$message{$name}/), "$name: reported";
        is n_closed($name), 1, "$name: closed once";
    }
};

subtest 'the client goes away' => sub {
    my $client = $server->connect;
    $client->send("GET /?endless HTTP/1.1\r\nHost: a\r\n\r\n");
    ok $client->wait_for_bytes(1_000_000), 'it got something';
    $client->reset;
    my $n = 0;
    for (1 .. 100) {
        last if $n = n_closed('endless');
        select undef, undef, undef, 0.02;
    }
    is $n, 1, 'closed once';
};

subtest 'nothing is left over' => sub {
    my $before = $server->n_descriptors;
    answer($_) for qw(file file_own pipe memory object), 'file,304';
    answer('file', method => 'HEAD');
    cmp_ok $server->n_descriptors_down_to($before), '<=', $before, 'as many descriptors as before';
};

$server->stop_ok;
done_testing;
