package Sprig::PAGI::Lifespan;

use strict;
use warnings;

use AnyEvent            ();
use Sprig::PAGI::Future ();

our $VERSION = '0.001';

my $CORE_VERSION     = '0.5';
my $LIFESPAN_VERSION = '0.3';

sub new {
    my ($class, %args) = @_;
    return bless { %args, phase => 'new', events => [], waiting => [] }, $class;
}

sub state { return $_[0]{state} ||= {} }

# Returns when the application has started, or knows nothing of such events. Dies with its message if it
# says that it cannot start, or says nothing in time.
sub start {
    my ($self, $seconds) = @_;
    my $cv = $self->{told} = AE::cv();
    my $timer;
    $timer = AE::timer($seconds, 0, sub { $self->_settle('late') }) if $seconds;
    $self->_deliver({ type => 'lifespan.startup' });
    $self->_call;
    $cv->recv if $self->{phase} eq 'new';
    return    if $self->{phase} ne 'failed' && $self->{phase} ne 'late';
    my $message = $self->{message};
    die "start_timeout: the application has not started within $seconds seconds\n"
        if $self->{phase} eq 'late';
    die 'the application cannot start: '
        . (length $message ? $message : 'it does not say why') . "\n";
}

# Calls back when the application has cleaned up; at once where it does not care.
sub stop {
    my ($self, $done) = @_;
    return $done->() if $self->{phase} ne 'started' || $self->{is_done};
    $self->{phase}    = 'stopping';
    $self->{on_ended} = $done;
    $self->_deliver({ type => 'lifespan.shutdown' });
    return;
}

# ---- the application ----

sub _scope {
    my ($self) = @_;
    my $worker = $self->{worker};
    return {
        type => 'lifespan',
        pagi => {
            version      => $CORE_VERSION,
            spec_version => $LIFESPAN_VERSION,
            is_worker    => $worker ? 1 : 0,
            $worker ? (worker_num => $worker->number) : (),
        },
        extensions => {},
        state      => $self->state,
    };
}

sub _call {
    my ($self) = @_;
    my $future = eval {
        $self->{app}->($self->_scope, sub { $self->_receive }, sub { $self->_send($_[0]) });
    };
    my $error = $@;
    return $self->_returned($error) if !ref $future || !eval { $future->can('on_ready') };
    $self->{future} = $future;
    $future->on_ready(sub {
        my ($ready) = @_;
        my $failure = $ready->is_cancelled ? undef : $ready->failure;
        $self->_returned($failure);
    });
    return;
}

# It has returned or died. Before it has started this means that it does not know such events.
sub _returned {
    my ($self, $error) = @_;
    my $is_error = defined $error && length $error;
    $self->{is_done} = 1;
    if ($self->{phase} eq 'new') {
        my $why = $is_error ? ': ' . ($error =~ s/\s+\z//r) : '';
        Sprig::PAGI::_log("the application does not use lifespan (optional)$why");
        return $self->_settle('declined');
    }
    warn 'lifespan of the PAGI application: ', $error =~ /\n\z/ ? $error : "$error\n" if $is_error;
    $self->_ended;
    delete $self->{future};
    return;
}

sub _settle {
    my ($self, $phase) = @_;
    return if $self->{phase} ne 'new';
    $self->{phase} = $phase;
    $self->{told}->send;
    return;
}

sub _ended {
    my ($self) = @_;
    my $done = delete $self->{on_ended} or return;
    $self->{phase} = 'stopped';
    $done->();
    return;
}

# ---- events ----

sub _deliver {
    my ($self, $event) = @_;
    while (my $future = shift @{ $self->{waiting} }) {
        next if $future->is_ready;
        $future->done($event);
        return;
    }
    push @{ $self->{events} }, $event;
    return;
}

sub _receive {
    my ($self) = @_;
    my $event = shift @{ $self->{events} };
    return Sprig::PAGI::Future->done($event) if $event;
    my $future = Sprig::PAGI::Future->new;
    push @{ $self->{waiting} }, $future;
    return $future;
}

# In which phase each event may be sent, and what is done then.
my %known = (
    'lifespan.startup.complete'  => [new      => sub { $_[0]->_settle('started') }],
    'lifespan.startup.failed'    => [new      => sub { $_[0]->_fail($_[1]) }],
    'lifespan.shutdown.complete' => [stopping => sub { $_[0]->_ended }],
    'lifespan.shutdown.failed'   => [stopping => sub { $_[0]->_fail_late($_[1]) }],
);

sub _send {
    my ($self, $event) = @_;
    my $type = ref $event eq 'HASH' ? $event->{type} : undef;
    my $what = defined $type        ? $known{$type}  : undef;
    return Sprig::PAGI::Future->fail('send: an event is a hash reference with a type')
        if !defined $type;
    return Sprig::PAGI::Future->fail("$type: there is no such event for a lifespan scope")
        if !$what;
    return Sprig::PAGI::Future->fail("$type: this is not the time for it")
        if $what->[0] ne $self->{phase};
    $what->[1]->($self, $event);
    return Sprig::PAGI::Future->done;
}

sub _message {
    my ($event) = @_;
    my $message = defined $event->{message} ? "$event->{message}" : '';
    return $message =~ s/\s+\z//r;
}

sub _fail {
    my ($self, $event) = @_;
    $self->{message} = _message($event);
    return $self->_settle('failed');
}

sub _fail_late {
    my ($self, $event) = @_;
    my $message = _message($event);
    warn 'the PAGI application could not clean up', length $message ? ": $message" : '', "\n";
    return $self->_ended;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::PAGI::Lifespan - startup and shutdown of a PAGI application

=head1 DESCRIPTION

L<Sprig::Server> uses this module once in every process that serves requests. Applications do not need it;
see L<Sprig::Manual::PAGI/LIFESPAN>.

=head1 METHODS

=head2 new

    my $lifespan = Sprig::PAGI::Lifespan->new(app => $app, worker => Sprig::Worker->current);

=head2 state

The hash that the application fills when it starts. Every request gets a copy.

=head2 start

    $lifespan->start($seconds);

Sends C<lifespan.startup> to the application, and runs the event loop until it has started. Dies if the
application fails, or has not started after C<$seconds> seconds.

=head2 stop

    $lifespan->stop(sub { ... });

Sends C<lifespan.shutdown> to the application, and runs the callback once it has cleaned up.

=cut
