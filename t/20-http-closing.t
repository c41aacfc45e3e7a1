# How connections end: clients that half-close, leave, or go on sending after a refusal.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::UNIX;
use SprigTest;
use SprigTest::Probe qw(eventually);
use Test::More;

my $code = <<'APP';
use POSIX ();

my ($runs, @kept) = (0);

# A child that holds all sockets of the server for as long as it lives.
sub child {
    my ($env) = @_;
    my $pid = fork;
    if (!$pid) {
        sleep 60;
        POSIX::_exit(0);
    }
    my $left = $env->{PATH_INFO};
    return [200, ['Connection' => 'close'], [$pid]] if $left eq '/child';
    return sub {
        my ($respond) = @_;
        push @kept, $env->{'psgix.io'};
        fileno $kept[-1];
        $respond->([200, [], [$pid]]);
    } if $left eq '/child-and-handle';
    return sub {
        my $writer = $_[0]->([200, ['X-Child' => $pid]]);
        $writer->write($pid);
        die "meant\n" if $left eq '/child-and-failure';
        $writer->close;
    };
}

sub {
    my ($env) = @_;
    $runs++;
    return [200, [], ['x' x 3_000_000]] if $env->{PATH_INFO} eq '/large';
    return [200, [], [splice @kept]] if $env->{PATH_INFO} eq '/forget';
    return child($env) if $env->{PATH_INFO} =~ /child/;
    return [200, [], [$runs]];
};
APP

my $server = start_server(code => $code, args => { max_body_bytes => 1000 });
my $get    = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

sub waits_until_closed {
    my ($client) = @_;
    $client->rest;
    return !defined $client->error;
}

subtest 'a client that half-closes is answered in full' => sub {
    my $client = $server->connect;
    $client->send($get);
    $client->half_close;
    is($client->response->status, 200, 'a small answer');
    ok($client->is_closed, 'then the end');

    $client = $server->connect;
    $client->send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    $client->half_close;
    is(length $client->response->body, 3_000_000, 'a large answer');
    ok($client->is_closed, 'then the end');

    $client = $server->connect;
    $client->send($get x 20);
    $client->half_close;
    is(scalar(grep { $client->response->status == 200 } 1 .. 20), 20, 'twenty at once');
    ok($client->is_closed, 'then the end');
};

subtest 'a child of the app that lives on keeps no connection open' => sub {
    my %ask = (
        'a response that closes'         => "GET /child HTTP/1.1\r\nHost: a\r\n\r\n",
        'one that ends with its bytes'   => "GET /child-and-writer HTTP/1.0\r\n\r\n",
        'an app that keeps its psgix.io' => "GET /child-and-handle HTTP/1.1\r\nHost: a\r\n\r\n",
        'one that is cut'                => "GET /child-and-failure HTTP/1.0\r\n\r\n",
    );
    for my $name (sort keys %ask) {
        my $client = $server->connect;
        $client->send($ask{$name});
        my $bytes = eval { $client->rest } || '';
        my ($pid) = $bytes =~ /X-Child: ([0-9]+)|\n([0-9]+)\z/ ? $1 || $2 : 0;
        ok($client->eof,                  "$name: the client sees the end");
        ok($name =~ /cut/ || kill(0, $pid), '... while the child lives');
        like($client->error, qr/reset/, '... which does not look complete') if $name =~ /cut/;
        kill 'KILL', $pid if $pid;
    }
    $server->ask("GET /forget HTTP/1.1\r\nHost: a\r\n\r\n");
};

subtest 'a refused client that goes on sending sees the answer' => sub {
    my %refused = (
        413 => "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n",
        400 => "GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n",
        414 => 'GET /' . 'a' x 100_000,
        505 => "GET / HTTP/1.2\r\nHost: a\r\n\r\n",
    );
    for my $status (sort keys %refused) {
        my $client = $server->connect;
        ok($client->send($refused{$status}), "$status: the request is taken");
        $client->wait_for_bytes(1);
        my $sent = grep { $client->send('b' x 50_000) } 1 .. 4;
        is($sent,                     4,       "$status: and 200,000 bytes more");
        is($client->response->status, $status, "$status: the answer is there");
        $client->half_close;
        ok(waits_until_closed($client), "$status: and no reset");
    }
};

subtest 'a refused client that never stops is left after all' => sub {
    my $client = $server->connect;
    $client->send("GET / HTTP/1.1\r\nHost: a\r\nX Y: 1\r\n\r\n");
    is($client->response->status, 400, 'refused');
    my $sent  = 0;
    my $limit = 200 * 1024 * 1024;
    $sent += 1 << 18 while $sent < $limit && !$client->error && $client->send('b' x (1 << 18));
    cmp_ok($sent, '<', $limit, 'it cannot send for ever');
};

subtest 'clients that leave do no harm' => sub {
    my $before = $server->n_descriptors;
    for my $n (1 .. 30) {
        my $client = $server->connect;
        $client->send($n % 3 ? "GET /large HTTP/1.1\r\nHost: a\r\n\r\n" : 'GET /');
        $client->wait_for_bytes(1) if $n % 3 == 1;
        $n % 2 ? $client->reset : $client->close;
    }
    my $left;
    for (1 .. 200) {
        my $client = $server->connect;
        $client->send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        $client->response;
        $client->close;
        last if ($left = $server->n_descriptors) <= $before;
    }
    cmp_ok($left, '<=', $before, 'no descriptor is left behind');
    is($server->ask($get)->status, 200, 'the server goes on');
};

