# psgi.input is a real file handle: it reads, seeks, ends and closes as one, in memory or in a file.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my $code = <<'APP';
use strict;
use warnings;
my $kept;
my %answer = (
    read => sub { my $in = shift; $in->read(my $x, 3); $in->read($x, 2, 3); $x },
    op => sub { my $in = shift; read $in, my $x, 4; $x },
    at_end => sub { my $in = shift; 1 while $in->read(my $x, 65536);
        defined(my $n = $in->read(my $x, 1)) or return 'undef'; "$n" },
    seek => sub { my $in = shift; $in->read(my $x, 4); seek $in, 1, 0; read $in, $x, 2; $x . tell $in },
    seek_method => sub { my $in = shift; $in->seek(-2, 2); local $/; <$in> },
    lines => sub { my $in = shift; my @lines = <$in>; scalar(@lines) . ':' . $lines[-1] },
    getline => sub { my $in = shift; $in->getline },
    slurp => sub { my $in = shift; local $/; my $x = <$in>; length $x },
    digest => sub { my $in = shift; my $x = ''; my $sum = 0;
        while ($in->read($x, 8192)) { $sum += unpack '%32C*', $x } $sum },
    eof => sub { my $in = shift; my $before = eof $in ? 1 : 0; local $/; <$in>; $before . (eof $in ? 1 : 0) },
    fileno => sub { my $in = shift; fileno $in },
    write => sub { my $in = shift; no warnings; (print {$in} 'x') ? 'written' : 'refused' },
    binary => sub { my $in = shift; local $/; my $x = <$in>; (utf8::is_utf8($x) ? 'chars ' : 'bytes ') . length $x },
    close => sub { my $in = shift; close $in ? 'closed' : 'no' },
    keep => sub { $kept = shift; 'kept' },
    kept => sub { local $/; seek $kept, 0, 0; my $x = <$kept>; undef $kept; $x },
    dup_stdin => sub { my $in = shift; open my $old, '<&', \*STDIN; local *STDIN = $in; my $x = <STDIN>; $x },
    nothing => sub { 'nothing' },
);
sub {
    my ($env) = @_;
    return [200, [], [$answer{ $env->{QUERY_STRING} }->($env->{'psgi.input'})]];
};
APP

my $limit  = 1000;
my $server = start_server(code => $code, args => { body_buffer_bytes => $limit });

sub post {
    my ($name, $body) = @_;
    my $length = length $body;
    return $server->ask("POST /?$name HTTP/1.1\r\nHost: a\r\nContent-Length: $length\r\n\r\n$body")
        ->body;
}

my $small = "first\nsecond\nabc";
for my $where ('in memory', 'in a file') {
    my $body = $where eq 'in memory' ? $small : $small . "\n" . 'x' x (3 * $limit) . "\nyz";
    my $last = substr $body, -2;
    subtest "a body $where" => sub {
        is post(read        => $body), 'first', 'read, and read to an offset';
        is post(op          => $body), 'firs',  'the operator';
        is post(at_end      => $body), '0',     '0 at the end';
        is post(seek        => $body), 'ir3',   'seek and tell';
        is post(seek_method => $body), $last,   'seek from the end';
        is post(lines => $body), ($body =~ tr/\n//) + 1 . ':' . ($body =~ /([^\n]*)\z/)[0], 'lines';
        is post(getline => $body),               "first\n",                     'getline';
        is post(slurp   => $body),               length $body,                  'all at once';
        is post(eof     => $body),               '01',                          'eof';
        is post(write   => $body),               'refused',                     'read-only';
        is post(close   => $body),               'closed',                      'close';
        is post(binary  => "\xc3\xa4\r\n$body"), 'bytes ' . (4 + length $body), 'bytes, unchanged';
        is post(dup_stdin => $body),             "first\n",                     'as STDIN';
    };
}

is post(fileno => $small), '-1', 'no descriptor in memory';
cmp_ok post(fileno => 'x' x (2 * $limit)), '>=', 3, 'one for a file';

subtest 'no body' => sub {
    for my $name (qw(slurp eof at_end close)) {
        my %expected = (slurp => 0, eof => '11', at_end => 0, close => 'closed');
        is $server->ask("GET /?$name HTTP/1.1\r\nHost: a\r\n\r\n")->body, $expected{$name}, $name;
    }
};

subtest 'each request has a handle of its own' => sub {
    is post(close => $small),             'closed',           'closed by one request';
    is post(op    => $small),             'firs',             'open in the next';
    is post(keep  => 'kept body'),        'kept',             'kept by one';
    is post(op    => 'other'),            'othe',             'not seen by the next';
    is post(kept  => ''),                 'kept body',        'still the same later';
    is post(keep  => 'k' x (2 * $limit)), 'kept',             'a file is kept';
    is post(kept  => ''),                 'k' x (2 * $limit), 'as well';
};

subtest 'descriptors are given back' => sub {
    post(nothing => 'x' x (2 * $limit));
    my $before = $server->n_descriptors;
    post($_ => 'x' x (2 * $limit)) for ('nothing', 'slurp', 'close') x 5;
    cmp_ok $server->n_descriptors_down_to($before), '<=', $before, 'as many as before';
};

subtest 'a megabyte in chunks' => sub {
    my $client = $server->connect;
    my $chunk  = join '', map { chr($_ % 256) } 1 .. 10_000;
    $client->send("POST /?digest HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    $client->send(sprintf "%x\r\n%s\r\n", length $chunk, $chunk) for 1 .. 100;
    $client->send("0\r\n\r\n");
    my $sum = 0;
    $sum += ord for split //, $chunk;
    is $client->response->body, 100 * $sum, 'every byte';
};

$server->stop_ok;
done_testing;
