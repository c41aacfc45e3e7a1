# Several requests on one connection: one after the other, many at once, with errors among them.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

# Echoes path and body; some paths answer in other ways.
my $code = <<'APP';
my %special = (
    '/die'   => sub { die "on purpose\n" },
    '/none'  => sub { [204, [], []] },
    '/close' => sub { [200, ['Connection' => 'close'], ['closing']] },
    '/lines' => sub {
        my @lines = map {"line $_\n"} 1 .. 3;
        [200, [], bless { lines => \@lines }, 'Lines'];
    },
    '/large' => sub { [200, [], ['x' x 300_000]] },
);
sub Lines::getline { shift @{ $_[0]{lines} } }
sub Lines::close { 1 }
sub {
    my ($env) = @_;
    my $special = $special{ $env->{PATH_INFO} };
    return $special->() if $special;
    local $/;
    my $body = readline $env->{'psgi.input'};
    return [200, [], [$env->{PATH_INFO} . (defined $body && length $body ? ":$body" : '')]];
};
APP

my $server = start_server(code => $code);

sub get {
    my ($path, @lines) = @_;
    return join("\r\n", "GET $path HTTP/1.1", 'Host: a', @lines) . "\r\n\r\n";
}

sub post {
    my ($path, $body) = @_;
    return "POST $path HTTP/1.1\r\nHost: a\r\nContent-Length: " . length($body) . "\r\n\r\n$body";
}

sub post_chunked {
    my ($path, @chunks) = @_;
    return
          "POST $path HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        . join('', map { sprintf "%x\r\n%s\r\n", length, $_ } @chunks)
        . "0\r\n\r\n";
}

subtest 'keep-alive is the default of HTTP/1.1' => sub {
    my $client = $server->connect;
    for my $n (1 .. 50) {
        $client->send(get("/$n"));
        my $response = $client->response;
        is($response->body,                 "/$n", "request $n") or last;
        is($response->header('Connection'), undef, 'no Connection header') if $n == 1;
    }
};

subtest 'sixteen at once' => sub {
    my $client = $server->connect;
    $client->send(join '', map { get("/$_") } 1 .. 16);
    is_deeply([map { $client->response->body } 1 .. 16], [map { "/$_" } 1 .. 16], 'in order');
    ok($client->is_quiet(0.02), 'and no more');
};

subtest 'a thousand at once' => sub {
    my $client = $server->connect;
    $client->send(join '', map { get("/$_") } 1 .. 1000);
    my $wrong = grep { $client->response->body ne "/$_" } 1 .. 1000;
    is($wrong, 0, 'in order');
};

subtest 'all kinds mixed' => sub {
    my $client = $server->connect;
    $client->send(
        join '',                               get('/a'),
        post('/b', 'body'),                    post_chunked('/c', 'chunk', 's'),
        get('/none'),                          get('/lines'),
        "HEAD /d HTTP/1.1\r\nHost: a\r\n\r\n", get('/large'),
        "\r\n\r\n" . get('/e'),                post('/f', ''),
        get('/die'),                           get('/g')
    );
    is($client->response->body,   '/a',        'GET');
    is($client->response->body,   '/b:body',   'POST');
    is($client->response->body,   '/c:chunks', 'POST in chunks');
    is($client->response->status, 204,         'no content');
    my $lines = $client->response;
    is($lines->body,    "line 1\nline 2\nline 3\n", 'a chunked answer');
    is($lines->framing, 'chunked',                  'chunked it is');
    my $head = $client->response(method => 'HEAD');
    is($head->header('Content-Length'), 2,       'HEAD tells the length');
    is(length $client->response->body,  300_000, 'a large answer');
    is($client->response->body,         '/e',    'empty lines between requests');
    is($client->response->body,         '/f',    'an empty body');
    is($client->response->status,       500,     'an app that dies');
    is($client->response->body,         '/g',    'the connection goes on after it');
    ok($client->is_quiet(0.02), 'and no more');
};

subtest 'what follows an error is ignored' => sub {
    my %bad = (
        'a bad header' => "GET /bad HTTP/1.1\r\nHost: a\r\nX A: 1\r\n\r\n",
        'bad chunks' => "POST /bad HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n",
        'no version' => "GET /bad\r\n",
    );
    for my $name (sort keys %bad) {
        my $client = $server->connect;
        $client->send(get('/1') . get('/2') . $bad{$name} . get('/3') . get('/4'));
        $client->half_close;
        is($client->response->body,   '/1', "$name: the first is answered");
        is($client->response->body,   '/2', "$name: the second, too");
        is($client->response->status, 400,  "$name: then 400");
        ok($client->is_closed, "$name: then the end");
    }
};

