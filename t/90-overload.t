# More than there is room for: idle connections go first, then new ones get 503; requests wait for
# their turn, but not for ever; without descriptors nothing spins, and all is well again afterwards.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use SprigTest;
use Test::More;
use Time::HiRes qw(time);

my $get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

# /wait answers as soon as somebody asks for /go, /block keeps the whole process busy, /hog takes all
# descriptors and /free gives them back.
my $app = <<'END';
use AnyEvent;
my (@waiting, @hogs);
my $n = 0;
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    my $ok   = [200, ['Content-Type' => 'text/plain'], ["ok $n"]];
    if ($path eq '/wait') {
        $n++;
        return sub { push @waiting, $_[0] };
    }
    if ($path eq '/go') {
        my @now = splice @waiting;
        $n -= @now;
        $_->($ok) for @now;
    }
    if ($path eq '/later') {
        $n++;
        my $most = $n;
        return sub {
            my ($respond) = @_;
            my $timer;
            $timer = AE::timer 0.1, 0, sub { undef $timer; $n--; $respond->([200, [], [$most]]) };
        };
    }
    select undef, undef, undef, 0.7 if $path eq '/block';
    @hogs = () if $path eq '/free';
    if ($path eq '/hog') {
        while (open my $fh, '<', '/dev/null') { push @hogs, $fh }
    }
    return $ok;
}
END

# The connection that found out that the server is ready is gone as well.
sub started {
    my $server = start_server(code => $app, @_);
    $server->ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    return $server;
}

sub request { return "GET $_[0] HTTP/1.1\r\nHost: a\r\n\r\n" }

sub busy_ok {
    my ($client, $name, $seconds) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $response = $client->response;
    is($response->status,                503,           "$name: 503");
    is($response->header('Retry-After'), $seconds || 5, "$name: Retry-After");
    is($response->header('Connection'),  'close',       "$name: Connection: close");
    $client->half_close;
    ok($client->is_closed, "$name: closed without a reset");
    return;
}

