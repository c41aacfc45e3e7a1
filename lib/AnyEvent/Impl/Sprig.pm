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

AnyEvent::Impl::Sprig - AnyEvent on Sprig's event loop

=head1 SYNOPSIS

    use Sprig::Loop;
    use AnyEvent;

    # or
    PERL_ANYEVENT_MODEL=Sprig perl program.pl

=head1 DESCRIPTION

AnyEvent usually picks this backend on its own; L<Sprig::Loop> says when. It does everything L<AnyEvent>
documents. Where AnyEvent leaves a choice to the backend, this one behaves as follows:

=over

=item *

Timers use the monotonic clock, never fire early, and count from the moment you create them rather than
from C<AE::now>. Timers due at the same time run in the order you created them. An interval timer that
falls behind skips the turns it missed.

=item *

No watcher of any kind runs its callback while you are creating it.

=item *

If a callback dies, the exception is reported and the loop goes on: see L<Sprig::Loop/$Sprig::Loop::DIED>.

=item *

Regular files and devices that cannot be polled, such as F</dev/null>, are always ready.

=item *

If several watchers share a descriptor, a signal or a process, each of them runs. You may drop a watcher
in any callback; it does not run afterwards, even if it was due already.

=item *

A signal watcher replaces the handler in C<%SIG>, which comes back when you drop the last watcher. It
survives C<local %SIG>. A signal sent to a child process does not show up in the parent.

=item *

A child watcher reaps only its own process, so C<system>, backticks and the like keep their children. A
watcher for process 0 reaps every child. A process that ended before you created the watcher is noticed.

=item *

Idle watchers run in every turn of the loop that has nothing else to do.

=item *

You may call a blocking C<recv> inside a callback: see L<Sprig::Loop/Blocking in callbacks>.

=item *

An idle process sleeps. It never polls, whatever you watch.

=back

=head1 METHODS

=head2 io, timer, signal, child, idle, time, now, now_update

See L<AnyEvent>, which documents them as C<< AnyEvent->io >> and so on.

=head1 SEE ALSO

L<AnyEvent>, L<Sprig::Loop>

=cut
