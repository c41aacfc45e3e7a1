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

Sprig::Inherited - use listening sockets opened by another program

=head1 SYNOPSIS

    start_server --port 5000 --path /run/app.sock -- sprig app.psgi

=head1 DESCRIPTION

If there are inherited sockets, the program L<sprig> and L<Plack::Handler::Sprig> listen on these
and ignore C<--listen>, C<--host> and C<--port>.

=over

=item * L<Server::Starter> passes TCP and unix sockets with C<SERVER_STARTER_PORT>.

=item * systemd (C<Sockets=>) and similar programs pass them with C<LISTEN_FDS>, and name the process that should use
them with C<LISTEN_PID>. A socket that C<LISTEN_FDNAMES> calls C<admin> is used for the admin listener.

=back

When such a program replaces a server, it sends C<TERM> to the old one, which stops accepting at once and
finishes its requests. Connections that nobody has accepted yet wait in the socket for the new server.

=head1 FUNCTIONS

=head2 sockets

    my @sockets = Sprig::Inherited::sockets();

Returns handles of all inherited listening sockets. Dies if one of them is not a listening socket. It removes systemd's
variables from the environment, so it works once per process.

=head2 descriptors

Returns their descriptors as numbers.

=cut
