package Sprig::Responder;

use strict;
use warnings;

use Sprig ();

our $VERSION = '0.001';

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Responder - the code reference that a delayed response is given to

=head1 SYNOPSIS

    use AnyEvent;

    my $app = sub {
        my ($env) = @_;
        return sub {
            my ($respond, $socket) = @_;

            my $timer;
            $timer = AE::timer 2, 0, sub {
                undef $timer;
                my $answer = eval { expensive($env) } or return $respond->raise($@);
                $respond->([200, ['Content-Type' => 'text/plain'], [$answer]]);
            };
        };
    };

=head1 DESCRIPTION

An application that returns a code reference answers later. The server calls the code reference at
once, with a responder and with C<< $env->{'psgix.io'} >>; the responder may be called within that
call or at any time afterwards, from any callback.

Each request has a responder of its own. It is a blessed code reference.

=head1 CALLING IT

=head2 $respond->([$status, $headers, $body])

Sends the response. Returns nothing.

=head2 $respond->([$status, $headers, $body, $on_complete])

The same; C<$on_complete> is called, without arguments, as soon as the operating system has taken the
last byte of the response. It is not called if the client leaves before.

=head2 $writer = $respond->([$status, $headers])

Sends the head of a response and returns a L<Sprig::Writer> for its body.

=head1 METHODS

=head2 $respond->raise($error)

Reports C<$error> to C<psgi.errors> and answers "500 Internal Server Error". If a writer is at work
already, the response is cut off instead, so that the client can see that it is not complete. This is
how a callback tells that it has failed: dying there would tell the event loop, not the client.

Middleware that changes responses (whatever uses C<Plack::Util::response_cb>) gives the application a code
reference of its own, which has no such method. C<< $env->{'psgix.raise'}->($error) >> does the same and
works everywhere: see L<Sprig::Manual::Extensions>.

=head1 WHAT MAY HAPPEN

=over

=item It is called twice

The first response stands; there is a warning. A second call that asks for a writer gets one whose
writes return false.

=item It is never called

As soon as the last reference to it is gone, the client gets a "500 Internal Server Error", and
C<psgi.errors> the message C<responder dropped without a response>. An application that has used
C<psgix.io>, or still holds it, has taken the connection for itself: then nothing is sent and the server
lets go of the connection.

=item The callback that was given it dies

The client gets a "500 Internal Server Error", or a response that is cut off; the message goes to
C<psgi.errors>.

=item It is called after the client has left

Nothing happens. With two elements it returns a writer whose writes return false.

=item The response is not acceptable

The client gets a "500 Internal Server Error" and C<psgi.errors> the reason.

=back

=head1 TAKING THE SOCKET

C<< $env->{'psgix.io'} >> is an L<IO::Socket::INET>, L<IO::Socket::IP> or L<IO::Socket::UNIX> object. Looking at
it or copying it changes nothing. Where the client speaks TLS it is always an L<IO::Socket::UNIX>, which gives and
takes plain text. The first operation that needs a descriptor (C<sysread>, C<print>,
C<fileno>, C<getpeername>, ...) gives it a duplicate of the connection's, which is the application's
to keep and to close. From then on

=over

=item * the server reads nothing from the connection any more, and does not keep it alive for another
request;

=item * a response can still be given: "101 Switching Protocols", for example. It is sent before what is
written to the handle afterwards;

=item * dropping the responder without a response leaves the connection to the application. The server
closes its own descriptor and sends nothing.

=back

Where a socket is used only by a child process, use it in the parent as well (C<fileno> is enough), so
that the server knows.

Bytes that the client sent right behind its request, before the application took the socket, may have
been received already: C<read> and C<readline> give them first, but C<sysread>, and so L<AnyEvent::Handle>,
does not see them. Protocols that wait for an answer before they go on, such as WebSocket, have none.

After the end of the exchange a handle that was never used is closed.

=head1 FUTURES

A delayed callback may be an C<async sub> (L<Future::AsyncAwait>): the future that it returns is kept
until it is ready, and if it fails before a response was given, that is a "500 Internal Server Error".

An application may also return a L<Future>, an L<AnyEvent> condition variable or a promise with a
C<then> method in the place of a response; whatever it yields is taken as the response. If the client
leaves before, it is cancelled if it has a method C<cancel>.

=head1 SEE ALSO

L<Sprig::Writer>, L<PSGI/Delayed Response and Streaming Body>

=cut
