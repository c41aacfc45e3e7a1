package Sprig::Loop;

use strict;
use warnings;

use Sprig ();

our $VERSION = '0.001';

our $DIED;                     # code ref: gets what died in a callback; default: warn
our $NESTED       = 'hold';    # what a blocking recv inside of callbacks does
our $NESTED_DEPTH = 32;        # how many of them there may be within each other
our $N_PASSES     = 0;         # that a foreign loop gave us

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

our $n_waits = 0;        # blocking recvs on the stack
my $attached_pid = 0;    # process that is attached to other loops
my $turn;                # what waits in place of our own pass: see attach

sub poll {
    $turn ? $turn->() : pass(1);
    return;
}

# Runs until the condvar was sent. AnyEvent's own rule allows one blocking recv at a time; here
# callbacks may block again, unless the rule was asked for.
sub wait_for {
    my ($cv) = @_;
    local $AnyEvent::CondVar::Base::WAITING = $NESTED eq 'croak';
    local $n_waits                          = $n_waits + 1;
    attach() if $turn && $attached_pid != $$;
    $turn ? $turn->() : _pass_until($cv, '_ae_sent', $turn) until exists $cv->{_ae_sent};
    return;
}

sub may_wait { return $n_waits <= $NESTED_DEPTH }

sub _died {
    my ($error) = @_;
    return $DIED->($error) if $DIED;
    my $text = "$error" =~ s/(?:\n\teval \{...\} called at [^\n]*)?\n\tSprig::Loop::.*/\n/sr;
    warn "Sprig: error in a callback (ignored): $text";
    return;
}

# Live objects by kind, and those of a server.
sub counters {
    my ($class, @server) = @_;
    return Sprig::counters(@server);
}

# ---- child watchers ----

# Each process is waited for by its own number, so that children of system() and the like are left
# to those who wait for them; only a watcher for pid 0 takes them all.
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

# How to watch a descriptor in each loop: code that gets number and direction and returns what ends
# it when it is dropped.
my %watch = (
    AnyEvent => sub { return AE::io($_[0], $_[1], \&_serve) },
    EV       => sub { return EV::io($_[0], $_[1] ? EV::WRITE() : EV::READ(), \&_serve) },
    Mojo     => \&_watch_in_mojo,
    IOAsync  => \&_watch_in_io_async,
);

# The same for seconds from now.
my %wait = (
    AnyEvent => sub { return AE::timer($_[0], 0, \&_serve) },
    EV       => sub { return EV::timer($_[0], 0, \&_serve) },
    Mojo     => \&_wait_in_mojo,
    IOAsync  => \&_wait_in_io_async,
);

# Where AnyEvent runs on ours, nobody may be there to run them: then they wait in our place, or
# what an app does with them would never go on. One of them can: the first that is there.
my %turn = (
    EV      => sub { EV::run(EV::RUN_ONCE()) },
    Mojo    => sub { Mojo::IOLoop->singleton->reactor->one_tick },
    IOAsync => sub { IO::Async::Loop->new->loop_once },
);

my %hosts;    # name of the loop => what keeps us attached to it

# To every loop at hand, for nobody can know which one the program is going to run. A child of fork
# has descriptors of its own and attaches them anew.
sub attach {
    require AnyEvent;
    register() unless $AnyEvent::MODEL || _other_loop();
    %hosts        = () if $attached_pid != $$;
    $attached_pid = $$;
    my @new = grep { !$hosts{$_} } _loops_at_hand(AnyEvent::detect());
    if (@new) {
        my $fd = _poll_fd();
        $hosts{$_} = $fd < 0 ? 1 : $watch{$_}->($fd, 0) for @new;
        _attach_by_interest() if $fd < 0;
        ($turn) = map { $turn{$_} } grep { $hosts{$_} } qw(EV Mojo IOAsync);
    }
    return sort keys %hosts;
}

# With Mojo::Reactor::EV it is EV that runs, with our own reactor it is this loop.
sub _loops_at_hand {
    my ($model) = @_;
    my @loops;
    push @loops, 'AnyEvent' if $model ne 'AnyEvent::Impl::Sprig';
    push @loops, 'EV'       if $model ne 'AnyEvent::Impl::EV'      && $INC{'EV.pm'};
    push @loops, 'IOAsync'  if $model ne 'AnyEvent::Impl::IOAsync' && $INC{'IO/Async/Loop.pm'};
    push @loops, 'Mojo'     if $INC{'Mojo/IOLoop.pm'}              && _mojo_runs_itself();
    return @loops;
}

