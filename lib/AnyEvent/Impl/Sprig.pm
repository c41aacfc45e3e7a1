package AnyEvent::Impl::Sprig;

use AnyEvent ();
BEGIN { AnyEvent::common_sense }
use Carp        ();
use Sprig::Loop ();

our $VERSION = '0.001';

*AE::io         = \&Sprig::Loop::io;
*AE::timer      = \&Sprig::Loop::timer;
*AE::signal     = \&Sprig::Loop::signal;
*AE::child      = \&Sprig::Loop::child;
*AE::idle       = \&Sprig::Loop::idle;
*AE::time       = \&Sprig::Loop::time;
*AE::now        = \&Sprig::Loop::now;
*AE::now_update = \&Sprig::Loop::now_update;

sub time       { Sprig::Loop::time() }
sub now        { Sprig::Loop::now() }
sub now_update { Sprig::Loop::now_update() }
sub _poll      { Sprig::Loop::poll() }

sub io {
    my (undef, %arg) = @_;
    return Sprig::Loop::io($arg{fh}, $arg{poll} eq 'w', $arg{cb});
}

sub timer {
    my (undef, %arg) = @_;
    return Sprig::Loop::timer($arg{after}, $arg{interval}, $arg{cb});
}

sub signal {
    my (undef, %arg) = @_;
    return Sprig::Loop::signal($arg{signal}, $arg{cb});
}

sub child {
    my (undef, %arg) = @_;
    return Sprig::Loop::child($arg{pid}, $arg{cb});
}

sub idle {
    my (undef, %arg) = @_;
    return Sprig::Loop::idle($arg{cb});
}

package AnyEvent::CondVar::Base;

# In AnyEvent's package, so that croak names the line of the recv.
sub _wait {
    Sprig::Loop::may_wait()
        or Carp::croak('AnyEvent::CondVar: recursive blocking wait attempted');
    return Sprig::Loop::wait_for($_[0]);
}

1;

__END__

=encoding utf8

=head1 NAME

AnyEvent::Impl::Sprig - AnyEvent on the event loop of Sprig

=head1 SYNOPSIS

    use Sprig::Loop;
    use AnyEvent;

    # or
    PERL_ANYEVENT_MODEL=Sprig perl program.pl

=head1 DESCRIPTION

This backend is used without being named: see L<Sprig::Loop> for when it is chosen. All that
L<AnyEvent> documents holds; where it leaves something open, this is how it is here:

=over

=item *

Timers are never early, by the monotonic clock, and count from the moment they are made rather than
from C<AE::now>. Those of equal time run in the order of their making. Turns of interval timers
that were missed are not made up for.

=item *

A timer, an I/O watcher or a watcher of any other kind never runs its callback while it is being
made.

=item *

Exceptions of callbacks are reported and the loop goes on: see L<Sprig::Loop/$Sprig::Loop::DIED>.

=item *

Regular files and devices that cannot be polled, such as F</dev/null>, are always ready.

=item *

Several watchers on one descriptor, signal or process each run. Watchers may be dropped in any
callback; one that is due already does not run then.

=item *

A signal watcher takes the signal over from a handler in C<%SIG>, and gives it back when the last
one is dropped. It survives C<local %SIG>. A signal sent to a child process is not seen by the
parent.

=item *

A child watcher waits for its own process only, so that C<system>, backticks and the like keep
their children; only a watcher for process 0 takes all. Processes that ended before the watcher was
made are noticed.

=item *

Idle watchers run in each turn that has found nothing else to do.

=item *

A blocking C<recv> inside of callbacks is allowed: see L<Sprig::Loop/Blocking in callbacks>.

=item *

An idle process sleeps: nothing is polled, whatever is being watched.

=back

=head1 METHODS

=head2 io, timer, signal, child, idle, time, now, now_update

What L<AnyEvent> documents for C<< AnyEvent->io >> and so on.

=head1 SEE ALSO

L<AnyEvent>, L<Sprig::Loop>

=cut
