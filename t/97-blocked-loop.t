# Perl that keeps the event loop is named, with the request and the place, and is not disturbed.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Admin;
use SprigTest::Program;
use SprigTest::Workers;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

-d '/proc/self' or plan skip_all => 'no /proc';

delete $ENV{SPRIG_BLOCK_WARNING};    # which other tests turn off

my $HAS_SQLITE = eval { require DBD::SQLite; 1 };

my $APP = <<'END';
use strict; use warnings; use AnyEvent; use Time::HiRes ();
package My::Report;
sub nap { sleep 3 }                                                             # line 3
sub add { my ($x, $end) = (0, Time::HiRes::time() + 3);
    while (Time::HiRes::time() < $end) {
        $x += $_ for 1 .. 1000;                                                 # line 6
    }
}
sub match { my $s = 'a' x 30 . 'b';
    $s =~ /\A(?:(a|aa)\1?)+\z/;                                        # line 10
}
sub query { require DBI; my $dbh = DBI->connect('dbi:SQLite:dbname=:memory:', '', '', { RaiseError => 1 });
    $dbh->sqlite_create_function(nap => 0, sub { Time::HiRes::sleep(3); 1 });
    my $n = $dbh->selectrow_array('SELECT nap()');                              # line 14
}
sub wait_for { pipe my $in, my $out or die;
    my $pid = fork; defined $pid or die;
    if (!$pid) { sleep 3; syswrite $out, 'late'; POSIX::_exit(0) }
    close $out;
    my $n = sysread $in, my $text, 10;                                          # line 20
    my $error = defined $n ? '' : "$!";
    waitpid $pid, 0;
    return defined $n ? $text : "failed: $error";
}
package main;
use POSIX ();
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    my $body = $path eq '/nap' ? My::Report::nap() : $path eq '/add' ? My::Report::add()
        : $path eq '/match' ? My::Report::match() : $path eq '/query' ? My::Report::query()
        : $path eq '/wait' ? My::Report::wait_for() : $path eq '/forever' ? do { 1 while 1 } : $$;
    if ($path eq '/later') {
        return sub {
            my ($respond) = @_;
            my $w; $w = AE::timer 0, 0, sub { undef $w; sleep 2; $respond->([200, [], ['late']]) };
        };
    }
    return [200, ['Content-Type' => 'text/plain'], ["$body"]];
};
END

# How soon the first line has to be there. Where the machine is busy with other things the thread that
# writes it may have to wait for a processor: then it is asked again.
my ($FIRST_SECONDS, $TRIES) = (1.5, 3);

# Asks for the path; the seconds until the first line about it is there, and the line.
sub told {
    my ($server, $path) = @_;
    my $before = length $server->stderr;
    my $client = $server->connect;
    my $start  = time;
    $client->send(get("$path?x=1", 'Connection: close'));
    my $line;
    eventually(sub {
        ($line) = substr($server->stderr, $before) =~ /^(.* has blocked .*)$/m;
        defined $line;
    }, 5);
    return (time - $start, $line || '', $client);
}

sub names {
    my ($server, $path, $whom, $place) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($seconds, $line, $client);
    for my $try (1 .. $TRIES) {
        $client->response if $client;
        ($seconds, $line, $client) = told($server, $path);
        last if $seconds <= $FIRST_SECONDS || $path eq '/match';
    }
    cmp_ok $seconds, '<=', $FIRST_SECONDS, "$path is told in time" if $path ne '/match';
    like $line, qr{GET \Q$path\E\?x=1 has blocked $whom for 1\.\d s at \S*app\S* line $place$}, "$path is named";
    return $client;
}

my $file = spew(SprigTest::temp_path('dir') . 'app.psgi', $APP);

subtest 'the program' => sub {
    my $server = start_program('-o', '127.0.0.1', '-p', 0, $file);
    names($server, '/nap', 'the event loop', qr/3 \(My::Report::nap\)/)->response;
    ok eventually(sub { $server->stderr =~ m{GET /nap\?x=1 no longer blocks the event loop: it took [3-5]\.\d s} }),
        'its end is told';
    is scalar(() = $server->stderr =~ m{GET /nap\?x=1 has blocked}g), 2, 'after one and two seconds';
    names($server, '/add', 'the event loop', qr/[56] \(My::Report::add\)/)->response;
    my $client = names($server, '/wait', 'the event loop', qr/20 \(My::Report::wait_for\)/);
    is $client->response->body, 'late', 'a system call that waits is not interrupted';
    my ($seconds, $line) = told($server, '/later');
    like $line, qr/a callback has blocked the event loop for 1\.\d s at \S+ line 36 \(main::__ANON__\)/,
        'code that runs later is a callback';
    $server->stop('INT');
};

subtest 'a regular expression and a database' => sub {
    my $server = start_program('-o', '127.0.0.1', '-p', 0, $file);
    SKIP: {
        skip 'DBD::SQLite is not installed', 1 if !$HAS_SQLITE;
        names($server, '/query', 'the event loop', qr/1[34] \(\S+\)/)->response;
    }
    names($server, '/match', 'the event loop', qr/10 \(My::Report::match\)/);
    $server->stop('KILL');
};

