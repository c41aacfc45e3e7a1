# Where a master runs: as process 1, under systemd's and Server::Starter's protocols, in the background, and
# as another user.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use SprigTest;
use SprigTest::Load;
use SprigTest::Workers;
use Test::More;
use Time::HiRes qw(time);

-d '/proc/self' or plan skip_all => 'no /proc';

my $program = SprigTest::root() . '/blib/script/sprig';

# States of the processes that have this parent, dead ones included.
sub states_below {
    my ($parent) = @_;
    my @states;
    for my $file (glob '/proc/[0-9]*/stat') {
        my $text = eval { slurp($file) } or next;
        push @states, $1 if $text =~ /.*\) (\S) $parent /s;
    }
    return @states;
}

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "port: $!";
    return $socket->sockport;
}

subtest 'process 1' => sub {
    my @unshare = ('unshare', '--pid', '--fork', '--mount-proc', '--kill-child');
    system("@unshare true 2>/dev/null") == 0 or plan skip_all => 'no pid namespace here';
    my $outer = start_workers(
        workers => 2,
        under   => \@unshare,
        flags   => ['--pid',       'pid'],
        listen  => ['127.0.0.1:0', './app.sock']
    );
    my ($master) = children_of($outer->pid);
    is join(' ', $outer->lines('pid')), 1,      'the master is process 1';
    is $outer->body_of('/getppid'),     1,      'of a worker';
    is $outer->body_of('/orphan'),      'left', 'a child of the app leaves an orphan';
    ok eventually(sub {
        my @states = states_below($master);
        @states == 2 && !grep { $_ eq 'Z' } @states;
        }),
        'which is reaped'
        or diag join ' ', states_below($master);

    my $stream = $outer->connect;
    $stream->send(get('/stream?6x0.1'));
    $outer->await_lines('notes', qr/^stream/);
    kill 'TERM', $master;
    is $stream->response->body, "piece\n" x 6, 'TERM: a request in progress is answered';
    ok eventually(sub { !$outer->is_alive }), 'then it ends';
    is $outer->stop,                                0,  'with status 0';
    is join(' ', glob $outer->path('*{pid,sock}')), '', 'no pid file and no socket is left';
};

subtest 'process 1, and USR2' => sub {
    my @unshare = ('unshare', '--pid', '--fork', '--mount-proc', '--kill-child');
    system("@unshare true 2>/dev/null") == 0 or plan skip_all => 'no pid namespace here';
    my $outer = start_workers(
        under   => \@unshare,
        code    => app_text(module => 1),
        flags   => ['--pid',       'pid'],
        listen  => ['127.0.0.1:0', './app.sock'],
        prepare => sub { spew('lib/Changed.pm', 'package Changed; our $VERSION = "m1"; 1') }
    );
    my ($master) = children_of($outer->pid);
    my @loads = $outer->loads;
    $outer->put('lib/Changed.pm', 'package Changed; our $VERSION = "m2"; 1');
    kill 'USR2', $master;
    ok eventually(sub { ($outer->body_of('/about') || '') =~ / m2$/ }), 'the new module';
    ok eventually(sub { join('', $outer->lines('pid')) ne '1' }),           'of a new master';
    ok is_running($master), 'process 1 stays: all others would end with it';
    no_loss_ok('USR2', @loads);
    kill 'TERM', $master;
    is $outer->stop('CONT'), 0, 'TERM to it ends all';
    is join(' ', grep { -e } glob $outer->path('*{pid,sock}')), '',
        'no pid file and no socket is left';
};

subtest 'LISTEN_FDS' => sub {
    my $tcp   = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1') or die "listen: $!";
    my $path  = SprigTest::temp_path('listen.sock');
    my $unix  = IO::Socket::UNIX->new(Listen => 50, Local => $path) or die "listen: $!";
    my $start = sub {
        my @copies = map { POSIX::dup(fileno $_) } $tcp, $unix;
        POSIX::dup2($copies[$_], 3 + $_) for 0, 1;
        @ENV{qw(LISTEN_FDS LISTEN_PID)} = (2, $$);
    };
    for my $flags ([], ['--preload-app']) {
        my $master = start_workers(workers => 2, listen => [], flags => $flags, prepare => $start);
        is $master->port, $tcp->sockport, "@$flags the port that was handed over";
        my @old = $master->serving(2);
        is scalar @old, 2, 'two workers serve it';
        my $client = $master->unix_client($path);
        $client->send(get('/'));
        is $client->response->body, 1, 'and the unix socket';
        my @loads = $master->loads;
        $master->signal('HUP');
        ok eventually(
            sub {
                !grep { is_running($_) } @old;
            },
            10
            ),
            'HUP';
        ok $master->settles(2), 'two serve again';
        no_loss_ok('HUP', @loads);
        $master->ends_ok;
        ok -S $path, 'the unix socket is not ours to remove';
    }
};

