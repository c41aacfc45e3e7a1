package Sprig::Server::Workers;

use strict;
use warnings;

use Sprig::Master ();
use Sprig::Worker ();

our $VERSION  = '0.001';
our @CARP_NOT = qw(Sprig::Server);

# Returns, in each worker, a reference to the application, which is undefined while its builder is yet to
# make it; and nothing in the master, when all is over.
sub run_master {
    my ($server, $app) = @_;
    my $options = Sprig::Server::_options($server);
    Sprig::Server::_plainly(sub {
        Sprig::Master::_daemonize()
            if $server->_setting('daemonize') && !Sprig::Master::is_successor();
        Sprig::Master->open($options, [$server->_addresses],
            [map { Sprig::Server::_duplicate($_) } $server->_listen_socks],
            $server->_is_all_tls);
    });
    if ($server->_setting('preload_app')) {
        Sprig::Server::_plainly(sub { Sprig::Master::drop_privileges($options) });
        $app = $server->_built($app);
    }
    my @infos     = Sprig::Master->addresses;
    my $is_worker = Sprig::Server::_plainly(sub {
        Sprig::Master->run(sub { $server->_tell_ready(@infos) });
    });
    return $is_worker ? \$app : undef;
}

sub run_worker {
    my ($server, $app) = @_;
    my $worker = Sprig::Worker->current;
    Sprig::Worker::_quit_open();
    eval { $app = $server->_built($app); 1 } or _give_up($worker, $@);
    $server->_heeding(sub {
        eval { _start($server, $worker, $app); 1 } or _give_up($worker, $@);
        $server->_serve;
    });
    Sprig::Worker::_quit_linger(1);
    exit 1 if $server->{has_failed};
    return;
}

sub _give_up {
    my ($worker, $error) = @_;
    $worker->report($error);
    exit 1;
}

# All but listening, which the master allows when the application has shown itself.
sub _start {
    my ($server, $worker, $app) = @_;
    @$server{qw(multiprocess harakiri)} = (1, 1);
    my $service = $server->_service($app);
    $server->_keep;
    $server->_join_loop($service);
    Sprig::Server::Applications::start($server);
    $server->{exit_guard} = $server->_exit_guard;
    $service->exit_guard($server->{exit_guard});
    $service->on_event(sub { _on_event($server, $worker, $_[0]) });
    $worker->attend(
        on_probe => sub { _show($server, $worker) },
        on_end   => sub { $server->shutdown },
    );
    return;
}

sub _on_event {
    my ($server, $worker, $what) = @_;
    return $worker->tell("retire $what") if $what =~ /\Amax_/;
    return                               if $server->{is_leaving}++;
    $worker->tell("leaving $what");
    $server->{service}->reloading;
    $server->shutdown;
    return;
}

# The answer to "probe".
sub _show {
    my ($server, $worker) = @_;
    my $path = $server->{service}->option('probe');
    my $done = sub {
        my ($error) = @_;
        eval { _listen($server, $worker); 1 } or $error = $@ if !defined $error;
        _fail($server, $worker, $error) if defined $error;
    };
    return length $path ? $worker->probe($server->{service}, $path, $done) : $done->();
}

sub _listen {
    my ($server, $worker) = @_;
    my $service = $server->{service};
    return if $server->{is_stopping} || $server->{got_signal};
    Sprig::Worker::_share($service);
    for my $socket (@{ Sprig::Worker::_take_sockets() }) {
        $server->_guard($service, $service->listen_fd($socket->{fd}, $socket));
    }
    $worker->tell('ready');
    Sprig::Worker::_detach() if $worker->is_daemon;
    return;
}

# It cannot serve.
sub _fail {
    my ($server, $worker, $error) = @_;
    $worker->report($error);
    $server->{has_failed} = 1;
    $server->{exit_guard}->send;
    return;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Server::Workers - the part of Sprig::Server that runs in several processes

=head1 DESCRIPTION

How L<Sprig::Server/run> becomes a master, and how it serves in a worker. There is nothing here for
applications: see L<Sprig::Worker>.

=head1 FUNCTIONS

=head2 run_master

    my $made = Sprig::Server::Workers::run_master($server, $app) or return;

Opens the sockets and becomes the master. Returns false when all is over, and in each worker a reference to
the application, which is undefined while its builder is yet to make it.

=head2 run_worker

    Sprig::Server::Workers::run_worker($server, $$made);

Serves until the worker is told to end. What keeps it from serving is told to the master, and the
process exits with status 1.

=cut
