# systemd, played by a script: what it is told from the start to the end, its watchdog, its sockets.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX  ();
use Socket qw(SOCK_DGRAM SOL_SOCKET SO_PASSCRED);
use SprigTest;
use SprigTest::Program;
use Test::More;
use Time::HiRes qw(sleep time);

plan skip_all => 'NOTIFY_SOCKET is for Linux' if $^O ne 'linux';

my $path   = SprigTest::temp_path('notify');
my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path) or die "socket: $!";
$socket->blocking(0);

my $app = app_file(<<'END');
sub {
    my ($env) = @_;
    if ($env->{PATH_INFO} =~ m{/block/([\d.]+)}) { my $end = time + $1; 1 while time < $end }
    return [200, [], ["$$\n"]];
}
END

# Messages since the last time, without those of the watchdog, until one matches.
my $n_fed = 0;

sub told {
    my ($pattern) = @_;
    my @got;
    SprigTest::Server::_until(
        15,
        sub {
            while (defined $socket->recv(my $message, 4096)) {
                $message eq "WATCHDOG=1\n" ? $n_fed++ : push @got, $message;
            }
            return grep { $_ =~ $pattern } @got;
        }
    ) or diag "no $pattern among @got";
    return @got;
}

sub fed_within {
    my ($seconds) = @_;
    $n_fed = 0;
    my $end = time + $seconds;
    while (time < $end) {
        sleep 0.02;
        while (defined $socket->recv(my $message, 4096)) { $n_fed++ if $message eq "WATCHDOG=1\n" }
    }
    return $n_fed;
}

