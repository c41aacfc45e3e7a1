# Signals and ends that come at the wrong time: an upgrade that fails, hangs or is overtaken by the end.

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

# Ends only if it is killed.
my $STUBBORN =
    '$SIG{$_} = "IGNORE" for qw(TERM INT QUIT HUP); 1 while select undef, undef, undef, 60;';

sub unix_body {
    my ($master) = @_;
    my $response = eval {
        my $client = $master->unix_client($master->path('app.sock'));
        $client->send(get('/', 'Connection: close'));
        $client->response;
    };
    return $response ? $response->body : "none: $@";
}

for my $by ('program', 'preload') {
    subtest "USR2 to a broken app, at a unix socket ($by)" => sub {
        my $master = start_workers(
            listen => ['127.0.0.1:0', './app.sock'],
            flags  => [$by eq 'preload' ? '--preload-app' : ()],
        );
        my @before = $master->serving(2);
        for my $dies ('die "broken\n";', 'exit 3;', 'kill KILL => $$;') {
            $master->rewrite(dies => $dies);
            my $logged = length $master->stderr;
            $master->signal('USR2');
            ok $master->stderr_like(qr/upgrading: pid [0-9]+ starts/, from => $logged),
                "a new one starts, and ($dies)";
            ok eventually(sub { 3 == processes_in($master->dir) }), 'ends';
            is unix_body($master), 1, 'the unix socket is still there';
        }
        is join(' ', $master->serving(2)), "@before", 'the old workers serve';
        $master->ends_ok;
    };
}

for my $signal ('TERM', 'INT') {
    subtest "$signal while the new one loads, deaf to signals" => sub {
        my $master = start_workers(workers => 2);
        $master->serving(2);
        $master->rewrite(version => 2, dies => $STUBBORN);
        $master->signal('USR2');
        is scalar($master->await_lines('loads', qr/ 2$/, 2)), 2, 'its workers load the app';
        my $start = time;
        $master->ends_ok(signal => $signal, name => 'ends all, and leaves nothing');
        cmp_ok time - $start, '<', 8, 'soon';
    };
}

subtest 'USR2, and the new one hangs' => sub {
    my $master = start_workers(flags => ['--preload-app', '--start-timeout', 6, '--pid', 'pid']);
    my @before = $master->serving(2);
    $master->rewrite(version => 2, dies => 'select undef, undef, undef, 60;');
    $master->signal('USR2');
    ok $master->await_lines('loads', qr/ 2$/), 'it loads the app';
    ok eventually(sub { $master->stderr =~ /cannot upgrade.*start_timeout/ }), 'and is given up'
        or diag $master->stderr;
    is join(' ', $master->serving(2)), "@before", 'the old workers serve';
    $master->rewrite(version => 3);
    $master->signal('USR2');
    ok eventually(sub { ($master->body_of('/') || 0) == 3 && !is_running($master->pid) }),
        'the next upgrade is one';
    $master->learn_master;
    $master->ends_ok;
};

# Listening sockets among the descriptors of a process.
sub listening_in {
    my ($pid) = @_;
    my %inode = map { $_ => 1 } map { readlink($_) || '' } glob "/proc/$pid/fd/*";
    my @tcp = map { (split)[3] eq '0A' ? (split)[9] : () } split /\n/, slurp("/proc/$pid/net/tcp");
    return grep { $inode{"socket:[$_]"} } @tcp;
}

subtest 'TERM to a master that has handed over' => sub {
    my $master = start_workers(flags => ['--pid', 'pid']);
    my $poll   = $master->connect;
    $poll->send(get('/poll?1.5', 'Connection: close'));
    $master->await_lines('notes', qr/^poll/);
    $master->signal('USR2');
    ok eventually(sub { my ($pid) = $master->lines('pid'); $pid && $pid != $master->pid }),
        'a new master serves';
    ok $master->stderr_like(qr/upgraded/), 'as the old one knows';
    $master->signal('TERM');
    like $poll->response->body, qr/^polled/, 'its first TERM does not end a request in progress';
    $master->learn_master;
    $master->ends_ok;
};

subtest 'a program of the app, after USR2' => sub {
    my $master = start_workers(flags => ['--pid', 'pid'], code => <<'APP');
my $child = fork;
exec 'sleep', 60 if !$child;
sub { [200, [], [$child]] };
APP
    $master->signal('USR2');
    ok eventually(sub { !is_running($master->pid) }), 'a new master';
    $master->learn_master;
    my $child = $master->body_of('/');
    ok eventually(sub { slurp("/proc/$child/cmdline") =~ /\Asleep/ }),
        'its worker has started a program';
    is scalar(listening_in($_)),     1, 'the worker has the socket' for $master->workers;
    is scalar(listening_in($child)), 0, 'the program has not';
    kill 'KILL', grep { slurp("/proc/$_/cmdline") =~ /\Asleep/ } processes_in($master->dir);
    $master->ends_ok;
};

