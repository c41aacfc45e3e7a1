package Sprig::Writer;

use strict;
use warnings;

use Sprig ();

our $VERSION = '0.001';

package Sprig::Writer::Handle;

use Carp         ();
use Errno        ();
use Scalar::Util ();

# Made by the bridge when an app looks at $writer->{handle}. The writer owns it.
sub new {
    my ($class, $writer) = @_;
    my $self = bless { writer => $writer }, $class;
    Scalar::Util::weaken($self->{writer});
    return $self;
}

sub push_write {
    my ($self, @data) = @_;
    Carp::croak('push_write: only plain strings can be written to a response') if @data > 1;
    $self->{writer}->write(@data)                                              if $self->{writer};
    return;
}

sub push_shutdown {
    my ($self) = @_;
    $self->{writer}->close if $self->{writer};
    return;
}

sub destroyed { return !$_[0]{writer} }

# Unlike the real one it lets what was written get through.
*destroy = \&push_shutdown;

sub on_drain {
    my ($self, $cb) = @_;
    $self->{writer}->on_drain($cb && sub { $cb->($self) }) if $self->{writer};
    return;
}

sub on_error { return $_[0]->_watch(on_error => $_[1]) }
sub on_eof   { return $_[0]->_watch(on_eof   => $_[1]) }

sub fh { return $_[0]{writer} && $_[0]{writer}->socket }

# What there is nothing to do for.
for my $name (
    qw(autocork keepalive linger low_water_mark no_delay oobinline on_read rbuf_max rtimeout
    timeout wbuf_max wtimeout)
    )
{
    no strict 'refs';
    *$name = sub { return };
}

# The writer's callback owns the two that are given here, and the writer lets go of it at the end of the
# response: a callback that knows its writer makes no circle.
sub _watch {
    my ($self, $event, $cb) = @_;
    my $writer = $self->{writer} or return;
    if ($self->{watching}) {
        $self->{watching}{$event} = $cb;
        return;
    }
    my $watching = { $event => $cb };
    Scalar::Util::weaken($self->{watching} = $watching);
    Scalar::Util::weaken($self);
    $writer->on_disconnect(sub { _gone($self, $watching) if $self });
    return;
}

