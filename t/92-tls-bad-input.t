# What a port with TLS makes of clients that do not speak it, or not properly: an answer, an alert or an
# end, few lines in the log, and nothing that stays.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use SprigTest;
use SprigTest::Client;
use SprigTest::Probe qw(eventually);
use SprigTest::Tls;
use Test::More;

need_tls('curl');

my $certificate = certificate();
my $app         = 'sub { [200, [], ["hello"]] }';

sub start {
    my (%args) = @_;
    return start_server(code => $app, args => { tls_cert => $certificate->{both}, %args });
}

# The first bytes of a client of TLS.
sub client_hello {
    my (@arguments) = @_;
    my $listener    = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $@;
    my $pid         = fork;
    if (!$pid) {
        open STDIN,  '<', '/dev/null';
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', '/dev/null';
        exec 'timeout', 20, 'openssl', 's_client', '-connect',
            '127.0.0.1:' . $listener->sockport, @arguments;
    }
    my $socket = $listener->accept;
    sysread $socket, my $bytes, 16384;
    close $socket;
    waitpid $pid, 0;
    return $bytes;
}

sub lines_of {
    my ($server, $pattern) = @_;
    return scalar grep { $_ =~ $pattern } split /\n/, $server->stderr;
}

subtest 'plain HTTP' => sub {
    my $server   = start();
    my $response = $server->ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    is $response->status, 400,                                                      'is refused';
    is $response->body,   "Plain HTTP was sent to an address that speaks HTTPS.\n", 'with a reason';
    ok $server->stderr_like(qr/400 for 127\.0\.0\.1: plain HTTP on an address with TLS/),
        'and a line';
    my $client = $server->connect;
    $client->send($_) for split //, "POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nabcde";
    is $client->response->status,               400,     'byte by byte';
    is $server->ask("GARBAGE\r\n\r\n")->status, 400,     'what only begins like it';
    is https($server, $certificate, '/'),       'hello', 'others are served';
    $server->stop_ok;
};

subtest 'tls_redirect' => sub {
    my $server   = start(tls_redirect => 1);
    my $port     = $server->port;
    my $response = $server->ask("GET /a?b=c HTTP/1.1\r\nHost: localhost:$port\r\n\r\n");
    is $response->status,             308,                             'is redirected';
    is $response->header('Location'), "https://localhost:$port/a?b=c", 'to the same address';
    is $server->ask("HEAD / HTTP/1.0\r\n\r\n", method => 'HEAD')->status, 400, 'not without a host';
    is curl('-L', '--cacert', $certificate->{cert}, "http://localhost:$port/"), 'hello',
        'curl follows';
    $server->stop_ok;
};

subtest 'an address that redirects' => sub {
    my $dir = SprigTest::temp_path('acme');
    mkdir $_ or die "$_: $!" for $dir, "$dir/.well-known", "$dir/.well-known/acme-challenge";
    spew("$dir/.well-known/acme-challenge/token_1", 'answer');
    spew("$dir/token-2",                            'other answer');
    my ($http, $https) = map { SprigTest::Server::_free_port() } 1 .. 2;
    my $server = start_server(
        by    => 'program',
        code  => $app,
        args  => { tls_cert => $certificate->{both}, acme_dir => $dir },
        flags => ['-l', "127.0.0.1:$https,tls", '-l', "127.0.0.1:$http,redirect"]
    );
    my $get = sub {
        my ($path) = @_;
        my $client = SprigTest::Client->connect('127.0.0.1', $http);
        $client->send("GET $path HTTP/1.1\r\nHost: localhost:$http\r\n\r\n");
        return $client->response;
    };
    is $get->('/x?y')->status,             308,                            'is answered with 308';
    is $get->('/x?y')->header('Location'), "https://localhost:$https/x?y", 'to the port with TLS';
    is curl('-L', '--cacert', $certificate->{cert}, "http://localhost:$http/"), 'hello',
        'curl follows';
    my $acme = '/.well-known/acme-challenge';
    is $get->("$acme/token_1")->body,          'answer',       'a challenge, as certbot puts it';
    is $get->("$acme/token-2")->body,          'other answer', 'a challenge in the folder itself';
    is $get->("$acme/none")->status,           404,            'one that is not there';
    is $get->("$acme/../../app.psgi")->status, 308,            'nothing but tokens';
    is $get->("$acme/%2e%2e")->status,         308,            'however they are written';
    $server->stop_ok;
};

