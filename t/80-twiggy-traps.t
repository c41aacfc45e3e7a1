# What servers written in C stumble over: values, bodies, writers and processes (4.1), and requests (4.2).

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server = start_server(app => "$FindBin::Bin/apps/traps.psgi", by => 'module');

sub answer { return $server->ask(get($_[0])) }

# What an app answered, or that it failed properly: "500", "cut" after the head.
sub outcome {
    my ($path) = @_;
    my $response = answer($path);
    return 'cut' if defined $response->status && !$response->is_complete;
    return $response->status == 200 ? $response->body : $response->status;
}

sub request {
    my ($bytes) = @_;
    my $client = $server->connect;
    $client->send($bytes);
    $client->half_close;
    return $client->rest;
}

sub diary_of { return join '; ', diary($server) }

subtest '4.1 ties, overloading, magic' => sub {
    my $response = answer('/tied-value');
    is $response->header('X-A') . $response->body, 'abody', 'tied elements';
    is outcome('/tied-dies'),                      500,     'FETCH that dies';
    is outcome('/text-dies'),                      500,     'text that dies';
    is outcome('/magic-write'), 'abcdefghi', 'write(substr), write($1), a tied scalar';
    is outcome('/code-object'), 'object',    'a response that is an object with &{}';
};

subtest '4.1 UTF-8' => sub {
    my $response = answer('/utf8');
    is $response->body,                     "\xe4\xf6x", 'bytes of what was flagged';
    is $response->header('Content-Length'), 3,           'Content-Length counts bytes';
    is outcome('/utf8-kept'),               'as it was', "the app's value is not touched";
    is outcome('/wide-write'),              'cut',       'a wide character behind the head';
};

subtest '4.1 headers and status' => sub {
    is outcome('/header/' . unpack 'H*', $_), 500, 'name ' . unpack 'H*', $_
        for '', 'a:b', 'a b', "a\n";
    is outcome('/value/' . unpack 'H*', $_), 500, 'value ' . unpack 'H*', $_
        for "a\r\nb", "a\nb", "a\0b", "a\r\n b", "a\x07";
    is answer("/status/$_")->status, 500, "status $_" for 0, 99, 100, 103, 1000, 'none';
    is answer("/status/$_")->status, $_, "status $_" for 599, 799;
    my $response = answer('/order');
    is_deeply [$response->header('Set-Cookie')], ['b', 'a'], 'several of a name, in order';
    is_deeply [$response->header('X-A')],        [1,   2],   'never folded';
};

subtest '4.1 bodies' => sub {
    is outcome('/no-body'),   'by writer', '[200, $headers, undef] is a stream';
    is outcome('/lines'),     'ab',  "getline and close only; '' is no end; fileno is not asked";
    is outcome('/lines-die'), 'cut', 'getline that dies';
    like outcome('/close-dies'), qr/\A(?:a|cut|500)\z/, 'close that dies';
    answer("/lines-$_") for 204, 304;
    $server->ask("HEAD /lines HTTP/1.1\r\nHost: a\r\n\r\n", method => 'HEAD');
    is diary_of(), 'closed lines; closed dying; closed it; closed 204; closed 304; closed lines',
        'close is called exactly once, also for HEAD, 204 and 304';
    my $client = $server->connect;
    $client->send(get('/endless'));
    $client->wait_for_bytes(1000);
    $client->reset;
    is join(' ', await_diary($server, 1)), 'closed endless', 'and when the client leaves';
    my $text = slurp("$FindBin::Bin/apps/traps.psgi");
    $text =~ s/\A.*\n//;
    is outcome('/seeked'), $text, 'a file from where the next read would start';
    outcome('/separator');
    like outcome('/separator-kept'), qr/\Anewline \d+\z/, '$/ is a size for getline only';
    is outcome('/output-variables'), 'ab', '$\ and $, are not for us';
    diary_of();
};

subtest '4.1 writers and responders' => sub {
    is outcome('/die-amid'),     'cut',           'die amid a stream does not look complete';
    is outcome('/caught'),       'all',           'an exception that the app caught is none';
    is outcome('/empty-write'),  'a',             "write('') is no last chunk";
    is outcome('/twice'),        'first',         'the responder is called twice';
    is outcome('/from-destroy'), 'from DESTROY',  'from DESTROY';
    is outcome('/reentrant'),    'before within', 'within a callback of the writer';
    my $client = $server->connect;
    $client->send(get('/late-respond'));
    ok $client->is_quiet(0.05), 'a client that waits';
    $client->reset;
    eventually { counters($server)->{exchanges} == 0 };
    is outcome('/respond-now'), 'ok', 'and is gone when the responder is called';
};

subtest '4.1 env' => sub {
    my $client = $server->connect;
    for my $path ('/env-spoil', '/env-clear') {
        $client->send(get($path));
        is $client->response->status, 200, $path;
        $client->send(get('/env-look'));
        is $client->response->body, '1 1 127.0.0.1 GET', 'the next request sees nothing of it';
    }
};

subtest '4.1 processes and signals' => sub {
    is outcome('/fork'),   3,         'fork and exit in the app';
    is outcome('/system'), 5,         'system';
    is outcome('/alarm'),  "alarm\n", 'alarm around a blocking wait';
    is outcome('/pipe-handler'), 'code',
        'SIGPIPE has a handler, which programs that are started do not inherit';
    is outcome('/last'),        500,    'last out of the app';
    is outcome('/topic'),       'mine', '$_ and $@ are its own';
    is outcome('/tied-stderr'), 500,    'STDERR is tied';
    like join(' ', await_diary($server, 1)), qr/tied: to the tied handle/, 'and gets the message';
};

