package Sprig::Server;

use 5.016;
use strict;
use warnings;

use AnyEvent                    ();
use AnyEvent::Util              ();
use Carp                        qw(croak);
use POSIX                       ();
use Scalar::Util                qw(refaddr weaken);
use Sprig                       ();
use Sprig::Application          ();
use Sprig::Loop                 ();
use Sprig::Master               ();
use Sprig::Worker               ();
use Sprig::WebSocket            ();
use Sprig::Server::Applications ();
use Sprig::Server::Workers      ();

our $VERSION  = '0.001';
our @CARP_NOT = qw(Sprig::Server::Workers Sprig::Server::Applications);

# Defaults other than those of the table, for all servers of the program: see Sprig::Compat::Twiggy.
our %DEFAULTS;

# Options that are paths.
my @paths = qw(config access_log pid temp_dir tls_cert tls_key
    tls_key_password_file tls_ocsp tls_client_ca tls_crl acme_dir);

# Servers that listen or still have connections: they go on when their variable goes away.
my %serving;

# As process 1: how often it looks for processes that are nobody's.
our $ORPHAN_SECONDS = 30;

sub new {
    my ($class, %args) = @_;
    my $self = bless {%args}, $class;
    $self->_take_names_of_others;
    if (my $wrong = _wrong_options($self)) {
        croak "$class->new: $wrong";
    }

    # Whatever the application makes the working folder.
    $self->{listen} = [map { Sprig::Service::read_address($_) } @{ $self->{listen} }]
        if $self->{listen};
    $self->{$_} = $self->_setting($_) for grep { defined $self->{$_} } @paths;
    return $self;
}

# What other servers call it: HTTP::Server::PSGI and Thrall, Starman. `ssl => 0` is none there.
sub _take_names_of_others {
    my ($self)   = @_;
    my ($switch) = grep { defined $self->{$_} } qw(ssl enable_ssl);
    return if $switch && !$self->{$switch};
    for my $file (qw(key cert)) {
        my ($given) = grep { defined } @$self{ "ssl_${file}_file", "ssl_$file" };
        $self->{"tls_$file"} = $given if defined $given && !defined $self->{"tls_$file"};
    }
    return;
}

sub _wrong_options {
    my ($self) = @_;
    my ($port, $listen) = @$self{qw(port listen)};
    return 'listen must be an array reference' if defined $listen && ref $listen ne 'ARRAY';
    for my $address ($listen ? @$listen : ()) {
        eval { Sprig::Service::read_address($address); 1 } or return $@ =~ s/\n\z//r;
    }

    # plackup passes what it takes for host and port of a listen address, too.
    my $is_replaced = $listen && @$listen || $self->{listen_sock};
    if (   !$is_replaced
        && defined $port
        && length $port
        && ($port !~ /\A[0-9]{1,5}\z/ || $port > 65535))
    {
        return "port must be 0..65535, got '$port'";
    }

    # Other keys mean nothing. But who asks for TLS must not be served without.
    for my $option (grep { $self->{$_} } qw(ssl enable_ssl)) {
        return "$option needs a certificate: give tls_cert" if !defined $self->{tls_cert};
    }
    return 'tls_key needs a certificate: give tls_cert'
        if defined $self->{tls_key} && !defined $self->{tls_cert};
    my $wrong = Sprig::Service::check_options(_options($self));
    return defined $wrong ? $wrong : $self->_wrong_redirect;
}

# As in the program, a redirect needs an address with TLS that it leads to.
sub _wrong_redirect {
    my ($self)     = @_;
    my @addresses  = $self->{listen} ? @{ $self->{listen} } : ();
    my ($redirect) = grep { /,redirect(?:,|\z)/ } @addresses;
    return if !defined $redirect || grep { /,tls(?:,|\z)/ } @addresses;
    my $has_others = $self->{listen_sock} || grep { !/,redirect(?:,|\z)/ } @addresses;
    return if $has_others && length $self->_setting('tls_cert');
    return "listen: $redirect redirects to an address with TLS, and there is none: "
        . 'give another one with ,tls';
}

# What the core is told; `timeout` is the name that Twiggy has for the deadline of a head.
sub _options {
    my ($self) = @_;
    my %options = %$self;
    $options{header_timeout} = $options{timeout} if !defined $options{header_timeout};
    delete $options{header_timeout} if !defined $options{header_timeout};
    $options{option_defaults} = { %DEFAULTS, %{ $self->{option_defaults} || {} } };
    return \%options;
}

# ---- listening ----

