# Descriptors 0, 1 and 2 may be closed at the start.

use strict;
use warnings;
use FindBin;
use POSIX ();
use IO::Socket::UNIX;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Client;
use SprigTest::Program;
use SprigTest::Redirected;
use Test::More;

my @app = ('-e', 'sub { warn "noise\n"; [200, [], ["hi"]] }');
my $get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

# What the descriptors of a process are.
sub names_of {
    my ($pid) = @_;
    return map { $_ => readlink "/proc/$pid/fd/$_" } 0 .. 2;
}

for my $closed ([0], [1], [2], [0, 1], [0, 1, 2]) {
    my %redirected = map { $_ => undef } @$closed;
    my $name       = join ', ', @$closed;
    subtest "closed at the start: $name" => sub {
        for my $workers (1, 2) {
            my $pid_file = SprigTest::temp_path('pid');
            my $server = start_redirected(\%redirected, '-l', '127.0.0.1:0', '--workers', $workers,
                '--pid', $pid_file, @app);
            is $server->ask($get)->body, 'hi', "$workers: a request";
            my %name = names_of($server->pid);
            is $name{$_},        '/dev/null',         "descriptor $_ is /dev/null" for @$closed;
            is slurp($pid_file), $server->pid . "\n", 'the pid file has the number only';
            $server->stop_ok;
        }
    };
    subtest "--daemonize, closed at the start: $name" => sub {
        my $path     = SprigTest::temp_path('socket');
        my $pid_file = SprigTest::temp_path('pid');
        for my $workers (1, 2) {
            my ($status) = run_redirected(
                \%redirected, '-S',          $path,   '--workers',
                $workers,     '--daemonize', '--pid', $pid_file,
                @app
            );
            is $status, 0, "$workers: it has started";
            my ($pid)  = slurp($pid_file) =~ /\A([0-9]+)\n\z/ or return fail 'there is a pid file';
            my $socket = IO::Socket::UNIX->new($path)         or return fail "somebody listens: $!";
            my $client = SprigTest::Client->adopt($socket);
            $client->send($get);
            is $client->response->body, 'hi', 'it serves';
            kill 'TERM', $pid;
            ok SprigTest::Server::_until(30, sub { !-e $pid_file }), 'and ends';
        }
    };
}

subtest 'Sprig::Server in a perl without standard descriptors' => sub {
    for my $options ('', 'workers => 2, ') {
        my $dir = SprigTest::temp_path('run');
        my $code =
              "chdir '$dir'; require Sprig::Server;"
            . "Sprig::Server->new($options pid => 'pid', listen => ['$dir/socket'])"
            . '->run(sub { [200, [], ["hi"]] })';
        mkdir $dir or die "mkdir: $!";
        spew("$dir/run.pl", $code);
        my $blib = SprigTest::root() . '/blib';
        defined(my $pid = fork) or die "fork: $!";
        exec '/bin/sh', '-c', 'exec "$@" 0<&- 1>&- 2>&-', 'sh', $^X, "-I$blib/lib", "-I$blib/arch",
            "$dir/run.pl"
            or POSIX::_exit(127)
            if !$pid;
        my $socket;
        SprigTest::Server::_until(30, sub { $socket = IO::Socket::UNIX->new("$dir/socket") })
            or fail 'somebody listens';
        my $client = SprigTest::Client->adopt($socket);
        $client->send($get);
        is $client->response->body, 'hi',     "{$options}: it serves";
        is slurp("$dir/pid"),       "$pid\n", 'the pid file has the number only';
        kill 'TERM', $pid;
        waitpid $pid, 0;
        is $? >> 8, 0, 'it ends';
    }
};

done_testing;
