package Sprig;

use 5.016;
use strict;
use warnings;

use IO::File         ();    # class of psgi.input
use IO::Socket::INET ();    # classes of psgix.io
use IO::Socket::UNIX ();
use PerlIO::scalar   ();    # layer of psgi.input
use XSLoader         ();

our $VERSION = '0.001';

XSLoader::load('Sprig', $VERSION);

# Class of psgix.io for IPv6; perl has had it since 5.20.
eval { require IO::Socket::IP };

# Nothing of the server works in another thread.
sub Sprig::Service::CLONE_SKIP { return 1 }

1;

__END__

=encoding utf8

=head1 NAME

Sprig - a web server for PSGI applications, written in C

=head1 SYNOPSIS

    sprig app.psgi
    plackup -s Sprig app.psgi

    # in a program of your own
    use Sprig::Server;
    my $server = Sprig::Server->new(host => '127.0.0.1', port => 5000);
    $server->register_service($app);
    AE::cv->recv;

=head1 DESCRIPTION

Serves PSGI applications over HTTP/1.1 and HTTP/2. Sockets, parsing, framing and buffering are C on libevent;
Perl is entered to run the application. Many slow or streaming responses live in one process, driven
by L<AnyEvent> watchers of the application.

=over

=item * L<Sprig::Manual>: the index of the manual. Begin with L<Sprig::Manual::Tutorial>

=item * L<sprig>: the program and its options

=item * L<Plack::Handler::Sprig>: for C<plackup>

=item * L<Sprig::Server>: for programs that bring their own event loop

=back

=head1 FUNCTIONS

=head2 Sprig::counters

    my $counters = Sprig::counters();

A hash of how many objects are alive: C<exchanges> (requests being answered), C<responders>,
C<writers>, C<watchers>, C<pumps> (bodies being read), C<sockets>, and C<taken> (sockets in use by the
application). All of these are zero in an idle
process. C<env_built> and C<env_recycled> count the requests that got a new env, and those that got one
that an earlier request was done with.

=head2 Sprig::core_version

The version of the C core as a string, equal to C<$Sprig::VERSION> in six digits.

=head1 LICENSE

This library is free software; you can redistribute it and/or modify it under the same terms as Perl
itself.

=cut