# What to listen on, in the forms of csrc/net/listen_spec.h.
sub _addresses {
    my ($self) = @_;
    my @addresses = $self->_given_addresses;
    return @addresses if !$self->_is_all_tls;
    return map { /,redirect(?:,|\z)/ ? $_ : "$_,tls" } @addresses;
}

# A certificate without an address that is said to be for TLS is for all of them.
sub _is_all_tls {
    my ($self) = @_;
    return length $self->_setting('tls_cert') && !grep { /,tls(?:,|\z)/ } $self->_given_addresses;
}

sub _given_addresses {
    my ($self) = @_;
    return @{ $self->{listen} } if $self->{listen} && @{ $self->{listen} };
    return                      if $self->{listen_sock};
    my $host = defined $self->{host} ? $self->{host} : '';
    return Sprig::Service::join_address($host, $self->{port} || 0);
}

sub start_listen {
    my ($self, $app) = @_;
    local ($@, $!);    # are the caller's
    my $service = $self->_service($app);
    Sprig::Server::Applications::start($self);
    my @infos = map { $self->_listen($service, $_) } $self->_addresses;
    push @infos, map { $self->_listen_on($service, $_) } $self->_listen_socks;
    _plainly(sub { $service->admin });
    $self->_join_loop($service);
    $self->_tell_ready(@infos);
    return;
}

# All that comes before the first request, listening apart.
sub _join_loop {
    my ($self, $service) = @_;
    _plainly(sub { $service->drop_privileges });
    $Sprig::Loop::NESTED       = $service->option('nested');
    $Sprig::Loop::NESTED_DEPTH = $service->option('nested_depth');
    Sprig::Loop::attach();
    Sprig::Worker->start;
    return;
}

# Messages of our own tell no place.
sub _plainly {
    my ($code) = @_;
    my @results = eval { $code->() };
    return wantarray ? @results : $results[0] if !$@;
    croak $@ =~ s/ at \S+ line \d+\.?\n\z//r;
}

sub _tell_ready {
    my ($self, @infos) = @_;
    my $cb = $self->{server_ready} or return;
    $cb->($self->_ready_info($_)) for @infos;
    return;
}

sub _listen_socks {
    my ($self) = @_;
    my $socks = $self->{listen_sock} or return;
    return ref $socks eq 'ARRAY' ? @$socks : $socks;
}

sub _service {
    my ($self, $app) = @_;
    return $self->{service} if $self->{service};
    my $site    = Sprig::Server::Applications::site($self, $app);
    my $wrong   = Sprig::Application::wrong($app);
    my $address = refaddr $self;
    croak "the server needs $wrong" if defined $wrong && !$site;
    $self->{service} = _plainly(sub {
        Sprig::Service->new($site ? $site->can('nothing') : $app,
            _options($self), sub { _left($serving{$address}) });
    });
    Sprig::Server::Applications::mount($self, $site) if $site;
    return $self->{service};
}

sub _listen {
    my ($self, $service, $spec) = @_;
    my @infos = _plainly(sub { $service->listen($spec) });
    return map { $self->_guard($service, $_) } @infos;
}

# A socket that somebody else has bound; it stays theirs, we listen on a duplicate.
sub _listen_on {
    my ($self, $service, $socket) = @_;
    my %options = (tls => $self->_is_all_tls);
    return $self->_guard($service, $service->listen_fd(_duplicate($socket), \%options));
}

sub _duplicate {
    my ($socket) = @_;
    open my $dup, '<&', $socket or croak "cannot use listen_sock: $!";
    return POSIX::dup(fileno $dup);
}

# While the guard lives, the listener does. In a child of fork the guard means nothing.
sub _guard {
    my ($self, $service, $info) = @_;
    my ($id, $pid) = ($info->{id}, $$);
    push @{ $self->{listen_guards} }, AnyEvent::Util::guard {
        $service->close($id) if $pid == $$ && ${^GLOBAL_PHASE} ne 'DESTRUCT';
    };
    $self->_keep;
    return $info;
}

sub _keep {
    my ($self) = @_;
    $serving{ refaddr $self} = $self;
    $self->{serving_pid} = $$;
    return;
}

sub _ready_info {
    my ($self, $info) = @_;
    return {
        host            => $info->{host},
        port            => $info->{port},
        proto           => $info->{tls} ? 'https' : 'http',
        server_software => 'Sprig',
    };
}

sub register_service {
    my ($self, $app) = @_;
    $self->start_listen($app);    # first: it sees to the event loop
    $self->{exit_guard} = $self->_exit_guard;
    return;
}

