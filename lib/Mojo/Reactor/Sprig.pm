package Mojo::Reactor::Sprig;

use Mojo::Base 'Mojo::Reactor::Poll';

use Carp         qw(croak);
use Scalar::Util qw(weaken);
use Sprig::Loop  ();

our $VERSION = '0.001';

# The loop of a process is one, so one reactor can be it; any further one polls by itself.
my $is_taken;

sub new {
    my ($class, @args) = @_;
    return Mojo::Reactor::Poll->new(@args) if $is_taken++;
    return $class->SUPER::new(@args);
}

sub DESTROY { undef $is_taken }

sub again {
    my ($self, $id, $after) = @_;
    croak 'Timer not active' unless my $timer = $self->{timers}{$id};
    $timer->{after} = $after if defined $after;
    $self->_arm($id);
}

# Until something of Mojo's has happened; what else is ready is served on the way.
sub one_tick {
    my ($self) = @_;
    local $self->{running} = 1 unless $self->{running};
    my $n_before = $self->{n_events} // 0;
    while ($self->{running} && ($self->{n_events} // 0) == $n_before) {
        return $self->stop unless keys %{ $self->{timers} } || keys %{ $self->{io} };
        Sprig::Loop::pass(1);
    }
}

sub watch {
    my ($self, $handle, $read, $write) = @_;
    my $fd = fileno $handle;
    croak 'I/O watcher not active' unless my $io = $self->{io}{$fd};
    weaken $self;
    for ([0, $read], [1, $write]) {
        my ($is_write, $is_wanted) = @$_;
        my $cb = sub { $self->_ready($fd, $is_write) };
        $io->{watchers}[$is_write] = $is_wanted ? Sprig::Loop::io($fd, $is_write, $cb) : undef;
    }
    return $self;
}

sub _ready {
    my ($self, $fd, $is_write) = @_;
    my $io = $self->{io}{$fd} or return;
    $self->{n_events}++;
    $self->_try('I/O watcher', $io->{cb}, $is_write);
}

sub _timer {
    my ($self, @args) = @_;
    my $id = $self->SUPER::_timer(@args);
    $self->_arm($id);
    return $id;
}

sub _arm {
    my ($self, $id) = @_;
    weaken $self;
    my $timer = $self->{timers}{$id};
    $timer->{watcher} = Sprig::Loop::timer($timer->{after}, 0, sub { $self->_due($id) });
}

sub _due {
    my ($self, $id) = @_;
    my $timer = $self->{timers}{$id} or return;
    $timer->{recurring} ? $self->_arm($id) : $self->remove($id);
    $self->{n_events}++;
    $self->_try('Timer', $timer->{cb}) if $timer->{cb};
}

1;

__END__

=encoding utf8

=head1 NAME

Mojo::Reactor::Sprig - Mojolicious on the event loop of Sprig

=head1 SYNOPSIS

    BEGIN { $ENV{MOJO_REACTOR} ||= 'Mojo::Reactor::Sprig' }
    use Mojo::IOLoop;

=head1 DESCRIPTION

A L<Mojo::Reactor> that uses L<Sprig::Loop>, so that Mojo::IOLoop, Mojo::Promise and
Mojo::UserAgent work in an application while the server serves. The program L<sprig> chooses it by
setting C<MOJO_REACTOR>, unless that is already set. In other programs, Sprig attaches itself to Mojo's own reactor.

Timers are never early. As with L<Mojo::Reactor::EV>, only one reactor per process can be of this class;
others are L<Mojo::Reactor::Poll>.

=head2 Applications of Mojolicious

Like all PSGI servers, Sprig runs them over PSGI, where L<Mojolicious> has to return a response at once.
C<render_later>, actions that return promises, C<async> actions that wait, and C<websocket> routes
therefore answer 404; they need Mojolicious's own servers. You can continue a response
that has begun: call C<write_chunk> or C<write> in the action, and continue in timers and promises until
C<finish>.

    get '/ticks' => sub {
        my ($c) = @_;
        $c->write_chunk("begun\n" => sub {
            Mojo::IOLoop->timer(1 => sub { $c->write_chunk("done\n" => sub { $c->finish }) });
        });
    };

=head1 METHODS

Those of L<Mojo::Reactor::Poll>; C<new>, C<again>, C<one_tick> and C<watch> are implemented anew.

=cut