subtest 'a ClientHello in pieces' => sub {
    my $server = start();
    my $hello  = client_hello();
    my $failed = 0;
    for my $at (1 .. length($hello) - 1) {
        my $client = $server->connect;
        $client->send(substr $hello, 0, $at);
        select undef, undef, undef, 0.001;
        $client->send(substr $hello, $at);
        $failed++ if !$client->wait_for_bytes(6) || substr($client->buffered, 0, 1) ne "\x16";
        $client->close;
    }
    is $failed, 0, 'cut at every byte it is answered';
    my $client = $server->connect;
    for my $byte (split //, $hello) { $client->send($byte); select undef, undef, undef, 0.0005 }
    ok $client->wait_for_bytes(6), 'byte by byte';
    for my $at (0 .. 40, length($hello) - 1) {
        my $cut = $server->connect;
        $cut->send(substr $hello, 0, $at);
        $at % 2 ? $cut->close : $cut->reset;
    }
    is https($server, $certificate, '/'), 'hello', 'cut off: others are served';
    $server->idle_ok('nothing spins');
    cmp_ok $server->n_descriptors_down_to(20), '<', 20, 'no connection stays';
    $server->stop_ok;
};

subtest 'garbage' => sub {
    my $server = start();
    my $hello  = client_hello();
    my %bytes  = (
        'zeros'                           => "\0" x 100,
        'noise'                           => join('', map { chr($_ * 31 % 256) } 130 .. 900),
        'SSH'                             => "\x00SSH-2.0-x\r\n",
        'an alert'                        => "\x15\x03\x03\x00\x02\x02\x28",
        'application data'                => "\x17\x03\x03\x00\x10" . 'x' x 16,
        'a heartbeat'                     => "\x18\x03\x02\x00\x03\x01\x40\x00",
        'an empty record'                 => "\x16\x03\x01\x00\x00" x 40,
        'a record that is too large'      => "\x16\x03\x01\xff\xff" . 'x' x 65535,
        'a ClientHello that is too large' => "\x16\x03\x01\x40\x00\x01\xff\xff\xff" . 'x' x 40000,
        'SSL 2' => "\x80\x2e\x01\x00\x02\x00\x15\x00\x00\x00\x10" . 'x' x 40,
        'a ClientHello and a heartbeat' => "$hello\x18\x03\x03\x00\x03\x01\x40\x00",
        'a ClientHello and garbage'     => $hello . 'x' x 100,
        'two of them'                   => $hello . $hello,
    );
    for my $name (sort keys %bytes) {
        my $client = $server->connect;
        $client->send($bytes{$name});
        my $rest = $client->rest;
        ok $rest eq '' || $rest =~ /\A[\x15\x16]/, "$name: an alert, or just the end";
    }
    is https($server, $certificate, '/'), 'hello', 'others are served';
    $server->idle_ok('nothing spins');
    cmp_ok $server->n_descriptors_down_to(20), '<', 20, 'no connection stays';
    ok $server->stderr_like(qr/no TLS for 127\.0\.0\.1: /), 'what was wrong is told';
    $server->stop_ok;
};

subtest 'bytes behind a handshake that has failed' => sub {
    my $server = start();
    my $client = $server->connect;
    $client->send("\x16\x03\x01\x00\x05wrong" . 'x' x 30_000);
    ok $client->wait_for_bytes(7), 'it gets an alert';
    $server->idle_ok('nothing spins while it stays');
    $client->close;
    $server->stop_ok;
};

subtest 'one line a second' => sub {
    my $server = start();
    my $start  = time;
    for (1 .. 40) {
        my $client = $server->connect;
        $client->send("\0" x 20);
        $client->rest;
    }
    ok $server->stderr_like(qr/and \d+ more like it/), 'the others are counted';
    my $seconds = time - $start;
    cmp_ok lines_of($server, qr/no TLS/), '<=', 2 * $seconds + 6, 'few lines';
    $server->stop_ok;
};

subtest 'silent and slow clients' => sub {
    my $server  = start(tls_handshake_timeout => 1);
    my $hello   = client_hello();
    my @silent  = map { $server->connect } 1 .. 250;
    my @halfway = map { $server->connect } 1 .. 250;
    $_->send(substr $hello, 0, 50) for @halfway;
    is https($server, $certificate, '/'), 'hello', 'others are served meanwhile';
    ok !(grep { !$_->is_closed } @silent, @halfway), 'all are closed at tls_handshake_timeout';
    ok $server->stderr_like(qr/no TLS for 127\.0\.0\.1: tls_handshake_timeout/), 'and this is told';
    cmp_ok $server->n_descriptors_down_to(20), '<', 20, 'no connection stays';
    $server->stop_ok;
};

subtest 'a handshake that a server that ends has begun' => sub {
    my $server = start();
    my $hello  = client_hello();
    my $client = $server->connect;
    kill 'QUIT', $server->pid;
    eventually(sub {
        !eval { $server->connect }
    });
    $client->send(substr $hello, 0, 50);
    select undef, undef, undef, 0.5;
    $client->send(substr $hello, 50);
    ok $client->wait_for_bytes(6), 'goes on';
    $client->close;
    $server->ends_ok;
};

subtest 'many at once' => sub {
    my $server  = start(tls_handshakes_per_turn => 1);
    my $hello   = client_hello();
    my @clients = map { $server->connect } 1 .. 50;
    $_->send($hello) for @clients;
    my @answered = grep { $_->wait_for_bytes(6) } @clients;
    is scalar @answered, 50, 'tls_handshakes_per_turn: all are answered';
    $server->stop_ok;
};

subtest 'renegotiation' => sub {
    my $server = start();
    my $said   = output_of('/bin/sh', '-c',
        '(sleep 0.3; echo R; sleep 0.5) | timeout 20 openssl s_client -tls1_2 -connect 127.0.0.1:'
            . $server->port);
    like $said, qr/RENEGOTIATING/,                              'was asked for';
    like $said, qr/no renegotiation|handshake failure|:error:/, 'and refused';
    is https($server, $certificate, '/'), 'hello', 'others are served';
    $server->stop_ok;
};

subtest 'TLS where plain HTTP is spoken' => sub {
    my $server = start_server(code => $app);
    my $client = $server->connect;
    $client->send(client_hello());
    unlike $client->rest, qr/hello/, 'is refused';
    ok $server->stderr_like(qr/TLS on an address without TLS/), 'and this is told';
    is lines_of($server, qr/TLS/), 1, 'in one line';
    $server->stop_ok;
};

done_testing;
