# What applications written for Twiggy find in the env, and how requests get there. Each subtest is a row of
# the contract's sections 1.5 and 1.6.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::UNIX;
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server = start_server(
    app  => "$FindBin::Bin/apps/contract.psgi",
    by   => 'module',
    perl => ['-MSprig::Compat::Twiggy']
);

sub env_of { return $server->ask(get("/env/$_[0]"))->body }

sub http10 { return $server->ask("GET $_[0] HTTP/1.0\r\n\r\n") }

# All that comes for these bytes until the server closes.
sub talk {
    my ($bytes) = @_;
    my $client = $server->connect;
    $client->send($bytes);
    return $client->rest;
}

# A request with a body that it announces.
sub with_body {
    return "$_[0] /read HTTP/1.0\r\nContent-Length: " . length($_[1]) . "\r\n\r\n$_[1]";
}

# An app that tells these keys of its env.
sub telling {
    return 'sub { my $e = shift; [200, [], [join "|", map { $e->{$_} // "none" } qw(' . "@_"
        . ')]] }';
}

subtest '1.5 REQUEST_METHOD, REQUEST_URI, PATH_INFO, QUERY_STRING, SERVER_PROTOCOL, SCRIPT_NAME' =>
    sub {
    is env_of('strings'), join(' ', ('ok') x 10), 'are always there';
    };

subtest '1.5 SERVER_NAME, SERVER_PORT, REMOTE_ADDR, no REMOTE_HOST' => sub {
    my $tells = start_server(
        code => telling(qw(SERVER_NAME SERVER_PORT REMOTE_ADDR REMOTE_HOST HTTPS)),
        by   => 'module'
    );
    my $port = $tells->port;
    is $tells->ask("GET / HTTP/1.0\r\nHost: other:1\r\n\r\n")->body,
        "127.0.0.1|$port|127.0.0.1|none|none", 'the bound address, not Host';
    $tells->stop_ok;
    my $path    = SprigTest::temp_path('env.sock');
    my $on_unix = start_server(
        code  => telling(qw(SERVER_NAME SERVER_PORT REMOTE_ADDR)),
        by    => 'program',
        flags => ['-l', $path, '-l', '127.0.0.1:0']
    );
    my $client = SprigTest::Client->adopt(IO::Socket::UNIX->new(Peer => $path) || die "$path: $!");
    $client->send("GET / HTTP/1.0\r\n\r\n");
    is $client->response->body, "unix/|$path|unix/", 'on a unix socket';
    $on_unix->stop_ok;
};

subtest '1.5 CONTENT_LENGTH, CONTENT_TYPE, HTTP_*' => sub {
    like talk(get('/env/kept_headers', 'Connection: Upgrade, close', 'Upgrade: x')),
        qr/HTTP_CONNECTION=Upgrade, close HTTP_UPGRADE=x/, 'HTTP_CONNECTION, HTTP_UPGRADE are kept';
    my $tells = start_server(
        code => telling(qw(CONTENT_LENGTH CONTENT_TYPE HTTP_CONTENT_LENGTH HTTP_EXPECT HTTP_X_A)),
        by   => 'module'
    );
    my $response = $tells->ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n"
            . "Content-Type: a/b\r\nExpect: 100-continue\r\nX-A: x\r\n\r\na");
    is $response->body, '1|a/b|none|100-continue|x', 'as sent';
    $tells->stop_ok;
};

subtest '1.5 psgi.version'    => sub { is env_of('psgi_version'), '1.1',  'is 1.1' };
subtest '1.5 psgi.url_scheme' => sub { is env_of('url_scheme'),   'http', 'is http' };

subtest '1.5 psgi.errors' => sub {
    is env_of('errors'), 'printed', 'can print';
    ok $server->stderr_like(qr/^said$/m), 'to standard error';
};

subtest '1.5 psgi.input' => sub {
    is env_of('input'),        'GLOB -1 undef 1 0', 'of no body';
    is env_of('input_closed'), 'closed',            'an app closes it';
    is env_of('input'),        'GLOB -1 undef 1 0', 'and the next one has its own';
};

subtest '1.5 psgi.nonblocking, psgi.streaming; run_once, multithread, multiprocess' => sub {
    is env_of('flags'),
        'nonblocking=1 streaming=1 run_once=0 multithread=0 multiprocess=0', 'booleans';
    is env_of('assignable'), 'ok', 'everything can be assigned to';
};

subtest '1.5 psgix.io' => sub {
    not_over_http2('no stream has a socket of its own');
    is env_of('io'), 'GLOB open 127.0.0.1', 'a socket';
};

subtest '1.5 psgix.input.buffered' => sub { is env_of('buffered'), '1', 'true' };

subtest '1.6 header read' => sub {
    not_over_http2('heads are fields');
    like talk("\r\nGET /array HTTP/1.0\r\n\r\n"), qr/\AHTTP\/1\.0 200 /, 'an empty line before it';
    like talk("GET /array HTTP/1.0\n\n"),         qr/\AHTTP\/1\.[01] 400 /, 'bare LF is refused';
    like talk("GET /array HTTP/1.0\r\n\r\n"),     qr/a0b\z/, 'no Host is needed in HTTP/1.0';
};

subtest '1.6 body' => sub {
    like talk(with_body(GET   => 'hello')),       qr/5 hello\z/,   'of GET';
    like talk(with_body(PATCH => 'ok')),          qr/2 ok\z/,      'of any method';
    like talk(with_body(POST  => 'x' x 100_000)), qr/100000 x+\z/, 'a long one';
    my $client = $server->connect;
    $client->send("POST /read HTTP/1.0\r\nContent-Length: 10\r\n\r\nabc");
    $client->half_close;
    unlike $client->rest, qr/ 200 /, 'one that ends too early does not reach the app';
};

subtest '1.6 Transfer-Encoding: chunked request' => sub {
    like talk(
        get('/read', 'Connection: close', 'Transfer-Encoding: chunked') . "3\r\nabc\r\n0\r\n\r\n"),
        qr/3 abc/, 'is de-chunked';
};

subtest '1.6 Expect: 100-continue' => sub {
    my $client = $server->connect;
    $client->send(get('/read', 'Connection: close', 'Expect: 100-continue', 'Content-Length: 3'));
    is $client->response(interim => 1)->status, 100, 'is answered';
    $client->send('abc');
    is $client->response->body, '3 abc', 'then comes the body';
};

subtest '1.6 bad request line/headers' => sub {
    like talk("GET nothing\r\n\r\n"), qr/\AHTTP\/1\.[01] 400 /, 'status 400, close';
    my $client = $server->connect;
    $client->send('GET / HT');
    $client->half_close;
    is $client->rest, '', 'end of file within the head: no bytes';
};

subtest '1.6 one request per connection of HTTP/1.0' => sub {
    is http10('/array')->version, '1.0',    'is answered as HTTP/1.0';
    is http10('/array')->framing, 'length', 'with a length';
    like talk("GET /array HTTP/1.0\r\n\r\nGET /array HTTP/1.0\r\n\r\n"),
        qr/\A(?:(?!HTTP).)*HTTP\/1\.0(?:(?!HTTP).)*\z/s, 'pipelined requests behind it are dropped';
};

ok comes_to_rest($server), 'nothing is left over';
$server->stop_ok;
done_testing;