sub _mojo_runs_itself {
    my $reactor = Mojo::IOLoop->singleton->reactor;
    return !$reactor->isa('Mojo::Reactor::EV') && !$reactor->isa('Mojo::Reactor::Sprig');
}

# Where this descriptor is readable, a pass has something to do. -1: the platform has none, or the
# other way is to be tried out.
sub _poll_fd {
    return $ENV{SPRIG_LOOP_INTEREST} ? -1 : poll_fd();
}

# The portable way: watchers in the other loops for each of our descriptors, and for our timers.
sub _attach_by_interest {
    my (%io, @timer);
    _set_interest(
        sub {
            my ($fd, $what) = @_;
            delete $io{$fd};
            return if !$what;
            my @directions = grep { $what & 1 << $_ } 0, 1;
            for my $host (keys %hosts) {
                push @{ $io{$fd} }, map { $watch{$host}->($fd, $_) } @directions;
            }
        },
        sub {
            my ($seconds) = @_;

            # A millisecond more: a loop that counts from a clock it read earlier would come too
            # early, find nothing, and come again.
            @timer = $seconds < 0 ? () : map { $wait{$_}->($seconds + 0.001) } keys %hosts;
        },
    );
    return;
}

# What a foreign loop calls: one pass for each time that something is ready.
sub _serve {
    $N_PASSES++;
    pass(0);
    attach() if $attached_pid != $$;
    return;
}

# A handle on a duplicate, which can be closed without harm.
sub _handle {
    my ($fd, $is_write) = @_;
    open my $fh, $is_write ? '>&' : '<&', $fd or die "cannot duplicate descriptor $fd: $!";
    return $fh;
}

sub _watch_in_mojo {
    my ($fd, $is_write) = @_;
    my $fh      = _handle($fd, $is_write);
    my $reactor = Mojo::IOLoop->singleton->reactor;
    $reactor->io($fh => \&_serve)->watch($fh, !$is_write, $is_write);
    return Sprig::Loop::Guard->new(sub { $reactor->remove($fh) });
}

sub _wait_in_mojo {
    my ($seconds) = @_;
    my $id = Mojo::IOLoop->timer($seconds, \&_serve);
    return Sprig::Loop::Guard->new(sub { Mojo::IOLoop->remove($id) });
}

sub _watch_in_io_async {
    my ($fd, $is_write) = @_;
    my $fh   = _handle($fd, $is_write);
    my $loop = IO::Async::Loop->new;
    my $what = $is_write ? 'on_write_ready' : 'on_read_ready';
    $loop->watch_io(handle => $fh, $what => \&_serve);
    return Sprig::Loop::Guard->new(sub { $loop->unwatch_io(handle => $fh, $what => 1) });
}

sub _wait_in_io_async {
    my ($seconds) = @_;
    my $loop      = IO::Async::Loop->new;
    my $id        = $loop->watch_time(after => $seconds, code => \&_serve);
    return Sprig::Loop::Guard->new(sub { $loop->unwatch_time($id) });
}

package Sprig::Loop::Guard;

sub new {
    my ($class, $leave) = @_;
    return bless { leave => $leave, pid => $$ }, $class;
}

sub CLONE_SKIP { return 1 }