# Its counter is one, for the server, and more where the app has said `begin`. At zero the server
# ends, and then the guard is sent.
sub _exit_guard {
    my ($self) = @_;
    my $guard = AE::cv();
    weaken(my $weak_self  = $self);
    weaken(my $weak_guard = $guard);
    $guard->begin(sub {
        return $weak_guard->send if !$weak_self;
        $weak_self->{has_ended_guard} = 1;
        delete $weak_self->{graceful_timer} if $weak_self->{has_left};
        return $weak_guard->send            if $weak_self->{has_left};
        $weak_self->shutdown(sub { $weak_guard->send if $weak_guard });
    });
    return $guard;
}

# ---- ending ----

sub stop_listening {
    my ($self) = @_;
    $self->{listen_guards} = [];
    return;
}

sub shutdown {
    my ($self, $cb) = @_;
    push @{ $self->{shutdown_cbs} }, $cb if $cb;
    my $service = $self->{service};
    if (!$service || $self->{has_left}) {
        AnyEvent::postpone { _tell_shutdown($self) };
        return;
    }
    my $seconds = $service->option('graceful_timeout') || 0;    # undefined: it was stopped
    $self->{graceful_timer} ||= AE::timer($seconds, 0, sub { $self->{is_late} = 1; $self->_stop })
        if $seconds > 0;
    my $worker = Sprig::Worker->current;
    $service->reloading if $worker && $worker->is_replaced;
    Sprig::Worker->leave;
    $service->leave;
    delete $self->{listen_guards};
    return;
}

# Ends what has not ended by itself.
sub _stop {
    my ($self) = @_;
    $self->{is_cut} = 1;
    $self->{service}->stop if $self->{service} && !$self->{has_left};
    _left($self);
    delete $self->{graceful_timer};
    $self->{exit_guard}->send if $self->{exit_guard};
    return;
}

# The same, for who must not keep the server.
sub _left_at { return _left($serving{ $_[0] }) }

# The last connection is gone.
sub _left {
    my ($self) = @_;
    return
           if !$self
        || $self->{has_left}
        || _awaits_taken($self)
        || Sprig::Server::Applications::are_cleaning($self);
    $self->{has_left}++;
    delete $serving{ refaddr $self};
    _tell_shutdown($self);
    my $guard = $self->{exit_guard};
    $guard->end if $guard && !$self->{has_ended_guard};

    # The app may hold the guard, but not for longer than its requests.
    delete $self->{graceful_timer} if !$guard || $self->{has_ended_guard};
    return;
}

# Sockets that the app has taken have until the deadline as well, if somebody may still hear them.
# Nobody tells when the app closes one.
sub _awaits_taken {
    my ($self) = @_;
    if ($self->{is_cut} || !$self->{service} || !$self->{service}->taken) {
        delete $self->{taken_timer};
        return 0;
    }
    my $address = refaddr $self;
    $self->{taken_timer} ||= AE::timer 0.05, 0.05, sub { _left($serving{$address}) };
    return 1;
}

sub _tell_shutdown {
    my ($self) = @_;
    my $cbs = delete $self->{shutdown_cbs} || [];
    $_->() for @$cbs;
    return;
}

# ---- running ----

sub run {
    my ($self, $app) = @_;

    # Until there is a server, and again once it is over.
    Sprig::Worker::_quit_open();
    my $before = AnyEvent::Util::guard { Sprig::Worker::_quit_close() };
    if (Sprig::Worker->current) {
        Sprig::Server::Workers::run_worker($self, $app);
    } elsif ($self->_setting('workers') == 1 && !$self->_setting('master')) {
        $self->_run_alone($app);
    } elsif (my $made = Sprig::Server::Workers::run_master($self, $app)) {
        Sprig::Server::Workers::run_worker($self, $$made);
        $before->cancel;
        exit 0;    # what follows this call is the master's
    }
    $before->cancel;
    return;
}

# The value of an option, also where it was not given.
sub _setting {
    my ($self, $name) = @_;
    return Sprig::Service::read_option(_options($self), $name);
}

# The application, from its builder if there is one (plackup -L Delayed): made where it serves.
sub _built {
    my ($self, $app) = @_;
    my $builder = delete $self->{psgi_app_builder};
    return $builder ? $builder->() : $app;
}