subtest 'an error with control characters' => sub {
    my $master = start_workers(code => 'die "broken \e[2J\x07 on purpose\n"', waits => 0);
    ok $master->stderr_like(qr/broken  \[2J  on purpose/), 'does nothing to a terminal'
        or diag $master->stderr;
    is $master->stop('CONT') >> 8, 1, 'and the master ends with status 1';
};

subtest 'process 1, and USR2 to the one that the pid file names' => sub {
    my @unshare = ('unshare', '--pid', '--fork', '--mount-proc', '--kill-child');
    system("@unshare true 2>/dev/null") == 0 or plan skip_all => 'no pid namespace here';
    my $outer   = start_workers(under => \@unshare, flags => ['--pid', 'pid']);
    my ($first) = children_of($outer->pid);
    my $masters = sub {
        grep { children_of($_) } children_of($first);
    };
    for my $n (2, 3) {
        ok eventually(sub { $n - 2 == (() = $outer->stderr =~ /upgraded: pid/g) }),
            'no upgrade is under way';
        my ($before) = $masters->();
        $outer->rewrite(version => $n);
        kill 'USR2', $before || $first;
        ok eventually(
            sub {
                my @now = $masters->();
                @now == 1 && $now[0] != ($before || 0) && ($outer->body_of('/') || 0) == $n;
            },
            10
            ),
            'the new app, by a new master'
            or diag $outer->stderr;
    }
    ok is_running($first), 'process 1 is still there';
    kill 'TERM', $first;
    is $outer->stop('CONT'), 0, 'TERM to it ends all';
};

subtest 'USR2 by a user who was root when the pid file was made' => sub {
    $> == 0 && getpwnam 'nobody' or plan skip_all => 'only root can become somebody else';
    SprigTest::others_may_read() or plan skip_all => 'others may not read this folder';
    my $master = start_workers(
        flags   => ['--preload-app', '--user', 'nobody', '--pid', 'pid'],
        prepare => sub { chmod 0755, '..'; chmod 0777, $_ for '.', 'stdout', 'stderr' },
    );
    my $old = $master->learn_master;
    $master->signal('USR2');
    ok eventually(sub { !is_running($old) }), 'the old master is gone';
    my ($pid) = $master->lines('pid');
    isnt $pid || $old, $old, 'the pid file names the new one' or diag $master->stderr;
    $master->learn_master if $pid;
    $master->ends_ok;
};

# As root, in a folder of root's, with the pid file in it.
sub start_for_nobody {
    $> == 0 && getpwnam 'nobody' or plan skip_all => 'only root can become somebody else';
    SprigTest::others_may_read() or plan skip_all => 'others may not read this folder';
    return start_workers(
        flags   => ['--preload-app', '--user', 'nobody', '--pid', 'run/pid', @_],
        prepare => sub {
            mkdir 'run';
            chmod 0755, '..', 'run';
            chmod 0777, $_ for '.', 'stdout', 'stderr';
        },
    );
}

subtest 'USR2 by a user who may not write to the folder of the pid file' => sub {
    my $master = start_for_nobody();
    my $path   = $master->path('run/pid');
    my $inode  = (stat $path)[1];
    $master->learn_master('run/pid');
    for my $n (1, 2) {
        my $old = $master->master;
        $master->signal('USR2');
        ok eventually(sub { !is_running($old) }), "upgrade $n: the old master is gone";
        my $pid = $master->learn_master('run/pid');
        isnt $pid || $old, $old,     'the pid file names the new one';
        is slurp($path),   "$pid\n", '... and nothing else' if $pid;
    }
    is((stat $path)[1], $inode, 'it is the same file');
    unlike $master->stderr, qr{pid file|not an option}, 'no complaint';

    my @again = (
        SprigTest::root() . '/blib/script/sprig',
        '-l', '127.0.0.1:0', '--pid', $path, '-e', '"sub {}"'
    );
    my $pid = $master->master;
    like scalar(`@again 2>&1`), qr/in use by the running process $pid\b/,
        'a second server is refused as long as it lives';
    is $master->stop, 0, 'TERM';
    is -s $path,      0, '... leaves a file that names nobody';
};

subtest 'USR2 by that user, when the pid file was exchanged' => sub {
    my $master = start_for_nobody();
    my $path   = $master->path('run/pid');
    my $old    = $master->learn_master('run/pid');
    rename $path, "$path.old" or die "$path: $!";
    SprigTest::spew($path, "1234567\n");
    $master->signal('USR2');
    ok eventually(sub { !is_running($old) }), 'the old master is gone';
    is slurp($path), "1234567\n", 'somebody else\'s file stays as it is';
    my ($new) = $master->stderr =~ /upgraded: pid ([0-9]+)/;
    like $master->stderr,
        qr/pid file \Q$path\E: Permission denied; it does not name process $new, because user [0-9]+ may not write/,
        'the log says what is wrong';
    $master->{master} = $new;
    is $master->stop, 0,           'TERM';
    is slurp($path),  "1234567\n", '... leaves it too';
};

subtest 'a start that fails because the user cannot write the access log' => sub {
    $> == 0 && getpwnam 'nobody' or plan skip_all => 'only root can become somebody else';
    my $dir = SprigTest::temp_path('run');
    mkdir $dir, 0755 or die "$dir: $!";
    my @command = (
        SprigTest::root() . '/blib/script/sprig',
        '-l', '127.0.0.1:0',
        qw(--workers 2 --preload-app),
        qw(--user nobody --access-log /nonexistent/log -e),
        '"sub {}"', '--pid', "$dir/pid"
    );
    like scalar(`@command 2>&1`),
        qr{access_log: cannot write to /nonexistent/log as user nobody: No such file}, 'says so';
    is_deeply [glob "$dir/*"], [], 'and leaves no pid file';
};

done_testing;
