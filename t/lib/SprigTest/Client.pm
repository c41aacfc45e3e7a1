package SprigTest::Client;

# A client that sees every byte: sends what it is told to, reads responses strictly, never blocks for
# longer than its time.

use strict;
use warnings;
use Errno qw(EAGAIN EINTR EWOULDBLOCK);
use IO::Socket::INET;
use Socket qw(IPPROTO_TCP SOL_SOCKET SO_LINGER SO_RCVBUF TCP_NODELAY);
use SprigTest::Response;
use Time::HiRes qw(time);

our $SECONDS = 30;

sub connect {
    my ($class, $host, $port) = @_;
    my $socket = IO::Socket::INET->new(
        PeerAddr => $host,
        PeerPort => $port,
        Proto    => 'tcp',
        Timeout  => $SECONDS,
    ) or die "cannot connect to $host:$port: $@";
    return $class->adopt($socket);
}

# A client on a socket that is connected already.
sub adopt {
    my ($class, $socket) = @_;
    binmode $socket;
    $socket->blocking(0);
    setsockopt $socket, IPPROTO_TCP, TCP_NODELAY, 1;
    return bless { socket => $socket, in => '', eof => 0, error => undef }, $class;
}

sub socket { return $_[0]{socket} }

# True once the server has closed; `error` tells a reset from an orderly end.
sub eof   { return $_[0]{eof} }
sub error { return $_[0]{error} }

# What was received and not taken yet.
sub buffered { return $_[0]{in} }

# Sends all bytes, taking in what arrives meanwhile. False if the server does not take them.
sub send {
    my ($self, $bytes) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $deadline = time + $SECONDS;
    my $at       = 0;
    while ($at < length $bytes) {
        my $n = $self->put($bytes, $at);
        if ($n) {
            $at += $n;
        } elsif ($! != EAGAIN && $! != EINTR) {
            $self->{error} = "$!";
            return 0;
        } elsif (time > $deadline) {
            die "the server took only $at of " . length($bytes) . " bytes in time\n";
        } else {
            $self->_wait(1, 1) and $self->_receive;
        }
    }
    return 1;
}

# Ends our side; the server can still answer.
sub half_close {
    my ($self) = @_;
    shutdown $self->{socket}, 1;
    return $self;
}

sub close {
    my ($self) = @_;
    CORE::close $self->{socket};
    return;
}

# Ends the connection by a reset.
sub reset {
    my ($self) = @_;
    setsockopt $self->{socket}, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
    return $self->close;
}

# The next final response, read strictly: its framing has to be right to the byte. Interim responses
# are in its `interim`. Options: method ('HEAD': no body), interim => 1 (return an interim one, too).
sub response {
    my ($self, %option) = @_;
    my $response = SprigTest::Response->new(%option);
    $self->_read_until(sub { $response->parse(\$self->{in}, $self->{eof}) });
    $response->{error} = $self->{error} if !$response->is_complete;
    return $response;
}

# All that comes until the server closes.
sub rest {
    my ($self) = @_;
    $self->_read_until(sub { 0 });
    my $bytes = $self->{in};
    $self->{in} = '';
    return $bytes;
}

# True if the server closes now without a further byte.
sub is_closed {
    my ($self) = @_;
    return $self->rest eq '' && !defined $self->{error};
}

# True if nothing arrives for so many seconds and the connection stays.
sub is_quiet {
    my ($self, $seconds) = @_;
    return 0 if length $self->{in} || $self->{eof};
    return !$self->_wait(0, $seconds);
}

# Waits for at least `n` bytes to be buffered.
sub wait_for_bytes {
    my ($self, $n) = @_;
    $self->_read_until(sub { length $self->{in} >= $n });
    return length $self->{in} >= $n;
}

# Takes in what is there without waiting. False at the end.
sub poll {
    my ($self) = @_;
    $self->_receive if !$self->{eof} && $self->_wait(0, 0);
    return !$self->{eof};
}

# One system call: writes what stands from here on in these bytes; reads so many at most into the buffer.
# Both may do nothing, and tell it as syswrite and sysread do.
sub put { my ($self, $bytes, $at) = @_; return syswrite $self->{socket}, $bytes, 1 << 18, $at || 0 }

sub get {
    my ($self, $at_most) = @_;
    return sysread $self->{socket}, $self->{in}, $at_most || 1 << 18, length $self->{in};
}

# True if there is more to read than the socket tells.
sub has_pending { return 0 }

sub _read_until {
    my ($self, $done) = @_;
    my $deadline = time + $SECONDS;
    until ($done->() || $self->{eof}) {
        $self->_wait(0, 1) and $self->_receive;
        time <= $deadline or die "the server did not answer in time; so far: '$self->{in}'\n";
    }
    $done->();
    return;
}

# Waits for bytes to read (and room to write); true if there may be something to read.
sub _wait {
    my ($self, $or_writable, $seconds) = @_;
    my $bits = '';
    vec($bits, fileno $self->{socket}, 1) = 1;
    my $writable = $or_writable ? $bits : undef;
    my $n = select my $readable = $bits, $writable, undef, $seconds;
    return $n > 0 && vec $readable, fileno $self->{socket}, 1;
}

sub _receive {
    my ($self) = @_;
    while (1) {
        my $n = $self->get;
        return if $n;
        return if !defined $n && ($! == EAGAIN || $! == EINTR || $! == EWOULDBLOCK);
        $self->{error} = "$!" if !defined $n;
        $self->{eof}   = 1;
        return;
    }
}

1;
