# Idle watchers: only when there is nothing else, and never at the cost of the rest.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest::AnyEvent;

subtest 'they run when nothing else does' => sub {
    my ($n, $ran) = (0, 0);
    my $idle = AE::idle sub { $n++ };
    loop_until { $n >= 3 };
    cmp_ok $n, '>=', 3, 'again and again';
    my $timer = AE::timer 0.02, 0, sub { $ran++ };
    my $took  = elapsed {
        loop_until { $ran }
    };
    cmp_ok $took, '<', 2, 'timers are in time meanwhile';
    undef $idle;
    my $before = $n;
    loop_for(0.02);
    is $n, $before, 'and not any more when dropped';
};

subtest 'other watchers come first' => sub {
    my @order;
    my $idle  = AnyEvent->idle(cb => sub { push @order, 'idle' });
    my @timer = map {
        AE::timer 0, 0,
            sub { push @order, 'timer' }
    } 1 .. 3;
    loop_until {
        grep { $_ eq 'idle' } @order
    };
    is_deeply [@order[0 .. 3]], ['timer', 'timer', 'timer', 'idle'], 'in the order of passes';
};

subtest 'several, and cancelling' => sub {
    my @n = (0) x 3;
    my @idle;
    @idle = map {
        my $k = $_;
        AE::idle sub { $n[$k]++; undef $idle[$k] if $k == 1 }
    } 0 .. 2;
    loop_until { $n[2] >= 5 };
    cmp_ok $n[0], '>=', 4, 'all run';
    is $n[1], 1, 'one ended itself';
    @idle = ();
};

nothing_is_left;
done_testing;