my $holding = <<'APP';
use Socket qw(SHUT_WR);
my @kept;
sub {
    my ($env) = @_;
    my $io = $env->{'psgix.io'};
    if ($env->{PATH_INFO} eq '/poll') {
        return sub { push @kept, $_[0] };
    }
    return sub { push @kept, $io; fileno $io } if $env->{PATH_INFO} eq '/held';
    return sub {
        push @kept, $io;
        syswrite $io, "HTTP/1.1 101 Switching Protocols\r\n\r\n";
        shutdown $io, SHUT_WR;
    };
};
APP

subtest 'nobody waits for those that have left' => sub {
    for my $path (qw(/poll /held /socket)) {
        my $patient = start_server(code => $holding, args => { access_log => '/dev/null' });
        my $client  = $patient->connect;
        $client->send("GET $path HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        $client->wait_for_bytes(20) if $path eq '/socket';
        $patient->ask("GET /socket HTTP/1.1\r\nHost: a\r\n\r\n", interim => 1);
        $client->close;
        $patient->stop_ok("$path: the server ends before graceful_timeout");
    }
};

# There a timer of that loop may be the last that runs: no pass of ours comes behind it.
subtest 'a server on another loop, and nothing is left of it' => sub {
    for my $path (qw(/held /poll)) {
        my $hosted = start_server(
            code => $holding,
            args => { graceful_timeout => $path eq '/poll' ? 0.5 : 20 },
            env  => { PERL_ANYEVENT_MODEL => 'Perl' }
        );
        my $client = $hosted->connect;
        $client->send("GET $path HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n");
        $hosted->ask("GET /socket HTTP/1.1\r\nHost: a\r\n\r\n", interim => 1);
        $client->close if $path eq '/held';
        $hosted->stop_ok("$path: it ends in time");
    }
};

subtest 'those that are still there are waited for' => sub {
    my $patient = start_server(code => $holding, args => { graceful_timeout => 3 });
    my $client  = $patient->connect;
    $client->send("GET /poll HTTP/1.1\r\nHost: a\r\n\r\n");
    ok(eventually { $patient->ask("GET /socket HTTP/1.1\r\nHost: a\r\n\r\n", interim => 1) },
        'it is being served');
    my $before = time;
    kill TERM => $patient->pid;
    $client->rest;
    cmp_ok(time - $before, '>=', 2, 'a long poll has graceful_timeout');
    $patient->ends_ok;
};

subtest 'idle connections do not keep the server from ending' => sub {
    my @waiting = map { $server->connect } 1 .. 3;
    for my $client (@waiting[0, 1]) {
        $client->send($get);
        $client->response;
    }
    $server->stop_ok('it ends with status 0');
    ok($_->is_closed, 'closed without a byte') for @waiting;
};

subtest 'half a request keeps it for graceful_timeout at most' => sub {
    my $other  = start_server(code => $code, args => { graceful_timeout => 0.5 });
    my $client = $other->connect;
    $client->send("GET / HTTP/1.1\r\n");
    $other->stop_ok('it ends with status 0');
};

# Answers after a while, or never, and says when it is asked.
my $waiting = <<'APP';
use AnyEvent;
my @kept;
sub {
    my ($env) = @_;
    sub {
        my ($respond) = @_;
        warn "asked\n";
        push @kept, $env->{PATH_INFO} eq '/never' ? $respond : AE::timer 0.3, 0, sub { $respond->([200, [], ['late']]) };
    };
};
APP

subtest 'a client that has half-closed gets its answer from a server that ends' => sub {
    my $other  = start_server(code => $waiting);
    my $client = $other->connect;
    $client->send($get);
    $client->half_close;
    ok $other->stderr_like(qr/^asked$/m), 'the application has the request';
    kill 'QUIT', $other->pid;
    is $client->response->body, 'late', 'the answer';
    $other->ends_ok;
};

# Over TCP a close looks like a half-close until something is written; over a unix socket it does not.
subtest 'a server that ends does not wait for clients that are known to have left' => sub {
    my $path  = SprigTest::temp_path('left.sock');
    my $other = start_server(
        code  => $waiting,
        by    => 'program',
        flags => ['-l', $path, '-l', '127.0.0.1:0']
    );
    my $local   = sub { SprigTest::Client->adopt(IO::Socket::UNIX->new(Peer => $path)) };
    my @clients = map { $local->() } 1 .. 2;
    push @clients, $other->connect;
    $_->send("GET /never HTTP/1.1\r\nHost: a\r\n\r\n") for @clients;
    $clients[0]->send($get);    # pipelined
    my $half = $local->();
    $half->send($get);
    $half->half_close;
    ok $other->stderr_like(qr/(?:^asked\n){4}/m), 'the application has the requests';

    $clients[0]->close;
    $clients[1]->close;
    $clients[2]->reset;
    kill 'QUIT', $other->pid;
    is $half->response->body, 'late', 'who has only half-closed gets the answer';
    ok eventually { !$other->is_alive }, 'it ends soon';
    $other->stop_ok;
};

done_testing;
