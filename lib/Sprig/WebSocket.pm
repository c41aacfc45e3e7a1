package Sprig::WebSocket;

use strict;
use warnings;

use Carp  ();
use Sprig ();

our $VERSION = '0.001';

my @CALLBACKS = qw(on_open on_message on_close on_drain on_pong on_error);

# The pairs of the 101, or nothing if the page that asks may not.
sub _head {
    my ($self, $options, $headers) = @_;
    my ($accept, $extension) = _accept($self, $options) or return;
    my @head = (Upgrade => 'websocket', Connection => 'Upgrade', 'Sec-WebSocket-Accept' => $accept);
    push @head, 'Sec-WebSocket-Protocol'   => $self->protocol if defined $self->protocol;
    push @head, 'Sec-WebSocket-Extensions' => $extension      if defined $extension;
    return [@head, @$headers];
}

sub _check {
    my ($args) = @_;
    my %known  = map { $_ => 1 } @CALLBACKS, qw(protocols headers);
    for my $name (sort keys %$args) {
        Carp::croak("Sprig::WebSocket::accept: there is no option '$name'")
            if !$known{$name} && $name !~ /^websocket_/;
    }
    for my $name (qw(protocols headers)) {
        Carp::croak("Sprig::WebSocket::accept: $name must be an array reference")
            if defined $args->{$name} && ref $args->{$name} ne 'ARRAY';
    }
    return;
}

sub accept {
    my ($self, %args) = @_;
    _check(\%args);
    my %options = map { /^websocket_/ ? ($_ => $args{$_}) : () } keys %args;
    for my $protocol (@{ $args{protocols} || [] }) {
        last if _choose($self, $protocol);
    }
    my $head = _head($self, \%options, $args{headers} || [])
        or return sub { $_[0]->([403, ['Content-Type' => 'text/plain'], ["Forbidden\n"]]) };
    for my $name (@CALLBACKS) {
        $self->$name($args{$name}) if defined $args{$name};
    }
    return sub {
        my ($respond) = @_;
        $respond->([101, $head]);
        return $self->_opened;
    };
}

