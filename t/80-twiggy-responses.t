# What applications written for Twiggy get and may return: the env, requests, responses, errors.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server = start_server(
    app  => "$FindBin::Bin/apps/contract.psgi",
    by   => 'module',
    perl => ['-MSprig::Compat::Twiggy']
);

sub http10 { return $server->ask("GET $_[0] HTTP/1.0\r\n\r\n") }

sub body_of { return $server->ask(get($_[0]))->body }

sub request {
    my ($bytes) = @_;
    my $client = $server->connect;
    $client->send($bytes);
    return $client->rest;
}

sub diary_of { my @lines = diary($server); return join '; ', @lines }

my $errors_at = 0;

# What was written to the server's standard error since the last time; waits for the pattern.
sub errors_like {
    my ($pattern, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $server->stderr_like($pattern, from => $errors_at), $name
        or diag substr $server->stderr, $errors_at;
    $errors_at = length $server->stderr;
    return;
}

subtest '1.5 env' => sub {
    is body_of('/env/psgi_version'), '1.1', 'psgi.version';
    is body_of('/env/flags'),
        'nonblocking=1 streaming=1 run_once=0 multithread=0 multiprocess=0', 'booleans';
    is body_of('/env/url_scheme'), 'http',                 'psgi.url_scheme';
    is body_of('/env/strings'),    join(' ', ('ok') x 10), 'strings that are always there';
    is body_of('/env/errors'),     'printed',              'psgi.errors';
    errors_like(qr/^said$/m, 'psgi.errors is standard error');
    is body_of('/env/input'),        'GLOB -1 undef 1 0',   'psgi.input of no body';
    is body_of('/env/input_closed'), 'closed',              'an app closes it';
    is body_of('/env/input'),        'GLOB -1 undef 1 0',   'and the next one has its own';
    is body_of('/env/io'),           'GLOB open 127.0.0.1', 'psgix.io';
    is body_of('/env/buffered'),     '1',                   'psgix.input.buffered';
    is body_of('/env/assignable'),   'ok',                  'everything can be assigned to';
    like request(
        "GET /env/kept_headers HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, close\r\nUpgrade: x\r\n\r\n"
        ),
        qr/HTTP_CONNECTION=Upgrade, close HTTP_UPGRADE=x/,
        'HTTP_CONNECTION and HTTP_UPGRADE are kept';
};

subtest '1.6 requests' => sub {
    is http10('/array')->version, '1.0',    'HTTP/1.0 is answered as HTTP/1.0';
    is http10('/array')->framing, 'length', 'and with a length';
    like request("GET /array HTTP/1.0\r\n\r\n"), qr/\r\n\r\na0b\z/, 'and closed';
    like request("GET /array HTTP/1.0\r\n\r\nGET /array HTTP/1.0\r\n\r\n"),
        qr/\A(?:(?!HTTP).)*HTTP\/1\.0(?:(?!HTTP).)*\z/s, 'pipelined requests behind it are dropped';
    like request("GET /read HTTP/1.0\r\nContent-Length: 5\r\n\r\nhello"), qr/5 hello\z/,
        'GET with body';
    like request("POST /read HTTP/1.0\r\nContent-Length: 100000\r\n\r\n" . 'x' x 100_000),
        qr/100000 x+\z/, 'a long body';
    like request("PATCH /read HTTP/1.0\r\nContent-Length: 2\r\n\r\nok"), qr/2 ok\z/, 'any method';
    like request("GET nothing\r\n\r\n"), qr/\AHTTP\/1\.[01] 400 /, 'a bad request line: 400';
    my $client = $server->connect;
    $client->send('GET / HT');
    $client->half_close;
    is $client->rest, '', 'end of file within the head: no bytes';
    like request(
        "POST /read HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
            . "3\r\nabc\r\n0\r\n\r\n"), qr/3 abc/, 'a chunked body is de-chunked';
    like request("POST /read HTTP/1.1\r\nHost: a\r\nConnection: close\r\nExpect: 100-continue\r\n"
            . "Content-Length: 3\r\n\r\nabc"),
        qr/\AHTTP\/1\.1 (?:100 .*?\r\n\r\nHTTP\/1\.1 )?200 .*3 abc/s, 'Expect: 100-continue';
    $errors_at = length $server->stderr;
};

subtest '1.7 responses' => sub {
    my $r = http10('/array');
    is $r->body, 'a0b', 'array';
    is_deeply [$r->header('Set-Cookie')], ['a=1', 'b=2'], 'headers keep order and number';
    is $r->header('X-Num'),                    5,   'a number as value';
    is http10('/phrase')->status,              200, 'status "200 Fine"';
    is http10('/odd-status')->status,          299, 'an unknown status';
    is http10('/undef-header')->header('X-A'), '',  'an undefined value is sent empty';
    is http10('/odd-headers')->status,         500, 'odd headers';
    is http10('/split')->status,               500, 'line breaks in a header';
    $r = http10('/objects');
    is join(' ', $r->status, $r->header('X-A'), $r->body), '200 obj body',
        'objects are taken as text';
    $r = http10('/latin');
    is $r->header('X-A') . $r->body, "\xe9\xe9",     'characters up to 255 are bytes';
    is http10('/wide')->status,      500,            'wide characters';
    is http10('/string')->body,      'plain string', 'plain string body';
    is http10('/lines')->body,       'ab',     'getline, and an empty string from it is no end';
    is diary_of(),                   'closed', 'close is called once';
    is http10('/io-string')->body,   'text',   'string_ref object from where it stands';
    is http10('/string-ref')->body,  'text',   'the same without getline';
    $r = http10('/file');
    is length $r->body, $r->header('X-Size'), 'a file';
    $r = http10('/seeked');
    is length $r->body,           $r->header('X-Size') - 10, 'a file from where it stands';
    is http10('/none-204')->body, '',                        'status 204 has no body';
    my $bytes = request("HEAD /array HTTP/1.0\r\n\r\n");
    like $bytes, qr/\r\n\r\n\z/, 'HEAD has no body';
    is http10('/hook')->body,        'X',   'response_cb on an array';
    is http10('/hook-stream')->body, 'ABC', 'response_cb on a stream, and an empty list at its end';
    errors_like(qr/odd number/, 'what was wrong is said');
};

subtest '1.7 delayed responses' => sub {
    is http10('/completion')->body, 'done', 'fourth element';
    ok eventually { diary_of() eq 'completed' }, 'is called when the body is sent';
    is http10('/second-argument')->body, 'GLOB open the same', 'second argument is the socket';
    is http10('/condvar')->body,         'by condvar',         'a condvar as response';
    is http10('/undef-body')->body,      'streamed',           'an undefined body is a stream';
    is http10('/returns')->body,         '',                   'a responder with a body';
    is diary_of(),                       'returned undef',     'returns nothing';
    is http10('/few')->status,           500,                  'one element is too few';
    diary_of();
    is http10('/never')->status, 500,     'a responder that is dropped: 500';
    is http10('/twice')->body,   'first', 'a second response is dropped';
    my $client = $server->connect;
    $client->send(get('/kept-io'));
    ok $client->is_quiet(0.1), 'an app that kept the socket';
    $server->ask(get('/use-io'));
    like $client->rest, qr/by hand\z/, 'owns it';
    errors_like(qr/responder/, 'and the rest is said');
};

subtest '1.7 writers' => sub {
    is http10('/writer')->body, 'ab', 'write takes empty and undefined values, and none';
    is diary_of(), 'Twiggy::Writer; HASH; isa; after close: false',
        'ref, reftype, isa; write after close';
    is http10('/writer-wide')->body,    'on',        'a wide character spoils nothing';
    is diary_of(),                      'died',      'but dies';
    is http10('/writer-dropped')->body, 'all',       'dropping the writer ends the response';
    is http10('/writer-patched')->body, 'LOUD',      'methods added to Twiggy::Writer';
    is http10('/writer-handle')->body,  'by handle', '{handle}';
    is diary_of(),                      'fh',        'its methods';
    my $client = $server->connect;
    $client->send(get('/left'));
    $client->wait_for_bytes(50);
    $client->close;
    my @lines = await_diary($server, 1);
    like "@lines", qr/\A1 \S.* errno\z/, '{handle}->on_error when the client leaves, once';
    isnt body_of('/write-left'), 'died', 'write does not die';
    $errors_at = length $server->stderr;
};

subtest '1.8 errors' => sub {
    for my $path ('/dies', '/dies-object') {
        my $r = http10($path);
        is $r->status,                   500,                     $path;
        is $r->header('Content-Type'),   'text/plain',            'text/plain';
        is $r->header('Content-Length'), 21,                      'of 21 bytes';
        is $r->body,                     'Internal Server Error', 'text';
    }
    errors_like(qr/with a message.*an object/s, 'the message is printed');
    for my $path (qw(/false /hash /empty)) {
        is http10($path)->status, 500, "$path: 500";
    }
    errors_like(qr/expected \[status/, 'no response: said');
    is http10('/dies-delayed')->status, 500, 'in the delayed callback: 500';
    errors_like(qr/in the callback/, 'and said');
    my $text = request("GET /dies-later HTTP/1.1\r\nHost: a\r\n\r\n");
    unlike $text, qr/\r\n0\r\n\r\n\z/, 'after some output: does not look complete';
    errors_like(qr/after some/, 'and said');
    is http10('/dies-timer')->status, 500, 'in a timer: the responder goes away, 500';
    errors_like(qr/in a timer/, 'and said');
    is http10('/errors-replaced')->status, 500, 'psgi.errors replaced by the app';
    like body_of('/errors-read'), qr/elsewhere/, 'gets the message';
    is http10('/recv')->body, 'waited', '$cv->recv in the app';
};

subtest 'extensions' => sub {
    my $r = $server->ask(get('/hints'));
    is $r->body,                 'final', 'psgix.informational: the final response';
    is scalar @{ $r->interim },  1,       'after an interim one';
    is $r->interim->[0]{status}, 103,     'of the status asked for';
    is_deeply $r->interim->[0]{headers}, [[Link => '</a.css>; rel=preload']], 'with its headers';
    is diary_of(),             'sent; refused', 'a status that is not interim dies';
    is body_of('/hints-late'), 'not sent',      'after the end it does nothing';
    unlike request("GET /hints HTTP/1.0\r\n\r\n"), qr/103/, 'none for HTTP/1.0';
    diary_of();
    is http10('/scalar-refs')->body, 'by reference told ' . 'y' x 100_000, 'psgix.body.scalar_refs';
    is http10('/scalar-refs-writer')->body, 'by reference',                'in writers';
};

ok comes_to_rest($server), 'nothing is left over';
$server->stop_ok;
done_testing;
