package Sprig::Loop;

use strict;
use warnings;

use Sprig ();

our $VERSION = $Sprig::VERSION;

our $DIED;                 # code ref: gets what died in a callback; default: warn
our $NESTED_DEPTH = 32;    # blocking recvs within each other
our $N_PASSES     = 0;     # that a foreign loop gave us

sub Sprig::Loop::Watcher::CLONE_SKIP { return 1 }
sub Sprig::Loop::Child::CLONE_SKIP   { return 1 }

# Chosen by AnyEvent, unless it or the program has chosen before.
sub import {
    register() unless $AnyEvent::MODEL || _other_loop();
    return;
}

sub register {
    unshift @AnyEvent::REGISTRY, [__PACKAGE__, 'AnyEvent::Impl::Sprig']
        unless grep { $_->[0] eq __PACKAGE__ } @AnyEvent::REGISTRY;
    return;
}

# A loop that somebody loaded, and will run: AnyEvent finds it by itself.
sub _other_loop {
    for my $file (qw(EV Event Glib POE Tk UV)) {
        return $file if $INC{"$file.pm"};
    }
    return;
}

sub poll {
    pass(1);
    return;
}

# Runs until the condvar was sent: AnyEvent's own rule allows one blocking recv at a time, here each
# may be answered by callbacks that block again.
sub wait_for {
    my ($cv) = @_;
    local $AnyEvent::CondVar::Base::WAITING = 0;
    pass(1) until exists $cv->{_ae_sent};
    return;
}

sub _died {
    my ($error) = @_;
    return $DIED->($error) if $DIED;
    warn "Sprig: error in a callback (ignored): $error";
    return;
}

# Live objects by kind, and those of a server.
sub counters {
    my ($class, @server) = @_;
    return Sprig::counters(@server);
}

# ---- child watchers ----

# Each process is waited for by its own number, so that children of system() and the like are left to
# those who wait for them; only a watcher for pid 0 takes them all.
my (%child, $n_child, $sigchld, $recheck);

sub child ($$) {
    my ($pid, $cb) = @_;
    my $id = ++$n_child;
    $child{$pid}{$id} = $cb;
    $sigchld ||= signal(CHLD => \&_reap);

    # It may have died before there was a handler.
    $recheck ||= timer(0, 0, sub { undef $recheck; _reap() });
    return bless [$pid, $id], 'Sprig::Loop::Child';
}

sub Sprig::Loop::Child::DESTROY {
    my ($pid, $id) = @{ $_[0] };
    delete $child{$pid}{$id};
    delete $child{$pid} unless %{ $child{$pid} };
    undef $sigchld      unless %child;
    return;
}

sub _reap {
    local ($?, $!);
    my @dead;
    for my $pid ($child{0} ? -1 : sort { $a <=> $b } keys %child) {
        while ((my $found = waitpid $pid, 1) > 0) {    # 1: WNOHANG, everywhere
            push @dead, [$found, $?];
        }
    }
    _tell($_->[0], @$_), _tell(0, @$_) for @dead;
    return;
}

# A callback may cancel the watchers behind it.
sub _tell {
    my ($watched, $pid, $status) = @_;
    for my $id (sort { $a <=> $b } keys %{ $child{$watched} || {} }) {
        my $cb = $child{$watched} && $child{$watched}{$id} or next;
        _call($cb, $pid, $status);
    }
    return;
}

# ---- driven by another loop ----

my %hosts;    # name of the loop => what keeps us attached to it: a watcher, or a guard
my $attached_pid = 0;

# To every loop at hand, for nobody can know which one the program is going to run. A child of fork
# has descriptors of its own and attaches them anew.
sub attach {
    require AnyEvent;
    register() unless $AnyEvent::MODEL || _other_loop();
    my $model = AnyEvent::detect();
    %hosts        = () if $attached_pid != $$;
    $attached_pid = $$;
    _attach_anyevent() if $model ne 'AnyEvent::Impl::Sprig';
    _attach_ev()       if $model ne 'AnyEvent::Impl::EV' && $INC{'EV.pm'};
    _attach_mojo()     if $INC{'Mojo/IOLoop.pm'};
    _attach_io_async() if $model ne 'AnyEvent::Impl::IOAsync' && $INC{'IO/Async/Loop.pm'};
    return sort keys %hosts;
}

# What a foreign loop calls: one pass for each time that something is ready.
sub _serve {
    $N_PASSES++;
    pass(0);
    attach() if $attached_pid != $$;
    return;
}

# Where this descriptor is readable, a pass has something to do. -1: the platform has none, or the
# other way is to be tried out.
sub _host_fd {
    return $ENV{SPRIG_LOOP_INTEREST} ? -1 : poll_fd();
}

# The same as a handle that can be closed without harm, for loops that want one.
sub _host_handle {
    open my $fh, '<&', _host_fd() or return;
    return $fh;
}

sub _attach_anyevent {
    my $fd = _host_fd();
    $hosts{AnyEvent} ||= $fd < 0 ? _attach_by_interest() : AE::io($fd, 0, \&_serve);
    return;
}

# The portable way: watchers in the other loop for each of our descriptors.
sub _attach_by_interest {
    my (%io, $timer);
    _set_interest(
        sub {
            my ($fd, $what) = @_;
            delete $io{$fd};
            $io{$fd} = [map { AE::io($fd, $_, \&_serve) } grep { $what & 1 << $_ } 0, 1] if $what;
        },
        sub {
            my ($seconds) = @_;
            $timer = $seconds < 0 ? undef : AE::timer($seconds, 0, \&_serve);
        },
    );
    return 1;
}

sub _attach_ev {
    $hosts{EV} ||= EV::io(_host_fd(), EV::READ(), \&_serve);
    return;
}

# With Mojo::Reactor::EV it is EV that runs.
sub _attach_mojo {
    my $reactor = Mojo::IOLoop->singleton->reactor;
    return if $hosts{Mojo} || $reactor->isa('Mojo::Reactor::EV');
    my $fh = _host_handle() or return;
    $reactor->io($fh => \&_serve)->watch($fh, 1, 0);
    $hosts{Mojo} = Sprig::Loop::Guard->new(sub { $reactor->remove($fh) });
    return;
}

sub _attach_io_async {
    return if $hosts{IOAsync};
    my $fh   = _host_handle() or return;
    my $loop = IO::Async::Loop->new;
    $loop->watch_io(handle => $fh, on_read_ready => \&_serve);
    $hosts{IOAsync} =
        Sprig::Loop::Guard->new(sub { $loop->unwatch_io(handle => $fh, on_read_ready => 1) });
    return;
}

package Sprig::Loop::Guard;

sub new {
    my ($class, $leave) = @_;
    return bless { leave => $leave }, $class;
}

sub CLONE_SKIP { return 1 }

sub DESTROY {
    my ($self) = @_;
    $self->{leave}->() if ${^GLOBAL_PHASE} ne 'DESTRUCT';
    return;
}

1;