subtest 'max_connections' => sub {
    my $server  = started(args => { max_connections => 3 });
    my @clients = map { $server->connect } 1 .. 3;
    for my $client (@clients) {
        $client->send($get);
        is($client->response->status, 200, 'at the limit');
    }
    my $fourth = $server->connect;
    $fourth->send($get);
    is($fourth->response->status, 200, 'one more takes the place of an idle one');
    ok($clients[0]->is_closed, 'of that which was idle for longest');
    $clients[1]->send($get);
    is($clients[1]->response->status, 200, 'the others stay');

    $_->send(request('/wait')) for @clients[1, 2], $fourth;
    ok($clients[1]->is_quiet(0.1), 'now all are at work');
    my $fifth = $server->connect;
    $fifth->send($get);
    busy_ok($fifth,           'one more');
    busy_ok($server->connect, 'one that has not even asked');
    $fourth->reset;
    my $sixth = $server->connect;
    $sixth->send(request('/go'));
    is($sixth->response->status, 200, 'room again when somebody left');
    is($_->response->status,     200, 'the others were served') for @clients[1, 2];
    ok($server->stderr_like(qr/^sprig: 503 for 1 connection: max_connections$/m), 'logged');
    $_->close for @clients, $sixth;
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'silent connections are not idle ones' => sub {
    my $server = started(args => { max_connections => 2 });
    my @silent = map { $server->connect } 1 .. 2;
    my $client = $server->connect;
    busy_ok($client, 'one more');
    $_->send($get)                                     for @silent;
    is($_->response->status, 200, 'and can still ask') for @silent;
    $_->close                                          for @silent;
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'many that were turned away' => sub {
    my $server = started(args => { max_connections => 2 });
    my @silent = map { $server->connect } 1 .. 2;
    my @away   = map { $server->connect } 1 .. 60;
    $_->send($get) for @away;
    my %status;
    for my $client (@away) {
        my $response = eval { $client->response };
        $status{ $response && $response->status || 'none' }++;
    }
    is_deeply(\%status, { 503 => 60 }, 'all got their answer');
    cmp_ok($server->n_descriptors, '<', 40, 'and hold few descriptors')
        or diag $server->n_descriptors;
    cmp_ok(() = $server->stderr =~ /503 for/g, '<', 5, 'the log is not flooded');
    $_->close for @away, @silent;
    my $client = $server->connect;
    $client->send($get);
    is($client->response->status, 200, 'service again');
    $client->close;
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'max_connections_per_ip' => sub {
    my $server  = started(args => { max_connections_per_ip => 2 });
    my @clients = map { $server->connect } 1 .. 2;
    busy_ok($server->connect, 'a third of one address');
    my $other = SprigTest::Client->adopt(IO::Socket::INET->new(
        PeerAddr  => '127.0.0.1',
        PeerPort  => $server->port,
        LocalAddr => '127.0.0.2'
    ));
    $_->send($get)                          for @clients, $other;
    is($_->response->status, 200, 'served') for @clients, $other;
    $clients[0]->close;
    $clients[1]->send($get);
    $clients[1]->response;
    my $again = $server->connect;
    $again->send($get);
    is($again->response->status, 200, 'one left, one came');
    $_->close for $clients[1], $other, $again;
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'max_requests_in_flight' => sub {
    my $server  = started(args => { max_requests_in_flight => 2 });
    my @clients = map { $server->connect } 1 .. 6;
    my $post    = "POST /later HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc";
    $_->send($post) for @clients;
    my @most = map { $_->response->body } @clients;
    is(scalar(grep { $_ > 2 } @most), 0, 'never more than two at a time') or diag "@most";
    is(scalar(@most),                 6, 'all are served');
    $_->send($post . $post) for @clients;
    is($clients[$_ % 6]->response->status, 200, 'pipelined, too') for 0 .. 11;
    $clients[0]->send($post x 2);
    $clients[1]->send($post);
    $clients[2]->send($post);
    $clients[1]->reset;
    $clients[2]->close;
    is($clients[0]->response->status, 200, 'clients that leave free their slots') for 1 .. 2;
    $_->close for @clients;
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'queue_timeout' => sub {
    my $server = started(args => { max_requests_in_flight => 1, queue_timeout => 0.5 });
    my ($first, $second, $third) = map { $server->connect } 1 .. 3;
    $first->send(request('/wait'));
    $first->is_quiet(0.1);
    my $start = time;
    $second->send($get);
    busy_ok($second, 'a request that waits for too long', 1);    # as the average goes
    cmp_ok(time - $start, '>', 0.45, 'not before its time');
    ok($server->stderr_like(qr{^sprig: 503 for 127\.0\.0\.1: queue_timeout: .* \(GET /\)$}m),
        'logged, with what was asked for');
    $third->send($get);
    $third->is_quiet(0.1);
    $first->reset;
    is($third->response->status, 200, 'one that waited less is served');
    $third->close;
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'queue_timeout where the app keeps the process busy' => sub {
    my $server  = started(args => { queue_timeout => 0.5 });
    my @clients = map { $server->connect } 0 .. 3;
    $clients[0]->send(request('/block'));
    $clients[0]->is_quiet(0.2);
    $_->send(request('/block')) for @clients[1 .. 3];
    my @status = map { $_->response->status } @clients;
    is("@status", '200 200 503 503', 'those that waited too long are not run');
    $_->close for @clients;
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'no descriptor is left' => sub {
    my $server = started(
        under => ulimited(100),
        args  => { max_connections => 1000 }
    );
    my $client = $server->connect;
    my $idle   = $server->connect;
    for ($idle, $client) {
        $_->send($get);
        is($_->response->status, 200, 'served');
    }
    $idle->send(request('/wait'));
    $idle->is_quiet(0.1);    # the requests of two connections have no order
    $client->send(request('/go'));
    is($_->response->status, 200, 'all that the app needs is loaded') for $client, $idle;
    $client->send(request('/hog'));
    is($client->response->status, 200, 'the app takes all descriptors');
    my $late = $server->connect;
    $late->send($get);
    is($late->response->status, 200, 'a new connection takes the place of an idle one');
    ok($idle->is_closed, 'which is closed');
    $late->send(request('/wait'));
    $client->send(request('/wait'));
    $client->is_quiet(0.1);
    my $cpu  = cpu_seconds($server);
    my @more = map { $server->connect } 1 .. 80;
    $_->send($get) for @more;
    my $n_busy = grep {
        my $r = eval { $_->response };
        $r && $r->status == 503
    } @more;
    is($n_busy, 80, 'all others are answered 503');
    ok($client->is_quiet(0.7), 'meanwhile nothing else happens');
    cmp_ok(cpu_seconds($server) - $cpu, '<', 0.2, 'and nothing spins');
    ok($server->stderr_like(qr/no descriptor is left/), 'logged');
    $late->reset;
    my $again;
    for (1 .. 50) {
        $again = $server->connect;
        $again->send(request('/free'));
        last if $again->response->status == 200;
        $again->is_quiet(0.1);
    }
    $again->send($get);
    is($again->response->status, 200, 'full service when there are descriptors');
    $_->reset for $client, $again;
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'the limit of descriptors is raised, and max_connections follows it' => sub {
    my $server = started(under => ulimited(64));
    my @clients;
    for (1 .. 60) {
        my $client = $server->connect;
        $client->send(request('/wait'));
        push @clients, $client;
    }
    $clients[-1]->response;
    my $n_busy = grep { $_->poll; $_->buffered =~ /\AHTTP\/1.1 503 / } @clients[0 .. 58];
    is($n_busy, 19, '40 of them fit') or diag $server->stderr;
    $_->reset for @clients;
    $server->idle_ok;
    $server->stop_ok;

    $server  = started(under => ['/bin/sh', '-c', 'ulimit -S -n 64 && exec "$@"', 'sh']);
    @clients = map { $server->connect } 1 .. 100;
    $_->send($get) for @clients;
    is(scalar(grep { $_->response->status != 200 } @clients), 0, 'a soft limit is raised');
    $_->close for @clients;
    $server->idle_ok;
    $server->stop_ok;
};

# What the server has used of the processor.
sub cpu_seconds {
    my ($server) = @_;
    my @field    = split / /, slurp('/proc/' . $server->pid . '/stat') =~ s/.*\) //sr;
    return ($field[11] + $field[12]) / 100;
}

done_testing;
