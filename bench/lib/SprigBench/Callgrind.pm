package SprigBench::Callgrind;

# Instructions in user space for a request: the difference of two runs of different lengths, so that
# what it takes to start does not count. Repeatable also on a busy machine.

use strict;
use warnings;
use IO::Socket::INET;

my ($SHORT, $LONG) = (500, 2500);

sub _request {
    my ($scenario) = @_;
    my @headers    = ('Host: localhost', @{ $scenario->{headers} || [] });
    my $body       = $scenario->{name} eq 'post' ? 'x' x 1024 : '';
    push @headers, 'Content-Type: text/plain', 'Content-Length: 1024' if $body;
    return
        join("\r\n", ($body ? 'POST' : 'GET') . " $scenario->{path} HTTP/1.1", @headers, '', '')
        . $body;
}

# Reads one response with a Content-Length.
sub _response {
    my ($socket) = @_;
    my ($in, $wanted) = ('');
    while (!defined $wanted || length $in < $wanted) {
        sysread $socket, $in, 65_536, length $in or die "the server closed: '$in'\n";
        next if defined $wanted || $in !~ /\r\n\r\n/;
        my $head = $+[0];
        $in =~ m{\AHTTP/1.1 200 } && $in =~ /^Content-Length: (\d+)/mi
            or die "unexpected answer: '$in'\n";
        $wanted = $head + $1;
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

sub _instructions {
    my ($name, $scenario, $n, %at) = @_;
    my $file   = "$at{folder}/callgrind.$name.$scenario->{name}.$n";
    my $server = SprigBench::Servers->start(
        $name, %at,
        pin      => 0,
        patience => 120,
        wrapper  => ['valgrind', '-q', '--tool=callgrind', "--callgrind-out-file=$file"]
    );
    my $socket  = IO::Socket::INET->new('127.0.0.1:' . $server->port) or die "connect: $!";
    my $request = _request($scenario);
    for (1 .. $n) {
        syswrite $socket, $request;
        _response($socket);
    }
    close $socket;
    $server->stop;
    return _total($file);
}

sub measure {
    my ($class, $name, $scenario, %at) = @_;
    my ($short, $long) = map { _instructions($name, $scenario, $_, %at) } $SHORT, $LONG;
    return ($long - $short) / ($LONG - $SHORT);
}

1;