sub next {
    my ($self) = @_;
    require Sprig::WebSocket::Next;
    my $next = Sprig::WebSocket::Next->new;
    $self->_next($next);
    return $next;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::WebSocket - a WebSocket, for any PSGI application

=head1 SYNOPSIS

    sub {
        my ($env) = @_;
        my $ws = $env->{'psgix.websocket'}
            or return [426, ['Upgrade' => 'websocket', 'Connection' => 'Upgrade', 'Sec-WebSocket-Version' => 13],
                       ["WebSocket only\n"]];
        return $ws->accept(
            on_message => sub {
                my ($ws, $message, $is_binary) = @_;
                $ws->send("you said $message");
            },
            on_close => sub { my ($ws, $code, $reason) = @_; ... },
        );
    };

=head1 DESCRIPTION

A request that opens a WebSocket (RFC 6455) comes with C<psgix.websocket> in its env. The application accepts
it, or answers the request like any other. The protocol is the server's: framing, fragments, masking, UTF-8,
compression, pings and the closing handshake are done in C. The application gets whole messages and sends whole
messages.

L<Sprig::Manual::Realtime> shows how to build with it. The limits are options of the server, which begin with
C<websocket_>: see L<sprig/WebSocket>.

=head1 ACCEPTING

=head2 $ws->accept(%options)

Returns the response: a code reference that calls the responder with C<[101, [...]]>. Middleware sees the
handshake like any response, and may add headers to it or refuse it. An application that answers later, after a
question to a database for instance, calls the code reference with its responder:

    return sub {
        my ($respond) = @_;
        authenticate($env, sub {
            my ($user) = @_;
            return $respond->([403, [], ["Forbidden\n"]]) if !$user;
            $ws->accept(on_message => ...)->($respond);
        });
    };

What is sent before the 101 waits behind it. The options:

=over

=item protocols => ['chat.v2', 'chat']

Subprotocols of the application, the best first. The first that the client offers is agreed on, and
C<< $ws->protocol >> tells it; there may be none.

=item headers => ['Set-Cookie' => '...']

More headers for the 101.

=item on_open, on_message, on_close, on_drain, on_pong, on_error

Callbacks, see below.

=item websocket_max_message_bytes => '16M', and so on

Any option C<websocket_...> of the server, for this socket alone.

=back

Where C<websocket_origins> does not allow the page that opens the socket, the code reference answers 403.
C<accept> dies if an option is wrong, or if the socket was accepted before.

=head1 CALLBACKS

Each can be given to C<accept> or set later by the method of its name; an undefined one removes it. The first
argument is the socket. A callback that dies is reported to C<psgi.errors>, and the socket is closed with 1011;
the server goes on. When the socket is over all of them are let go of, so that a callback may well refer to its
socket.

=head2 $ws->on_open(sub { my ($ws) = @_ })

The 101 is sent. What it returns may be a future (an C<async sub>): it is kept until it is ready, and if it
fails the socket is closed with 1011.

=head2 $ws->on_message(sub { my ($ws, $message, $is_binary) = @_ })

A whole message: characters if it is text, bytes if it is binary. It is called for one message of a socket at a
time: while it waits for something (a nested C<recv>), the next one waits, too.

=head2 $ws->on_close(sub { my ($ws, $code, $reason) = @_ })

The socket is over; called once for each socket that was accepted. The code is what the client said, 1005 if it
said none, 1006 if the connection ended without a close. If the client broke a rule it is the code that it was
told.

=head2 $ws->on_drain(sub { my ($ws) = @_ })

What was sent is with the kernel, but for C<low_water_bytes> at most: time to send more. It is called after each
C<send> as soon as that is so.

=head2 $ws->on_pong(sub { my ($ws, $payload) = @_ })

The answer to a C<ping> of the application.

=head2 $ws->on_error(sub { my ($ws, $message) = @_ })

The client broke a rule or a limit, or is silent: what was wrong, in words. C<on_close> follows.

=head1 METHODS

=head2 $ws->send($characters)

Sends a text. A reference to a string does as well. Returns true if it was queued; false if the socket is closed,
or if the message would have gone beyond C<websocket_queue_bytes>. Dies if there is something in it that is no
Unicode character (half a surrogate pair), or if it is undefined.

=head2 $ws->send_binary($bytes)

Sends bytes, and returns likewise. A reference to a string does as well; large strings are not copied. Dies for
characters above 0xFF, before anything is sent: encode them first.

=head2 $ws->next

The next message, as an object that has what L<AnyEvent/CONDITION VARIABLES> has and that can be awaited with
L<Future::AsyncAwait>: undefined when there will be none. So a conversation can be written from top to bottom:

    on_open => async sub {
        my ($ws) = @_;
        while (defined(my $message = await $ws->next)) {
            $ws->send("you said $message");
        }
    },

Nothing is read while nobody asks, so that a client that is too fast has to wait. Before C<on_message> gets a
message, those who wait with C<next> do.

=head2 $ws->ping($bytes)

Sends a ping with at most 125 bytes; C<on_pong> gets them back. The server sends pings of its own
(C<websocket_ping_interval>), about which nobody hears.

=head2 $ws->close($code, $reason)

Begins to close; 1000 and nothing if not given. The code is one of 1000 to 1003, 1007 to 1014 or 3000 to 4999, the
reason at most 123 bytes long in UTF-8. Nothing can be sent afterwards, and messages are not heard any more. When
the client has answered, or C<websocket_close_timeout> is over, C<on_close> is called.

=head2 $ws->abort

Ends the connection at once.

=head2 $ws->buffered

Bytes that are queued and not with the kernel yet.

=head2 $ws->protocol

The subprotocol that was agreed on, or C<undef>.

=head2 $ws->is_open

True as long as messages can be sent: from the beginning until one side closes.

=head1 WHO KEEPS IT

A socket with C<on_message> lives by itself: the callback is called with it. Without, it lives as long as the
application keeps it, and when the last reference goes, it is closed with 1001. The same happens if the
application sets C<on_message> to C<undef> and has no other reference.

=head1 THE END OF THE SERVER

A server that ends closes its sockets with 1001, and with 1012 where another one takes over (a reload): one after
the other within C<graceful_timeout>, so that clients do not all come back at the same moment. What
L<Sprig::Worker/before_leave> has to say is sent before.

=head1 SEE ALSO

L<Sprig::Manual::Realtime>, L<Sprig::Writer>, L<sprig>

=cut
