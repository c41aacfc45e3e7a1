# Requests that parsers differ about. Each subtest is a row of the contract's table 4.2.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server = start_server(app => dump_app(), by => 'module');

# A row: its name, then a head (without the empty line), what has to match, and why. What is matched is
# the status and below it the lines KEY=value of the env.
sub row {
    my ($name, @cases) = @_;
    return subtest "4.2 $name" => sub {
        while (my ($head, $expected, $why) = splice @cases, 0, 3) {
            my $response = $server->ask("$head\r\n\r\n");
            like join("\n", $response->status, $response->body), $expected, $why;
        }
    };
}

# A request of HTTP/1.0 with these header lines.
sub with { return join "\r\n", 'GET / HTTP/1.0', @_ }

my $refused = qr{\A400};

row '/a%2Fb%00c%ff',
    'GET /a%2Fb%252Fc%ff HTTP/1.0' => qr{^PATH_INFO=/a/b%2Fc\\xff$}m => 'decoded once',
    'GET /a%2Fb%00c%ff HTTP/1.0'   => $refused                       => 'NUL: never cut off there';

row '/a%zz, /a%', 'GET /a%zz HTTP/1.0' => $refused => 'a broken escape',
    'GET /a% HTTP/1.0' => $refused => 'half an escape';

row '+ in path', 'GET /a+b?c+d HTTP/1.0' => qr{^PATH_INFO=/a\+b\nQUERY_STRING=c\+d$}m => 'kept';

row '/?0', 'GET /?0 HTTP/1.0' => qr{^QUERY_STRING=0$}m => 'QUERY_STRING 0';

row '/a?b#c, /a#c?b (refused, as http.md says)',
    'GET /a?b#c HTTP/1.0' => $refused => 'behind the query',
    'GET /a#c?b HTTP/1.0' => $refused => 'before it';

row 'GET http://h:81/a?x',
    'GET http://h:81/a?x HTTP/1.0' =>
    qr{^HTTP_HOST=h:81\nPATH_INFO=/a\nQUERY_STRING=x\n.*^REQUEST_URI=/a\?x$}ms => 'taken apart',
    "GET http://h:81/a HTTP/1.1\r\nHost: other" => qr{^HTTP_HOST=h:81$}m => 'stronger than Host';

row 'OPTIONS *, CONNECT h:443',
    'OPTIONS * HTTP/1.0' => qr{\A200.*^PATH_INFO=/\n.*^REQUEST_URI=\*$}ms => 'OPTIONS *',
    "CONNECT h:443 HTTP/1.1\r\nHost: h:443" =>
    qr{\A501.*^PATH_INFO=/\n.*^REQUEST_METHOD=CONNECT\nREQUEST_URI=h:443$}ms => 'CONNECT';

row 'dup headers, Cookie', with('X-A: 1', 'X-A: 2') => qr{^HTTP_X_A=1, 2$}m => 'joined by a comma',
    with('Cookie: a=1', 'Cookie: b=2') => qr{^HTTP_COOKIE=a=1; b=2$}m => 'Cookie by a semicolon';

row 'dup Content-Length; CL+TE, +5, TE on 1.0',
    with('Content-Length: 1', 'Content-Length: 2') => $refused => 'two lengths',
    with('Content-Length: +5')                     => $refused => 'a sign',
    "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked" => $refused =>
    'length and chunks',
    with('Transfer-Encoding: chunked') => $refused => 'chunks in HTTP/1.0';

row 'X_A and X-A',
    with('X_A: 1', 'X-A: 2') => qr{\A200.*^HTTP_X_A=2$}ms => 'the one with a hyphen counts',
    with('Content_Length: 5', 'Content_Type: a') => qr{\A200(?!.*CONTENT_)}s =>
    'never length or type',
    with('Proxy: x') => qr{\A200(?!.*HTTP_PROXY)}s => 'nor Proxy';

