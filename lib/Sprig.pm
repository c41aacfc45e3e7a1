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

# The server is of no use in another thread.
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

Sprig serves PSGI applications over HTTP/1.1 and HTTP/2. Sockets, parsing, framing and buffering are
written in C on top of libevent; Perl only runs the application. An application that uses L<AnyEvent> can
keep thousands of slow or streaming responses open in one process.

=over

=item * L<Sprig::Manual>: the manual. Start with L<Sprig::Manual::Tutorial>

=item * L<sprig>: the program and its options

=item * L<Plack::Handler::Sprig>: running under C<plackup>

=item * L<Sprig::Server>: running a server in a program of your own

=back

=head1 FUNCTIONS

=head2 Sprig::counters

    my $counters = Sprig::counters();

Returns a hash that counts the objects alive in this process: C<exchanges> (requests being answered),
C<responders>, C<writers>, C<watchers>, C<pumps> (bodies being read), C<sockets>, and C<taken> (sockets
the application has taken over). All of these are zero in an idle process. C<env_built> counts the requests
that got a new env, and C<env_recycled> those that got the env of an earlier request.

=head2 Sprig::core_version

Returns the version of the C core as a string. It equals C<$Sprig::VERSION> with six digits.

=head1 LICENSE

This library is free software; you can redistribute it and/or modify it under the same terms as Perl
itself.

=cut
