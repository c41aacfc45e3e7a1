# Abuse of one server, measured. Prints its seed and numbers; exit status 1 if a promise is broken.
#
#   perl xt/abuse.pl mixed [SECONDS [SEED]]   resets, garbage, floods, bombs, churn; memory after (180 s)
#   perl xt/abuse.pl slow [CLIENTS]           a normal client beside slow ones (500)
#   perl xt/abuse.pl full [CLIENTS]           more clients than descriptors, ulimit -n 256 (1000)
#   perl xt/abuse.pl streams [CLIENTS]        responses of two seconds, all at once (2500)
#
# With --workers N in front the server is the program with a master and N workers, and `mixed` kills
# workers as well.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t/lib";
use List::Util qw(max sum);
use SprigTest;
use SprigTest::Promise;
use SprigTest::Client;
use SprigTest::Workers qw(children_of eventually is_running);
use Time::HiRes        qw(time sleep);

my $next_kill = 0;
my $n_workers = @ARGV && $ARGV[0] eq '--workers' ? (splice @ARGV, 0, 2)[1] : 0;
my %mode      = (mixed => \&mixed, slow => \&slow, full => \&full, streams => \&streams);
my $mode      = shift || 'mixed';
my $run       = $mode{$mode} or die "what is '$mode'?\n";
my $get       = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
my $app       = <<'END';
use AnyEvent;
my $large = 'x' x 2_000_000;
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [200, ['Content-Type' => 'text/plain'], ['hello']] if $path eq '/';
    return [200, [], [$large]] if $path eq '/large';
    die "as asked\n" if $path eq '/die';
    if ($path eq '/delayed') {
        my $env_held = $env;
        return sub {
            my ($respond) = @_;
            my $t; $t = AE::timer 0.05, 0, sub { undef $t; undef $env_held; $respond->([200, [], ['later']]) };
        };
    }
    if ($path eq '/stream') {
        return sub {
            my $writer = $_[0]->([200, []]);
            my $n = 0;
            my $t; $t = AE::timer 0, 0.2, sub {
                return $writer->write("piece\n") if $n++ < 10;
                undef $t;
                $writer->close;
            };
        };
    }
    my $body = do { local $/; readline $env->{'psgi.input'} };
    return [200, [], [length($body // '')]];
};
END
$run->(@ARGV);
exit $SprigTest::Promise::broken;

# The seconds that a hello takes on a connection of its own.
sub hello {
    my ($server) = @_;
    my $start    = time;
    my $client   = $server->connect;
    $client->send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    my $response = $client->response;
    die 'wrong answer: ' . ($response->status || 'none') . "\n"
        if !$response->status || $response->status != 200 || $response->body ne 'hello';
    return time - $start;
}

# A server for the app, with workers if that is asked for.
sub start {
    my (%option) = @_;
    return start_server(code => $app, %option) if !$n_workers;
    my $server = start_server(
        code => $app,
        by   => 'program',
        %option, args => { %{ $option{args} || {} }, workers => $n_workers }
    );
    await_workers($server);
    return $server;
}

# Waits until all workers are there, which takes longer if one has been killed.
sub await_workers {
    my ($server) = @_;
    return eventually(sub { children_of($server->pid) == $n_workers && serve_all($server) }, 60);
}

# True if as many different connections are served at once as there are workers.
sub serve_all {
    my ($server) = @_;
    return eval { hello($server) for 1 .. 10 * $n_workers; 1 };
}

# The process that serves, or the master and all workers.
sub pids {
    my ($server) = @_;
    return ($server->pid, $n_workers ? children_of($server->pid) : ());
}

sub cpu_seconds {
    my ($server) = @_;
    my @fields = map { [split / /, slurp("/proc/$_/stat") =~ s/.*\) //sr] } pids($server);
    return sum(map { $_->[11] + $_->[12] } @fields) / 100;
}

sub rss_kib {
    my ($server) = @_;
    return sum(map { slurp("/proc/$_/status") =~ /^VmRSS:\s+([0-9]+) kB/m ? $1 : 0 } pids($server));
}

sub n_descriptors {
    my ($server) = @_;
    return sum(map { scalar(() = glob "/proc/$_/fd/*") } pids($server));
}

# Kills a worker, now and then, and returns when it is gone: what comes afterwards meets another.
sub kill_worker {
    my ($server) = @_;
    my @workers = children_of($server->pid);
    return if @workers < $n_workers || time < $next_kill;
    $next_kill = time + 3;
    my $pid = $workers[rand @workers];
    kill 'KILL', $pid;
    eventually(sub { !is_running($pid) });
    return;
}

# ---- mixed ----

sub mixed {
    my ($seconds, $seed) = @_;
    $seconds ||= 180;
    $seed = time ^ $$ if !defined $seed;
    srand $seed;
    print "seed $seed, $seconds s\n";
    my $server = start(args =>
            { header_timeout => 3, body_timeout => 3, write_timeout => 3, keepalive_timeout => 5 });
    my %n;
    my @acts = acts();
    push @acts, [kill_worker => \&kill_worker] if $n_workers;
    my @took;
    abuse($server, \@acts, time + 15, \%n, \@took);
    settle($server);
    my ($rss, $fds) = (rss_kib($server), n_descriptors($server));
    abuse($server, \@acts, time + $seconds, \%n, \@took);
    settle($server);
    my ($rss_after, $fds_after) = (rss_kib($server), n_descriptors($server));
    print join(', ', map { "$_ $n{$_}" } sort keys %n), "\n";
    printf "hello: %d times, median %.1f ms, p99 %.1f ms, longest %.1f ms\n", scalar @took,
        map { 1000 * $_ } percentile(50, @took), percentile(99, @took), max(@took);
    promise($server->is_alive, 'the server lives');

    # Of workers some are new: they have not met everything yet.
    promise($rss_after <= $rss * ($n_workers ? 1.5 : 1.05),
        "memory: $rss KiB after warm-up, $rss_after KiB at the end");
    promise($fds_after <= $fds,         "descriptors: $fds, $fds_after");
    promise(eval { hello($server); 1 }, 'hello is right');
    promise($server->stop == 0,         'it ends with status 0');
    return;
}

sub abuse {
    my ($server, $acts, $end, $n, $took) = @_;
    my @held;
    while (time < $end) {
        my $act = $acts->[rand @$acts];
        $n->{ $act->[0] }++;
        eval { push @held, $act->[1]->($server) };
        shift(@held)->close while @held > 60;
        push @$took, eval { hello($server) } // do { promise(0, "a hello is answered: $@"); 9 };
    }
    $_->close for @held;
    return;
}

# Until all connections of before are gone.
sub settle {
    my ($server) = @_;
    for (1 .. 100) {
        hello($server);
        sleep 0.1;
    }
    await_workers($server) if $n_workers;
    return;
}

sub acts {
    my @paths = qw(/ /large /die /delayed /stream /none);
    my $any   = sub { "GET $paths[rand @paths] HTTP/1.1\r\nHost: a\r\n\r\n" };
    my $post  = "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" . 'b' x 50_000;
    my $with  = sub { my $c = $_[0]->connect; $c->send($_[1]); $c };
    return (
        [reset_at_once => sub { $_[0]->connect->reset; () }],
        [reset_in_head => sub { $with->($_[0], substr $get, 0, 1 + rand 25)->reset; () }],
        [reset_in_body => sub { $with->($_[0], $post)->reset; () }],
        [reset_in_app  => sub { $with->($_[0], $any->())->reset; () }],
        [
            reset_in_reply =>
                sub { my $c = $with->($_[0], $any->()); $c->is_quiet(0.02); $c->reset; () }
        ],
        [half_head  => sub { $with->($_[0], substr $get, 0, 1 + rand 25) }],
        [half_body  => sub { $with->($_[0], $post) }],
        [half_close => sub { $with->($_[0], $any->())->half_close }],
        [silence    => sub { $_[0]->connect }],
        [
            garbage => sub {
                $with->($_[0], join '', map { chr rand 256 } 1 .. rand 3000);
            }
        ],
        [
            near_garbage => sub {
                my $m = $any->();
                substr($m, rand length $m, 1) = chr rand 256;
                $with->($_[0], $m);
            }
        ],
        [pipeline => sub { $with->($_[0], $get x (1 + rand 300)) }],
        [
            pipeline_any => sub {
                $with->($_[0], join '', map { $any->() } 1 .. 20);
            }
        ],
        [slow_reader => sub { $with->($_[0], "GET /large HTTP/1.1\r\nHost: a\r\n\r\n") }],
        [
            header_bomb =>
                sub { $with->($_[0], "GET / HTTP/1.1\r\nHost: a\r\n" . "X: y\r\n" x 5000) }
        ],
        [long_line   => sub { $with->($_[0], 'GET /' . 'a' x 100_000) }],
        [long_header => sub { $with->($_[0], "GET / HTTP/1.1\r\nX: " . 'a' x 100_000) }],
        [
            chunk_bomb => sub {
                $with->(
                    $_[0],
                    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                        . "1\r\na\r\n" x 5000
                );
            }
        ],
        [
            churn => sub {
                $_->close for map { $_[0]->connect } 1 .. 20;
                ();
            }
        ],
    );
}

# ---- slow ----

sub slow {
    my ($n) = @_;
    $n ||= 500;
    my $server = start();
    my (@clients, @took);
    for my $i (1 .. $n) {
        my $c = $server->connect;
        $c->send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n")                       if $i % 4 == 1;
        $c->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n") if $i % 4 == 2;
        push @clients, $c;
    }
    my $end = time + 12;
    my $at  = 0;
    while (time < $end) {
        push @took, hello($server);
        for (1 .. 10) {    # each gets a byte about twice a second
            my $i = $at++ % $n;
            my $c = $clients[$i];
            $c->send($i % 4 == 2 ? 'G' : 'b') if $i % 4 == 1 || $i % 4 == 2;
            sysread $c->socket, my $piece, 100 if $i % 4 == 0;
        }
    }
    printf "%d slow clients, %d hellos: median %.1f ms, p99 %.1f ms, longest %.1f ms\n", $n,
        scalar @took, map { 1000 * $_ } percentile(50, @took), percentile(99, @took), max(@took);
    promise(percentile(99, @took) < 0.02, 'p99 below 20 ms');
    $_->reset for @clients;
    return;
}

# ---- full ----

sub full {
    my ($n) = @_;
    die "full is about one process\n" if $n_workers;
    $n ||= 1000;
    my $server =
        start(under => ulimited(256), args => { write_timeout => 60 });
    my @busy =
        map { my $c = $server->connect; $c->send("GET /stream HTTP/1.1\r\nHost: a\r\n\r\n"); $c }
        1 .. 200;
    my (%status, @late);
    my ($start,  $cpu) = (time, cpu_seconds($server));
    for (1 .. $n - 200) {
        my $c = $server->connect;
        $c->send($get);
        push @late, $c;
        next if @late % 100;
        count($_, \%status) for @late[-100 .. -1];
    }
    sleep 1;
    printf "while full: %.1f %% of a processor for %.1f s\n",
        100 * (cpu_seconds($server) - $cpu) / (time - $start), time - $start;
    my $load = (cpu_seconds($server) - $cpu) / (time - $start);
    my %served;
    count($_, \%served) for @busy;
    print join(', ', map { "$_: $status{$_}" } sort keys %status), '; the first 200: ',
        join(', ', map { "$_: $served{$_}" } sort keys %served), "\n";
    promise($load < 0.2, 'no spin');
    promise(keys %status <= 2 && $status{'503 5 close'},
        '503 with Retry-After and close for those over the limit');
    promise(($served{'200 - -'} || 0) == 200, 'those inside are served');
    $_->close for @busy, @late;
    promise(
        (
            grep {
                eval { hello($server); 1 }
            } 1 .. 50
        ) == 50,
        'full service afterwards'
    );
    return;
}

sub count {
    my ($client, $status) = @_;
    my $r = eval { $client->response };
    my $key =
        $r && $r->status
        ? join ' ', $r->status,
        map { my ($v) = $r->header($_); defined $v ? $v : '-' } qw(Retry-After Connection)
        : 'none ' . ($client->error || '');
    $status->{$key}++;
    return;
}

# ---- streams ----

sub streams {
    my ($n) = @_;
    $n ||= 2500;
    my $server = start();
    my (@clients, @took, $bad);
    my %start;
    for (1 .. $n) {
        my $c = $server->connect;
        $start{$c} = time;
        $c->send("GET /stream HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        push @clients, $c;
    }
    my $all = time;
    for my $c (@clients) {
        my $r = eval { $c->response };
        $bad++ if !$r || !$r->status || $r->status != 200 || length $r->body != 60;
    }
    printf "%d streams of 2 s: the last ended %.2f s after the last request\n", $n, time - $all;
    promise(!$bad,              'all 200 and whole');
    promise(time - $all <= 2.8, 'and in time');
    return;
}