subtest 'USR2 with sockets that were handed over' => sub {
    my $tcp    = IO::Socket::INET->new(Listen => 50, LocalAddr => '127.0.0.1') or die "listen: $!";
    my $master = start_workers(
        listen  => [],
        flags   => ['--pid', 'pid'],
        prepare => sub {
            POSIX::dup2(POSIX::dup(fileno $tcp), 3);
            @ENV{qw(LISTEN_FDS LISTEN_PID)} = (1, $$);
        }
    );
    $master->serving(2);
    my $old   = $master->learn_master;
    my @loads = $master->loads;
    $master->signal('USR2');
    ok eventually(sub { !is_running($old) }), 'the old master is gone';
    isnt $master->learn_master, $old, 'there is a new one';
    ok $master->settles(2), 'two workers serve';
    no_loss_ok('USR2', @loads);
    $master->ends_ok;
};

subtest 'start_server' => sub {
    my $starter = tool_path('start_server')
        or plan skip_all => 'Server::Starter is not installed';
    my $port   = free_port();
    my $master = start_workers(
        under =>
            [$starter, '--port', "127.0.0.1:$port", '--path', 'app.sock', '--interval', 1, '--'],
        listen => []
    );
    is $master->port, $port, 'the port of start_server';
    my ($first) = children_of($master->pid);
    is scalar $master->serving(2), 2, 'two workers serve';
    my @loads =
        ($master->loads, SprigTest::Load->start(path => $master->path('app.sock'), keeps => 1));
    $master->rewrite(version => 2);
    $master->signal('HUP');
    ok eventually(sub { !is_running($first) }), 'HUP to start_server: the first master is gone';
    is $master->body_of('/'), 2, 'the new code serves';
    no_loss_ok('HUP to start_server', @loads);
    $master->ends_ok(name => 'TERM to start_server ends all');
};

# Runs a command in the folder of a new app and returns its status and seconds.
sub run_daemon {
    my ($master) = @_;
    ok eventually(sub { !$master->is_alive }), 'the command returns' or diag $master->stderr;
    return $master->{status} >> 8;
}

