package Sprig::Writer;

use strict;
use warnings;

use Sprig ();

our $VERSION = $Sprig::VERSION;

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Writer - the body of a response, written piece by piece

=head1 SYNOPSIS

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
now is the time to pause until C<on_drain>;

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

=head2 $writer->poll_cb(sub { my ($writer) = @_; ... })

Calls back whenever no more than C<low_water_bytes> are waiting, until C<close>. If the callback
writes nothing, it is asked again a little later (20 ms).

=head1 CALLBACKS

If a callback of C<on_drain> or C<poll_cb> dies, the response is cut off and the message goes to
C<psgi.errors>. While a call of C<on_drain> or C<poll_cb> is due, the writer is kept alive: nobody else
needs to have a reference to it. All callbacks are released when the response ends: they may use the writer without
making a circle that lives for ever.

=head1 SEE ALSO

L<Sprig::Responder>, L<PSGI/Delayed Response and Streaming Body>

=cut
