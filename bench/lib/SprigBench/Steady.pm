package SprigBench::Steady;

# Open loops: requests come at a constant rate, as from people who do not know of each other, and not one
# when the one before has been answered. Latency counts from the moment at which a request was due
# (steady.c), so that a server that stops for a while does not stop the clock with it.

use strict;
use warnings;
use FindBin;
use IO::Socket::INET;
use Time::HiRes qw(sleep);

# Connections of the load, and of those that send a byte now and then.
use constant { CONNECTIONS => 100, SLOW_CONNECTIONS => 500, SLOW_PAUSE => 0.2 };

# What the load asks for beyond what the server can do.
use constant OVERLOAD => 1.5;

# The program, compiled into the folder of this run.
sub _program {
    my ($folder) = @_;
    my $program = "$folder/steady";
    return $program if -x $program;
    system('cc', '-O2', '-D_GNU_SOURCE', '-o', $program, "$FindBin::Bin/steady.c") == 0
        or die "steady.c cannot be compiled\n";
    return $program;
}

sub _ask {
    my ($server, $scenario, $rate, %at) = @_;
    my @command = (
        @{ $at{pin} },
        _program($at{folder}),
        $server->port, $scenario->{path}, int $rate, CONNECTIONS, $at{seconds}
    );
    open my $out, '-|', @command or die "$command[0]: $!";
    my $text = readline $out;
    close $out;
    my %result;
    @result{qw(requests failed asked seconds p50 p99 p999 worst)} =
        ($text || '') =~
        /answered (\d+) failed (\d+) of (\d+) in ([\d.]+) s, ms: p50 ([\d.]+) .* p99 ([\d.]+) p999 ([\d.]+) max ([\d.]+)/
        or return { error => 'steady failed' };
    $result{rate}  = $result{requests} / $result{seconds};
    $result{asked} = $result{asked} / $at{seconds};
    return \%result;
}

sub steady {
    my ($server, $scenario, %at) = @_;
    return _ask($server, $scenario, $scenario->{rate}, %at);
}

# As fast as it can for a second, and then more.
sub overload {
    my ($server, $scenario, %at) = @_;
    my $most = $at{most}->($server, $scenario, %at, seconds => 1);
    return $most if !$most->{rate};
    my $result = _ask($server, $scenario, OVERLOAD * $most->{rate}, %at);
    $result->{requests} += $most->{requests} if $result->{requests};    # their cost counts, too
    return $result;
}

# Connections whose heads never end: a byte each, again and again.
sub _be_slow {
    my ($port) = @_;
    my @clients;
    for (1 .. SLOW_CONNECTIONS) {
        my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, Timeout => 1)
            or next;
        push @clients, $client;
        syswrite $client, "GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ";
    }
    local $SIG{PIPE} = 'IGNORE';
    while (1) {
        syswrite $_, 'x' for @clients;
        sleep SLOW_PAUSE;
    }
    return;
}

sub slow {
    my ($server, $scenario, %at) = @_;
    my $pid = fork;
    defined $pid or die "fork: $!";
    if (!$pid) {
        eval { _be_slow($server->port) };
        POSIX::_exit(0);
    }
    sleep 1;
    my $result = _ask($server, $scenario, $scenario->{rate}, %at);
    kill KILL => $pid;
    waitpid $pid, 0;
    return $result;
}

1;