# IO::Async's loop on epoll dies in a forked child of what the parent has watched: it has made a new
# epoll there, and believes that all is in it.
sub DESTROY {
    my ($self) = @_;
    return if ${^GLOBAL_PHASE} eq 'DESTRUCT';
    local $@;
    my $ok = eval { $self->{leave}->(); 1 };
    die $@ if !$ok && $self->{pid} == $$;
    return;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Loop - the event loop of Sprig

=head1 SYNOPSIS

    use Sprig::Loop;    # before anything that makes AnyEvent choose
    use AnyEvent;

    my $timer = AE::timer 1, 0, sub { print "a second later\n" };
    AE::cv->recv;

=head1 DESCRIPTION

Sprig runs on an event loop in C, which is also a complete L<AnyEvent> backend: see
L<AnyEvent::Impl::Sprig>. If you load this module, AnyEvent uses it, unless AnyEvent has already
chosen a backend, or C<EV>, C<Event>, C<Glib>, C<POE>, C<Tk> or C<UV> is loaded, because the program
will then run that loop. The environment variable C<PERL_ANYEVENT_MODEL=Sprig> always chooses Sprig's loop. The program
L<sprig> always runs on it. For C<plackup>, type C<plackup -MSprig::Loop -s Sprig>.

=head2 In the loop of another module

If the program runs another loop, that loop drives Sprig's: C<AE::cv-E<gt>recv> with any AnyEvent backend,
C<EV::run>, C<Mojo::IOLoop-E<gt>start> and C<IO::Async::Loop-E<gt>run> all serve requests. There is one wake-up
whenever something is ready, and none otherwise. L<Sprig::Server> takes care of this.

If the program runs Sprig's own loop, but C<EV>, L<Mojo::IOLoop> or L<IO::Async> is loaded, that loop
does the waiting, so that its timers and futures work in applications of L<sprig>. This works for only one
of them, the first of these three.

Under C<PERL_ANYEVENT_MODEL=IOAsync>, AnyEvent 7.17 never frees the callback of a cancelled timer,
or the variables that it closes over, such as a writer. If L<IO::Async> is only loaded, as above,
AnyEvent uses Sprig's timers, and this does not happen.

=head2 Blocking in callbacks

You can call C<< $cv->recv >> in callbacks and PSGI applications, and again in callbacks that
run meanwhile, up to the depth of the option C<nested_depth> (32). Watchers and responses in progress
continue. The option C<nested> decides what happens to new requests meanwhile:
C<hold> lets them wait, C<dispatch> starts them, and C<croak> makes C<recv> die. With C<hold>, an
application that waits for a request to its own worker waits forever.

If another loop runs, the rules of that loop apply.

=head2 Signals

Handlers in C<%SIG> run as soon as the signal arrives, even while the loop sleeps. If a handler dies, the exception
leaves the waiting C<recv>, so C<alarm> with a handler that dies limits its time.

=head2 Processes

A child of C<fork> gets a loop of its own with copies of all watchers when it first uses the loop. Children that only
C<exec> or C<exit> cost nothing.

=head1 FUNCTIONS

=head2 io, timer, signal, child, idle, time, now, now_update

    my $watcher = Sprig::Loop::io($fh, $is_write, sub { ... });

The functions documented in L<AE>, where they are called C<AE::io> and so on. They use Sprig's loop even
if AnyEvent runs on another one.

=head2 poll

    Sprig::Loop::poll();

Waits until something is ready, and runs its callbacks.

=head2 pass

    my $n = Sprig::Loop::pass($block);

The same, but without C<$block> it does not wait. Returns the number of callbacks.

=head2 depth

    my $depth = Sprig::Loop::depth();

Returns the number of passes on the stack: 0 outside callbacks.

=head2 wait_for

    Sprig::Loop::wait_for($cv);

Runs the loop until the condition variable has been sent, like C<recv>.

=head2 may_wait

    my $bool = Sprig::Loop::may_wait();

Returns whether C<nested_depth> allows another blocking C<recv>.

=head2 register

    Sprig::Loop::register();

Makes AnyEvent use this loop, whatever is loaded, unless it has already chosen a backend.

=head2 attach

    my @loops = Sprig::Loop->attach;

Makes all other loaded loops drive this one, and chooses a backend for AnyEvent if it has none.
Returns the names of these loops. You can call it again at any time.

=head2 poll_fd

    my $fd = Sprig::Loop::poll_fd();

Returns a descriptor that is readable whenever C<Sprig::Loop::pass(0)> has something to do, for loops that
this module does not know. It may change in a child of C<fork>. It is -1 if the system has none.

=head2 counters

    my $counters = Sprig::Loop->counters;

Returns a hash reference with the number of live objects: C<watchers>, C<exchanges>, C<responders> and so on.

=head1 VARIABLES

=head2 $Sprig::Loop::DIED

Code that is called with the exception if a callback dies. The default is C<warn>. The loop
continues in any case.

=head2 $Sprig::Loop::N_PASSES

The number of passes that another loop has given to this one.

=head2 $Sprig::Loop::NESTED, $Sprig::Loop::NESTED_DEPTH

The options C<nested> and C<nested_depth> of the most recently started server.

=head1 ENVIRONMENT

=head2 SPRIG_LOOP_INTEREST

If true, other loops watch each descriptor separately instead of the one from C<poll_fd>. This is the default on
systems without such a descriptor.

=head1 SEE ALSO

L<AnyEvent>, L<AnyEvent::Impl::Sprig>, L<Sprig::Server>

=cut
