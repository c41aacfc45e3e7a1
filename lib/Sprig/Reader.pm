package Sprig::Reader;

use strict;
use warnings;

use Sprig ();

our $VERSION = '0.001';

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Reader - read the body of a request while it arrives

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

Usually, Sprig calls an application when the body of the request is complete. With the
option C<streaming_input>, requests that have a body and a path at or below the given one are different:
Sprig calls the application as soon as the head is complete. Then
C<psgix.input.streaming> is true, C<psgi.input> is empty,
C<psgix.input.buffered> is false, and C<psgix.input.reader> is an object of this class. Use it for proxies,
for progress bars, and for uploads that you do not want to store first.

C<CONTENT_LENGTH> is the length that the client has announced. It does not exist if the client sends chunks. The
reader always gets the decoded body.

Nothing is read before you call C<on_data>, or while the reader is paused: the client has to wait.
Meanwhile, Sprig does not notice if the client leaves, until it reads or writes again. A client that asks for
permission first (C<Expect: 100-continue>) gets it when you call
C<on_data>, so an application can refuse a body before it is sent.

C<max_body_bytes> applies. C<body_timeout> applies while the server waits for data. C<min_body_rate> does not apply.

The application may answer at any time. If the response is complete before the body is, the connection
is closed after the response.

=head1 METHODS

=over

=item on_data($callback)

C<< $callback->($reader, $bytes) >> is called with each piece of the body. If it dies, the client
gets a 500, or the connection is closed if the response has begun.

=item on_end($callback)

C<< $callback->($reader) >> is called once, when the body is complete; also if it has been for some
time. What the client has sent behind it is in C<psgix.trailers> then: see
L<Sprig::Manual::Extensions/THE REQUEST'S BODY>.

=item on_error($callback)

C<< $callback->($reader) >> is called once if the body will never be complete, because the client
has left or made a mistake, or because of C<body_timeout> or C<max_body_bytes>. You can no longer send
a response.

=item pause

=item resume

Stop and continue reading. At most one more piece arrives after C<pause>, and none if you call it
in C<on_data>.

=back

All callbacks are released when they can no longer be called.

=head1 SEE ALSO

L<Sprig::Writer>, L<Sprig::Server>

=cut