subtest '4.1 psgix.io' => sub {
    like request(get('/close-io')), qr/mine\z/, 'closed by the app, its number is used again';
    is outcome('/env-look'), '1 1 127.0.0.1 GET', 'which is not closed by us';
    like request(
        "GET /read-ahead HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\nahead"),
        qr/\[ahead\]\z/, 'bytes that came with the head are there for read';
};

ok comes_to_rest($server), 'nothing is left over';
$server->stop_ok;

my $dump = start_server(app => dump_app(), by => 'module');

# The status, or the lines of the env that match.
my @rows = (
    ['GET /a%2Fb%252Fc%ff HTTP/1.0', qr{^PATH_INFO=/a/b%2Fc\\xff$}m,      'decoded once'],
    ['GET /a%00b HTTP/1.0',          qr{\A400},                           'NUL in a path'],
    ['GET /a%zz HTTP/1.0',           qr{\A400},                           'a broken escape'],
    ['GET /a% HTTP/1.0',             qr{\A400},                           'half an escape'],
    ['GET /a+b HTTP/1.0',            qr{^PATH_INFO=/a\+b$}m,              'plus in a path'],
    ['GET /?0 HTTP/1.0',             qr{^QUERY_STRING=0$}m,               'query 0'],
    ['GET http://h:81/a?x HTTP/1.0', qr{^HTTP_HOST=h:81\nPATH_INFO=/a$}m, 'absolute form'],
    ['OPTIONS * HTTP/1.0',           qr{\A200.*^PATH_INFO=/?\n.*^REQUEST_URI=\*$}ms, 'OPTIONS *'],
    ["GET / HTTP/1.0\r\nCookie: a=1\r\nCookie: b=2", qr{^HTTP_COOKIE=a=1; b=2$}m,    'cookies'],
    ["GET / HTTP/1.0\r\nX-A: 1\r\nX-A: 2",           qr{^HTTP_X_A=1, 2$}m,           'others'],
    ["GET / HTTP/1.0\r\nContent-Length: 1\r\nContent-Length: 2", qr{\A400}, 'two lengths'],
    ["GET / HTTP/1.0\r\nContent-Length: +5",                     qr{\A400}, 'a length with a sign'],
    [
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked",
        qr{\A400}, 'both'
    ],
    ["GET / HTTP/1.0\r\nTransfer-Encoding: chunked", qr{\A400}, 'chunks in HTTP/1.0'],
    [
        "GET / HTTP/1.0\r\nContent_Length: 5\r\nX_A: 1", qr{\A200(?!.*(?:^CONTENT_LENGTH|X_A))}ms,
        'underscores'
    ],
    ["GET / HTTP/1.0\r\nProxy: x",     qr{\A200(?!.*HTTP_PROXY)}s,  'Proxy'],
    ["GET / HTTP/1.0\r\nX-A: 1\r\n 2", qr{\A400},                   'folded'],
    ["GET / HTTP/1.0\r\nX-A : 1",      qr{\A400},                   'a space before the colon'],
    ["GET / HTTP/1.0\r\nX-A:  1 \t",   qr{^HTTP_X_A=1$}m,           'space around a value'],
    ["GET / HTTP/1.0\r\nX-A: a\0b",    qr{\A400},                   'NUL in a value'],
    ['GET / HTTP/2.0',                 qr{\A505},                   'HTTP/2.0'],
    ['GET / HTTP/0.9',                 qr{\A(?:400|505)},           'HTTP/0.9'],
    ['GET /',                          qr{\A400},                   'no version'],
    ["\r\nGET / HTTP/1.0",             qr{\A200},                   'an empty line before'],
    ["GET / HTTP/1.0\nX-A: 1",         qr{\A400},                   'a bare LF'],
    ["GET / HTTP/1.1",                 qr{\A400},                   'HTTP/1.1 without Host'],
    ["get / HTTP/1.0", qr{\A(?:200.*REQUEST_METHOD=get|[45]\d\d)}s, 'a method in small letters'],
    ["FOO / HTTP/1.0", qr{\A(?:200.*REQUEST_METHOD=FOO|501)}s,      'an unknown method'],
    ["GET / HTTP/1.0\r\nX-" . 'n' x 200 . ': 1', qr{\A200},         'a long name'],
    [
        "GET / HTTP/1.0\r\n" . join("\r\n", map { "X-$_: $_" } 1 .. 90),
        qr{^HTTP_X_90=90$}m, 'many headers'
    ],
    ["GET / HTTP/1.0\r\n" . join("\r\n", map { "X-$_: $_" } 1 .. 900), qr{\A431}, 'too many'],
    [
        "GET / HTTP/1.0\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c",
        qr{\A200.*^HTTP_UPGRADE=h2c$}ms,
        'h2c that nobody wants'
    ],
);

subtest '4.2 requests' => sub {
    for my $row (@rows) {
        my ($head, $expected, $name) = @$row;
        my $client = $dump->connect;
        $client->send("$head\r\n\r\n");
        my $response = $client->response;
        like join("\n", $response->status, $response->body), $expected, $name;
    }
    my $long = 'x' x 20_000;
    is $dump->ask("GET /$long HTTP/1.0\r\n\r\n")->status, 414, 'a long request line';
    is $dump->ask("GET / HTTP/1.0\r\nX-A: $long$long$long$long\r\n\r\n")->status, 431,
        'long headers';
};

$dump->stop_ok;
done_testing;
