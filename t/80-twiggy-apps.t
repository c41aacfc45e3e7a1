# Applications of the kinds that people run on Twiggy, with Sprig::Compat::Twiggy and no other change.
# SPRIG_TEST_TWIGGY=1 runs them on Twiggy, to see that they are what they claim to be.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use SprigTest;
use SprigTest::Probe;
use Test::More;
use Time::HiRes qw(time);

my $apps = "$FindBin::Bin/apps";

sub start {
    my ($name, %option) = @_;
    return start_server(
        app    => "$apps/$name",
        by     => 'module',
        script => 'twiggy.pl',
        perl   => $ENV{SPRIG_TEST_TWIGGY} ? [] : ['-MSprig::Compat::Twiggy'],
        %option,
    );
}

# HTTP/1.0, which both servers speak.
sub ask {
    my ($server, $path, @lines) = @_;
    return $server->ask(join "\r\n", "GET $path HTTP/1.0", @lines, '', '');
}

# Twiggy knows no TERM; only of our server is it asked to leave properly.
sub finish {
    my ($server) = @_;
    return $ENV{SPRIG_TEST_TWIGGY} ? $server->stop('KILL') : $server->stop_ok;
}

sub needs {
    my (@modules) = @_;
    for my $module (@modules) {
        system($^X, '-e', "eval { require $module; 1 } or exit 1") == 0
            or plan skip_all => "$module is not installed";
    }
    return;
}

subtest 'chat by long poll' => sub {
    my $server = start('long-poll.psgi');
    my @polls  = map { $server->connect } 1 .. 3;
    $_->send("GET /poll?after=-1 HTTP/1.0\r\n\r\n") for @polls;
    ok $polls[0]->is_quiet(0.05), 'nothing new yet';
    is ask($server, '/say?text=hello')->status, 204,          'somebody says something';
    is $_->response->body,                      "0: hello\n", 'everybody hears it' for @polls;
    is ask($server, '/poll?after=-1')->body,    "0: hello\n", 'and who comes later';
    finish($server);
};

subtest 'chat by WebSocket' => sub {
    needs('Protocol::WebSocket');
    require Protocol::WebSocket::Handshake::Client;
    require Protocol::WebSocket::Frame;
    my $server = start('websocket-chat.psgi');
    my @members;
    for (1 .. 2) {
        my $client = $server->connect;
        my $hs     = Protocol::WebSocket::Handshake::Client->new(
            url => 'ws://127.0.0.1:' . $server->port . '/');
        $client->send($hs->to_string);
        my $head = '';
        $head = $client->buffered
            while $client->wait_for_bytes(length($head) + 1)
            && $client->buffered !~ /\r\n\r\n/;
        $head = substr $client->{in}, 0, index($client->{in}, "\r\n\r\n") + 4, '';
        $hs->parse($head);
        ok $hs->is_done && !$hs->error, 'the handshake' or diag $head;
        push @members, $client;
    }
    $members[0]->send(Protocol::WebSocket::Frame->new(buffer => 'hello', masked => 1)->to_bytes);
    for my $client (@members) {
        $client->wait_for_bytes(7);
        my $frame = Protocol::WebSocket::Frame->new;
        $frame->append($client->buffered);
        is $frame->next, 'hello', 'everybody gets the message';
    }
    $_->close for @members;
    finish($server);
};

subtest 'EventSource' => sub {
    my $server = start('event-source.psgi');
    my $client = $server->connect;
    $client->send("GET / HTTP/1.0\r\nLast-Event-ID: 40\r\n\r\n");
    $client->wait_for_bytes(200);
    like $client->buffered, qr{text/event-stream.*\r\n\r\nid: 41\ndata: tick 41\n\n}s, 'events';
    is ask($server, '/clients')->body, 1, 'one client';
    $client->close;
    ok eventually { ask($server, '/clients')->body == 0 }, 'it leaves, and that is noticed';
    finish($server);
};

subtest 'multipart XHR' => sub {
    my $server   = start('multipart-xhr.psgi');
    my $response = ask($server, '/');
    my @parts    = split /--part-of-it\n/, $response->body;
    is @parts, 6, 'five parts';
    like $parts[5], qr/\{"n":5\}/, 'the last one';
    finish($server);
};

