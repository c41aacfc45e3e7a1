# Signals that mean nothing to a process, or come at a wrong time: they end nothing, and add nothing.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use POSIX ();
use SprigTest;
use SprigTest::Workers;
use Test::More;
use Time::HiRes qw(time sleep);

-d '/proc/self' or plan skip_all => 'no /proc';

sub said {
    my ($master) = @_;
    return join '', map { "$_\n" } grep { /sprig: / } $master->lines('stderr');
}

# ---- one process ----

for my $by ('program', 'plackup') {
    next if $by eq 'plackup' && !tool_path('plackup');
    subtest "HUP, USR1 and USR2 to one process, by $by" => sub {
        my $master = start_workers(workers => 1, by => $by);
        my $client = $master->connect;
        $client->send(get('/stream?8x0.1'));
        $master->await_lines('notes', qr/^stream/);
        $master->signal($_) for qw(USR1 HUP USR2);
        is $client->response->body, "piece\n" x 8, 'a request in progress is whole';
        like said($master), qr/HUP: nothing was done; .*--workers/, 'HUP says what it cannot do';
        like said($master), qr/USR2: .*needs a master/,             'and USR2 what it needs';
        is scalar(() = said($master) =~ /\n/g), 2, 'that is all';
        $master->ends_ok;
    };
}

subtest 'HUP and USR1 to one process with an access log' => sub {
    my $master = start_workers(workers => 1, flags => ['--access-log', 'log']);
    for my $signal (qw(HUP USR1)) {
        rename $master->path('log'), $master->path("before-$signal") or die "rename: $!";
        $master->signal($signal);
        ok eventually(sub { -e $master->path('log') }), "$signal: the file is opened anew";
    }
    ok $master->stderr_like(qr/HUP: the access log was reopened/), 'HUP tells it';
    unlike said($master), qr/USR1/, 'USR1 does not';
    $master->ends_ok;
};

subtest 'handlers of the application' => sub {
    my $master = start_workers(workers => 1, code => <<'APP');
use AnyEvent;
$SIG{HUP} = sub { print STDERR "HUP of the app\n" };
my $w;
sub {
    $w = AE::signal USR2 => sub { print STDERR "USR2 of the app\n" };
    $SIG{USR1} = sub { print STDERR "USR1 of the app\n" };
    [200, [], ['set']];
};
APP
    $master->body_of('/');
    for my $signal (qw(HUP USR1 USR2)) {
        $master->signal($signal);
        ok $master->stderr_like(qr/$signal of the app/), "$signal is the application's";
    }
    is said($master), '', 'and nobody else says anything';
    $master->ends_ok;
};

subtest 'while the application is being loaded, and behind its end' => sub {
    my $master = start_workers(
        workers => 1,
        waits   => 0,
        code    => 'print STDERR "loading\n"; select undef, undef, undef, 0.1 for 1 .. 10; '
            . 'END { print STDERR "ending\n"; select undef, undef, undef, 0.1 for 1 .. 10 } sub { [200, [], [1]] }'
    );
    $master->stderr_like(qr/loading/);
    $master->signal($_) for qw(HUP USR1 USR2);
    ok eventually(sub { $master->_is_ready }), 'it serves';
    $master->signal('TERM');
    $master->stderr_like(qr/ending/);
    $master->signal($_) for qw(HUP USR1 USR2);
    $master->ends_ok(signal => 'CONT');
};

subtest 'sprig -r' => sub {
    my $master = start_workers(workers => 1, flags => ['-r']);
    my $pid    = $master->body_of('/pid');
    for my $signal (qw(USR1 HUP USR2)) {
        $master->signal($signal);
        sleep 0.05;
    }
    ok $master->stderr_like(qr/USR2: .*needs a master/), 'the process that serves gets them';
    is $master->body_of('/pid'), $pid, 'and goes on';
    $master->ends_ok;
};

# ---- blocked and ignored by the parent ----

for my $n (1, 2) {
    subtest "signals that the parent has blocked, workers $n" => sub {
        my $master = start_workers(
            workers => $n,
            prepare => sub {
                my $all = POSIX::SigSet->new;
                $all->fillset;
                POSIX::sigprocmask(POSIX::SIG_BLOCK(), $all);
            }
        );
        $master->signal('USR2') if $n == 1;
        ok $n == 2 || $master->stderr_like(qr/USR2: /), 'USR2 is heard';
        my $start = time;
        $master->ends_ok;
        cmp_ok time - $start, '<', 10, 'TERM ends it in time';
    };

    subtest "HUP that the parent ignores (nohup), workers $n" => sub {
        my $master = start_workers(workers => $n, prepare => sub { $SIG{HUP} = 'IGNORE' });
        my @before = $master->serving($n);
        $master->signal('HUP');
        kill 'HUP', @before;
        sleep 0.3;
        is join(' ', $master->serving($n)), "@before", 'is ignored';
        is said($master),                   '',        'nothing is said';
        $master->ends_ok;
    };
}

subtest 'HUP behind TERM' => sub {
    for my $n (1, 2) {
        for (1 .. 5) {
            my $master = start_workers(workers => $n);
            my ($poll) = map { my $c = $master->connect; $c->send(get('/poll?0.3')); $c } 1;
            $master->await_lines('notes', qr/^poll/);
            kill 'STOP', $master->pid;
            kill 'TERM', $master->pid;
            kill 'HUP',  $master->pid;
            kill 'CONT', $master->pid;
            like $poll->response->body, qr/^polled/, "workers $n: the request is answered";
            $master->ends_ok(signal => 'CONT');
            is said($master), '', 'nothing is said';
        }
    }
};

# ---- TERM while the application is compiled ----