row 'obs-fold', with('X-A: 1', ' 2') => $refused => 'refused';

row 'X-A : 1', with('X-A : 1') => $refused => 'refused',
    with('Content-Length : 5') => $refused => 'also where it would be the length';

row 'OWS in value', with("X-A: \t 1 2 \t ") => qr{^HTTP_X_A=1 2$}m => 'trimmed on both sides';

row 'NUL/ctl in value', with("X-A: a\0b") => $refused => 'NUL',
    with("X-A: a\x07b") => $refused => 'a control character',
    with("X-A: a\x7fb") => $refused => 'DEL';

row 'HTTP/2.0, HTTP/0.9', 'GET / HTTP/2.0' => qr{\A505} => 'HTTP/2.0',
    'GET / HTTP/0.9' => qr{\A(?:400|505)} => 'HTTP/0.9',
    'GET /'          => $refused          => 'no version';

row 'leading CRLF', "\r\nGET / HTTP/1.0" => qr{\A200} => 'one',
    "\r\n\r\nGET / HTTP/1.0" => qr{\A200} => 'two';

row 'bare LF', "GET / HTTP/1.0\nX-A: 1" => $refused => 'behind the request line',
    "GET / HTTP/1.0\r\nX-A: 1\nB: 2" => $refused => 'behind a header';

row 'lower-case or unknown method (get, FOO)',
    'get / HTTP/1.0'      => qr{\A200.*REQUEST_METHOD=get}s      => 'small letters',
    'FOO / HTTP/1.0'      => qr{\A200.*REQUEST_METHOD=FOO}s      => 'unknown',
    'PURGE / HTTP/1.0'    => qr{\A200.*REQUEST_METHOD=PURGE}s    => 'PURGE',
    'M-SEARCH / HTTP/1.0' => qr{\A200.*REQUEST_METHOD=M-SEARCH}s => 'M-SEARCH';

row 'header > 128 B names, 100s of headers',
    with('X-' . 'n' x 200 . ': 1')       => qr{\A200.*HTTP_X_N{200}=1}s => 'a long name',
    with(map { "X-$_: $_" } 1 .. 90)     => qr{^HTTP_X_90=90$}m         => 'many headers',
    with(map { "X-$_: $_" } 1 .. 900)    => qr{\A431}                   => 'too many',
    with('X-A: ' . 'x' x 80_000)         => qr{\A431}                   => 'too long',
    'GET /' . 'x' x 20_000 . ' HTTP/1.0' => qr{\A414}                   => 'a long request line';

row 'Upgrade: h2c',
    with('Connection: Upgrade, HTTP2-Settings', 'Upgrade: h2c') =>
    qr{\A200.*^HTTP_UPGRADE=h2c$}ms => 'answered normally';

subtest '4.2 Upgrade: h2c, the connection' => sub {
    my $client = $server->connect;
    for my $n (1, 2) {
        $client->send(get("/$n", 'Connection: Upgrade', 'Upgrade: h2c'));
        like $client->response->body, qr{^PATH_INFO=/$n$}m, "goes on, $n";
    }
};

subtest '4.2 de-chunking' => sub {
    my $response = $server->ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            . "3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n");
    like $response->body,   qr/^CONTENT_LENGTH=7$/m,    'CONTENT_LENGTH is set';
    unlike $response->body, qr/HTTP_TRANSFER_ENCODING/, 'HTTP_TRANSFER_ENCODING is not';
    like $response->body,   qr/\n\nabcdefg\z/,          'the body is whole';
};

row 'HTTP_CONNECTION, HTTP_UPGRADE are kept',
    with('Connection: Upgrade', 'Upgrade: websocket') =>
    qr{^HTTP_CONNECTION=Upgrade\nHTTP_UPGRADE=websocket$}m => 'for modules of WebSocket';

row 'HTTP/1.1 without Host', 'GET / HTTP/1.1' => $refused => 'refused';

$server->stop_ok;
done_testing;
