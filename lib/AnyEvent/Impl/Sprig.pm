package AnyEvent::Impl::Sprig;

use AnyEvent ();
BEGIN { AnyEvent::common_sense }
use Carp        ();
use Sprig::Loop ();

our $VERSION = $Sprig::VERSION;

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
    Sprig::Loop::depth() <= $Sprig::Loop::NESTED_DEPTH
        or Carp::croak('AnyEvent::CondVar: recursive blocking wait attempted');
    return Sprig::Loop::wait_for($_[0]);
}

1;
