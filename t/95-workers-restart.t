# Workers that end, fall, hang or never come up: who takes their place, when, and what is told of it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Load;
use SprigTest::Workers;
use Test::More;
use Time::HiRes qw(time);

-d '/proc/self' or plan skip_all => 'no /proc';

# Seconds between the loads of the app.
sub gaps {
    my ($master) = @_;
    my @times    = map { (split)[0] } $master->lines('loads');
    return map { $times[$_] - $times[$_ - 1] } 1 .. $#times;
}

subtest 'a worker that is killed' => sub {
    my $master = start_workers(workers => 2);
    my @before = $master->serving(2);
    my $start  = time;
    kill 'KILL', $before[0];
    ok eventually(sub {
        grep { $_ != $before[0] && $_ != $before[1] } $master->workers;
        }),
        'is replaced';
    cmp_ok time - $start, '<', 2, '... soon';
    ok $master->settles(2),    'two serve again';
    ok is_running($before[1]), '... one of which is the one that was left alone';
    like $master->stderr, qr/\b$before[0]\b.*(?:signal 9|KILL|killed)/i, 'the reason is told'
        or diag $master->stderr;
    $master->ends_ok;
};

subtest 'a worker is killed under load' => sub {
    my $master = start_workers(workers => 3);
    is scalar $master->serving(3), 3, 'three serve';
    my $blocked = $master->connect;
    $blocked->send(get('/loop'));
    my ($line)  = $master->await_lines('notes', qr/^loop/);
    my ($stuck) = $line =~ /([0-9]+)/;
    my @loads   = $master->loads;
    ok eventually(sub { $master->body_of('/') }), 'one is stuck in a request, the others answer';
    kill 'KILL', $stuck;
    ok $master->settles(3), 'it is killed, and three serve again';
    no_loss_ok('all outside the killed worker are answered', @loads);
    is $blocked->rest, '', 'the request inside it is not';
    $master->ends_ok;
};

subtest 'a worker that ends by itself' => sub {
    my $master = start_workers(workers => 2);
    my @before = $master->serving(2);
    is $master->body_of('/exit?3'), undef, 'the app calls exit';
    ok eventually(sub {
        2 == grep { is_running($_) } $master->workers and grep { !is_running($_) } @before;
        }),
        'a new one is there';
    ok $master->settles(2), 'two serve';
    like $master->stderr, qr/\b3\b/, 'its status is told';
    $master->ends_ok;
};

subtest 'max_requests' => sub {
    my $master = start_workers(workers => 2, flags => ['--max-requests', 20]);
    my @before = $master->serving(2);
    my @loads  = $master->loads;
    ok eventually(
        sub {
            !grep { is_running($_) } @before;
        },
        10
        ),
        'all workers are replaced in time';
    no_loss_ok('max_requests', @loads);
    ok $master->settles(2), 'by as many';
    $master->ends_ok;
};

# Serves, and then all workers are killed and cannot come up again.
sub start_and_break {
    my ($n, $dies) = @_;
    my $master = start_workers(workers => $n);
    $master->settles($n);
    my $n_loads = $master->lines('loads');
    $master->rewrite(dies => $dies);
    kill 'KILL', $master->workers;
    return ($master, $n_loads);
}

subtest 'an app that dies at load, later on' => sub {
    my ($master, $n) = start_and_break(4, 'die "broken on purpose\n";');
    $master->await_lines('loads', qr/./, $n + 9, 20);
    my @pauses = (gaps($master))[$n + 3 .. $n + 7];    # behind the first four
    cmp_ok $pauses[0],  '<', 5,   'is loaded again soon';
    cmp_ok $pauses[-1], '>', 0.7, "and then later and later (@pauses)";
    ok $master->is_alive, 'the master goes on trying';
    is scalar(() = $master->stderr =~ /broken on purpose/g), 1, 'the error is told once'
        or diag $master->stderr;

    $master->rewrite;
    ok $master->settles(4, 30), 'once the app is right, all workers serve';
    is $master->body_of('/'), 1, 'the right one';
    $master->ends_ok;
};

