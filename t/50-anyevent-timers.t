# Timers: order, lateness, repetition, and what AE::now means.
use strict;
use warnings;
use lib 't/lib';
use List::Util qw(min);
use Test::More;
use SprigTest::AnyEvent;

subtest 'equal timers run in the order of their making' => sub {
    my @order;
    my @timers = map {
        my $n = $_;
        AE::timer 0, 0, sub { push @order, $n }
    } 1 .. 50;
    loop_until { @order == 50 };
    is_deeply \@order, [1 .. 50], 'fifty timers for now';
};

subtest 'timers run in the order of their times' => sub {
    my @order;
    my @timers = map {
        my $n = $_;
        AE::timer $n / 500, 0, sub { push @order, $n }
    } 5, 3, 9, 1, 7, 2, 8, 4, 6;
    loop_until { @order == 9 };
    is_deeply \@order, [1 .. 9], 'whatever the order of their making';
};

subtest 'never early, hardly late' => sub {
    for my $after (0.001, 0.0105, 0.05, 0.1) {
        my ($early, $late) = (0, 1);
        for (1 .. 20) {
            my $start = AE::time;
            my $end;
            my $timer = AE::timer $after, 0, sub { $end = AE::time };
            loop_until { $end };
            $early++ if $end - $start < $after - 1e-6;
            $late = min($late, $end - $start - $after);
            last if $_ >= 3 && $late < 0.010;    # a busy machine needs more
        }
        is $early, 0, "$after s: not early";
        cmp_ok $late, '<', 0.010, "$after s: in time";
    }
};

subtest 'a timer is never run by its maker' => sub {
    for my $after (0, -1, undef) {
        my $ran;
        my $timer = AE::timer $after, 0, sub { $ran++ };
        ok !$ran, 'not while it is made';
        loop_until { $ran };
        is $ran, 1, 'but soon';
    }
};

subtest 'a timer made in a callback runs in a later pass' => sub {
    my (@seen, $pass, $inner);
    my $outer = AE::timer 0, 0, sub {
        $inner = AE::timer 0, 0, sub { push @seen, $pass };
        push @seen, $pass;
    };
    for (1 .. 10) { $pass = $_; AnyEvent->_poll; last if @seen == 2 }
    is @seen, 2, 'both ran';
    cmp_ok $seen[1], '>', $seen[0], 'not in the same pass';
};

subtest 'intervals' => sub {
    my ($timer, %n);
    my $early = 0;
    my $took  = best_of_three {
        my $start = AE::time;
        my @times;
        $timer = AE::timer 0.02, 0.02, sub { push @times, AE::time; undef $timer if @times == 10 };
        loop_until { !$timer };
        loop_for(0.05);
        $n{@times}++;
        $early++ if $times[-1] - $start < 0.2 - 1e-6;
        $times[-1] - $start;
    };
    is_deeply [keys %n], [10], 'an interval timer ends in its own callback';
    is $early, 0, 'no turn is early';
    cmp_ok $took, '<', 0.4, 'lateness does not add up';

    my $n = 0;
    $timer = AnyEvent->timer(after => 0.01, interval => 0.01, cb => sub { $n++ });
    select undef, undef, undef, 0.15;    # the loop is blocked meanwhile
    AnyEvent->_poll;
    AnyEvent->_poll;
    cmp_ok $n, '<=', 2, 'missed turns are not made up for';
    undef $timer;
};

subtest 'cancelling' => sub {
    my $ran    = 0;
    my $timer  = AE::timer 0.01, 0, sub { $ran++ };
    my @paired = (undef, undef);
    @paired = map {
        my $other = 1 - $_;
        AE::timer 0, 0, sub { $ran += 10; undef $paired[$other] }
    } 0, 1;
    undef $timer;
    AE::timer 0.01, 0, sub { $ran += 100 };    # its watcher is dropped at once
    loop_for(0.05);
    is $ran, 10, 'a dropped watcher does not run, also when it was due already';
    @paired = ();
};

subtest 'the callback outlives its watcher while it runs' => sub {
    my ($timer, $after, $freed);
    {
        my $guard = SprigTest::Freed->new(\$freed);
        $timer = AE::timer 0, 0, sub { undef $timer; $after = $freed ? 'gone' : "$guard" };
    }
    loop_until { $after };
    isnt $after, 'gone', 'what it closes over is there to the end';
    ok $freed, 'and then is freed';
};

subtest 'times' => sub {
    cmp_ok abs(AE::time - time),    '<', 2,  'AE::time is the wall clock';
    cmp_ok abs(AE::now - AE::time), '<', 60, 'so is AE::now';
    my ($first, $second, $later);
    my $timer = AE::timer 0, 0, sub {
        $first = AE::now;
        select undef, undef, undef, 0.02;
        $second = AE::now;
        AE::now_update;
        $later = AE::now;
    };
    loop_until { $later };
    is $first, $second, 'AE::now stands still during a callback';
    cmp_ok $later - $first,                     '>=', 0.0199, 'until AE::now_update';
    cmp_ok abs(AnyEvent->now - AnyEvent->time), '<',  1,      'the methods say the same';
};

nothing_is_left;
done_testing;

package SprigTest::Freed;

sub new { my ($class, $flag) = @_; return bless { flag => $flag }, $class }
sub DESTROY { my ($self) = @_; ${ $self->{flag} } = 1; return }
