# Sprig behind the reverse proxies that people use, over TCP, a unix socket and the PROXY protocol:
# uploads, responses without a body, refusals, streams, upgrades, and what they tell about the client.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t/lib", "$FindBin::Bin/lib";
use Digest::MD5 qw(md5_hex);
use Fronts;
use SprigTest;
use Test::More;
use Time::HiRes qw(time sleep);

my $app = <<'APP';
use AnyEvent;
use Digest::MD5 qw(md5_hex);
use Digest::SHA qw(sha1_base64);

my %kept;

sub later {
    my ($writer, @pieces) = @_;
    my $timer;
    $timer = AE::timer 0, 0.2, sub {
        return $writer->write(shift @pieces) if @pieces;
        undef $timer;
        $writer->close;
    };
}

# After the handshake the bytes come back as they are.
sub echo {
    my ($env, $io) = @_;
    my $guid   = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
    my $accept = sha1_base64(($env->{HTTP_SEC_WEBSOCKET_KEY} || '') . $guid) . '=';
    syswrite $io, join "\r\n", 'HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket',
        'Connection: Upgrade', "Sec-WebSocket-Accept: $accept", '', '';
    my $w;
    $w = AE::io $io, 0, sub {
        return syswrite $io, $_[0] if sysread $io, $_[0], 4096;
        undef $w;
        close $io;
    };
}

sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [204, ['X-A' => 1], []] if $path eq '/204';
    return [304, ['ETag' => '"x"'], []] if $path eq '/304';
    my @events = ('Content-Type' => 'text/event-stream');
    return sub { later($_[0]->([200, [@events]]), "data: 1\n\n", "data: 2\n\n") }
        if $path eq '/stream';
    return sub { my $w = $_[0]->([200, []]); $w->write('half'); die "cut\n" } if $path eq '/cut';
    return sub { echo($env, $_[1] || $env->{'psgix.io'}) } if $path eq '/echo';
    my $body = '';
    1 while $env->{'psgi.input'}->read($body, 65536, length $body);
    my $text = join ' ', length $body, md5_hex($body), $env->{REMOTE_ADDR}, $env->{'psgi.url_scheme'},
        $env->{HTTP_HOST}, $env->{SERVER_PROTOCOL};
    return [200, ['Content-Type' => 'text/plain'], [$text]];
};
APP

my $socket = SprigTest::temp_path('sprig.sock');
my $proxy  = Fronts::free_port();
my $server = start_server(
    code  => $app,
    by    => 'program',
    args  => { trusted_proxies => '127.0.0.1,unix', max_body_bytes => 2_000_000, workers => 2 },
    flags => ['-l', '127.0.0.1:0', '-l', $socket, '-l', "127.0.0.1:$proxy,proxy_protocol"],
);
my %where = (TCP => $server->port, PROXY => $proxy, SOCKET => $socket);

sub request {
    my ($method, $path, @lines) = @_;
    return join "\r\n", "$method $path HTTP/1.1", 'Host: some.host', @lines, '', '';
}

sub ask {
    my ($front, $bytes, %option) = @_;
    my $client = $front->connect;
    $client->send($bytes);
    my $response = eval { $client->response(%option) };
    $response or diag $@;
    return $response;
}

sub body_of { my ($response) = @_; return $response ? $response->body : '' }

sub chunked {
    my ($bytes) = @_;
    return join '', map({ sprintf "%x\r\n%s\r\n", length, $_ } unpack '(a5000)*', $bytes),
        "0\r\n\r\n";
}