sub _run_alone {
    my ($self, $app) = @_;
    my $pid = $self->_setting('pid');
    Sprig::Worker::_alone_open();
    my $alone = AnyEvent::Util::guard { Sprig::Worker::_alone_close() };
    Sprig::Master::_daemonize() if $self->_setting('daemonize');
    my $are_known = Sprig::Worker::_orphans_begin();

    # The file of the process before is left to it until this one serves.
    my $is_late = Sprig::Master::_may_replace_pid();
    Sprig::Master::_write_pid($pid) if length $pid && !$is_late;
    $app = $self->_built($app);
    $self->_heeding(sub {
        $self->register_service($app);
        my $orphans = $are_known && AE::timer $ORPHAN_SECONDS, $ORPHAN_SECONDS,
            \&Sprig::Worker::_orphans_collect;
        $self->{service}->stand_alone(1);
        Sprig::Master::_write_pid($pid) if length $pid && $is_late;
        Sprig::Master::_daemon_ready();
        $self->_serve;
        $self->{service}->stand_alone(0);
    });
    Sprig::Worker::_quit_linger(0);
    Sprig::Master::_remove_pid();
    return;
}

# Runs the code with handlers that end the server; when it returns, these signals are held back until
# others have heard of them. By %SIG, not by AE::signal: an app that says `local %SIG` would undo a
# watcher behind its back, while a handler is put back when the scope ends. Set before anybody can
# connect.
sub _heeding {
    my ($self, $code) = @_;
    local @SIG{qw(INT TERM QUIT)} = (sub { $self->_on_signal($_[0]) }) x 3;
    $code->();
    Sprig::Worker::_quit_hold();
    return;
}

# Until the server is told to end, and has.
sub _serve {
    my ($self) = @_;

    # Also when the app calls exit: before END blocks.
    my $finish = AnyEvent::Util::guard { Sprig::Worker->finish };
    $self->{exit_guard}->send if $self->{is_stopping};
    $self->{exit_guard}->recv;
    $self->_stop;
    Sprig::Server::Applications::let_end($self);
    delete $self->{listen_guards};
    return;
}

# TERM and QUIT let requests finish; INT does not, nor does another signal later on. A worker gets
# one from its master besides that of its group, and leaves the hurry to the master.
sub _on_signal {
    my ($self, $name) = @_;
    my $delay = $name eq 'TERM' && $self->{service} && $self->{service}->option('drain_delay') || 0;
    return if $delay > 0 && Sprig::Worker->current;    # the master will say when
    my $is_first = !$self->{got_signal}++;
    if ($name eq 'INT' || !$self->{exit_guard}) {
        $self->{is_stopping} = 1;
        $self->{exit_guard}->send if $self->{exit_guard};
    } elsif ($is_first) {
        Sprig::Worker::_quit_note();
        $delay > 0 ? $self->_shutdown_later($delay) : $self->shutdown;
    } elsif (!Sprig::Worker->current && !Sprig::Worker::_quit_is_repeated()) {
        $self->{is_stopping} = 1;
        $self->{exit_guard}->send;
    }
    return;
}

# Load balancers are to notice first: /readyz says no, and connections are accepted for so long.
sub _shutdown_later {
    my ($self, $seconds) = @_;
    Sprig::Worker::_begin_to_end();
    $self->{drain_timer} = AE::timer($seconds, 0, sub { $self->shutdown });
    return;
}

