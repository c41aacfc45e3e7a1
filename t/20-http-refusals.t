# What is refused, with which status; the connection is closed after the answer, whatever follows is
# ignored, the app never runs. Each message also cut at every byte and sent byte by byte.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Cuts;
use Test::More;

my $server = start_server(app => dump_app());

my $get   = "GET / HTTP/1.1\r\nHost: a\r\n";
my $post  = "POST / HTTP/1.1\r\nHost: a\r\n";
my $chunk = "${post}Transfer-Encoding: chunked\r\n\r\n";

my @cases = (

    # lines and names
    ['bare LF ends the request line',      400, "GET / HTTP/1.1\nHost: a\r\n\r\n"],
    ['bare LF ends a header',              400, "GET / HTTP/1.1\r\nHost: a\nX-A: 1\r\n\r\n"],
    ['bare LF ends the head',              400, "${get}\n"],
    ['bare LF before the request',         400, "\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['bare CR in a value',                 400, "${get}X-A: a\rb\r\n\r\n"],
    ['bare CR before a line end',          400, "${get}X-A: a\r\r\n\r\n"],
    ['bare CR in the request line',        400, "GET /\r HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['NUL in a value',                     400, "${get}X-A: a\0b\r\n\r\n"],
    ['NUL in a name',                      400, "${get}X-\0A: b\r\n\r\n"],
    ['a control character in a value',     400, "${get}X-A: a\x01b\r\n\r\n"],
    ['DEL in a value',                     400, "${get}X-A: a\x7fb\r\n\r\n"],
    ['a folded header',                    400, "${get}X-A: a\r\n b\r\n\r\n"],
    ['a folded length',                    400, "${post}Content-Length:\r\n 3\r\n\r\nabc"],
    ['space before the colon',             400, "${get}X-A : 1\r\n\r\n"],
    ['space before the colon of a length', 400, "${post}Content-Length : 3\r\n\r\nabc"],
    ['an empty name',                      400, "${get}: 1\r\n\r\n"],
    ['a name that is no token',            400, "${get}X(A): 1\r\n\r\n"],
    ['a space within a name',              400, "${get}X A: 1\r\n\r\n"],
    ['a high byte in a name',              400, "${get}X\xe4: 1\r\n\r\n"],
    ['space before the first header',      400, "GET / HTTP/1.1\r\n Host: a\r\n\r\n"],
    ['tab before the first header',        400, "GET / HTTP/1.1\r\n\tX-A: 1\r\nHost: a\r\n\r\n"],
    ['a line without a colon',             400, "${get}nonsense\r\n\r\n"],
    ['three empty lines before a request', 400, "\r\n\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"],

    # lengths
    (
        map { ["Content-Length: '$_'", 400, "${post}Content-Length: $_\r\n\r\nabc"] } '+3', '-3',
        '0x3', '3a', '3 3', '3, 3', '3,3', '', ',', '"3"', '3.0', '1e1',
        '18446744073709551616', '99999999999999999999999'
    ),
    ['two different lengths', 400, "${post}Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd"],
    ['two identical lengths', 400, "${post}Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc"],

    # codings
    [
        'a length, then a coding',
        400, "${post}Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ],
    [
        'a coding, then a length',
        400, "${post}Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n"
    ],
    [
        'chunked in two headers',
        400, "${post}Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    ],
    ['a coding on HTTP/1.0', 400, "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
    ['a coding without name', 400, "${post}Transfer-Encoding:\r\n\r\n0\r\n\r\n"],
    ['an unknown coding',     501, "${post}Transfer-Encoding: gzip\r\n\r\nabc"],

    # Host
    ['HTTP/1.1 without Host',   400, "GET / HTTP/1.1\r\nX-A: 1\r\n\r\n"],
    ['HTTP/1.1 without header', 400, "GET / HTTP/1.1\r\n\r\n"],
    ['two Hosts',               400, "${get}Host: a\r\n\r\n"],
    ['two Hosts on HTTP/1.0',   400, "GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n"],
    (
        map { ["Host: '$_'", 400, "GET / HTTP/1.1\r\nHost: $_\r\n\r\n"] } 'a b',
        'a/b', 'u@a', 'a:x', 'a:1:2', '[::1', 'a<b', "a\xe4", 'a?b', 'a#b', '%zz'
    ),
    ['an absolute target needs Host all the same', 400, "GET http://b/ HTTP/1.1\r\nX-A: 1\r\n\r\n"],

    # fields that may stand there once
    ['two Content-Types',  400, "${get}Content-Type: a/b\r\nContent-Type: c/d\r\n\r\n"],
    ['the same one twice', 400, "${get}Content-Type: a/b\r\nContent-Type: a/b\r\n\r\n"],
    ['two Authorizations', 400, "${get}Authorization: Basic YTpi\r\nAuthorization: x\r\n\r\n"],
    ['two Content-Ranges', 400, "${get}Content-Range: bytes 0-1/2\r\nContent-Range: x\r\n\r\n"],

    # version and method
    ['HTTP/2.0',                      505, "GET / HTTP/2.0\r\nHost: a\r\n\r\n"],
    ['HTTP/1.2',                      505, "GET / HTTP/1.2\r\nHost: a\r\n\r\n"],
    ['HTTP/3.7',                      505, "GET / HTTP/3.7\r\nHost: a\r\n\r\n"],
    ['the HTTP/2 preface',            505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"],
    ['HTTP/0.9',                      400, "GET /\r\n"],
    ['HTTP/0.9 by name',              400, "GET / HTTP/0.9\r\n\r\n"],
    ['http/1.1',                      400, "GET / http/1.1\r\nHost: a\r\n\r\n"],
    ['HTTP/1.10',                     505, "GET / HTTP/1.10\r\nHost: a\r\n\r\n"],
    ['HTTP/1',                        505, "GET / HTTP/1\r\nHost: a\r\n\r\n"],
    ['another protocol',              400, "GET / ICE/1.0\r\nHost: a\r\n\r\n"],
    ['a method that is no token',     400, "G(T / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['a high byte in the method',     400, "G\xe4T / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['a request line without method', 400, " / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['a greeting of TLS',             400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"],

    # target
    ['a fragment',                        400, "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['a fragment in the query',           400, "GET /a?b#c HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['a space in the target',             400, "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['two spaces before it',              400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['two spaces after it',               400, "GET /  HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['a space after the version',         400, "GET / HTTP/1.1 \r\nHost: a\r\n\r\n"],
    ['a tab in the target',               400, "GET /\ta HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['NUL in the target',                 400, "GET /\0 HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['DEL in the target',                 400, "GET /\x7f HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['a raw high byte in the host',       400, "GET http://\xe4/ HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['%zz',                               400, "GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['an escape that is cut',             400, "GET /%a HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['a percent sign at the end',         400, "GET /% HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['a percent sign before the query',   400, "GET /%?20 HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['%00 in the path',                   400, "GET /a%00b HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['a target without slash',            400, "GET a HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['an asterisk for GET',               400, "GET * HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['CONNECT to a path',                 400, "CONNECT / HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['another scheme',                    400, "GET ftp://b/ HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['an absolute target without host',   400, "GET http:///a HTTP/1.1\r\nHost: a\r\n\r\n"],
    ['a name and password in the target', 400, "GET http://u:p\@b/ HTTP/1.1\r\nHost: a\r\n\r\n"],

    # expectations
    ['an unknown expectation', 417, "${post}Expect: miracles\r\nContent-Length: 3\r\n\r\nabc"],

    # chunks
    ['bare LF after a chunk size',       400, "${chunk}3\nabc\r\n0\r\n\r\n"],
    ['bare CR after a chunk size',       400, "${chunk}3\rXabc\r\n0\r\n\r\n"],
    ['bare LF after chunk data',         400, "${chunk}3\r\nabc\n0\r\n\r\n"],
    ['chunk data that is too long',      400, "${chunk}3\r\nabcd\r\n0\r\n\r\n"],
    ['chunk data without line end',      400, "${chunk}3\r\nabc0\r\n\r\n"],
    ['a chunk size that is no number',   400, "${chunk}x\r\nabc\r\n0\r\n\r\n"],
    ['an empty chunk size',              400, "${chunk}\r\nabc\r\n0\r\n\r\n"],
    ['a chunk size with a sign',         400, "${chunk}+3\r\nabc\r\n0\r\n\r\n"],
    ['a chunk size with 0x',             400, "${chunk}0x3\r\nabc\r\n0\r\n\r\n"],
    ['a chunk size with a space before', 400, "${chunk} 3\r\nabc\r\n0\r\n\r\n"],
    ['two chunk sizes',                  400, "${chunk}3 3\r\nabc\r\n0\r\n\r\n"],
    ['a chunk size of 17 digits',        400, "${chunk}00000000000000003\r\nabc\r\n0\r\n\r\n"],
    ['a chunk size beyond 64 bits',      400, "${chunk}fffffffffffffffff\r\nabc\r\n0\r\n\r\n"],
    ['bare LF in an extension',          400, "${chunk}3;a\nb\r\nabc\r\n0\r\n\r\n"],
    ['NUL in an extension',              400, "${chunk}3;a\0b\r\nabc\r\n0\r\n\r\n"],
    ['a folded trailer',                 400, "${chunk}0\r\nX-A: 1\r\n b\r\n\r\n"],
    ['a trailer without a colon',        400, "${chunk}0\r\nnonsense\r\n\r\n"],
    ['bare LF after a trailer',          400, "${chunk}0\r\nX-A: 1\n\r\n"],
);

# The app would answer this with 200 if it were ever read as a request.
my $smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";

for my $case (@cases) {
    my ($name, $status, $bytes) = @$case;
    my $logged = length $server->stderr;
    my $client = $server->connect;
    $client->send($bytes . $smuggled);
    my $response = eval { $client->response };
    is($response ? $response->status : $@, $status, "$name: $status") or next;
    is($response->header('Connection'),    'close', "$name: Connection: close");
    $client->half_close;
    is($client->rest,  '',    "$name: nothing follows");
    is($client->error, undef, "$name: closed without a reset");
    ok($server->stderr_like(qr/^sprig: $status for 127\.0\.0\.1: .+\n\z/m, from => $logged),
        "$name: logged with its reason");
}

cuts_ok($server, map { [@$_[0, 2]] } grep { length $_->[2] < 200 } @cases);

subtest 'what speaks another protocol is named in the log' => sub {
    my @cases = (
        ['TLS', 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 'TLS'],
        ['a PROXY header',            400, "PROXY TCP4 1.2.3.4 1.2.3.5 1 2\r\n${get}\r\n", 'a PROXY header'],
        ['a PROXY header, version 2', 400, "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0${get}\r\n",   'a PROXY header'],
        ['the preface of HTTP/2',     505, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",           'HTTP/2'],
    );
    for my $case (@cases) {
        my ($name, $status, $bytes, $what) = @$case;
        my $from = length $server->stderr;
        is($server->ask($bytes)->status, $status, "$name: $status");
        ok($server->stderr_like(qr/^sprig: $status for 127\.0\.0\.1: \Q$what\E\b.*\baddress\b/m, from => $from),
            "$name: named");
    }
};

subtest 'a flood of refusals is no flood of the log' => sub {
    my $server = start_server(app => dump_app());
    my $n      = 1000;
    my $second = int time;
    for (1 .. $n) {
        my $client = $server->connect;
        $client->send("flood\r\n\r\n");
        $client->response;
    }
    $second = 1 + time - $second;
    my $told = sub {
        my @lines = grep { /malformed request line/ } split /\n/, $server->stderr;
        my $more = 0;
        $more += $_ for map { /\(and ([0-9]+) more like it\)\z/ } @lines;
        return (scalar @lines, $more);
    };
    ok(SprigTest::Server::_until(30, sub { my ($lines, $more) = $told->(); $lines + $more == $n }),
        'each is told of, or counted');
    my ($lines) = $told->();
    cmp_ok($lines, '<=', 11 * ($second + 1), "in $lines lines");
    my $other = length $server->stderr;
    is($server->ask("GET /%zz HTTP/1.1\r\nHost: a\r\n\r\n")->status, 400, 'another one');
    ok($server->stderr_like(qr/ for 127\.0\.0\.1: bad percent-encoding/, from => $other),
        'does not count for it');
    $server->stop_ok;
};

subtest 'an extension of 256 bytes is the longest' => sub {
    for my $n (256, 257) {
        my $extension = ';' . 'e' x ($n - 1);
        my $response  = $server->ask("${chunk}3$extension\r\nabc\r\n0\r\n\r\n");
        is($response->status, $n == 256 ? 200 : 400, "$n bytes");
    }
};

unlike($server->stderr, qr/[^\x20-\x7e\n]/, 'no byte of a client is logged as it came');

subtest 'CONNECT to an app that does not look at the method' => sub {
    my $plain = start_server(code => <<'APP', by => 'program');
sub {
    my ($env) = @_;
    return [403, [], ['no']] if $env->{SERVER_PROTOCOL} eq 'HTTP/1.0';
    return [200, [], ['front page']];
};
APP
    my $client = $plain->connect;
    $client->send("CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n${get}\r\n");
    my $response = $client->response;
    is $response->status,          405,  'is no tunnel';
    is $response->header('Allow'), '',   'the status wants an Allow line';
    is $response->body,            '',   'the front page is not sent';
    ok $client->is_closed, 'what follows is no request';
    is $plain->ask("CONNECT b:443 HTTP/1.0\r\n\r\n")->status, 403, 'what the app refuses is its own';
    $plain->stop_ok;
};

subtest 'a HEAD request that is refused' => sub {
    my %cases = (
        'a broken target'  => "HEAD /%zz HTTP/1.1\r\nHost: a\r\n\r\n",
        'a broken header'  => "HEAD / HTTP/1.1\r\nHost: a\r\nA B: c\r\n\r\n",
        'behind CRLF'      => "\r\nHEAD / HTTP/1.1\r\n\r\n",
        'too long a line'  => 'HEAD /' . 'x' x 9000 . " HTTP/1.1\r\nHost: a\r\n\r\n",
        'too large a body' => "HEAD / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n",
    );
    for my $name (sort keys %cases) {
        my $client = $server->connect;
        $client->send($cases{$name});
        my $bytes = $client->rest;
        like $bytes, qr/\AHTTP\/1\.1 4\d\d .*\r\n\r\n\z/s, "$name: no body";
        like $bytes, qr/^Content-Length: [1-9]/m,          '... but its length';
    }
};

$server->stop_ok;
done_testing;
