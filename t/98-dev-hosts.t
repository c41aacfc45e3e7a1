# sprig --dev answers for this machine only, whatever name a page on the web has made for it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Dev;
use SprigTest::Http2;
use SprigTest::Workers;
use Test::More;

my $app = q{sub { [200, ['Content-Type' => 'text/plain'], ["app for $_[0]{HTTP_HOST}"]] }};

# The response to a request for this host; fields are what else it has.
sub ask_for {
    my ($dev, $host, @fields) = @_;
    return $dev->ask(join "\r\n", 'GET / HTTP/1.1', "Host: $host", @fields, '', '');
}

sub answers {
    my ($dev, @hosts) = @_;
    is ask_for($dev, $_)->status, 200, "$_ is answered" for @hosts;
    return;
}

sub refuses {
    my ($dev, @hosts) = @_;
    for my $host (@hosts) {
        my $response = ask_for($dev, $host);
        is $response->status, 403, "$host is not answered";
        unlike $response->body, qr/app for/, '... by the application, either';
    }
    return;
}

subtest 'this machine' => sub {
    my $dev = start_dev(code => $app);
    answers(
        $dev,                  'localhost', 'LocalHost:5000', 'localhost.',
        'shop.localhost:5000', '127.0.0.1', '127.1.2.3:80',   '[::1]',
        '[::1]:5000'
    );
    refuses(
        $dev,                     'evil.example:5000',
        'localhost.evil.example', 'notlocalhost',
        '.localhost.evil',        '127.0.0.1.evil.example',
        '128.0.0.1',              '192.168.1.2:5000',
        '[::2]',                  '[::ffff:1.2.3.4]:80'
    );
    my $response = ask_for($dev, 'evil.example:5000');
    like $response->body, qr/\Asprig --dev does not answer for the host evil\.example: /,
        'the answer says why';
    like $response->body, qr/--dev-hosts evil\.example$/, '... and what to do';
    ok $dev->stderr_like(qr/403 for 127\.0\.0\.1: dev_hosts: /), '... as the log does'
        or diag $dev->stderr;
    is $dev->ask("GET http://evil.example/ HTTP/1.1\r\nHost: localhost\r\n\r\n")->status, 403,
        'a host in the target counts, and not Host';
    is $dev->ask("GET / HTTP/1.0\r\n\r\n")->status, 200, 'none at all: no browser';
    is $dev->ask("GET /__sprig__/events HTTP/1.1\r\nHost: evil.example\r\n\r\n")->status, 403,
        'nor do others learn of reloads';
    my $body = 'x' x 100_000;
    is $dev->ask("POST / HTTP/1.1\r\nHost: evil.example\r\nContent-Length: 100000\r\n\r\n$body")
        ->status, 403, 'POST';
    is ask_for(
        $dev, 'evil.example',
        'Connection: Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
    )->status, 403, 'WebSocket';
    my $client = $dev->connect;
    $client->send("GET / HTTP/1.1\r\nHost: evil.example\r\n\r\n" . get('/'));
    is $client->response->status, 403, 'on a connection with';
    is $client->response->status, 200, '... a request that is answered';
    $dev->ends_ok;
};

subtest '--dev-hosts' => sub {
    my $dev = start_dev(code => $app, flags => ['--dev-hosts', 'app.test, *.app.test,[::2]']);
    answers($dev, 'app.test:5000', 'a.b.APP.test', 'localhost');
    refuses($dev, 'x-app.test', 'app.test.evil.example', 'test', '.app.test.');
    $dev->ends_ok;
};

subtest 'what a page could send to pass for a proxy' => sub {
    my $dev = start_dev(code => $app, flags => ['--trusted-proxies', '127.0.0.1']);
    is ask_for($dev, 'evil.example', 'X-Forwarded-Host: localhost')->status, 403,
        'does not make it known';
    is ask_for($dev, 'localhost', 'X-Forwarded-Host: example.org')->body, 'app for example.org',
        'a proxy on this machine may tell its own';
    $dev->ends_ok;
};

subtest 'HTTP/2' => sub {
    plan skip_all => 'this Sprig was built without nghttp2' if !has_http2();
    my $dev = start_dev(code => $app, listen => ['127.0.0.1:0,h2c']);
    for my $case (['evil.example', 403], ['localhost:5000', 200]) {
        my ($host, $status) = @$case;
        my $client = SprigTest::Http2->connect($dev);
        my $id     = $client->request('/', fields => [':authority' => $host]);
        is $client->response($id)->{status}, $status, "$host: $status";
    }
    $dev->ends_ok;
};

subtest 'without --dev' => sub {
    my $server = start_workers(code => $app, workers => 1);
    answers($server, 'example.org');
    $server->ends_ok;
};

done_testing;
