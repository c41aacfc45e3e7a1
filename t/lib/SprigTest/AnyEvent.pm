package SprigTest::AnyEvent;

# For tests of the AnyEvent backend: chooses it, says so in the first test, and bounds every wait.

use strict;
use warnings;
use Exporter qw(import);
use Test::More;
use Sprig::Loop;
use AnyEvent;

our @EXPORT = qw(loop_for loop_until elapsed best_of_three);

my $model = AnyEvent::detect();
is $model, 'AnyEvent::Impl::Sprig', 'the backend is ours';

# Runs the loop for some seconds.
sub loop_for {
    my ($seconds) = @_;
    my $cv        = AE::cv;
    my $timer     = AE::timer($seconds, 0, sub { $cv->send });
    $cv->recv;
    return;
}

# Runs the loop until the condition holds, at most 10 seconds. True if it did.
sub loop_until (&) {
    my ($condition) = @_;
    my $in_time     = 1;
    my $timer       = AE::timer(10, 0, sub { $in_time = 0 });
    AnyEvent->_poll while $in_time && !$condition->();
    return $in_time;
}

# Seconds that some code takes.
sub elapsed (&) {
    my ($code) = @_;
    my $start = AE::time;
    $code->();
    return AE::time() - $start;
}

# The least of three measurements: a busy machine makes things late, but hardly each time.
sub best_of_three (&) {
    my ($measure) = @_;
    my ($best)    = sort { $a <=> $b } map { $measure->() } 1 .. 3;
    return $best;
}

1;
