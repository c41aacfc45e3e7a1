# The WebSocket example over psgix.io, spoken to by hand and by a client module.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

plan skip_all => 'needs Protocol::WebSocket' if !eval { require Protocol::WebSocket::Frame };

my $example = "$FindBin::Bin/../eg/websocket-echo.psgi";
my $server  = start_probe(<<"APP");
my \$example = Plack::Util::load_psgi('$example');
my \$routes  = routes();
sub { \$_[0]{PATH_INFO} =~ m{^/probe/} ? \$routes->(\$_[0]) : \$example->(\$_[0]) };
APP

my @handshake = (
    'Connection: keep-alive, Upgrade',
    'Upgrade: websocket',
    'Sec-WebSocket-Version: 13',
    'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==',
    "Origin: http://127.0.0.1:$server->{port}",
);

# A client behind the handshake.
sub open_socket {
    my (@more) = @_;
    my $client = $server->connect;
    $client->send(get('/echo', @handshake, @more));
    my $response = $client->response(interim => 1);
    return ($client, $response);
}

# One frame of a client.
sub frame {
    my ($text, %option) = @_;
    return Protocol::WebSocket::Frame->new(buffer => $text, masked => 1, type => 'text', %option)
        ->to_bytes;
}

# The next message of the server.
sub message {
    my ($client, $frame) = @_;
    my $text;
    eventually {
        $client->poll;
        $frame->append(substr $client->{in}, 0, length $client->{in}, '') if length $client->{in};
        defined($text = $frame->next_bytes) || $client->eof;
    };
    return $text;
}

subtest 'the handshake' => sub {
    my ($client, $response) = open_socket();
    is($response->status, 101, 'switching protocols');
    is(
        $response->header('Sec-WebSocket-Accept'),
        's3pPLMBiTxaQ9kYGzzhZRbK+xOo=',
        'the answer to the sample nonce of RFC 6455'
    );
    like($response->header('Connection'), qr/^Upgrade$/i,    'one Connection header');
    like($server->ask(get('/'))->body,    qr/new WebSocket/, 'the page');
};

subtest 'messages' => sub {
    my ($client) = open_socket();
    my $frame = Protocol::WebSocket::Frame->new;
    for my $text ('hello', '', 'x' x 200, 'y' x 60_000) {
        $client->send(frame($text));
        is(message($client, $frame), $text, length($text) . ' bytes come back');
    }
    $client->send(join '', map { frame("message $_") } 1 .. 50);
    is(
        join(' ', map { message($client, $frame) } 1 .. 50),
        join(' ', map { "message $_" } 1 .. 50),
        'fifty at once, in order'
    );
    $client->send($_) for split //, frame('byte by byte');
    is(message($client, $frame), 'byte by byte', 'byte by byte');
    $client->send(frame('ping', type => 'ping'));
    is(message($client, $frame), 'ping', 'a ping');
    ok($frame->is_pong, 'gets its pong');
    $client->send(frame('', type => 'close'));
    message($client, $frame);
    ok($frame->is_close,   'a close');
    ok($client->is_closed, 'ends the connection');
};

subtest 'many at once' => sub {
    my @clients = map { (open_socket())[0] } 1 .. 50;
    $_->send(frame('to all')) for @clients;
    my @answers = map { message($_, Protocol::WebSocket::Frame->new) } @clients;
    is(scalar(grep { defined && $_ eq 'to all' } @answers), 50, 'fifty conversations');
    $clients[$_]->reset for 0 .. 24;
    $clients[$_]->close for 25 .. 49;
};

subtest 'AnyEvent::WebSocket::Client' => sub {
    plan skip_all => 'is not installed' if !eval { require AnyEvent::WebSocket::Client };
    require AnyEvent;
    my $timeout    = AnyEvent->timer(after => 10, cb => sub { die "no answer in time\n" });
    my $scheme     = over_tls() ? 'wss' : 'ws';
    my $connection = AnyEvent::WebSocket::Client->new(ssl_no_verify => 1)
        ->connect("$scheme://127.0.0.1:$server->{port}/echo")->recv;
    my $said = AnyEvent->condvar;
    $connection->on(each_message => sub { $said->send($_[1]->body) });
    $connection->send('from the module');
    is($said->recv, 'from the module', 'is answered');
    my $closed = AnyEvent->condvar;
    $connection->on(finish => sub { $closed->send('closed') });
    $connection->close;
    is($closed->recv, 'closed', 'and closes');
};

ok(comes_to_rest($server),                     'nothing is left over');
ok(eventually { $server->n_descriptors < 20 }, 'no descriptors either');
$server->stop_ok;
done_testing;
