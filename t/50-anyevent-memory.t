# Watchers leave nothing behind, however they end.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest::AnyEvent;

# Resident set in KiB.
sub rss {
    open my $status, '<', '/proc/self/status' or plan skip_all => 'no /proc';
    my ($kib) = map { /^VmRSS:\s+(\d+)/ ? $1 : () } <$status>;
    return $kib;
}

sub run_all {
    my ($n, $make) = @_;
    my $left = $n;
    my $cv   = AE::cv;
    my @keep;
    for my $k (1 .. $n) {
        my $done = 0;
        $keep[$k] = $make->(sub {
            return if $done++;
            undef $keep[$k];
            $cv->send if !--$left;
        });
    }
    $cv->recv;
    return;
}

pipe my $in, my $out or die "pipe: $!";
my %make = (
    'timers'           => sub { my ($cb) = @_; return AE::timer 0, 0, $cb },
    'interval timers'  => sub { my ($cb) = @_; return AE::timer 0, 1, $cb },
    'I/O watchers'     => sub { my ($cb) = @_; return AE::io $out, 1, $cb },
    'idle watchers'    => sub { my ($cb) = @_; return AE::idle $cb },
    'signal watchers'  => sub { my ($cb) = @_; kill USR1 => $$; return AE::signal USR1 => $cb },
    'dropped watchers' => sub {
        my ($cb) = @_;
        AE::timer 1, 1, sub { $cb };
        AE::io $in, 0, sub { $cb };
        AE::signal USR2 => sub { $cb };
        AE::child 1 => sub { $cb };
        AE::idle sub { $cb };
        return AE::timer 0, 0, $cb;
    },
    'callbacks that die' => sub {
        my ($cb) = @_;
        return AE::timer 0, 0, sub { $cb->(); die 'x' x 100 }
    },
    'refused watchers' => sub {
        my ($cb) = @_;
        for my $bad (-1, undef, []) {
            eval { AE::io $bad, 0, $cb };
            eval { AE::timer 0, 0, $bad }
        }
        eval { AE::signal NONE => $cb };
        return AE::timer 0, 0, $cb;
    },
);

local $SIG{USR1}         = sub { };
local $Sprig::Loop::DIED = sub { };
local $SIG{__WARN__}     = sub { };
my $live = Sprig::Loop->counters->{watchers};
for my $what (sort keys %make) {
    run_all(200, $make{$what}) for 1 .. 5;
    my $before = rss();
    run_all(200, $make{$what}) for 1 .. 50;
    my $grown = rss() - $before;
    cmp_ok $grown, '<', 600, "10000 $what: $grown KiB more";
}
is(Sprig::Loop->counters->{watchers}, $live, 'none is left');

nothing_is_left;
done_testing;
