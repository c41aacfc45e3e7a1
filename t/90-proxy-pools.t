# What a proxy, or a client with a pool of connections, relies on: that connections do not go away
# under it, and that nothing waits without need.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use SprigTest;
use SprigTest::Probe qw(eventually);
use Test::More;
use Time::HiRes qw(time sleep);

my $get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

subtest 'a pool that is larger than max_connections' => sub {
    my $server = start_server(
        code => 'sub { [200, [], ["ok"]] }',
        args => { max_connections => 16 }
    );
    my @pool;
    my @said = map {
        push @pool, $server->connect;
        $pool[-1]->send($get);
        my $connection = $pool[-1]->response->header('Connection');
        defined $connection ? $connection : '-';
    } 1 .. 16;
    is_deeply [@said[0 .. 12]], [('-') x 13], 'connections persist while there is room';
    is $said[-1], 'close', 'and do not when most of it is taken';
    ok $pool[-1]->is_closed, 'a response that says so is the last';

    is $server->ask($get)->status, 200, 'new connections are served' for 1 .. 5;
    $server->stop_ok;
};

subtest 'idle connections that have to go are told of' => sub {
    my $server = start_server(
        code => 'sub { [200, [], ["ok"]] }',
        args => { max_connections => 8 }
    );
    my @idle = map { $server->connect } 1 .. 6;
    for my $client (@idle) {
        $client->send($get);
        $client->response;
    }
    my @new = map { $server->connect } 1 .. 4;
    ok $server->stderr_like(qr/max_connections: all 8 are in use, so idle ones are closed/), 'once';
    $_->close for @new;
    @new = map { $server->connect } 1 .. 8;
    $_->send($get) for @new;
    $_->response   for @new;
    my $n = () = $server->stderr =~ /idle ones are closed/g;
    is $n, 1, 'and not for each of them';
    $server->stop_ok;
};

subtest 'a body that was refused and is sent to its end all the same' => sub {
    my $server = start_server(
        code => 'sub { [200, [], ["ok"]] }',
        args => { max_body_bytes => 20 << 20 }
    );
    my $client = $server->connect;
    ok $client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " . (100 << 20) . "\r\n\r\n"),
        'the head';
    my $piece = 'x' x (1 << 20);
    my $n     = 0;
    $n += $client->send($piece) for 1 .. 100;
    is $n,                        100, 'a hundred megabytes';
    is $client->response->status, 413, 'and the answer is there';
    $server->stop_ok;
};

# LWP and HTTP::Tiny send head and body by two calls. Nagle's algorithm holds the second one back until
# the first is acknowledged, and the kernel acknowledges late on connections that are not new.
subtest 'a body in a packet of its own' => sub {
    my $server = start_server(code => 'sub { [200, [], [$_[0]{CONTENT_LENGTH}]] }');
    my $socket = IO::Socket::INET->new(PeerAddr => $server->host, PeerPort => $server->port)
        or die "connect: $@";
    my $round = sub {
        my $start = time;
        syswrite $socket, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n";
        syswrite $socket, 'content';
        sysread $socket, my $in, 65536;
        return time - $start;
    };
    my @seconds = sort { $a <=> $b } map { $round->() } 1 .. 40;
    cmp_ok $seconds[20], '<', 0.02, 'is not waited for 40 ms' or diag "@seconds";
    $server->stop_ok;
};

subtest 'connections that wait to be accepted when the server is told to end' => sub {
    my $server = start_server(
        code => 'sub { sleep 2 if $_[0]{PATH_INFO} eq "/slow"; [200, [], ["ok"]] }',
        by   => 'program'
    );
    my $first = $server->connect;
    $first->send("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n");
    sleep 0.3;    # the app keeps the loop
    my @waiting = map { $server->connect } 1 .. 30;
    $_->send($get) for @waiting;
    kill TERM => $server->pid;
    is $first->response->status, 200, 'the one in progress is answered';
    is scalar(
        grep {
            eval { $_->response->status == 200 }
        } @waiting
        ),
        30, 'and so are they';
    $server->ends_ok;
};

subtest 'interim responses can be turned off' => sub {
    my $code = <<'APP';
sub {
    my ($env) = @_;
    my $inform = $env->{'psgix.informational'};
    $inform->(103, [Link => '</a>']) if $inform;
    return [200, [], [exists $env->{'psgix.informational'} ? 'yes' : 'no']];
};
APP
    for my $on (0, 1) {
        my $server = start_server(code => $code, args => { informational => $on });
        my $client = $server->connect;
        for (1 .. 2) {
            $client->send($get);
            my $response = $client->response;
            is $response->body,                       $on ? 'yes' : 'no', "informational=$on";
            is scalar(@{ $response->interim || [] }), $on,                'interim responses';
        }
        $server->stop_ok;
    }
};

done_testing;
