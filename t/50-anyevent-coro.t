# Coro: threads that block on AnyEvent are concurrent.
use strict;
use warnings;
use lib 't/lib';
use Test::More;

BEGIN {
    plan skip_all => 'no Coro' if !eval { require Coro; require Coro::AnyEvent; 1 };
}
use Coro;
use Coro::AnyEvent;
use SprigTest::AnyEvent;

my $took = best_of_three {
    elapsed {
        my @threads = map {
            async { my $cv = AE::cv; my $timer = AE::timer 0.1, 0, $cv; $cv->recv; $_[0] }
            $_
        } 1 .. 5;
        is_deeply [map { $_->join } @threads], [1 .. 5], 'each thread gets its value';
    }
};
cmp_ok $took, '<', 0.4, 'five waits of 0.1 s at the same time';

$took = best_of_three {
    elapsed {
        my @threads = map {
            async_pool { Coro::AnyEvent::sleep 0.1 }
        } 1 .. 5;
        Coro::AnyEvent::sleep 0.15;
    }
};
cmp_ok $took, '<', 0.3, 'sleeping threads of the pool';

pipe my $in, my $out or die;
my $reader = async { Coro::AnyEvent::readable $in; sysread $in, my $buffer, 10; $buffer };
async { Coro::AnyEvent::sleep 0.02; syswrite $out, 'hello' };
is $reader->join, 'hello', 'a thread that waits for a descriptor';

my $done  = Coro::rouse_cb;
my $timer = AE::timer 0.01, 0, sub {
    async { cede for 1 .. 3; $done->('from a callback') }
};
is Coro::rouse_wait($done), 'from a callback', 'threads made in callbacks';

my $count = 0;
my @pool  = map {
    async {
        for (1 .. 20) { Coro::AnyEvent::idle; $count++ }
    }
} 1 .. 3;
$_->join for @pool;
is $count, 60, 'idle threads take turns';

done_testing;
