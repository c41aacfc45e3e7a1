# Futures that Sprig makes and reads in C are as those that Future makes: what an async sub returns,
# and what an application awaits.

use strict;
use warnings;
use Test::More;

BEGIN {
    for my $module (qw(Future Future::AsyncAwait)) {
        eval "require $module; 1" or plan skip_all => "$module is not installed";
    }
}

use Sprig;
use Sprig::PAGI::Future;

my ($list, $none, $dies, $sum) = map { eval $_ or die $@ } split /\n/, <<'SUBS';
use Future::AsyncAwait; async sub { return (1, 2, 3) }
use Future::AsyncAwait; async sub { return }
use Future::AsyncAwait; async sub { die "for a reason\n" }
use Future::AsyncAwait; async sub { my ($first, @more) = await $_[0]; my $one = await $_[0]; return [$first, @more, $one] }
SUBS

sub state_of {
    my ($future) = @_;
    return join ' ', ref $future, $future->state,
        map { defined ? $_ : 'undef' } $future->is_done ? $future->get : $future->failure;
}

subtest 'what an async sub returns' => sub {
    is state_of($list->()),    'Future done 1 2 3',            'values';
    is state_of($none->()),    'Future done',                  'none';
    is state_of($dies->()),    "Future failed for a reason\n", 'an exception';
    is scalar($list->()->get), 1,                              'the first, for a scalar';
    my $future = $list->();
    is join(' ', $future->then(sub { Future->done(reverse @_) })->get), '3 2 1', 'then';
    my $called = 0;
    $future->on_ready(sub { $called++ });
    is $called, 1, 'on_ready';
    eval { $future->done(4) };
    like $@, qr/already done/, 'it cannot be settled again';
    my @both = Future->needs_all($list->(), $none->())->get;
    is "@both", '1 2 3', 'needs_all';
    $future->cancel;
    is state_of($future), 'Future done 1 2 3', 'cancel does nothing';
};

subtest 'values are copied' => sub {
    my @values = ('a');
    my $future = Future->AWAIT_NEW_DONE(@values);
    $values[0] = 'b';
    is $future->get, 'a', 'the future keeps its own';
};

subtest 'other classes make their own' => sub {
    @Other::ISA = 'Future';
    is ref(Other->AWAIT_NEW_DONE(1)), 'Other', 'a subclass';
    my $future = Future->new;
    is $future->AWAIT_DONE(5), $future, 'one that waits is settled';
    is $future->get,           5,       'with its value';
};

subtest 'as Future is told to' => sub {
    local $Future::TIMES = 1;
    ok defined $list->()->elapsed, 'TIMES: it knows how long it took';
};

subtest 'what is awaited' => sub {
    is_deeply $sum->(Sprig::PAGI::Future->done(1, 2))->get, [1, 2, 1], 'in a list and alone';
    is_deeply $sum->(Sprig::PAGI::Future->done)->get, [undef, undef], 'nothing';
    my $pending = Sprig::PAGI::Future->new;
    my $later   = $sum->($pending);
    ok !$later->is_ready, 'it waits';
    $pending->done(7, 8);
    is_deeply $later->get, [7, 8, 7], 'and goes on';
    is $sum->(Sprig::PAGI::Future->fail("wrong\n"))->failure, "wrong\n", 'a failure is thrown';
    my $cancelled = Sprig::PAGI::Future->new;
    $cancelled->cancel;
    my $waits = $sum->($cancelled);
    ok $waits->is_failed || $waits->is_cancelled || !$waits->is_ready,
        'one that was cancelled gives no value';
    eval { Sprig::PAGI::Future->new->AWAIT_GET };
    like $@, qr/not (yet )?ready/, 'nor does one that is not ready';
};

subtest 'with debugging turned on' => sub {
    local $ENV{PERL_FUTURE_DEBUG} = 1;
    my @perl = ($^X, map { "-I$_" } @INC);
    my $code = 'use Sprig; require Sprig::PAGI::Future; print Future->AWAIT_NEW_DONE(3)->get';
    open my $out, '-|', @perl, '-e', $code or die $!;
    is join('', <$out>), 3, 'all is left to Future';
};

done_testing;
