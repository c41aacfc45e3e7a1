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

What L<the responder|Sprig::Responder> returns if it is given a status and headers, but no body.

To a client of HTTP/1.1 the body is sent in chunks, unless the headers have a C<Content-Length>. Bytes
leave at the end of the turn of the event loop, so that many small writes make one packet.
Where the turn takes longer, because the application goes on working in the same call, they leave some
milliseconds after they were written.

The response ends with C<close>, or as soon as the last reference to the writer is gone. Where that
happens because an exception passes by, the response is cut off instead, so that the client can see
that it is not complete.

The writer is a blessed hash; its keys are the application's to use.

=head1 METHODS

=head2 $writer->write(@data)

Writes the values, any number of them, one after the other; empty and undefined ones are nothing.
Values are bytes: encode text first. With a character above 255 in any of them C<write> dies, and
nothing of this call is written.

Returns true, or false (but defined) if

=over

=item * more than C<high_water_bytes> are waiting to be sent: what was given is queued all the same, but
now is the time to pause until C<on_drain>; beyond C<output_buffer_bytes> it waits in a temporary file,
and beyond C<max_output_bytes>, if that is set, the response is aborted;

=item * the client has left, or the response was ended by an error: what was given is lost;

=item * the writer is closed: there is a warning, too.

=back

With the option C<die_on_disconnect>, writing to a client that has left dies with C<Broken pipe>.

=head2 $writer->close

The body is complete. A second call does nothing.

=head2 $writer->flush

Sends what is waiting now, not at the end of the turn.

=head2 $bytes = $writer->buffered

How many bytes are waiting to be sent, framing included.

=head2 $writer->on_drain(sub { my ($writer) = @_; ... })

Calls back each time that what was written has been sent, all but C<low_water_bytes> of it; the first
time in the next turn of the loop, if nothing is waiting then. If nothing is written, it is not called again.
An undefined value removes the callback.

    # copies a source of any length without filling memory
    $writer->on_drain(sub {
        defined(my $block = $source->next_block) or return $_[0]->close;
        $_[0]->write($block);
    });

=head2 $writer->on_disconnect(sub { my ($writer) = @_; ... })

Calls back once, when the client leaves before the response is complete. This is noticed also while
nothing is being written. If the client has left already, the callback is called soon.

A client that only ends its own side of the connection counts as one that leaves, since that cannot be
told from the other. What is written afterwards may or may not reach it.

For a C<text/event-stream> it is also called when the server is told to end, or the worker to make room for another
one: what the callback writes still reaches the client, and then the response ends in order. The browser
comes back by itself. Where there are many streams this is spread over some seconds, at most half of
C<graceful_timeout>.

=head2 $writer->poll_cb(sub { my ($writer) = @_; ... })

Calls back whenever no more than C<low_water_bytes> are waiting, until C<close>. If the callback
writes nothing, it is asked again a little later (20 ms).

=head2 $io = $writer->socket

C<< $env->{'psgix.io'} >> of the request. It is inert until it is used; from then on the server does not
read from the connection any more, so that C<on_disconnect> is not called for a client that leaves while
nothing is being written.

=head2 $writer->event(data => $text, event => $name, id => $id, retry => $ms)

Sends an event to an C<EventSource> of a browser; see L<Sprig::Manual::Realtime/SERVER-SENT EVENTS>. The
C<Content-Type> of the response has to be C<text/event-stream>. All fields are optional:

=over

=item data

The text, of any number of lines, which end at CR, LF or CRLF. It is characters, not bytes: do not encode it, nor
give it what C<encode_json> returns (C<< JSON::PP->new->encode >> is right). Without it the browser takes note
of the other fields, but tells its page nothing.

=item event

The name of the event; without it, it is C<message>.

=item id

What the browser sends back as C<Last-Event-ID> when it connects again.

=item retry

After how many milliseconds it does so when the connection is lost.

=back

Dies, before anything is sent, if there is a line end or NUL in a name or id, or in any field what is no
Unicode character. Returns what C<write> would.

=head2 $writer->comment($text)

Sends a comment, which browsers ignore, on such a stream.

=head2 $writer->heartbeat($seconds)

From now on a comment is sent on such a stream every so many seconds, which may be a fraction; 0 ends that.
Proxies then do not take the connection for an idle one, and a client that has vanished without a word
(a network cable, a telephone in a tunnel) is noticed within two heartbeats, but not sooner than after 3 seconds: its end
is told to C<on_disconnect>. A client that takes nothing for so long is gone as well. 15 to 30 seconds are
usual. Many streams cost no more than one timer.

=head2 $writer->{handle}

For code that was written for other servers, C<< $writer->{handle} >> has the look of an
L<AnyEvent::Handle>: C<push_write>, C<push_shutdown>, C<destroy>, C<on_drain>, C<on_error>, C<on_eof> and
C<fh> do what such code expects, and options such as C<low_water_mark> and C<timeout> are accepted without
effect. C<on_error> and C<on_eof> take the place of C<on_disconnect>. It is made when it is first looked
at. After the end of the response it does nothing.

=head1 FUNCTIONS

=head2 Sprig::Writer::set_class($class)

Writers that are made from now on are objects of this class, which has to inherit from Sprig::Writer.
L<Sprig::Compat::Twiggy> uses it.

=head1 CALLBACKS

If a callback of C<on_drain> or C<poll_cb> dies, the response is cut off and the message goes to
C<psgi.errors>. While a call of C<on_drain> or C<poll_cb> is due, the writer is kept alive: nobody else
needs to have a reference to it. All callbacks are released when the response ends: they may use the writer without
making a circle that lives for ever.

=head1 SEE ALSO

L<Sprig::Responder>, L<PSGI/Delayed Response and Streaming Body>

=cut