# Paths of unix sockets do not outlive the process that made them.
END {
    for my $self (values %serving) {
        $self->stop_listening if $self->{serving_pid} == $$;
    }
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Server - serve PSGI applications from a program of your own

=head1 SYNOPSIS

    use Sprig::Server;

    my $server = Sprig::Server->new(
        host         => '127.0.0.1',
        port         => 5000,
        server_ready => sub { print "http://$_[0]{host}:$_[0]{port}/\n" },
    );

    # with the event loop of the program
    $server->register_service($app);
    AE::cv->recv;

    # or as the main program, until TERM, INT or QUIT
    $server->run($app);

=head1 DESCRIPTION

The server runs on whatever event loop the program uses: see L<Sprig::Loop>. It keeps serving when
the variable that holds it goes out of scope. End it with L</shutdown>, or drop its L</listen_guards>.

=head1 METHODS

=head2 new

    my $server = Sprig::Server->new(%options);
    my $server = Sprig::Server->new(config => '/etc/sprig.conf', %options);

Checks and stores the options. It does not listen yet. Dies if a value is invalid. Keys that are
not options are stored in the object and otherwise ignored.

=over

=item host, port

The address to listen on if there is no C<listen>. The default is all addresses, and a port
that the system chooses.

=item listen

An array reference of addresses. C<*:port> means all IPv4 and IPv6 addresses, C<port> and C<:port> all IPv4 addresses,
C<host:port> each address of that name, C<[v6]:port> that address, C<unix:path> or a path with a slash a unix socket,
and C<@name> an abstract one. C<host> and C<port> are then ignored.

=item listen_sock

A listening socket, or an array reference of listening sockets. C<host> and C<port> are then ignored, but addresses in
C<listen> are served as well. The sockets still belong to the caller: Sprig uses duplicates.

=item server_ready

Code that is called once for each listener, when it listens, with a hash reference: C<host> and
C<port> as bound (C<unix/> and the path for a unix socket), C<proto> (C<http> or C<https>), and
C<server_software>.

=item tls_cert, tls_key

The paths of files, or of folders with certificates; several in an array reference. C<ssl_cert_file> and
C<ssl_key_file> of L<HTTP::Server::PSGI>, and C<ssl_cert> and C<ssl_key> of L<Starman>, mean the same, unless C<ssl> (or
C<enable_ssl>) is false.

=item timeout

The same as C<header_timeout>, which takes precedence.

=back

All options of L<sprig> that concern processes, TLS, requests, deadlines, connections and output are taken
by the same names with underscores: C<workers>, C<max_body_bytes>, C<keepalive_timeout> and so on. Those
of processes (C<workers>, C<master>, C<preload_app>, C<max_requests>, C<probe>, C<pid>, C<daemonize>) are for L</run>;
the other methods never fork.

=over

=item config

A configuration file: see L<sprig.conf>. Only options of this method count, and not addresses. The environment
takes precedence over the file, and arguments of C<new> take precedence over
both. C<HUP> to a process in L</run> reads the file again.

=item psgi_app_builder

Code that returns the application, instead of the argument of L</run>. It is called in each worker,
so that a reload (C<HUP>) loads new code. With C<preload_app>, it is called once, in the master, after the process has
given up root.

=back

=head2 start_listen

    $server->start_listen($app);

Listens on all addresses and joins the event loop. Dies if an address cannot be bound.

=head2 register_service

    $server->register_service($app);

Calls L</start_listen>, and creates L</exit_guard>.

=head2 run

    $server->run($app);

Calls L</register_service>, and serves until the process gets a signal. C<TERM> and C<QUIT> let current requests
finish for at most C<graceful_timeout> seconds. C<INT>, or another signal at least a second after the
first, ends the server at once. Then C<run> returns.

With C<workers> of 2 or more, or with C<master>, this process becomes the master, and returns when all workers have
ended. It obeys the signals listed in L<sprig/WORKERS>. The workers end with C<exit> and run their C<END> blocks; only
the master executes the code after this call. C<server_ready> is called in the master when
the first worker serves.
C<USR2> starts the program again with the same command line. Check that this works if perl was started with switches
other than C<-I>.

Where this process is the first one of a container (process 1), the processes that others leave to it are
collected within a minute, and those that it has forked itself are not touched.

=head2 shutdown

    $server->shutdown($cb);

Stops listening, closes idle connections, lets the others finish for at most C<graceful_timeout>
seconds, and then calls the code reference or condition variable, if there is one.

=head2 stop_listening

    $server->stop_listening;

Drops the L</listen_guards>. The server accepts no more connections, and existing connections end after
their current response.

=head1 ATTRIBUTES

=head2 listen_guards

    delete $server->{listen_guards};

An array with a guard object for each listener. A listener stops when its guard is destroyed.

=head2 exit_guard

    $server->{exit_guard}->recv;

A condition variable that is sent when the server has ended. C<end> on it starts a graceful shutdown, like
L</shutdown>. A previous C<begin> delays that until the matching C<end>. C<begin> also delays a shutdown that has
already started, for at most C<graceful_timeout> seconds. In workers, applications get it as C<psgix.exit_guard>:
see L<Sprig::Worker/THE END OF A WORKER>.

=head1 ENVIRONMENT

=head2 SPRIG_I<OPTION>

    SPRIG_MAX_BODY_BYTES=10M SPRIG_KEEPALIVE=0 perl my-server.pl

Every option of L<sprig> that C<new> takes, in capitals. Arguments of C<new> take precedence over the environment. An
empty variable has no effect, and variables that are not options are ignored. If a value is wrong, C<new> dies with a
message that names the variable. There are no variables for C<host>, C<port>, C<listen>, C<harakiri>, and for options
that are not plain values.

=head1 SEE ALSO

L<Plack::Handler::Sprig>, L<sprig>, L<Sprig::Worker>, L<Sprig::Loop>

=cut