subtest 'proxy by AnyEvent::HTTP' => sub {
    needs('AnyEvent::HTTP');
    my $origin = start_server(app => dump_app());
    my $server = start('http-proxy.psgi');
    my $answer = ask($server, '/?' . $origin->url('/behind?x=1'));
    is $answer->status, 200, 'status';
    like $answer->body, qr{^REQUEST_URI=/behind\?x=1$}m, 'what the other server said';
    $origin->stop;
    finish($server);
};

subtest 'upload progress' => sub {
    my $server = start('upload-progress.psgi');
    my $client = $server->connect;
    $client->send("POST / HTTP/1.0\r\nContent-Length: 500000\r\n\r\n" . 'x' x 500_000);
    my @progress = split /\n/, $client->response->body;
    is $progress[-1], '100%', 'to the end';
    cmp_ok @progress, '>', 5, 'in steps';
    finish($server);
};

subtest 'pulled by {handle}->on_drain' => sub {
    my $server = start('pull.psgi');
    is length ask($server, '/')->body, 5_000_000, 'all of it';
    my $client = $server->connect;
    $client->send("GET / HTTP/1.0\r\n\r\n");
    $client->wait_for_bytes(1000);
    $client->reset;
    is length ask($server, '/')->body, 5_000_000, 'also after somebody left in the middle';
    finish($server);
};

# Asks for several paths at the same time.
sub ask_at_once {
    my ($server, @paths) = @_;
    my @clients = map { my $c = $server->connect; $c->send("GET $_ HTTP/1.0\r\n\r\n"); $c } @paths;
    return map { $_->response->body } @clients;
}

subtest 'Coro threads' => sub {
    needs('Coro');
    my $server = start('coro.psgi', env => { SPRIG_TEST_KEEPS => 1 });    # Coro keeps a watcher
    my $start  = time;
    is_deeply [ask_at_once($server, ('/') x 5)], [('woken') x 5], 'each waits for itself';
    cmp_ok time - $start, '<', 1, 'at the same time';
    finish($server);
};

subtest 'Coro::Twiggy' => sub {
    needs('Coro');
    -e '/usr/share/perl5/Coro/Twiggy.pm'
        or system($^X, '-MSprig::Compat::Twiggy', '-MCoro::Twiggy', '-e', 1) == 0
        or plan skip_all => 'Coro::Twiggy is not installed';
    my $port = do {
        my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "port: $!";
        $socket->sockport;
    };
    my $server =
        start('coro-twiggy.pl', script => '../apps/coro-twiggy.pl', args => { port => $port });
    my $start = time;
    is_deeply [ask_at_once($server, map { "/$_" } 1 .. 5)], [map { "slept for /$_" } 1 .. 5],
        'answers';
    cmp_ok time - $start, '<', 1, 'at the same time';
    finish($server);
};

subtest 'Plack::App::Proxy' => sub {
    needs('Plack::App::Proxy');
    my $origin = start_server(app => dump_app());
    my $server = start('plack-app-proxy.psgi', env => { PROXY_REMOTE => $origin->url('') });
    my $answer = ask($server, '/through?a=b', 'Host: outside');
    is $answer->status, 200, 'status';
    like $answer->body, qr{^QUERY_STRING=a=b$}m, 'what the other server said';
    finish($server);
};

subtest 'Catalyst: io_fh and write_fh' => sub {
    needs('Catalyst');
    my $server = start('catalyst.psgi', env => { SPRIG_TEST_KEEPS => 1 });  # Catalyst keeps writers
    is ask($server, '/stream')->body, "1\n2\n3\n", 'write_fh';
    is ask($server, '/raw')->body,    'by hand',   'io_fh';
    finish($server);
};

subtest 'Dancer2: delayed, flush, content, done' => sub {
    needs('Dancer2');
    my $server = start('dancer2.psgi');
    is ask($server, '/stream')->body, "1\n2\n3\n", 'streamed';
    is ask($server, '/later')->body,  'later',     'later';
    finish($server);
};

done_testing;