subtest 'what follows Connection: close is ignored' => sub {
    for my $value ('close', 'Close', 'close, TE', 'TE , CLOSE', 'foo,,close') {
        my $client = $server->connect;
        $client->send(get('/1') . get('/2', "Connection: $value") . get('/3'));
        is($client->response->body, '/1', "$value: the first");
        my $response = $client->response;
        is($response->body,                 '/2',    "$value: the last");
        is($response->header('Connection'), 'close', "$value: the server agrees");
        ok($client->is_closed, "$value: then the end");
    }
    my $client = $server->connect;
    $client->send(get('/1', 'Connection: TE', 'Connection: close') . get('/2'));
    is($client->response->body, '/1', 'in a second Connection header');
    ok($client->is_closed, 'then the end');

    $client = $server->connect;
    $client->send(get('/1') . get('/close') . get('/3'));
    is($client->response->body, '/1', 'when the app closes: the first');
    my $response = $client->response;
    is($response->body, 'closing', 'the last');
    is_deeply([$response->header('Connection')], ['close'], 'told once');
    ok($client->is_closed, 'then the end');
};

subtest 'other Connection options do not close' => sub {
    my $client = $server->connect;
    for my $value ('keep-alive', 'closed', 'x-close', 'TE', '') {
        $client->send(get("/$value", "Connection: $value"));
        is($client->response->body, "/$value", "'$value'");
    }
    $client->send(get('/end'));
    is($client->response->body, '/end', 'still open');
};

subtest 'HTTP/1.0' => sub {
    my $client = $server->connect;
    $client->send("GET /1 HTTP/1.0\r\n\r\n" . get('/2'));
    my $response = $client->response;
    is($response->version, '1.0', 'is answered as such');
    is($response->body,    '/1',  'in full');
    ok($client->is_closed, 'and closed, what follows is ignored');

    $client = $server->connect;
    for my $n (1 .. 3) {
        $client->send("GET /$n HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n");
        $response = $client->response;
        is($response->body,                    "/$n",        "keep-alive asked for: request $n");
        is(lc $response->header('Connection'), 'keep-alive', 'and granted');
    }
    $client->send("GET /lines HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
    $response = $client->response;
    is($response->framing, 'close', 'a body of unknown length ends with the connection');
    isnt(lc($response->header('Connection') || ''), 'keep-alive', 'no promise is made');
    is($response->body, "line 1\nline 2\nline 3\n", 'it is complete');
};

subtest 'keepalive can be switched off' => sub {
    my $other  = start_server(code => $code, args => { keepalive => 0 });
    my $client = $other->connect;
    $client->send(get('/1') . get('/2'));
    my $response = $client->response;
    is($response->body,                 '/1',    'one answer');
    is($response->header('Connection'), 'close', 'with Connection: close');
    ok($client->is_closed, 'then the end');
    $client->close;
    $other->stop_ok;
};

subtest 'max_keepalive_requests' => sub {
    my $other  = start_server(code => $code, args => { max_keepalive_requests => 3 });
    my $client = $other->connect;
    $client->send(join '', map { get("/$_") } 1 .. 5);
    my @responses = map { $client->response } 1 .. 3;
    is_deeply([map { $_->body } @responses], ['/1', '/2', '/3'], 'as many as allowed');
    is_deeply(
        [map { scalar $_->header('Connection') } @responses],
        [undef, undef, 'close'],
        'the last one says so'
    );
    ok($client->is_closed, 'then the end');
    $client->close;
    $other->stop_ok;
};

subtest 'one busy connection does not starve the others' => sub {
    my $busy = $server->connect;
    $busy->send(join '', map { get("/$_") } 1 .. 500);
    my $other = $server->connect;
    $other->send(get('/other'));
    is($other->response->body, '/other', 'the other is answered');
    my $wrong = grep { $busy->response->body ne "/$_" } 1 .. 500;
    is($wrong, 0, 'and the busy one, too');
};

$server->stop_ok;
done_testing;
