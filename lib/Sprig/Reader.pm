package Sprig::Reader;

use strict;
use warnings;

use Sprig ();

our $VERSION = '0.001';

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Reader - the body of a request while it comes

=head1 SYNOPSIS

    # sprig --streaming-input /upload app.psgi
    my $app = sub {
        my $env    = shift;
        my $reader = $env->{'psgix.input.reader'} or return [411, [], ['send a body']];
        my $n      = 0;
        return sub {
            my $respond = shift;
            $reader->on_data(sub { $n += length $_[1] });
            $reader->on_end(sub { $respond->([200, [], ["$n bytes"]]) });
            $reader->on_error(sub { warn "broken off after $n bytes\n" });
        };
    };

=head1 DESCRIPTION

Usually an application is called when the body of its request is complete. Where the server has the
option C<streaming_input>, this is different for requests that have a body and whose path is the one
given there or below it: then the application is called as soon as the head is complete,
C<psgix.input.streaming> is true in its environment, C<psgi.input> is empty,
C<psgix.input.buffered> is false, and C<psgix.input.reader> is an object of this class. It is for proxies
and for progress bars.

C<CONTENT_LENGTH> is what the client announced; if it sends chunks there is none. The body is decoded
in either case.

Nothing is read before C<on_data> is called, nor while the reader is paused: the client has to wait
then. Somebody who only waits is not missed when he leaves; that is noticed when reading goes on, or
by writing. A client that asked whether it shall go on (C<Expect: 100-continue>) is answered when
C<on_data> is called, so an application can refuse a body before it is sent.

C<body_timeout> counts while the server waits for bytes; C<min_body_rate> does not apply.

The application may answer at any time. If the answer is complete before the body is, the connection
is closed after it.

=head1 METHODS

=over

=item on_data($callback)

C<< $callback->($reader, $bytes) >> is called with each piece of the body. If it dies, the request is
answered with 500, or the connection is closed if the answer has begun.

=item on_end($callback)

C<< $callback->($reader) >> is called once, when the body is complete; also if it has been for some
time. What the client has sent behind it is in C<psgix.trailers> then: see
L<Sprig::Manual::Extensions/THE REQUEST'S BODY>.

=item on_error($callback)

C<< $callback->($reader) >> is called once, if the body will never be complete: because the client
left or made a mistake, or C<body_timeout> or C<max_body_bytes> was exceeded. No response can be sent
any more.

=item pause

=item resume

Stops reading, and goes on. At most one more piece comes after C<pause>, and none if it is called
from C<on_data>.

=back

All callbacks are released when they cannot be called any more.

=head1 SEE ALSO

L<Sprig::Writer>, L<Sprig::Server>

=cut
