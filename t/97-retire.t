# Workers that are replaced because of their memory or age, and a server that ends with a delay: no
# request is lost.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Admin;
use SprigTest::Program;
use SprigTest::Workers;
use Test::More;
use Time::HiRes qw(time);

-d '/proc/self' or plan skip_all => 'no /proc';

my $LEAK = <<'END';
my @kept = map { 'x' x 500_000 } 1 .. $ENV{KEEPS} || 0;
sub {
    my ($env) = @_;
    push @kept, 'x' x $env->{QUERY_STRING} if $env->{PATH_INFO} eq '/leak';
    Time::HiRes::sleep($env->{QUERY_STRING}) if $env->{PATH_INFO} eq '/block';
    return [200, ['Content-Type' => 'text/plain'], ["$$"]];
};
END
$LEAK = "use Time::HiRes ();\n$LEAK";

subtest 'max_rss' => sub {
    my $limit  = 100;             # MiB
    my $rate   = 10_000_000;      # bytes a second that the application leaks
    my $master = start_workers(
        code  => $LEAK,
        flags => ['--admin', 'unix:ctl', '--max-rss', "${limit}M"],
        env   => { KEEPS => 120 },
    );
    $master->serving(2);
    my ($n_failed, $most, $n, $leaked) = (0, 0, 0, 0);
    my $start = time;
    while (time - $start < 40 && numbers($master->path('ctl'))->{restarts}{max_rss} < 2) {
        my $bytes = int((time - $start) * $rate) - $leaked;
        $bytes = $rate / 10
            if $bytes > $rate / 10;    # what the machine could not do is not made up for
        $leaked = int((time - $start) * $rate);
        my $pid = $master->body_of("/leak?$bytes");
        $n++;
        $n_failed++ if !defined $pid;
        Time::HiRes::sleep(0.02);
        next if $n % 5;

        for my $worker (@{ numbers($master->path('ctl'))->{workers} }) {
            $most = $worker->{rss} if $worker->{rss} > $most;
        }
    }
    cmp_ok numbers($master->path('ctl'))->{restarts}{max_rss}, '>=', 2,
        'workers that have grown are replaced';
    my $lines = () = $master->stderr =~
        /^sprig: max_rss: this worker has served \d+ requests, has \d+\.\dM of memory, and is replaced$/mg;
    cmp_ok $lines, '>=', 2, 'the log has a line for each';
    is $n_failed, 0, "none of $n requests is lost";
    cmp_ok $most / 1048576, '<', $limit * 1.2,  'before the limit is passed by a fifth';
    cmp_ok $most / 1048576, '>', $limit * 0.85, 'and not long before it';
    $master->ends_ok;
};

subtest 'max_rss that is less than a worker has from the start' => sub {
    my $master = start_workers(code => $LEAK, flags => ['--admin', 'unix:ctl', '--max-rss', '5M']);
    my @before = $master->serving(2);
    ok eventually(sub {
        2 == (() = $master->stderr =~
                /max_rss = 5120K is less than the \d+K that a worker has before its first/g);
        }),
        'is told by each worker';
    Time::HiRes::sleep(1);
    is_deeply [sort $master->serving(2)], [sort @before], 'which are not replaced at once';
    $master->ends_ok;
};

subtest 'max_lifetime' => sub {
    my $master =
        start_workers(code => $LEAK, flags => ['--admin', 'unix:ctl', '--max-lifetime', 2]);
    my @before = $master->serving(2);
    ok eventually(sub { numbers($master->path('ctl'))->{restarts}{max_lifetime} >= 2 }),
        'both are replaced';
    my %before = map { $_ => 1 } @before;
    ok eventually(sub {
        !grep { $before{$_} } $master->serving(2);
        }),
        'by others';
    $master->ends_ok;
};

# TERM with a long drain_delay: it goes on until INT.
sub drains_ok {
    my ($server, $ctl) = @_;
    kill 'TERM', $server->pid;
    ok eventually(sub { (ask($ctl, '/readyz'))[0] == 503 }), '/readyz says no';
    my $n = 0;
    for (1 .. 5) {
        my $client = $server->connect;
        $client->send(get('/', 'Connection: close'));
        $n++ if $client->response->status == 200;
    }
    is $n,                           5,   'new connections are served on';
    is + (ask($ctl, '/healthz'))[0], 200, 'it is alive';
    kill 'INT', $server->pid;
    ok eventually(sub { !$server->is_alive }), 'INT ends it all the same';
    return;
}

