package SprigBench::Callgrind;

# Instructions in user space for a request: the difference of two runs of different lengths, so that
# what it takes to start does not count. Repeatable also on a busy machine.

use strict;
use warnings;
use IO::Socket::INET;

my ($SHORT, $LONG) = (512, 2512);

sub _request {
    my ($scenario) = @_;
    my @headers = ('Host: localhost', @{ $scenario->{headers} || [] });
    push @headers, 'Connection: close' if $scenario->{close};
    my $body = $scenario->{name} eq 'post' ? 'x' x 1024 : '';
    push @headers, 'Content-Type: text/plain', 'Content-Length: 1024' if $body;
    return
        join("\r\n", ($body ? 'POST' : 'GET') . " $scenario->{path} HTTP/1.1", @headers, '', '')
        . $body;
}

# The length of the response at the start of these bytes, or nothing while it is not whole.
sub _length {
    my ($in) = @_;
    $in =~ /\r\n\r\n/ or return;
    my $head = $+[0];
    $in =~ m{\AHTTP/1.1 200 } or die "unexpected answer: '$in'\n";
    if (substr($in, 0, $head) =~ /^Content-Length: (\d+)/mi) {
        return length $in >= $head + $1 ? $head + $1 : ();
    }
    $in =~ /\r\n0\r\n\r\n/g or return;    # chunked
    return pos $in;
}

# Reads so many responses.
sub _responses {
    my ($socket, $n) = @_;
    my $in = '';
    while ($n > 0) {
        my $length = _length($in);
        if (defined $length) {
            substr $in, 0, $length, '';
            $n--;
            next;
        }
        sysread $socket, $in, 65_536, length $in or die "the server closed: '$in'\n";
    }
    return;
}

sub _total {
    my ($path) = @_;
    open my $in, '<', $path or die "$path: $!";
    my $total;
    while (defined(my $line = readline $in)) {
        $total = $1 if $line =~ /^(?:totals|summary): (\d+)/;
    }
    return $total || die "$path: no total\n";
}

# Asks so many times on one connection, or on one for each request.
sub ask {
    my ($class, $port, $scenario, $n) = @_;
    my $batch   = $scenario->{name} eq 'pipelined' ? 16 : 1;
    my $request = _request($scenario) x $batch;
    my $socket;
    for (my $i = 0; $i < $n; $i += $batch) {
        undef $socket if $scenario->{close};
        $socket ||= IO::Socket::INET->new("127.0.0.1:$port") or die "connect: $!";
        syswrite $socket, $request;
        _responses($socket, $batch);
    }
    close $socket;
    return;
}

# All instructions of a server while $load runs, which gets its port.
sub count {
    my ($class, $name, $load, %at) = @_;
    my $file   = "$at{folder}/callgrind.out";
    my $server = SprigBench::Servers->start(
        $name, %at,
        patience => 240,
        wrapper  => ['valgrind', '-q', '--tool=callgrind', "--callgrind-out-file=$file"]
    );
    $load->($server->port);
    $server->stop;
    return _total($file);
}

sub measure {
    my ($class, $name, $scenario, %at) = @_;
    my ($short, $long) = map {
        my $n = $_;
        $class->count($name, sub { $class->ask($_[0], $scenario, $n) }, %at, pin => 0);
    } $SHORT, $LONG;
    return ($long - $short) / ($LONG - $SHORT);
}

1;
