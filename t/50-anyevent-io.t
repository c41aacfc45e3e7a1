# I/O watchers: what can be watched, how many of them, and cancelling.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use IO::Handle;
use Socket;
use SprigTest::AnyEvent;

sub open_pair {
    socketpair my $here, my $there, AF_UNIX, SOCK_STREAM, 0 or die "socketpair: $!";
    $_->blocking(0) for $here, $there;
    return $here, $there;
}

subtest 'handles, IO objects and numbers' => sub {
    my ($here, $there) = open_pair();
    syswrite $there, 'x';
    local our $global = $here;
    local *GLOB = $here;
    my %form = (
        'a handle'     => $here,
        'an IO object' => *$here{IO},
        'a glob'       => *GLOB,
        'a descriptor' => fileno $here,
        'its string'   => '' . fileno $here,
    );
    for my $name (sort keys %form) {
        my $n       = 0;
        my $watcher = AE::io $form{$name}, 0, sub { $n++ };
        loop_until { $n };
        ok $n, $name;
    }
    my $n       = 0;
    my $watcher = AnyEvent->io(fh => $here, poll => 'r', cb => sub { $n++ });
    loop_until { $n };
    ok $n, 'by the method';
};

subtest 'what cannot be watched is refused' => sub {
    open my $closed, '<', '/dev/null' or die;
    close $closed;
    for my $bad ($closed, -1, 'no such handle', undef, {}, 65000) {
        local $SIG{__WARN__} = sub { };
        my $watcher = eval {
            AE::io $bad, 0,
                sub { }
        };
        my $name = defined $bad ? $bad : 'undef';
        ok !$watcher && $@, "$name: croaks";
    }
    for my $bad (undef, 'code', [], 1) {
        my $watcher = eval { AE::io 0, 0, $bad };
        like $@, qr/must be a code reference at \Q$0\E/, 'a callback that is none';
    }
};

subtest 'reading and writing are told apart' => sub {
    my ($here, $there) = open_pair();
    my ($r,    $w)     = (0, 0);
    my $reader = AE::io $here, 0, sub { $r++ };
    my $writer = AE::io $here, 1, sub { $w++ };
    loop_until { $w >= 3 };
    is $r, 0, 'nothing to read';
    undef $writer;
    syswrite $there, 'x';
    loop_until { $r };
    my $before = $w;
    loop_until { $r >= 3 };
    is $w, $before, 'level-triggered reading goes on, writing ended';
    $writer = AnyEvent->io(fh => $here, poll => 'w', cb => sub { $w++ });
    loop_until { $w > $before };
    pass 'a second writer on the same descriptor';
};

subtest 'end of file is readable' => sub {
    my ($here, $there) = open_pair();
    my $got;
    my $reader = AE::io $here, 0, sub { $got = sysread $here, my $buffer, 1 };
    close $there;
    loop_until { defined $got };
    is $got, 0, 'a read of nothing';
};

subtest 'several watchers on one descriptor' => sub {
    my ($here, $there) = open_pair();
    my @n        = (0) x 5;
    my @watchers = map {
        my $k = $_;
        AE::io $here, 0, sub { $n[$k]++ }
    } 0 .. 4;
    syswrite $there, 'x';
    loop_until { $n[4] };
    is_deeply [map { $_ > 0 } @n], [(1) x 5], 'all run';
    undef $watchers[$_] for 0, 2;
    my @before = @n;
    loop_until { $n[4] > $before[4] };
    is_deeply [@n[0, 2]], [@before[0, 2]], 'dropped ones do not';
    cmp_ok $n[$_], '>', $before[$_], 'the others do' for 1, 3;
};

subtest 'cancelling in callbacks' => sub {
    my ($here, $there) = open_pair();
    syswrite $there, 'x';
    my $n = 0;
    my $own;
    $own = AE::io $here, 0, sub { $n++; undef $own };
    loop_for(0.02);
    is $n, 1, 'its own';
    $n = 0;
    my @pair;
    @pair = map {
        my $other = 1 - $_;
        AE::io $here, 0, sub { $n++; undef $pair[$other] }
    } 0, 1;
    AnyEvent->_poll;
    is $n, 1, 'another one that is due as well';
    @pair = ();
};

subtest 'regular files and devices are always ready' => sub {
    for my $path ('/dev/null', '/dev/zero', $0) {
        open my $fh, '<', $path or die "$path: $!";
        my $n       = 0;
        my $watcher = AE::io $fh, 0, sub { $n++ };
        loop_until { $n >= 3 };
        cmp_ok $n, '>=', 3, $path;
    }
    open my $null, '>', '/dev/null' or die;
    my $n       = 0;
    my $watcher = AE::io $null, 1, sub { $n++ };
    loop_until { $n };
    ok $n, '/dev/null for writing';
};

subtest 'a number used again' => sub {
    my ($here, $there) = open_pair();
    my $fd  = fileno $here;
    my $old = AE::io $here, 0, sub { };
    close $here;
    ($here, $there) = open_pair();
    is fileno $here, $fd, 'the system gave it out again';
    my $n   = 0;
    my $new = AE::io $here, 0, sub { $n++ };
    undef $old;
    syswrite $there, 'x';
    loop_until { $n };
    ok $n, 'the new file is watched';
};

subtest 'many descriptors at once' => sub {
    my @pairs = map { [open_pair()] } 1 .. 100;
    my $sum   = 0;
    my @watchers;
    for my $k (0 .. $#pairs) {
        my $fh = $pairs[$k][0];
        push @watchers, AE::io $fh, 0, sub { $sum += $k if sysread $fh, my $buffer, 1 };
    }
    syswrite $_->[1], 'x' for @pairs;
    loop_until { $sum == 4950 };
    is $sum, 4950, 'each is told once';
};

nothing_is_left;
done_testing;