subtest 'plackup' => sub {
    my $server = start_workers(by => 'plackup', code => $APP, own_flags => 1, flags => []);
    names($server, '/nap', 'the event loop', qr/3 \(My::Report::nap\)/);
    $server->stop('INT');
};

# Whether the system lets a thread have descriptors of its own and borrow others: pidfd_getfd(2), which is
# not there or forbidden, or finds that -1 is no process.
sub threads_can_leave {
    return $^O eq 'linux' && syscall(438, -1, 0, 0) == -1 && $!{EBADF};
}

subtest 'what watches keeps nothing open' => sub {
    threads_can_leave() or plan skip_all => 'the system shares descriptors among all threads';
    my $server = start_program('-o', '127.0.0.1', '-p', 0, '--error-log', '/dev/stderr', $file);
    my $pid    = $server->pid;
    my $client = $server->connect;
    $client->send(get('/pid'));
    $client->response;
    my @others;
    ok eventually(sub { @others = grep { !m{/\Q$pid\E\z} } glob "/proc/$pid/task/*" }), 'there is a thread';
    ok eventually(sub { !(() = glob "$others[0]/fd/*") }), 'it has no descriptors';
    $client->send(get('/nap?x=1'));
    ok eventually(sub { $server->stderr =~ m{/nap\?x=1 has blocked} }), 'it writes to the log';
    ok eventually(sub { !(() = glob "$others[0]/fd/*") }), 'and has given back what it needed for that';
    $client->response;
    $server->stop('INT');
};

subtest 'workers' => sub {
    my $server = start_workers(code => $APP, flags => ['--admin', 'unix:ctl']);
    my $client = names($server, '/nap', 'worker [12]', qr/3 \(My::Report::nap\)/);
    my ($status, $text) = ask($server->path('ctl'), '/stuck');
    like $text, qr{blocked for [12]\.\d s by GET /nap\?x=1\n    \S*app\S* line 3 \(My::Report::nap\)\n},
        'stuck tells the place';
    $client->response;
    ok eventually(sub { numbers($server->path('ctl'))->{totals}{blocked} == 1 }), 'it is counted';
    cmp_ok numbers($server->path('ctl'))->{totals}{blocked_time}, '>=', 2.9, 'with its length';
    ($status, $text) = ask($server->path('ctl'), '/stuck');
    unlike $text, qr/blocked for/, 'nobody is stuck any more';
    $server->ends_ok;
};

subtest 'block_warning' => sub {
    my $server = start_program('-o', '127.0.0.1', '-p', 0, '--block-warning', '0.2', $file);
    my ($seconds, $line) = told($server, '/nap');
    like $line, qr/for 0\.[2-9] s/, 'can be shorter';
    $server->stop('INT');
    $server = start_program('-o', '127.0.0.1', '-p', 0, '--block-warning', '0', $file);
    my $client = $server->connect;
    $client->send(get('/nap'));
    $client->response;
    unlike $server->stderr, qr/blocked/, '0 is never';
    $server->stop;
};

subtest 'block_timeout' => sub {
    my $server =
        start_workers(code => $APP, flags => ['--admin', 'unix:ctl', '--block-timeout', '1.5']);
    my @before = $server->serving(2);
    my $client = $server->connect;
    $client->send(get('/forever?x=1'));
    ok eventually(sub { numbers($server->path('ctl'))->{restarts}{blocked} == 1 }), 'a worker is ended';
    my $text = $server->stderr;
    like $text, qr/worker (\d) is ended: block_timeout, it was blocked for 1\.\d s/, 'the reason is told';
    like $text, qr/(?:    main::__ANON__ at \S*app\S* line \d+\n)/, 'and the stack';
    unlike $text, qr/^    Sprig::/m, 'and nothing of the server in it';
    like $text, qr/worker \d \(pid \d+\) ended by signal 6/, 'by ABRT';
    ok $server->settles(2), 'another one takes its place';
    my %before = map { $_ => 1 } @before;
    is scalar(grep { $before{$_} } $server->serving(2)), 1, 'the other worker went on';
    $server->ends_ok;
};

subtest 'block_timeout in one process' => sub {
    my $server = start_program('-o', '127.0.0.1', '-p', 0, '--block-timeout', '1', $file);
    my $client = $server->connect;
    $client->send(get('/forever'));
    ok eventually(sub { !$server->is_alive }), 'it ends, for whoever starts it again';
    is $server->stop & 127, POSIX::SIGABRT(), 'by ABRT';
    like $server->stderr, qr/the event loop is ended: block_timeout, it was blocked for 1\.\d s/, 'and says why';
    like $server->stderr, qr/(?:    main::__ANON__ at \S*app\S* line \d+\n)/, 'with the stack';
};

done_testing;
