# Two servers behind haproxy are restarted in turn while wrk and ab ask: no request fails. As a rolling update
# of Kubernetes has it: TERM, /readyz says no, connections are served until the balancer has noticed.
#   prove -b xt/rolling.t            ROUNDS=10

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t/lib", "$FindBin::Bin/lib";
use IO::Socket::INET;
use POSIX ();
use SprigTest;
use SprigTest::Admin;
use SprigTest::Program;
use SprigTest::Client;
use SprigTest::Server;
use Test::More;
use Time::HiRes qw(sleep);

my %tool =
    map { $_ => tool_path($_) || (-x "/usr/sbin/$_" ? "/usr/sbin/$_" : undef) } qw(haproxy wrk ab);
for my $name (sort keys %tool) {
    plan skip_all => "$name is not installed" if !defined $tool{$name};
}

my $rounds = $ENV{ROUNDS} || 10;
my $dir    = SprigTest::temp_path('rolling');
mkdir $dir or die "mkdir $dir: $!";
my $app   = app_file('sub { [200, ["Content-Type" => "text/plain"], ["hello\n"]] }');
my %port  = map { $_ => SprigTest::Server::_free_port() } qw(front one two admin_one admin_two);
my %owner = ($$ => 1);
my %child;
END { kill TERM => keys %child if $owner{$$} }

# Runs a command with its output in a file; the process id.
sub run {
    my ($log, @command) = @_;
    defined(my $pid = fork) or die "fork: $!";
    if (!$pid) {
        open STDOUT, '>',  "$dir/$log";
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }
    $child{$pid} = 1;
    return $pid;
}

# Waits for its end; the wait status, or undef after a minute.
sub ended {
    my ($pid) = @_;
    SprigTest::Server::_until(60, sub { waitpid($pid, POSIX::WNOHANG()) == $pid }) or return;
    delete $child{$pid};
    return $?;
}

sub start {
    my ($name) = @_;
    my $pid = run(
        "$name.log",         SprigTest::Program::program(),
        '--listen',          "127.0.0.1:$port{$name},proxy_protocol",
        '--trusted-proxies', '127.0.0.1',
        '--admin',           "127.0.0.1:$port{\"admin_$name\"}",
        '--drain-delay',     3,
        '--workers',         2,
        $app
    );
    SprigTest::Server::_until(
        30,
        sub {
            eval { (ask("127.0.0.1:$port{\"admin_$name\"}", '/readyz'))[0] == 200 }
        }
    ) or die "$name did not start: " . slurp("$dir/$name.log");
    return $pid;
}

local $ENV{PERL5LIB} = join ':', map { SprigTest::root() . "/blib/$_" } qw(lib arch);
my %server = map { $_ => start($_) } qw(one two);

my $config  = slurp(SprigTest::root() . '/eg/deploy/haproxy.cfg');
my %instead = (
    'bind :80'       => "bind 127.0.0.1:$port{front}",
    '127.0.0.1:8081' => "127.0.0.1:$port{one}",
    '127.0.0.1:8082' => "127.0.0.1:$port{two}",
    'port 9181'      => "port $port{admin_one}",
    'port 9182'      => "port $port{admin_two}",
);
$config =~ s/(?<!-l )\Q$_\E/$instead{$_}/g for keys %instead;
run('haproxy.log', $tool{haproxy}, '-db', '-f', spew("$dir/haproxy.cfg", $config));
my $url = "http://127.0.0.1:$port{front}/";
ok SprigTest::Server::_until(
    15,
    sub {
        my $client = eval { SprigTest::Client->connect('127.0.0.1', $port{front}) } or return 0;
        $client->send("GET / HTTP/1.0\r\n\r\n");
        my $response = eval { $client->response };
        $response && $response->status == 200;
    }
    ),
    'haproxy serves';

my $wrk = run('wrk.log', $tool{wrk}, '-t1', '-c4', '-d', 30 * $rounds, $url);
my ($n_ab, $n_round) = (0, 0);
my $ab_ok = sub {
    my ($log) = @_;
    my $text = slurp("$dir/$log");
    $n_ab += $1 if $text =~ /^Complete requests:\s+(\d+)/m;
    return $text =~ /^Failed requests:\s+0$/m && $text !~ /Non-2xx/;
};

for my $round (1 .. $rounds) {
    my $name = $round % 2 ? 'one' : 'two';
    my $log  = "ab-$round.log";
    my $ab   = run($log, $tool{ab}, '-q', '-t', 6, '-n', 1_000_000, '-c', 2, $url);
    sleep 0.5;
    kill TERM => $server{$name};
    is ended($server{$name}), 0, "round $round: $name ends in order";
    $server{$name} = start($name);
    is ended($ab), 0, 'ab comes to its end';
    ok $ab_ok->($log), 'without a failed request' or diag slurp("$dir/$log");
    sleep 2;    # haproxy has seen that it is there again
}

kill INT => $wrk;
ended($wrk);
my $said = slurp("$dir/wrk.log");
like $said,   qr/(\d+) requests in/,     'wrk has asked';
unlike $said, qr/Socket errors|Non-2xx/, 'and lost nothing' or diag $said;
diag "wrk: $1 requests, ab: $n_ab" if $said =~ /(\d+) requests in/;
ok kill(TERM => $server{$_}), "$_ is there to the end" for qw(one two);
is ended($server{$_}), 0, "$_ ends in order" for qw(one two);

done_testing;