sub _gone {
    my ($self,   $watching) = @_;
    my ($on_eof, $on_error) = delete @$watching{qw(on_eof on_error)};
    return $on_eof->($self) if $on_eof;
    local $! = Errno::EPIPE();
    $on_error->($self, 1, "$!") if $on_error;
    return;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Writer - the body of a response, written piece by piece

=head1 SYNOPSIS

    use AnyEvent;

    my $app = sub {
        my ($env) = @_;
        return sub {
            my ($respond) = @_;
            my $writer = $respond->([200, ['Content-Type' => 'text/plain']]);

            my $timer = AE::timer 0, 1, sub { $writer->write(localtime() . "\n") };
            $writer->on_disconnect(sub { undef $timer; $writer->close });
        };
    };

=head1 DESCRIPTION

L<The responder|Sprig::Responder> returns a writer if you call it with a status and headers but no body.

An HTTP/1.1 client receives the body in chunks, unless the headers have a C<Content-Length>. Bytes
leave at the end of the current turn of the event loop, so that many small writes make one packet.
If the application keeps working in the same call, they leave a few milliseconds after they were written.

The response ends with C<close>, or when the last reference to the writer goes. If that
happens because of an exception, the response is cut off instead, so that the client can tell
that it is incomplete.

The writer is a blessed hash, and the application may use its keys.

=head1 METHODS

=head2 $writer->write(@data)

Writes any number of values, one after the other. Empty and undefined values are ignored.
Values are bytes, so encode text first. If any value has a character above 255, C<write> dies and
writes nothing.

Returns true, or false (but defined) if

=over

=item * more than C<high_water_bytes> are waiting to be sent. The data is queued anyway, but
you should pause until C<on_drain>. Beyond C<output_buffer_bytes> it waits in a temporary file,
and beyond C<max_output_bytes>, if that is set, the response is aborted.

=item * the client has left, or an error has ended the response. The data is lost.

=item * the writer is closed. There is also a warning.

=back

With the option C<die_on_disconnect>, writing to a client that has left dies with C<Broken pipe>.

=head2 $writer->close

Completes the body. A second call has no effect.

=head2 $writer->flush

Sends waiting output now, instead of at the end of the turn.

=head2 $bytes = $writer->buffered

Returns the number of bytes that are waiting to be sent, including framing.

=head2 $writer->on_drain(sub { my ($writer) = @_; ... })

Calls the code whenever all output but C<low_water_bytes> has been sent. If nothing is waiting, the first call comes in
the next turn of the event loop. If you write nothing, there is no further call.
C<undef> removes the callback.

    # copies a source of any length without filling memory
    $writer->on_drain(sub {
        defined(my $block = $source->next_block) or return $_[0]->close;
        $_[0]->write($block);
    });

=head2 $writer->on_disconnect(sub { my ($writer) = @_; ... })

Calls the code once, when the client leaves before the response is complete, even if
nothing is being written. If the client has already left, the call comes shortly.

A client that closes only its sending side counts as one that leaves, because the server cannot tell the
difference. Later writes may or may not reach it.

For a C<text/event-stream>, the code is also called when the server or the worker must end. What it
writes still reaches the client, and then the response ends properly. The browser
reconnects by itself. If there are many streams, this is spread over several seconds, at most half of
C<graceful_timeout>.

=head2 $writer->poll_cb(sub { my ($writer) = @_; ... })

Calls the code whenever C<low_water_bytes> or less are waiting, until C<close>. If it
writes nothing, it is called again after 20 ms.

=head2 $io = $writer->socket

Returns C<< $env->{'psgix.io'} >> of the request. Once you use it, the server no longer
reads from the connection. Then C<on_disconnect> is not called if the client leaves while
nothing is being written.

=head2 $writer->event(data => $text, event => $name, id => $id, retry => $ms)

Sends an event to the browser's C<EventSource>: see L<Sprig::Manual::Realtime/SERVER-SENT EVENTS>. The
C<Content-Type> of the response must be C<text/event-stream>. All fields are optional:

=over

=item data

The text, of any number of lines that end with CR, LF or CRLF. It consists of characters, not bytes: do not encode it,
and do not use C<encode_json>, which returns bytes (C<< JSON::PP->new->encode >> is right). Without C<data>, the browser
processes the other fields but passes nothing to the page.

=item event

The name of the event. The default is C<message>.

=item id

The id, which the browser sends back as C<Last-Event-ID> when it reconnects.

=item retry

The number of milliseconds before the browser reconnects if it loses the connection.

=back

Dies before anything is sent if C<event> or C<id> contains a line end or NUL, or if any field contains something that is
not a Unicode character. Otherwise returns the same values as C<write>.

=head2 $writer->comment($text)

Sends a comment on an event stream. Browsers ignore comments.

=head2 $writer->heartbeat($seconds)

Sends a comment on an event stream at this interval, which may be a fraction of a second; 0 stops it.
Proxies then do not consider the connection idle. A client that has vanished without closing the connection
(an unplugged cable, a phone in a tunnel) or that reads nothing is noticed within two heartbeats, but not before 3
seconds, and C<on_disconnect> is called. An interval of 15 to 30 seconds is usual. Any number of streams share one
timer.

=head2 $writer->{handle}

For code written for other servers, C<< $writer->{handle} >> imitates an
L<AnyEvent::Handle>: C<push_write>, C<push_shutdown>, C<destroy>, C<on_drain>, C<on_error>, C<on_eof> and
C<fh> do what such code expects, and options such as C<low_water_mark> and C<timeout> are accepted but ignored.
C<on_error> and C<on_eof> replace C<on_disconnect>. The object is created on first use. After the end of the response
it has no effect.

=head1 FUNCTIONS

=head2 Sprig::Writer::set_class($class)

From now on, new writers are objects of this class, which must inherit from Sprig::Writer.
L<Sprig::Compat::Twiggy> uses it.

=head1 CALLBACKS

If a callback of C<on_drain> or C<poll_cb> dies, the response is cut off and the message goes to
C<psgi.errors>. While such a call is due, the writer stays alive even if the application has no
reference to it. All callbacks are released when the response ends, so they may refer to the writer without
a leak.

=head1 SEE ALSO

L<Sprig::Responder>, L<PSGI/Delayed Response and Streaming Body>

=cut
