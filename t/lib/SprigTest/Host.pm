package SprigTest::Host;

# Event loops of others that can drive ours, and how a program runs them.
#
#   my @names = SprigTest::Host->names;        # those that can be loaded here
#   my $host  = SprigTest::Host->load('EV');   # once a process, before anything chooses a loop
#   $host->run; ... $host->stop                # from a callback

use strict;
use warnings;

# needs: module that has to be there; env: set before AnyEvent is loaded; load: what the program
# does at first; model: what AnyEvent must have chosen then; runs: true while it is this loop that
# runs.
my %hosts = (
    'Sprig' => {
        load  => sub { require Sprig::Loop; Sprig::Loop->import },
        model => 'Sprig',
        runs  => sub { Sprig::Loop::depth() == 1 },
    },
    'EV' => {
        needs => 'EV',
        load  => sub { require EV },
        model => 'EV',
        run   => sub { EV::run() },
        stop  => sub { EV::break() },
        runs  => sub { EV::depth() == 1 },
    },
    'EV, by recv' => {
        needs => 'EV',
        load  => sub { require EV },
        model => 'EV',
        runs  => sub { EV::depth() == 1 },
    },
    'EV, loaded late' => {
        needs => 'EV',
        load  => sub { _late_ev() },
        model => 'Sprig',
        run   => sub { EV::run() },
        stop  => sub { EV::break() },
        runs  => sub { EV::depth() == 1 },
    },
    'pure perl' => {
        env   => 'Perl',
        model => 'Perl',
        runs  => sub { Sprig::Loop::depth() <= 1 },
    },
    'Event' => {
        needs => 'Event',
        load  => sub { require Event },
        model => 'Event',
        run   => sub { Event::loop() },
        stop  => sub { Event::unloop_all() },
    },
    'IO::Async' => {
        needs => 'IO::Async::Loop',
        load  => sub { require IO::Async::Loop },
        model => 'Sprig',
        run   => sub { IO::Async::Loop->new->run },
        stop  => sub { IO::Async::Loop->new->stop },
        runs  => sub { IO::Async::Loop->new->is_running },
    },
    'IO::Async, by AnyEvent' => {
        needs => 'IO::Async::Loop',
        env   => 'IOAsync',
        model => 'IOAsync',
    },
    'Mojo' => {
        needs => 'Mojo::IOLoop',
        load  => sub { $ENV{MOJO_REACTOR} = 'Mojo::Reactor::Poll'; require Mojo::IOLoop },
        model => 'Sprig',
        run   => sub { Mojo::IOLoop->start },
        stop  => sub { Mojo::IOLoop->stop },
        runs  => sub {
            Mojo::IOLoop->is_running
                && Mojo::IOLoop->singleton->reactor->isa('Mojo::Reactor::Poll');
        },
    },
    'Mojo on EV' => {
        needs => 'Mojo::Reactor::EV',
        load  => sub { $ENV{MOJO_REACTOR} = 'Mojo::Reactor::EV'; require Mojo::IOLoop },
        model => 'EV',
        run   => sub { Mojo::IOLoop->start },
        stop  => sub { Mojo::IOLoop->stop },
        runs  => sub { EV::depth() == 1 },
    },
    'IO::Async, by recv' => {
        needs => 'IO::Async::Loop',
        load  => sub { require IO::Async::Loop },
        model => 'Sprig',
        runs  => sub { Sprig::Loop::depth() == 1 },
    },
    'Mojo, by recv' => {
        needs => 'Mojo::IOLoop',
        load  => sub { $ENV{MOJO_REACTOR} = 'Mojo::Reactor::Poll'; require Mojo::IOLoop },
        model => 'Sprig',
        runs  => sub { Mojo::IOLoop->is_running },
    },
    'EV loaded late, by recv' => {
        needs => 'EV',
        load  => sub { _late_ev() },
        model => 'Sprig',
        runs  => sub { EV::depth() == 1 },
    },
    'Glib' => {
        needs => 'Glib',
        load  => sub { require Glib },
        model => 'Glib',
    },
    'POE' => {
        needs => 'POE',
        load  => sub { require POE; POE->import },
        model => 'POE',
    },
);
$hosts{"$_, without a descriptor"} = { %{ $hosts{$_} }, interest => 1 }
    for 'EV', 'pure perl', 'Event',
    'Mojo', 'IO::Async';

# AnyEvent has chosen before the program loads what it is going to run.
sub _late_ev {
    require Sprig::Loop;
    Sprig::Loop->import;
    require AnyEvent;
    AE::cv();
    require EV;
    return;
}

sub names {
    my @there;
    for my $name (sort keys %hosts) {
        my $needs = $hosts{$name}{needs};
        push @there, $name
            if !$needs || system($^X, '-e', "eval { require $needs; 1 } or exit 1") == 0;
    }
    return @there;
}

sub load {
    my ($class, $name) = @_;
    my $self = bless { name => $name, %{ $hosts{$name} } }, $class;
    delete $ENV{PERL_ANYEVENT_MODEL};
    $ENV{PERL_ANYEVENT_MODEL} = $self->{env} if $self->{env};
    $ENV{SPRIG_LOOP_INTEREST} = 1            if $self->{interest};
    $self->{load}->() if $self->{load};
    return $self;
}

sub model    { return "AnyEvent::Impl::$_[0]{model}" }
sub model_of { return "AnyEvent::Impl::$hosts{$_[1]}{model}" }

# True if it is really this loop that calls us.
sub is_running { return !$_[0]{runs} || $_[0]{runs}->() }

sub run {
    my ($self) = @_;
    return $self->{run}->() if $self->{run};
    $self->{cv} = AE::cv();
    return $self->{cv}->recv;
}

sub stop {
    my ($self) = @_;
    return $self->{stop} ? $self->{stop}->() : $self->{cv}->send;
}

1;
