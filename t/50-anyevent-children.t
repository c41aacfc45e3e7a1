# Child processes: AE::child, and the fate of children that belong to others.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use POSIX ();
use SprigTest::AnyEvent;

# A child that ends with this status when it is told to; returns its pid and how to tell it.
sub child_that_exits {
    my ($status) = @_;
    pipe my $wait, my $tell or die "pipe: $!";
    my $pid = fork;
    die "fork: $!" if !defined $pid;
    if (!$pid) {
        close $tell;
        sysread $wait, my $buffer, 1;
        POSIX::_exit($status);
    }
    return $pid, sub { close $tell };
}

subtest 'several watchers for one child, and one for all' => sub {
    my ($pid, $end) = child_that_exits(3);
    my @seen;
    my @watchers = (
        AE::child($pid => sub { push @seen, [a => @_] }),
        AnyEvent->child(pid => $pid, cb => sub { push @seen, [b => @_] }),
        AE::child(0 => sub { push @seen, [any => @_] }),
    );
    loop_for(0.02);
    is @seen, 0, 'nothing while it lives';
    $end->();
    loop_until { @seen == 3 };
    is_deeply \@seen, [map { [$_, $pid, 3 << 8] } qw(a b any)], 'pid and status for each';
    loop_for(0.02);
    is @seen, 3, 'once';
};

subtest 'children that are dead already' => sub {
    my ($pid, $end) = child_that_exits(0);
    $end->();
    select undef, undef, undef, 0.1;
    my ($seen, $made);
    my $watcher = AE::child $pid => sub { $seen = $made && $_[0] };
    $made = 1;
    loop_until { defined $seen };
    is $seen, $pid, 'are noticed, but not while the watcher is made';

    ($pid, $end) = child_that_exits(1);
    my $other = AE::child $pid => sub { $seen = $_[1] };
    $end->();
    loop_until { $seen == 256 };
    is $seen, 256, 'the next one as well';
};

subtest 'a child that is killed' => sub {
    my ($pid, $end) = child_that_exits(0);
    my $status;
    my $watcher = AE::child $pid => sub { $status = $_[1] };
    kill KILL => $pid;
    loop_until { defined $status };
    is $status & 127, POSIX::SIGKILL(), 'the signal is in its status';
};

subtest 'many children at once' => sub {
    my (%left, @watchers, @end);
    for my $n (1 .. 20) {
        my ($pid, $end) = child_that_exits($n);
        $left{$pid} = $n;
        push @end, $end;
        push @watchers,
            AE::child $pid => sub { delete $left{ $_[0] } if $_[1] == $left{ $_[0] } << 8 };
    }
    $_->() for @end;
    loop_until { !%left };
    ok !%left, 'each ends with its own status';
};

subtest 'children of others' => sub {
    my ($pid, $end) = child_that_exits(0);
    my $seen;
    my $watcher = AE::child $pid => sub { $seen++ };
    my $timer   = AE::timer 0, 0.001, sub { };
    my ($theirs, $end_theirs) = child_that_exits(7);
    $end_theirs->();
    loop_for(0.1);
    is waitpid($theirs, 0),               $theirs,   'are left for those who wait for them';
    is $? >> 8,                           7,         'with their status';
    is system('sh', '-c', 'exit 5') >> 8, 5,         'system works';
    is `echo hello`,                      "hello\n", 'backticks work';
    $end->();
    loop_until { $seen };
    is $seen, 1, 'and ours is noticed';
};

subtest 'a child that ends while $SIG{CHLD} is local' => sub {
    my ($pid, $end) = child_that_exits(0);
    my $seen;
    my $watcher = AE::child $pid => sub { $seen++ };
    loop_for(0.01);
    {
        local $SIG{CHLD} = 'DEFAULT';
        $end->();
        select undef, undef, undef, 0.1;
    }
    loop_until { $seen };
    is $seen, 1, 'is noticed later';
};

subtest 'cancelling' => sub {
    my ($pid, $end) = child_that_exits(0);
    my @seen;
    my @watchers;
    @watchers = map {
        my $n = $_;
        AE::child $pid => sub { push @seen, $n; undef $watchers[2] }
    } 0 .. 2;
    undef $watchers[0];
    $end->();
    loop_for(0.1);
    is_deeply \@seen, [1], 'before, and in the callback of another one';
    @watchers = ();
};

subtest 'callbacks that die' => sub {
    my ($pid, $end) = child_that_exits(0);
    my (@seen, @died);
    local $Sprig::Loop::DIED = sub { push @died, @_ };
    my @watchers = map {
        my $n = $_;
        AE::child $pid => sub { push @seen, $n; die "$n\n" }
    } 0, 1;
    $end->();
    loop_until { @seen == 2 };
    is_deeply \@died, ["0\n", "1\n"], 'do not keep the others from running';
};

subtest '$? is left alone' => sub {
    my ($pid, $end) = child_that_exits(9);
    my $seen;
    my $watcher = AE::child $pid => sub { $seen++ };
    $? = 0;
    $end->();
    loop_until { $seen };
    is $?, 0, 'by the loop';
};

nothing_is_left;
done_testing;
