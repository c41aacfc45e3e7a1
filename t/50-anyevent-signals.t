# Signals: AE::signal, %SIG while the loop sleeps, alarm around a blocking recv.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use POSIX ();
use SprigTest::AnyEvent;

# Has a child send a signal to us after some time; returns its watcher.
sub signal_after {
    my ($signal, $seconds) = @_;
    my $parent = $$;
    my $pid    = fork;
    die "fork: $!" if !defined $pid;
    if (!$pid) {
        select undef, undef, undef, $seconds;
        kill $signal, $parent;
        POSIX::_exit(0);
    }
    return $pid;
}

subtest 'a watcher' => sub {
    my $n       = 0;
    my $watcher = AE::signal USR1 => sub { $n++ };
    kill USR1 => $$;
    is $n, 0, 'is not run inside other code';
    loop_until { $n };
    is $n, 1, 'but by the loop';
    kill USR1 => $$ for 1 .. 3;
    loop_for(0.02);
    cmp_ok $n, '>=', 2, 'again';
    cmp_ok $n, '<=', 4, 'once for a bunch';
};

subtest 'several watchers, by name and number' => sub {
    my @names = ('USR1', 'SIGUSR1', POSIX::SIGUSR1());
    @names = ('USR1') x 3 if $ENV{PERL_ANYEVENT_STRICT};    # which wants names without SIG
    my @n        = (0) x 4;
    my @watchers = (
        AE::signal($names[0] => sub { $n[0]++ }),
        AE::signal($names[1] => sub { $n[1]++ }),
        AE::signal($names[2] => sub { $n[2]++ }),
        AnyEvent->signal(signal => 'USR1', cb => sub { $n[3]++ }),
    );
    kill USR1 => $$;
    loop_until { $n[3] };
    is_deeply \@n, [1, 1, 1, 1], 'each runs';
    undef $watchers[$_] for 0 .. 2;
    kill USR1 => $$;
    loop_until { $n[3] == 2 };
    is_deeply \@n, [1, 1, 1, 2], 'dropped ones do not';
    ok !eval {
        AE::signal NOSUCH => sub { };
        1;
    }, 'an unknown name croaks';
};

subtest 'the handler from before' => sub {
    my ($ours, $theirs) = (0, 0);
    local $SIG{USR2} = sub { $theirs++ };
    my $watcher = AE::signal USR2 => sub { $ours++ };
    kill USR2 => $$;
    loop_until { $ours };
    is "$ours/$theirs", '1/0', 'a watcher takes the signal over';
    undef $watcher;
    kill USR2 => $$;
    loop_for(0.01);
    is "$ours/$theirs", '1/1', 'and gives it back';
};

subtest 'local %SIG' => sub {
    my $n       = 0;
    my $watcher = AE::signal USR1 => sub { $n++ };
    { local %SIG = %SIG }
    { local $SIG{USR1} = 'IGNORE' }
    loop_for(0.01);
    kill USR1 => $$;
    loop_for(0.01);
    is $n, 1, 'does not take the signal away for good';
};

subtest 'a sleeping loop is woken' => sub {
    my $n       = 0;
    my $watcher = AE::signal USR1 => sub { $n++ };
    my $child   = signal_after(USR1 => 0.1);
    my $took    = elapsed {
        loop_until { $n }
    };
    cmp_ok $took, '<', 2, 'by a watched signal';
    waitpid $child, 0;

    my $handled = 0;
    local $SIG{USR2} = sub { $handled++ };
    $child = signal_after(USR2 => 0.1);
    $took  = elapsed {
        loop_until { $handled }
    };
    cmp_ok $took, '<', 2, 'by one with a handler in %SIG';
    waitpid $child, 0;
};

subtest 'alarm around a blocking recv' => sub {
    my $cv   = AE::cv;
    my $took = elapsed {
        eval {
            local $SIG{ALRM} = sub { die "too slow\n" };
            alarm 1;
            $cv->recv;
        };
        alarm 0;
    };
    is $@, "too slow\n", 'the exception of the handler comes out of recv';
    cmp_ok $took, '<', 1.5, 'in time';
    my $ran;
    my $timer = AE::timer 0, 0, sub { $ran++ };
    loop_until { $ran };
    ok $ran, 'the loop goes on';
    is Sprig::Loop::depth(), 0, 'and is not inside a pass any more';
};

subtest 'a signal sent to a child' => sub {
    my $n       = 0;
    my $watcher = AE::signal USR1 => sub { $n++ };
    pipe my $ready, my $tell or die;
    my $pid = fork;
    if (!$pid) {
        syswrite $tell, 'x';
        select undef, undef, undef, 5;
        POSIX::_exit(0);
    }
    sysread $ready, my $buffer, 1;
    kill USR1 => $pid;
    loop_for(0.1);
    is $n, 0, 'is not for the parent';
    kill KILL => $pid;
    waitpid $pid, 0;
};

subtest 'a signal during a callback' => sub {
    my @order;
    my $signal = AE::signal USR1 => sub { push @order, 'signal' };
    my $timer  = AE::timer 0, 0, sub { kill USR1 => $$; push @order, 'timer' };
    loop_until { @order == 2 };
    is_deeply \@order, ['timer', 'signal'], 'runs after it';
};

subtest 'cancelling' => sub {
    my $n = 0;
    local $SIG{USR1} = sub { };
    my $watcher;
    $watcher = AE::signal USR1 => sub { $n++; undef $watcher };
    kill USR1 => $$;
    loop_for(0.01);
    kill USR1 => $$;
    loop_for(0.01);
    is $n, 1, 'in its own callback';
    $watcher = AE::signal USR1 => sub { $n++ };
    kill USR1 => $$;
    undef $watcher;
    loop_for(0.01);
    is $n, 1, 'while it is pending';
};

nothing_is_left;
done_testing;