# TERM with a drain_delay of a second.
sub ends_later_ok {
    my ($server) = @_;
    my $start = time;
    kill 'TERM', $server->pid;
    ok eventually(sub { !$server->is_alive }), 'TERM ends it';
    cmp_ok time - $start, '>=', 0.95, 'after the delay';
    return;
}

subtest 'drain_delay of a master' => sub {
    my $master =
        start_workers(code => $LEAK, flags => ['--admin', 'unix:ctl', '--drain-delay', 60]);
    $master->serving(2);
    drains_ok($master, $master->path('ctl'));

    $master = start_workers(code => $LEAK, flags => ['--drain-delay', 1]);
    $master->serving(2);
    ends_later_ok($master);
    like $master->stderr, qr/TERM: serving for another 1\.0 seconds \(drain_delay\)/,
        'which was told';

    $master = start_workers(code => $LEAK, flags => ['--drain-delay', 60]);
    kill 'TERM', $master->pid, $master->workers;
    Time::HiRes::sleep(0.3);
    ok defined $master->body_of('/'), 'TERM to all of the group: workers serve on';
    kill 'INT', $master->pid;
    ok eventually(sub { !$master->is_alive }), 'INT ends it all the same';
};

subtest 'drain_delay of a single process' => sub {
    my @flags = ('-o', '127.0.0.1', '-p', 0, '--drain-delay');
    my $ctl   = SprigTest::temp_path('ctl');
    drains_ok(start_program(@flags, 60, '--admin', "unix:$ctl", app_file($LEAK)), $ctl);
    ends_later_ok(start_program(@flags, 1, app_file($LEAK)));
};

subtest 'Retry-After' => sub {
    my $server = start_program(
        '-o', '127.0.0.1', '-p', 0, '--max-requests-in-flight', 1, '--queue-timeout', '0.4',
        app_file(<<'END')
use AnyEvent;
sub {
    my ($env) = @_;
    my $seconds = $env->{QUERY_STRING} || 0;
    return sub { my $respond = shift; my $w; $w = AE::timer $seconds, 0, sub { undef $w; $respond->([200, [], ['late']]) } };
};
END
    );
    my $first = $server->connect;
    $first->send(get('/?2', 'Connection: close'));
    is $first->response->status, 200, 'one took two seconds';
    my $blocker = $server->connect;
    $blocker->send(get('/?2'));
    my @waiting = map { my $c = $server->connect; $c->send(get('/?0')); $c } 1 .. 3;
    my $refused = $waiting[0]->response;
    is $refused->status, 503, 'one that waits too long is refused';
    my $seconds = $refused->header('Retry-After');
    cmp_ok $seconds, '>=', 4,
        "and told to come back when the others have had their turn ($seconds)";
    cmp_ok $seconds, '<=', 10, 'not later';
    $server->stop('INT');
};

subtest 'X-Request-Start' => sub {
    my $ctl    = SprigTest::temp_path('ctl');
    my @flags  = ('-o', '127.0.0.1', '-p', 0, '--admin', "unix:$ctl", '--queue-timeout', 5);
    my $server = start_program(@flags, '--trusted-proxies', '127.0.0.1', app_file($LEAK));
    my $ask    = sub {
        $server->ask(
            get('/', sprintf('X-Request-Start: t=%.3f', time - $_[0]), 'Connection: close'));
    };
    is $ask->(2)->status, 200, 'a request that has waited for two seconds elsewhere';
    my $queue = numbers($ctl)->{durations}{queue};
    cmp_ok $queue->{sum}, '>=', 2, 'they are queue time';
    cmp_ok $queue->{sum}, '<',  4, 'no more';
    is $ask->(6)->status, 503, 'one that has waited for longer than queue_timeout is refused';
    $server->stop;
    $server = start_program(@flags, app_file($LEAK));
    is $ask->(6)->status, 200, 'only proxies that are trusted are believed';
    cmp_ok numbers($ctl)->{durations}{queue}{sum}, '<', 1, 'and it is no queue time';
    $server->stop;
};

done_testing;
