package Sprig::Responder;

use strict;
use warnings;

use Sprig ();

our $VERSION = '0.001';

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Responder - the code reference that answers a delayed response

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

An application that returns a code reference answers later. The server calls that code reference at
once, with a responder and C<< $env->{'psgix.io'} >>. You can call the responder right there
or at any later time, from any callback.

Each request has its own responder, which is a blessed code reference.

=head1 CALLING IT

=head2 $respond->([$status, $headers, $body])

Sends the response. Returns nothing.

=head2 $respond->([$status, $headers, $body, $on_complete])

The same. C<$on_complete> is called without arguments when the operating system has accepted the
last byte of the response. It is not called if the client leaves before that.

=head2 $writer = $respond->([$status, $headers])

Sends the head of a response and returns a L<Sprig::Writer> for its body.

=head1 METHODS

=head2 $respond->raise($error)

Reports C<$error> to C<psgi.errors> and answers "500 Internal Server Error". If there is already a
writer, the response is cut off instead, so that the client can tell that it is incomplete. Use it in
callbacks: an exception there reaches the event loop, not the client.

Middleware that changes responses (anything that uses C<Plack::Util::response_cb>) passes the application a code
reference of its own, which does not have this method. C<< $env->{'psgix.raise'}->($error) >> does the same and
works everywhere: see L<Sprig::Manual::Extensions>.

=head1 SPECIAL CASES

=over

=item It is called twice

The first response counts, and Sprig warns. A second call that asks for a writer gets one whose
writes return false.

=item It is never called

When the last reference to it goes, the client gets a "500 Internal Server Error", and
C<psgi.errors> the message C<responder dropped without a response>. But if the application has used
C<psgix.io>, or still holds it, the connection belongs to the application: the server sends nothing and
lets go of the connection.

=item The delayed callback dies

The client gets a "500 Internal Server Error", or a response that is cut off. The message goes to
C<psgi.errors>.

=item It is called after the client has left

Nothing happens. With two elements, it returns a writer whose writes return false.

=item The response is invalid

The client gets a "500 Internal Server Error", and C<psgi.errors> the reason.

=back

=head1 TAKING THE SOCKET

C<< $env->{'psgix.io'} >> is an L<IO::Socket::INET>, L<IO::Socket::IP> or L<IO::Socket::UNIX> object. You can look at
it and copy it freely. If the client speaks TLS, it is always an L<IO::Socket::UNIX> on which you read and
write plain text. The first operation that needs a descriptor (C<sysread>, C<print>,
C<fileno>, C<getpeername>, ...) gives the object a duplicate of the connection's descriptor, which the application
must close. From then on:

=over

=item * The server no longer reads from the connection, and does not keep it open for another
request.

=item * You can still send a response, for example "101 Switching Protocols". It is sent before anything
that you write to the handle afterwards.

=item * If you drop the responder without a response, the connection belongs to the application. The server
closes its own descriptor and sends nothing.

=back

If only a child process uses the socket, use it in the parent as well (C<fileno> is enough), so
that the server knows.

Bytes that the client sent right after its request, before the application took the socket, may
already have been received. C<read> and C<readline> return them first, but C<sysread>, and therefore
L<AnyEvent::Handle>, does not. This does not concern protocols in which the client waits for an answer first, such as
WebSocket.

A handle that was never used is closed at the end of the exchange.

=head1 FUTURES

A delayed callback may be an C<async sub> (L<Future::AsyncAwait>). Sprig keeps the future that it returns
until it is ready. If it fails before there is a response, the client gets a "500 Internal Server Error".

An application may also return a L<Future>, an L<AnyEvent> condition variable or a promise with a
C<then> method instead of a response. Its result is the response. If the client
leaves first, Sprig calls its C<cancel> method, if there is one.

=head1 SEE ALSO

L<Sprig::Writer>, L<PSGI/Delayed Response and Streaming Body>

=cut
