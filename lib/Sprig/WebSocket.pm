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

A request that opens a WebSocket (RFC 6455) has C<psgix.websocket> in its environment. The application accepts
the socket, or answers the request like any other. The server implements the protocol in C: framing, fragments,
masking, UTF-8, compression, pings and the closing handshake. The application receives and sends whole
messages.

L<Sprig::Manual::Realtime> shows how to use it. The limits are options of the server that begin with
C<websocket_>: see L<sprig/WebSocket>.

=head1 ACCEPTING

=head2 $ws->accept(%options)

Returns the response, a code reference that calls the responder with C<[101, [...]]>. Middleware sees the
handshake like any other response, and can add headers or refuse it. If the application answers later, for example
after a database query, it calls the code reference with its responder:

    return sub {
        my ($respond) = @_;
        authenticate($env, sub {
            my ($user) = @_;
            return $respond->([403, [], ["Forbidden\n"]]) if !$user;
            $ws->accept(on_message => ...)->($respond);
        });
    };

Messages sent before the 101 follow it. The options are:

=over

=item protocols => ['chat.v2', 'chat']

The application's subprotocols in order of preference. Sprig chooses the first one that the client offers, if any;
C<< $ws->protocol >> returns it.

=item headers => ['Set-Cookie' => '...']

More headers for the 101.

=item on_open, on_message, on_close, on_drain, on_pong, on_error

Callbacks, see below.

=item websocket_max_message_bytes => '16M', and so on

Any option C<websocket_...> of the server, for this socket alone.

=back

If C<websocket_origins> does not allow the page that opens the socket, the code reference answers 403.
C<accept> dies if an option is wrong, or if the socket has been accepted before.

=head1 CALLBACKS

Pass a callback to C<accept>, or set it later with the method of its name; C<undef> removes it. The first
argument is the socket. If a callback dies, the error goes to C<psgi.errors>, and the socket is closed with 1011.
When the socket has ended, all callbacks are released, so a callback may refer to its socket without a leak.

=head2 $ws->on_open(sub { my ($ws) = @_ })

Called when the 101 has been sent. If it returns a future (as an C<async sub> does), the future is kept until it is
ready, and if it fails the socket is closed with 1011.

=head2 $ws->on_message(sub { my ($ws, $message, $is_binary) = @_ })

Called with a whole message: characters if it is text, bytes if it is binary. The messages of a socket arrive one at a
time: while the callback waits for something (a nested C<recv>), the next message waits, too.

=head2 $ws->on_close(sub { my ($ws, $code, $reason) = @_ })

The socket is over; called once for each socket that was accepted. The code is what the client said, 1005 if it
said none, 1006 if the connection ended without a close. If the client broke a rule it is the code that it was
told.

=head2 $ws->on_drain(sub { my ($ws) = @_ })

Called after each C<send>, as soon as all but C<low_water_bytes> have been handed to the kernel: time to send more.

=head2 $ws->on_pong(sub { my ($ws, $payload) = @_ })

Called with the answer to a C<ping> of the application.

=head2 $ws->on_error(sub { my ($ws, $message) = @_ })

Called if the client violated the protocol or a limit, or does not respond. The message says what was wrong. C<on_close>
follows.

=head1 METHODS

=head2 $ws->send($characters)

Sends a text, given as a string or a reference to one. Returns true if it was queued, and false if the socket is closed
or if the message would have exceeded C<websocket_queue_bytes>. Dies if the text is undefined or contains something
that is not a Unicode character (half a surrogate pair).

=head2 $ws->send_binary($bytes)

Sends bytes, given as a string or a reference to one, and returns the same values. Large strings are not copied. Dies
before anything is sent if there are characters above 0xFF; encode them first.

=head2 $ws->next

Returns the next message as an object with the methods of L<AnyEvent/CONDITION VARIABLES>, which you can also await with
L<Future::AsyncAwait>. The value is undefined when no more messages will come. You can thus write a conversation from
top to bottom:

    on_open => async sub {
        my ($ws) = @_;
        while (defined(my $message = await $ws->next)) {
            $ws->send("you said $message");
        }
    },

Nothing is read until you ask, so a client that is too fast has to wait. A waiting C<next> gets a message before
C<on_message> does.

=head2 $ws->ping($bytes)

Sends a ping with at most 125 bytes; C<on_pong> gets them back. The server also sends pings of its own
(C<websocket_ping_interval>), which do not call C<on_pong>.

=head2 $ws->close($code, $reason)

Starts the closing handshake. The default is code 1000 without a reason. The code must be one of 1000 to 1003, 1007 to
1014 or 3000 to 4999, and the reason at most 123 bytes long in UTF-8. From then on you can send nothing, and no
messages arrive. C<on_close> is called when the client has answered, or after C<websocket_close_timeout>.

=head2 $ws->abort

Ends the connection at once.

=head2 $ws->buffered

Returns the number of bytes that are queued but not yet handed to the kernel.

=head2 $ws->protocol

Returns the chosen subprotocol, or C<undef>.

=head2 $ws->is_open

Returns true as long as messages can be sent, until one side closes.

=head1 LIFETIME

A socket with C<on_message> stays alive by itself. Without it, the socket lives as long as the
application keeps a reference, and is closed with 1001 when the last one goes. The same happens if the
application sets C<on_message> to C<undef> and has no other reference.

=head1 SHUTDOWN

A server that ends closes its sockets with 1001, or with 1012 if another one takes over (a reload). It closes them one
after the other within C<graceful_timeout>, so that the clients do not all reconnect at once. Messages sent in
L<Sprig::Worker/before_leave> arrive before that.

=head1 SEE ALSO

L<Sprig::Manual::Realtime>, L<Sprig::Writer>, L<sprig>

=cut