my %trial = (
    'uploads' => sub {
        my ($front) = @_;
        for my $n (10, 1_500_000) {
            my $body = join '', map { chr(97 + $_ % 26) } 1 .. $n;
            my $want = $n . ' ' . md5_hex($body);
            my $got  = ask($front, request('POST', '/', "Content-Length: $n") . $body);
            like body_of($got), qr/^$want /, "$n bytes, of known length";
            $got = ask($front, request('POST', '/', 'Transfer-Encoding: chunked') . chunked($body));
            like body_of($got), qr/^$want /, "$n bytes, chunked";
        }
        my $client = $front->connect;
        $client->send(request('POST', '/', 'Content-Length: 4', 'Expect: 100-continue'));
        $client->is_quiet(0.1);
        $client->send('body');
        like body_of($client->response), qr/^4 /, 'Expect: 100-continue';
    },
    'responses without a body' => sub {
        my ($front) = @_;
        my $client = $front->connect;
        for my $case (['HEAD', '/', 200], ['GET', '/204', 204], ['GET', '/304', 304]) {
            my ($method, $path, $status) = @$case;
            $client->send(request($method, $path, $status == 304 ? 'If-None-Match: "x"' : ()));
            is $client->response(method => $method)->status, $status, "$method $path";
        }
        $client->send(request('GET', '/'));
        like $client->response->body, qr/^0 /, 'and the connection goes on';
    },
    'a body that is refused' => sub {
        my ($front) = @_;
        my $client = $front->connect;
        eval { $client->send(request('POST', '/', 'Content-Length: 3000000') . 'x' x 3_000_000) };
        my $response = eval { $client->response };
        is $response && $response->status, 413, '413 Content Too Large';
    },
    'a stream' => sub {
        my ($front) = @_;
        my $client = $front->connect;
        $client->send(request('GET', '/stream'));
        my ($start, $first) = time;
        while (!defined $first && $client->poll && time - $start < 5) {
            $first = time if $client->buffered =~ /data: 1/;
            sleep 0.005;
        }
        my $early = defined $first && $client->buffered !~ /data: 2/;
        ok $early, 'the first event comes before the second is made';
        is $client->response->body, "data: 1\n\ndata: 2\n\n", 'and all of them come';
    },
    'a response that is cut' => sub {
        my ($front)  = @_;
        my $client   = $front->connect;
        my $response = do {
            $client->send(request('GET', '/cut'));
            eval { $client->response };
        };
        local $TODO = $front->name . ' ends it with a last chunk, or length, of its own'
            if $front->name =~ /^(?:caddy|lighttpd)$/;
        ok !$response || !$response->is_complete || $response->status >= 500,
            'does not look complete';
    },
    'an upgrade' => sub {
        my ($front) = @_;
        my $client = $front->connect;
        $client->send(request(
            'GET', '/echo',
            'Connection: Upgrade',
            'Upgrade: websocket',
            'Sec-WebSocket-Version: 13',
            'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
        ));
        my $response = eval { $client->response(interim => 1) };
        is $response && $response->status, 101, 'switching protocols' or return;
        $client->send('to and fro');
        $client->wait_for_bytes(10);
        is $client->buffered, 'to and fro', 'both ways';
    },
    'who the client is' => sub {
        my ($front) = @_;
        my $got = body_of(ask($front, request('GET', '/')));
        like $got, qr/ 127\.0\.0\.1 http some\.host/, 'its address, scheme and host';
        my @lies = (
            'X-Forwarded-For: 6.6.6.6',
            'X-Forwarded-Proto: https',
            'X-Forwarded-Host: evil.example',
            'Forwarded: for=6.6.6.6;proto=https;host=evil.example'
        );
        $got = body_of(ask($front, request('GET', '/', @lies)));
        like $got, qr/ 127\.0\.0\.1 http some\.host/, 'whatever it says itself';
    },
    'reloads under load' => sub {
        my ($front) = @_;
        my @clients = map { $front->connect } 1 .. 4;
        my ($ok, $all) = (0, 0);
        for my $round (1 .. 40) {
            kill HUP => $server->pid if $round % 20 == 10;
            for my $client (@clients) {
                $client = $front->connect if $client->eof;
                $client->send(request('GET', '/'));
            }
            for my $client (@clients) {
                my $response = eval { $client->response };
                $all++;
                $ok++ if $response && $response->status && $response->status == 200;
                $client = $front->connect
                    if !$response || ($response->header('Connection') || '') =~ /close/i;
            }
            sleep 0.02;
        }
        is $ok, $all, 'no request is lost';
    },
);

for my $name (Fronts->names) {
SKIP: {
        skip "$name is not installed", 1 if !Fronts->path($name);
        for my $way (Fronts->ways($name)) {
            subtest "$name, $way" => sub {
                my $front = eval { Fronts->start($name, $way, %where) };
                ok $front, 'it starts' or return diag $@;
                for my $trial (sort keys %trial) {
                    subtest $trial => sub { $trial{$trial}->($front) };
                }
                $front->stop;
            };
        }
    }
}

$server->stop_ok;
done_testing;
