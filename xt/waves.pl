#!/usr/bin/env perl
# Waves of slow streams: so many clients at once on a response that writes four chunks over two seconds,
# again and again. Prints throughput, the slowest answers and the processor time of the server.
#
#   perl -Mblib xt/waves.pl [clients [waves [path of sprig]]]
#
# Exit status 0 if throughput is at least 99 % of the theoretical one, p99 at most 2.05 s and the server
# took less than 5 % of a processor.

use strict;
use warnings;
use AnyEvent;
use Errno      qw(EAGAIN EINTR);
use File::Temp qw(tempfile);
use IO::Socket::INET;
use Time::HiRes qw(clock_gettime CLOCK_MONOTONIC);

use constant { DURATION => 2, HZ => 100 };

my ($n_clients, $n_waves, $program) = @ARGV;
$n_clients ||= 500;
$n_waves   ||= 5;
$program   ||= 'blib/script/sprig';

my $app = <<'APP';
use AnyEvent;
sub {
    return sub {
        my $writer = $_[0]->([200, ['Content-Type' => 'text/plain']]);
        my ($n, $timer) = (0);
        $timer = AE::timer 0.5, 0.5, sub {
            $writer->write("chunk $n\n");
            return if ++$n < 4;
            undef $timer;
            $writer->close;
        };
    };
}
APP

my ($pid, $port, $banner) = start();
my (@seconds, %client, $n_bad);

my $n_left = $n_clients;
my $done   = AE::cv;
my ($cpu_before, $start) = (cpu(), now());
turn($n_waves) for 1 .. $n_clients;
$done->recv;
my ($total, $cpu) = (now() - $start, cpu() - $cpu_before);
kill TERM => $pid;
waitpid $pid, 0;
exit report();

sub now { return clock_gettime(CLOCK_MONOTONIC) }

sub start {
    my ($fh, $file) = tempfile(SUFFIX => '.psgi', UNLINK => 1);
    print {$fh} $app;
    close $fh or die "cannot write $file: $!";
    my $child = open(my $banner, '-|') // die "cannot fork: $!";
    if (!$child) {
        open STDERR, '>&', \*STDOUT or die;
        $ENV{PERL5LIB} = join ':', grep { !ref } @INC;
        exec $program, '-o', '127.0.0.1', '-p', 0, $file or die "cannot run $program: $!";
    }
    my ($found) = (<$banner> // '') =~ /:(\d+)\// or die "$program did not start";
    return ($child, $found, $banner);
}

# User and system time of the server, in seconds.
sub cpu {
    open my $in, '<', "/proc/$pid/stat" or return 0;
    my ($rest) = <$in> =~ /.*\) (.*)/;
    my @field  = split ' ', $rest;
    return ($field[11] + $field[12]) / HZ;
}

sub turn {
    my ($n) = @_;
    return --$n_left || $done->send if !$n;
    my $begin  = now();
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)
        or die "cannot connect: $!";
    syswrite $socket, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    $socket->blocking(0);
    my $got = '';
    $client{$socket} = AE::io $socket, 0, sub {
        my $read = sysread $socket, $got, 4096, length $got;
        return if $read || !defined $read && ($! == EAGAIN || $! == EINTR);
        delete $client{$socket};
        close $socket;
        $n_bad++ if $got !~ /chunk 3\n\r\n0\r\n\r\n\z/;
        push @seconds, now() - $begin;
        turn($n - 1);
    };
    return;
}

sub report {
    my $n       = @seconds;
    my @sorted  = sort { $a <=> $b } @seconds;
    my $p99     = $sorted[int($n * 0.99)];
    my $rate    = $n / $total;
    my $theory  = $n_clients / DURATION;
    my $percent = 100 * $cpu / $total;
    printf "%d answers, %d wrong, %.1f/s of %.1f/s (%.1f %%), p50 %.3f p99 %.3f max %.3f s, "
        . "%.1f %% of a processor, AnyEvent of the client: %s\n", $n, $n_bad || 0, $rate, $theory,
        100 * $rate / $theory, $sorted[$n / 2], $p99, $sorted[-1], $percent, $AnyEvent::MODEL;
    return !(!$n_bad && $rate >= 0.99 * $theory && $p99 <= 2.05 && $percent < 5);
}
