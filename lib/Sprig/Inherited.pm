package Sprig::Inherited;

use strict;
use warnings;

use Fcntl            qw(FD_CLOEXEC F_GETFD F_SETFD);
use IO::Socket::INET ();
use IO::Socket::UNIX ();
use Sprig            ();

our $VERSION = '0.001';

sub sockets {
    my @descriptors = descriptors();
    delete @ENV{qw(LISTEN_FDS LISTEN_PID LISTEN_FDNAMES)};    # gone from the process's already
    return map { _socket($_) } @descriptors;
}

# Programs that the application starts do not inherit it.
sub _socket {
    my ($fd) = @_;
    open my $fh, '+<&=', $fd or die "cannot use the inherited descriptor $fd: $!\n";
    fcntl $fh, F_SETFD, fcntl($fh, F_GETFD, 0) | FD_CLOEXEC;
    return $fh;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Inherited - listening sockets that another program has opened for this one

=head1 SYNOPSIS

    start_server --port 5000 --path /run/app.sock -- sprig app.psgi

=head1 DESCRIPTION

The program L<sprig> and L<Plack::Handler::Sprig> listen on inherited sockets, if there are any,
and then on nothing else: C<--listen>, C<--host> and C<--port> are not looked at.

=over

=item * L<Server::Starter> tells of them by C<SERVER_STARTER_PORT>; TCP and unix sockets.

=item * systemd (C<Sockets=>) and programs like it tell of them by C<LISTEN_FDS>, and by C<LISTEN_PID>
for which process they are meant. One that C<LISTEN_FDNAMES> calls C<admin> is left to the admin listener.

=back

When such a program replaces a server it sends C<TERM> to the old one, which stops accepting at once and
finishes what it has begun. Connections that nobody has accepted yet wait in the socket for the new
one.

=head1 FUNCTIONS

=head2 sockets

    my @sockets = Sprig::Inherited::sockets();

Handles of all inherited listening sockets. Dies if one of them is none. The variables of systemd are
taken out of the environment, so that this can be asked once in a process.

=head2 descriptors

The same as numbers.

=cut