subtest 'an app that ends the process at load, later on' => sub {
    my ($master, $n) = start_and_break(2, 'exit 7;');
    cmp_ok scalar $master->await_lines('loads', qr/./, $n + 4), '>=', $n + 4, 'is tried again';
    like $master->stderr, qr/exited with status 7/, 'the status is told';
    is scalar(() = $master->stderr =~ /status 7/g), 1, '... once';
    is $master->stop,                               0, 'TERM ends it';
};

# Of a server that nobody has seen serve yet.
my %first = (
    'an app that dies at load'             => ['die "broken on purpose\n"', qr/broken on purpose/],
    'an app that is not there'             => ['require Not::There',        qr/Not\/There\.pm/],
    'an app that ends the process at load' => ['exit 7', qr/exited with status 7/],
    'an access log that cannot be opened'  =>
        [undef, qr{no/such/folder/log}, '--access-log', 'no/such/folder/log'],
);

for my $name (sort keys %first) {
    for my $preloads (0, 1) {
        next if $preloads && $name =~ /ends the process/;
        subtest "the very first start, preload $preloads: $name" => sub {
            my ($code, $message, @flags) = @{ $first{$name} };
            my $master = start_workers(
                workers => 4,
                listen  => ['127.0.0.1:0', './app.sock'],
                flags   => ['--pid', 'pid', @flags, $preloads ? '--preload-app' : ()],
                code    => defined $code ? "$code; sub { }" : undef,
                waits   => 0,
            );
            ok eventually(sub { !$master->is_alive }), 'the server ends';
            is $master->stop('CONT') >> 8, 1, 'with status 1';
            is scalar(() = $master->stderr =~ /$message/g), 1, 'and says why, once'
                or diag $master->stderr;
            is join(' ', processes_in($master->dir), grep { -S || /pid/ } glob $master->path('*')),
                '', 'nothing is left';
        };
    }
}

subtest 'the very first start, and one of the workers cannot' => sub {
    my $master = start_workers(
        workers => 3,
        code    => app_text(dies => 'die "only once\n" if -e "once" && unlink "once";'),
        prepare => sub { spew('once', '') },
    );
    ok $master->settles(3), 'the others serve, and it is tried again';
    is scalar(() = $master->stderr =~ /only once/g), 1, 'which is told' or diag $master->stderr;
    $master->ends_ok;
};

subtest 'start_timeout' => sub {
    my $master = start_workers(
        workers => 2,
        code  => app_text(dies => 'select undef, undef, undef, 30 if -e "hang" && unlink "hang";'),
        flags => ['--start-timeout', 3],
        prepare => sub { spew('hang', '') },
        waits   => 0,
    );
    ok eventually(sub { $master->_is_ready }), 'one worker loads, the other hangs';
    my ($hung) = map { (split)[1] } $master->lines('loads');
    ok eventually(sub { $master->serving(2, 1) == 2 }), 'which is replaced'
        or diag $master->stderr;
    like $master->stderr, qr/start_timeout|in time|did not/, 'and told of';
    ok $master->settles(2), 'two serve';
    $master->ends_ok;
};

subtest 'harakiri' => sub {
    my $master = start_workers(code => 'sub { my ($env) = @_; $env->{"psgix.harakiri.commit"} = 1 '
            . 'if $env->{PATH_INFO} eq "/bye" && $env->{"psgix.harakiri"}; [200, [], [$$]] }');
    my $pid = $master->body_of('/bye');
    ok eventually(sub { !is_running($pid) && $master->workers == 2 }),
        'ends the worker behind the answer, and another takes its place';
    ok is_running($master->pid), 'the master goes on';
    $master->ends_ok;
};

done_testing;
