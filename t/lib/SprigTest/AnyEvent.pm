package SprigTest::AnyEvent;

# For tests of the AnyEvent backend: chooses it, says so in the first test, bounds every wait, and knows in
# the end what is left.

use strict;
use warnings;
use Exporter qw(import);
use Test::More;
use Sprig::Loop;
use AnyEvent;
use SprigTest::Leftovers ();

our @EXPORT = qw(loop_for loop_until elapsed best_of_three nothing_is_left);

my $model = AnyEvent::detect();
is $model, 'AnyEvent::Impl::Sprig', 'the backend is ours';

my $before = SprigTest::Leftovers->new;

# The last test: what was made is gone, at most a few turns of the loop later.
sub nothing_is_left {
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for (1 .. 50) { last if !$before->found; loop_for(0.01) }
    return SprigTest::Leftovers::nothing_is_left($before);
}

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