# A source that takes some seconds to compile, most of it folding of constants.
my $long = join "\n", 'BEGIN { print STDERR "compiling\n" }',
    (map { "use constant C$_ => $_; my \$v$_ = 'a' . 'b' x (3 + $_) . \"c\" . (1 + 2 * $_);" }
        1 .. 30_000),
    'sub { [200, [], ["never"]] }';

for my $kind ('one process', 'preload', 'workers', 'plackup -L Delayed') {
    my %option =
          $kind eq 'one process' ? (workers => 1)
        : $kind eq 'preload'     ? (workers => 2, flags => ['--preload-app'])
        : $kind eq 'workers'     ? (workers => 2)
        :                          (by => 'plackup', workers => 2, flags => ['-L', 'Delayed']);
    next if $kind =~ /plackup/ && !tool_path('plackup');
    subtest "TERM while the application is compiled: $kind" => sub {
        for my $signal (qw(TERM INT QUIT TERM TERM)) {
            my $master = start_workers(
                %option,
                listen => ['127.0.0.1:0', './app.sock'],
                code   => $long,
                waits  => 0,
                flags  => [@{ $option{flags} || [] }, '--pid', 'pid'],
            );
            $master->stderr_like(qr/compiling/) or diag $master->stderr;
            sleep rand 0.2;
            my $start = time;
            $master->ends_ok(signal => $signal, name => "$signal: status 0, and nothing is left");
            cmp_ok time - $start, '<', 5, 'at once';
            unlike $master->stderr, qr/panic/, 'without a panic';
        }
    };
}

# ---- the terminal ----

# A pseudo terminal: our end, and the path of the other one.
sub open_terminal {
    open my $ours, '+<', '/dev/ptmx' or return;
    my $unlocked = pack 'i', 0;
    ioctl $ours, 0x40045431, $unlocked or return;                   # TIOCSPTLCK
    ioctl $ours, 0x80045430, my $number = pack 'i', 0 or return;    # TIOCGPTN
    return ($ours, '/dev/pts/' . unpack 'i', $number);
}

# The leader of a session on that terminal starts the server as a job in the background.
sub in_background {
    my ($path, $stops_output) = @_;
    return sub {
        POSIX::setsid();
        open my $terminal, '+<', $path or die "$path: $!";
        ioctl $terminal, 0x540e, 0;    # TIOCSCTTY
        my $termios = POSIX::Termios->new;
        $termios->getattr(fileno $terminal);
        $termios->setlflag($termios->getlflag | 0400) if $stops_output;    # TOSTOP
        $termios->setattr(fileno $terminal, POSIX::TCSANOW());
        defined(my $pid = fork) or die "fork: $!";

        if ($pid) {
            waitpid $pid, 0;
            POSIX::_exit($? >> 8 || $? & 127);
        }
        setpgrp 0, 0;
        open STDIN, '<&', $terminal or die "stdin: $!";
    };
}

my $reader = <<'APP';
use strict; use warnings;
sub from_terminal { open my $in, '<', '/dev/tty' or return "open: $!"; return sysread($in, my $got, 10) // "$!" }
my $at_load = -e 'preload' ? '' : from_terminal();
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [200, [], [$at_load]] if $path eq '/load';
    return [200, [], [from_terminal()]] if $path eq '/read';
    return [200, [], [system('cat /dev/tty >/dev/null 2>&1') >> 8]] if $path eq '/child';
    return [200, [], [readlink '/proc/self/fd/0']] if $path eq '/stdin';
    if ($path eq '/warn') { open my $out, '>', '/dev/tty' or die; syswrite $out, "warned\n" }
    return [200, [], ["$$ done"]];
};
APP

SKIP: {
    my ($ours, $path) = open_terminal();
    skip 'no pseudo terminal here', 2 if !$path;
    for my $preloads (0, 1) {
        subtest "a job in the background that reads the terminal, preload $preloads" => sub {
            my ($ours, $path) = open_terminal();
            my $master = start_workers(
                workers => 2,
                code    => $reader,
                flags   => ['--pid', 'pid', $preloads ? '--preload-app' : ()],
                prepare => do {
                    my $do = in_background($path, 1);
                    sub { spew('preload', '') if $preloads; $do->() };
                },
            );
            $master->learn_master;
            like $master->body_of('/load'), qr/error/i, 'at load: an error' if !$preloads;
            like $master->body_of('/read'), qr/error/i, 'in a request: an error';
            isnt $master->body_of('/child'), undef, 'a program of the application fails';
            like $master->body_of('/warn'), qr/done/, 'stty tostop: writing goes through';
            is $master->body_of('/stdin'), '/dev/null', 'the standard input is /dev/null';
            is scalar($master->workers),   2,           'there are as many workers as before';
            is said($master),              '',          'nothing is told of more';
            $master->ends_ok;
        };
    }
}

subtest 'TTIN that processes send' => sub {
    my $master = start_workers(workers => 2, flags => ['--workers-limit', 3, '--pid', 'pid']);
    $master->signal('TTIN');
    ok $master->settles(3), 'one more';
    $master->signal('TTIN');
    ok $master->stderr_like(qr/3 workers, the most that workers_limit allows/), 'up to workers_limit';
    ok $master->settles(3),                                                  'no more';
    kill 'TTIN', $master->workers;
    kill 'TTOU', $master->workers;
    $master->signal('TTOU');
    ok $master->settles(2), 'TTOU: one less';
    $master->ends_ok;
};

subtest 'workers_limit' => sub {
    my $program = SprigTest::root() . '/blib/script/sprig';
    like output_of($program, '--workers', 4, '--workers-limit', 3, '-e', 'sub { }'),
        qr/workers_limit must be 0, or not less than workers \(4\), got '3'/, 'less than workers';
};

done_testing;