for my $n (1, 2) {
    subtest "daemonize, workers $n" => sub {
        my $master = start_workers(
            workers => $n,
            flags   => ['--daemonize', '--pid', 'pid'],
            listen  => ['127.0.0.1:0', './app.sock'],
            waits   => 0
        );
        is run_daemon($master), 0, 'with status 0';
        ($master->{port}) = $master->stderr =~ m{http://\S+:([0-9]+)/};
        is $master->body_of('/'), 1, 'when it serves';
        my $pid = $master->learn_master;
        ok is_running($pid), 'the pid file names the process that stays';
        my $process = process_of($pid);
        isnt $process->{session},       POSIX::getpgrp(),        'in a session of its own';
        isnt $process->{parent},        $$,                      'no child of ours';
        is readlink("/proc/$pid/fd/0"), '/dev/null',             'without a terminal';
        is readlink("/proc/$pid/fd/2"), $master->path('stderr'), 'a file as standard error stays';

        if ($n > 1) {
            ok $master->settles(2), 'two workers';
            my @old   = $master->workers;
            my @loads = $master->loads;
            $master->rewrite(version => 2);
            $master->signal('HUP');
            ok eventually(
                sub {
                    !grep { is_running($_) } @old;
                },
                10
                ),
                'HUP';
            is $master->body_of('/'), 2, 'the new code serves';
            $master->signal('USR2');
            ok eventually(sub { !is_running($pid) }), 'USR2: the old master is gone';
            isnt $master->learn_master, $pid, 'the pid file names the new one';
            ok $master->settles(2), 'two workers';
            no_loss_ok('HUP, USR2', @loads);
        }
        $master->ends_ok;
    };
}

subtest 'daemonize with a pipe as output' => sub {
    local $SIG{ALRM} = sub { die "the command keeps its output open\n" };
    my $dir = SprigTest::temp_path('daemon');
    mkdir $dir or die "$dir: $!";
    alarm 20;
    my $out = eval {
        output_of('sh', '-c', 'cd "$1" && shift && exec "$@"',
            'sh', $dir,    $program, '--workers', 2,
            '-D', '--pid', 'pid',    '-l', '127.0.0.1:0', '-e', 'sub { [200, [], ["hello"]] }');
    };
    alarm 0;
    my $pid = -e "$dir/pid" && slurp("$dir/pid") + 0;
    like $out, qr{\Asprig .*\(2 workers}, 'tells where it listens, and lets go of it' or diag $@;
    ok $pid && is_running($pid), 'it runs';
    kill 'TERM', $pid if $pid;
    ok eventually(sub { !$pid || !is_running($pid) }), 'and ends';
};

subtest 'daemonize that fails' => sub {
    for my $n (1, 2) {
        my $broken = start_workers(
            workers => $n,
            code    => "die 'broken on purpose';\n",
            flags   => ['--daemonize', '--pid', 'pid'],
            waits   => 0
        );
        is run_daemon($broken), 1, "$n: status 1 if the app cannot be loaded";
        like $broken->stderr, qr/broken on purpose at \S*app\.psgi line 1/, 'with the reason';
        ok eventually(sub { !processes_in($broken->dir) && !-e $broken->path('pid') }),
            'nothing is left';

        my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $!;
        my $bound = start_workers(
            workers => $n,
            listen  => ['./app.sock',  '127.0.0.1:' . $taken->sockport],
            flags   => ['--daemonize', '--pid', 'pid'],
            waits   => 0
        );
        is run_daemon($bound), 1, "$n: status 1 if the port is taken";
        like $bound->stderr,
            qr/^sprig: cannot listen on 127\.0\.0\.1:\d+: Address already in use\n\z/,
            'with the reason';
        ok eventually(sub { !processes_in($bound->dir) }), 'no process';
        is join(' ', grep { -e } glob $bound->path('{pid,app.sock}')), '',
            'no pid file and no socket is left';
    }
};

subtest 'plackup -D' => sub {
    my $master = start_workers(by => 'plackup', flags => ['-D', '--pid', 'pid'], waits => 0);
    is run_daemon($master), 0, 'with status 0';
    ok eventually(sub { $master->body_of('/') }), 'serves' or diag $master->stderr;
    $master->learn_master;
    ok $master->settles(2), 'two workers';
    $master->ends_ok;
};

subtest 'the pid file' => sub {
    for my $n (1, 2) {
        my $master = start_workers(workers => $n, flags => ['--pid', 'pid']);
        is slurp($master->path('pid')), $master->pid . "\n", "$n: number of the master";
        my $second = output_of($program, '--workers', $n, '--pid', $master->path('pid'),
            '-l', '127.0.0.1:0', '-e', 'sub { }');
        my $path = $master->path('pid');
        like $second, qr/\Asprig: .*\Q$path\E.*\n\z/, 'another server does not take it';
        is slurp($path), $master->pid . "\n", '... and leaves it alone';
        $master->ends_ok;

        my $target = spew(SprigTest::temp_path('target'), 'precious');
        my $link   = SprigTest::temp_path('link-pid');
        symlink $target, $link or die "symlink: $!";
        like output_of(
            $program, '--workers', $n, '--pid', $link, '-l', '127.0.0.1:0', '-e', 'sub { }'
            ),
            qr/\Asprig: .*\Q$link\E.*\n\z/, "$n: a link is not followed";
        is slurp($target), 'precious', '... nothing is written';
    }
};

SKIP: {
    skip 'not run by root', 1 if $>;
    my @user = getpwnam 'nobody' or skip 'no user nobody', 1;
    my ($uid, $gid) = @user[2, 3];
    skip 'others may not read this folder', 1 if !SprigTest::others_may_read();
    my $parent = (SprigTest::temp_path('x') =~ m{(.*)/})[0];
    chmod 0755, $parent or die "$parent: $!";

    for my $preloads (0, 1) {
        subtest 'user, group and umask, preload_app ' . ($preloads ? 'on' : 'off') => sub {
            my $master = start_workers(
                workers => 2,
                code    => <<'APP',
sub ids { return join '|', $<, $>, $( + 0, $) + 0, sprintf '%03o', umask }
my $at_load = ids();
sub { [200, [], [$_[0]{PATH_INFO} eq '/load' ? $at_load : ids()]] };
APP
                listen => ['127.0.0.1:0', './app.sock'],
                flags  =>
                    [qw(--user nobody --umask 027 --pid pid), $preloads ? '--preload-app' : ()],
            );
            is $master->body_of('/'), "$uid|$uid|$gid|$gid|027", 'the workers are nobody';
            is $master->body_of('/load'), "$uid|$uid|$gid|$gid|027",
                'and were before the app was loaded';
            is + (stat '/proc/' . $master->pid)[4], $preloads ? $uid : 0,
                $preloads ? 'so is the master, which has loaded it' : 'the master is root';
            is + (stat $master->path('app.sock'))[4], $uid, 'the socket is that of the user';
            my @old = $master->workers;
            $master->signal('HUP');
            ok eventually(
                sub {
                    !grep { is_running($_) } @old;
                },
                10
                ),
                'HUP';
            is $master->body_of('/'), "$uid|$uid|$gid|$gid|027", 'new workers are as well';

            if ($preloads) {
                is $master->stop, 0, 'the master ends';
                is slurp($master->path('pid')), '',
                    'the pid file, in a folder of root, is emptied at the end'
                    if -e $master->path('pid');
            } else {
                $master->ends_ok;
            }
        };
    }
}

done_testing;
