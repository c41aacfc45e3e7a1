# Condition variables on our loop.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest::AnyEvent;

subtest 'send and recv' => sub {
    my $cv    = AE::cv;
    my $timer = AE::timer 0.01, 0, sub { $cv->send(1, 2, 3) };
    is_deeply [$cv->recv], [1, 2, 3], 'values in list context';
    is scalar $cv->recv, 1, 'the first in scalar context, again and again';
    $cv = AnyEvent->condvar;
    $cv->send('early');
    is $cv->recv, 'early', 'sent before recv';
};

subtest 'croak' => sub {
    my $cv    = AE::cv;
    my $timer = AE::timer 0, 0, sub { $cv->croak('no luck') };
    ok !eval { $cv->recv; 1 }, 'recv throws it';
    like $@, qr/^no luck at \Q$0\E/, 'with the line of the recv';
};

subtest 'begin and end' => sub {
    my $cv = AE::cv;
    my @done;
    $cv->begin(sub { $_[0]->send("all @done") });
    my @timers = map {
        my $n = $_;
        $cv->begin;
        AE::timer $n / 100, 0, sub { push @done, $n; $cv->end }
    } 3, 1, 2;
    $cv->end;
    is $cv->recv, 'all 1 2 3', 'the last end sends';
};

subtest 'callbacks' => sub {
    my ($got, $cb_cv);
    my $cv = AE::cv { $got = $_[0]->recv };
    $cv->send('x');
    is $got, 'x', 'given to AE::cv';
    $cv = AE::cv;
    my $timer = AE::timer 0, 0, $cv;
    is_deeply [$cv->recv], [], 'a condvar can itself be a callback';
    $cv = AE::cv;
    $cv->cb(sub { $cb_cv = $_[0] });
    $timer = AE::timer 0, 0, sub { $cv->send };
    $cv->recv;
    is $cb_cv, $cv, 'cb gets the condvar';
};

subtest 'nothing to wait for' => sub {
    my $took = elapsed {
        local $SIG{ALRM} = sub { die "enough\n" };
        alarm 1;
        my @before = times;
        eval { AE::cv->recv };
        my @after = times;
        is $@, "enough\n", 'recv waits';
        cmp_ok $after[0] + $after[1] - $before[0] - $before[1], '<', 0.3, 'without spinning';
    };
    cmp_ok $took, '>', 0.5, 'until a signal comes';
};

subtest 'postpone and log' => sub {
    my @order;
    my $cv = AE::cv;
    AnyEvent::postpone { push @order, 'later'; $cv->send };
    push @order, 'now';
    $cv->recv;
    is_deeply \@order, ['now', 'later'], 'AnyEvent::postpone';
};

nothing_is_left;
done_testing;
