# Blocking recv inside callbacks, at any depth up to the limit.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest::AnyEvent;

sub wait_for {
    my ($seconds) = @_;
    my $cv        = AE::cv;
    my $timer     = AE::timer $seconds, 0, sub { $cv->send };
    $cv->recv;
    return 1;
}

subtest 'three recvs at once under a fourth' => sub {
    my ($cv, @ended) = (AE::cv);
    my @timers = map {
        my $n = $_;
        $cv->begin;
        AE::timer $n / 100, 0, sub { wait_for($n / 50); push @ended, $n; $cv->end }
    } 1 .. 3;
    $cv->recv;
    is_deeply [sort @ended], [1, 2, 3], 'all end';
    is Sprig::Loop::depth(), 0, 'and nothing is left over';
};

subtest 'the limit' => sub {
    local $Sprig::Loop::NESTED_DEPTH = 10;
    my ($depth, $error, $down, @timers) = (0);
    $down = sub {
        push @timers, AE::timer 0, 0, sub {
            $depth++;
            $down->();
            $error ||= $@ if !eval { wait_for(0.05) };
        };
    };
    $down->();
    loop_until { $error };
    loop_for(0.1);
    undef $down;
    like $error, qr/^AnyEvent::CondVar: recursive blocking wait attempted at \Q$0\E line/,
        'one level more croaks, naming the recv';
    cmp_ok $depth, '>=', 9, "after $depth levels";
};

subtest 'what was ready runs in the nested pass' => sub {
    my @order;
    my @timers = (
        AE::timer(0, 0, sub { push @order, 'outer'; wait_for(0.02); push @order, 'outer ends' }),
        AE::timer(0, 0, sub { push @order, 'second' }),
        AE::idle(sub { push @order, 'idle' if $order[-1] ne 'idle' }),
    );
    loop_until {
        grep { $_ eq 'outer ends' } @order
    };
    is_deeply [@order[0, 1]], ['outer', 'second'], 'without sleeping first';
    is $order[-1], 'outer ends', 'before the outer callback goes on';
};

subtest '$@, $_, $! and $? of the outer code' => sub {
    my $timer = AE::timer 0, 0, sub {
        $_ = 'changed';
        $! = 1;
        $? = 99;
        eval { die "changed\n" };
    };
    my $outer = AE::timer 0, 0, sub {
        local $_ = 'kept';
        eval { die "kept\n" };
        ($!, $?) = (2, 5);
        my $inner = AE::timer 0, 0, sub {
            $_ = 'changed';
            ($!, $?) = (1, 99);
            eval { die 1 }
        };
        wait_for(0.02);
        is $_,     'kept',   '$_';
        is $@,     "kept\n", '$@';
        is $? + 0, 5,        '$?';
    };
    loop_for(0.1);
};

subtest 'exceptions and nested passes' => sub {
    my @died;
    local $Sprig::Loop::DIED = sub { push @died, $_[0] };
    my ($inner, $went_on);
    my $outer = AE::timer 0, 0, sub {
        $inner = AE::timer 0, 0, sub { die "inner\n" };
        wait_for(0.02);
        $went_on = 1;
        die "outer\n";
    };
    loop_until { @died == 2 };
    is_deeply \@died, ["inner\n", "outer\n"], 'each dies alone';
    ok $went_on, 'the outer one goes on';
    is Sprig::Loop::depth(), 0, 'and the depth is right';
};

subtest 'a watcher that cannot wait' => sub {
    pipe my $in, my $out or die;
    syswrite $out, 'x';
    my ($calls, $deepest) = (0, 0);
    my $reader = AE::io $in, 0, sub {
        $calls++;
        $deepest = Sprig::Loop::depth() if Sprig::Loop::depth() > $deepest;
        sysread $in, my $buffer, 1;
        wait_for(0.02);
    };
    loop_for(0.05);
    is $calls, 1, 'is not run again for what it has read';
};

subtest 'croak is still a matter of the outer recv without us' => sub {
    local $AnyEvent::CondVar::Base::WAITING = 1;
    ok !eval { wait_for(0.01) }, 'WAITING set by others is respected';
    like $@, qr/recursive blocking wait/, 'with the usual text';
};

done_testing;