sub started {
    return start_program({ NOTIFY_SOCKET => $path, %{ $_[0] } },
        '-l', '127.0.0.1:0', @_[1 .. $#_], $app);
}

for my $case ([1], [2, '--workers', 2], [2, qw(--workers 2 --preload-app)]) {
    my ($n, @args) = @$case;
    subtest "start, reload and end: @args" => sub {
        my $server = started({}, @args);
        my $pid    = $server->pid;
        my ($ready, @more) = told(qr/READY/);
        like $ready, qr/\AREADY=1\nMAINPID=$pid\nSTATUS=Serving [^\n]*\n\z/,
            'READY, with pid and status';
        is_deeply \@more, [], 'and nothing else';
        kill HUP => $pid;
        my ($reloading, $again) = told(qr/READY/);
        my ($usec) = $reloading =~ /\ARELOADING=1\nMONOTONIC_USEC=(\d+)\nSTATUS=Reloading\n\z/;
        ok $usec, 'RELOADING' or diag $reloading;
        cmp_ok abs($usec / 1e6 - Time::HiRes::clock_gettime(Time::HiRes::CLOCK_MONOTONIC())), '<',
            30,
            'with the time of the monotonic clock';
        like $again, qr/\AREADY=1\nMAINPID=$pid\nSTATUS=Serving /, 'then READY';
        like $again, qr/generation 2$/m, 'of the new generation' if $n > 1;
        kill TERM => $pid;
        my ($stopping) = told(qr/STOPPING/);
        like $stopping, qr/\ASTOPPING=1\n/, 'STOPPING';
        $server->stop_ok;
    };
}

subtest 'a reload that fails says READY again' => sub {
    my $config = spew(SprigTest::temp_path('conf'), "max_headers = 5\n");
    my $server = started({}, '--workers', 2, '--config', $config);
    told(qr/READY/);
    spew($config, "max_headers = x\n");
    kill HUP => $server->pid;
    my @got = told(qr/READY/);
    like "@got", qr/\ARELOADING=1\n.*READY=1\n/s, 'RELOADING, then READY';
    $server->stop_ok;
    told(qr/STOPPING/);
};

subtest 'an upgrade names the new main process' => sub {
    my $server = started({}, '--workers', 2);
    told(qr/READY/);
    kill USR2 => $server->pid;
    my @got = told(qr/\AMAINPID=/);
    my ($new) = "@got" =~ /(?:\A| )MAINPID=(\d+)\n/;
    ok $new && $new != $server->pid, 'MAINPID' or diag "@got";
    unlike "@got", qr/STOPPING/, 'the service does not stop';
    $server->stop_ok;
    is $server->ask("GET / HTTP/1.0\r\n\r\n")->status, 200, 'it serves';
    kill TERM => $new;
    told(qr/STOPPING/);
    ok SprigTest::Server::_until(30, sub { !kill 0, $new }), 'it ends';
};

for my $n (1, 2) {
    subtest "the watchdog is fed while the loops answer, $n processes" => sub {
        my $server = started({ WATCHDOG_USEC => 400_000 }, '--workers', $n);
        told(qr/READY/);
        cmp_ok fed_within(1), '>=', 2, 'it is fed';
        my $client = $server->connect;
        $client->send("GET /block/4 HTTP/1.0\r\n\r\n");
        fed_within(0.6);
        is fed_within(1),             0,   'not while a loop is blocked';
        is $client->response->status, 200, 'when that is over';
        cmp_ok fed_within(1), '>=', 2, 'it is fed again';
        $server->stop_ok;
        told(qr/STOPPING/);
    };
}

subtest 'the watchdog is not fed while a worker is stopped' => sub {
    my $server = started({ WATCHDOG_USEC => 400_000 }, '--workers', 2);
    told(qr/READY/);
    my $worker = $server->ask("GET / HTTP/1.0\r\n\r\n")->body + 0;
    cmp_ok fed_within(1), '>=', 1, 'it is fed';
    kill 'STOP', $worker;
    ok SprigTest::Server::_until(20, sub { fed_within(1) == 0 }), 'the worker is stopped: not any more';
    is fed_within(1), 0, 'it stays like that';
    kill 'CONT', $worker;
    ok SprigTest::Server::_until(20, sub { fed_within(1) > 0 }), 'it goes on: fed again';
    $server->stop_ok;
    told(qr/STOPPING/);
};

subtest 'a watchdog for another process' => sub {
    my $server = started({ WATCHDOG_USEC => 200_000, WATCHDOG_PID => 1 }, '--workers', 2);
    told(qr/READY/);
    is fed_within(0.6), 0, 'is not fed';
    $server->stop_ok;
    told(qr/STOPPING/);
};

subtest 'sockets by name: that of the admin listener is not served on' => sub {
    my $program = SprigTest::Program::program();
    my $blib    = SprigTest::root() . '/blib';
    for my $args ([], ['--workers', 2]) {
        my ($web, $admin) = map { IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') } 1,
            2;
        my $err = SprigTest::temp_path('stderr');
        defined(my $pid = fork) or die "fork: $!";
        if (!$pid) {
            my @copies = map { POSIX::dup(fileno $_) } $admin, $web;
            POSIX::dup2($copies[$_], 3 + $_) for 0, 1;
            @ENV{qw(LISTEN_FDS LISTEN_PID LISTEN_FDNAMES)} = (2, $$, 'admin:web');
            $ENV{PERL5LIB} = join ":", "$blib/lib", "$blib/arch", $ENV{PERL5LIB} || ();
            open STDERR, '>', $err or die;
            exec $program, '--admin', '127.0.0.1:1', @$args, $app or POSIX::_exit(1);
        }
        my ($web_port, $admin_port) = map { $_->sockport } $web, $admin;
        close $_ for $web, $admin;
        my $get = sub {
            my ($port, $what) = @_;
            my $client =
                IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 5)
                or return '';
            print $client "GET $what HTTP/1.0\r\n\r\n";
            local $/;
            return scalar(readline $client) // '';
        };
        ok SprigTest::Server::_until(30, sub { -s $err && slurp($err) =~ /http/ }), "ready @$args"
            or diag slurp($err);
        like $get->($web_port, '/'), qr/\A\S+ 200 .*\r\n\r\n[0-9]+\n\z/s, 'the other one is';
        like $get->($admin_port, '/healthz'), qr/\A\S+ 200 /,
            'the admin listener answers on its own';
        kill TERM => $pid;
        waitpid $pid, 0;
        is $?, 0, 'ends';
    }
};

done_testing;
