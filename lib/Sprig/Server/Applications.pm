package Sprig::Server::Applications;

use strict;
use warnings;

use AnyEvent      ();
use Scalar::Util  qw(blessed refaddr);
use Sprig::Loop   ();
use Sprig::Worker ();

our $VERSION = '0.001';

# How long they may clean up where nobody is waited for otherwise.
my $CLEANING_SECONDS = 2;

sub site {
    my ($server, $app) = @_;
    return $app if blessed($app) && $app->isa('Sprig::PAGI::Site');
    return      if !$server->{pagi};
    require Sprig::PAGI;
    return Sprig::PAGI->site('/' => { pagi => $app });
}

sub mount {
    my ($server, $site) = @_;
    require Sprig::PAGI::Lifespan if grep { $_->{is_pagi} } $site->mounts;
    for my $mount ($site->mounts) {
        my ($app, $is_pagi) = @$mount{qw(app is_pagi)};
        my $lifespan = $is_pagi
            && Sprig::PAGI::Lifespan->new(app => $app, worker => Sprig::Worker->current);
        push @{ $server->{lifespans} }, $lifespan if $lifespan;
        $server->{service}
            ->mount($mount->{path}, $app, $is_pagi, $lifespan ? $lifespan->state : undef);
    }
    return;
}

sub start {
    my ($server) = @_;
    my $lifespans = $server->{lifespans} or return;
    Sprig::Loop::attach();
    $_->start($server->_setting('start_timeout') + 0) for @$lifespans;
    return;
}

sub are_cleaning {
    my ($server) = @_;
    my $lifespans = $server->{lifespans} or return 0;
    _stop($server, @$lifespans) if !defined $server->{n_cleaning};
    return $server->{n_cleaning} > 0 && !$server->{is_cut};
}

# Some are done at once.
sub _stop {
    my ($server, @lifespans) = @_;
    my $address    = refaddr $server;
    my $is_telling = 1;
    $server->{n_cleaning} = @lifespans;
    for my $lifespan (@lifespans) {
        $lifespan->stop(sub {
            $server->{n_cleaning}--;
            $server->{all_clean}->send        if $server->{all_clean} && !$server->{n_cleaning};
            Sprig::Server::_left_at($address) if !$is_telling;
        });
    }
    $is_telling = 0;
    return;
}

sub let_end {
    my ($server) = @_;
    return if !$server->{n_cleaning} || $server->{is_late};
    my $clean = $server->{all_clean} = AE::cv();
    my $timer = AE::timer($CLEANING_SECONDS, 0, sub { $clean->send });
    $clean->recv;
    return;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Server::Applications - the part of Sprig::Server that is about PAGI

=head1 DESCRIPTION

What L<Sprig::Server> does with a L<Sprig::PAGI> site, and with applications of PAGI at its beginning and end.
There is nothing here for applications.

=head1 FUNCTIONS

=head2 site

    my $site = Sprig::Server::Applications::site($server, $app);

What the server is to serve, if that is several applications, or one of PAGI; nothing for one of PSGI.

=head2 mount

    Sprig::Server::Applications::mount($server, $site);

Gives all of them to the server's C<service>.

=head2 start

Lets them start, before anything is accepted. Dies if one of them cannot.

=head2 are_cleaning

The last connection is gone: they are told, once. True as long as one of them is not done.

=head2 let_end

A server that is told to end at once, or before it has begun, does not wait for its clients, but a moment for its
applications.

=cut
