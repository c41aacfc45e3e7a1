# Our loop inside another one: each wake-up has a reason, and nothing is late.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest::Host;

# One process for each loop, since only one can be chosen.
if (@ARGV) {
    alarm 60;
    checks(@ARGV);
    done_testing;
    exit;
}
my @perl = ($^X, map { "-I$_" } grep { !ref } @INC);
for my $name (grep { $_ ne 'Sprig' } SprigTest::Host->names) {
    open my $out, '-|', @perl, $0, $name or die "cannot run $0: $!";
    my @lines = <$out>;
    close $out;
    ok !$? && grep({ /^1\.\./ } @lines), $name or diag @lines;
}

done_testing;

sub checks {
    my ($name) = @_;
    my $host = SprigTest::Host->load($name);
    require Sprig::Loop;
    require Socket;
    my @attached = Sprig::Loop->attach;
    is AnyEvent::detect(), $host->model, 'the model';
    ok scalar @attached, "attached to @attached";
    is_deeply [Sprig::Loop->attach], \@attached, 'once';
    ping_pong($host);
    timers($host);
    idleness($host);
    deferred($host);
    signals($host);
    children($host) if !$host->{interest};
    return;
}

# Runs the loop until the code, called with how to end it, has done so. Passes that it took.
sub passes_of {
    my ($host, $code) = @_;
    my $before = $Sprig::Loop::N_PASSES;
    my @keep   = $code->(sub { $host->stop });
    $host->run;
    return $Sprig::Loop::N_PASSES - $before;
}

sub ping_pong {
    my ($host) = @_;
    my ($n, $running) = (0, 0);
    socketpair my $here, my $there, Socket::AF_UNIX(), Socket::SOCK_STREAM(), 0 or die;
    my $passes = passes_of(
        $host,
        sub {
            my ($end) = @_;
            my $reply =
                Sprig::Loop::io($there, 0,
                sub { sysread $there, my $buffer, 1; syswrite $there, 'x' },
                );
            my $ask = Sprig::Loop::io(
                $here, 0,
                sub {
                    sysread $here, my $buffer, 1;
                    $running += !!$host->is_running;
                    return $end->() if ++$n == 200;
                    syswrite $here, 'x';
                },
            );
            syswrite $here, 'x';
            return $reply, $ask;
        },
    );
    is $n,       200, '200 round trips';
    is $running, 200, 'all in the loop that we think we run in';
    cmp_ok $passes, '<=', 410, "one pass for each readiness ($passes for 400)";
    return;
}

sub timers {
    my ($host) = @_;
    my @late;
    my $passes = passes_of(
        $host,
        sub {
            my ($end) = @_;
            return map {
                my $at = Sprig::Loop::time() + $_ / 50;
                Sprig::Loop::timer($_ / 50, 0,
                    sub { push @late, Sprig::Loop::time() - $at; $end->() if @late == 10 },
                );
            } reverse 1 .. 10;
        },
    );
    @late = sort { $a <=> $b } @late;
    cmp_ok $late[0], '>=', -1e-6, 'no timer is early';
    cmp_ok $late[5], '<',  0.150, 'and hardly any late';
    my $most = $host->{interest} ? 45 : 25;    # there the descriptor of our own timer counts, too
    cmp_ok $passes, '<=', $most, "ten timers take $passes passes";
    return;
}

sub idleness {
    my ($host) = @_;
    my $passes = passes_of(
        $host,
        sub {
            my ($end) = @_;
            pipe my $in, my $out or die;
            return Sprig::Loop::io($in, 0, sub { }), Sprig::Loop::timer(1000, 0, sub { }), $in,
                $out,
                Sprig::Loop::timer(0.5, 0, $end);
        },
    );
    cmp_ok $passes, '<=', 4, "half a second of nothing takes $passes passes";
    return;
}

# Watchers that are made between two passes, by a callback of the other loop.
sub deferred {
    my ($host) = @_;
    return if $host->model eq 'AnyEvent::Impl::Sprig';
    my @keep;
    my $start = Sprig::Loop::time();
    passes_of(
        $host,
        sub {
            my ($end) = @_;
            return AE::timer(
                0.05, 0,
                sub {
                    push @keep,
                        Sprig::Loop::timer(0.02, 0, sub { push @keep, Sprig::Loop::idle($end) });
                }
            );
        },
    );
    @keep = ();
    cmp_ok Sprig::Loop::time() - $start, '<', 2,
        'timers and idle watchers made in between run in time';
    return;
}

sub signals {
    my ($host) = @_;
    my ($n, $start, $took) = (0);
    local $SIG{USR2} = sub { $took = Sprig::Loop::time() - $start };
    passes_of(
        $host,
        sub {
            my ($end) = @_;
            my $parent = $$;
            $start = Sprig::Loop::time();
            my $pid = fork;
            if (!$pid) {
                select undef, undef, undef, 0.1;
                kill USR1 => $parent;
                kill USR2 => $parent;
                require POSIX;
                POSIX::_exit(0);
            }
            return Sprig::Loop::signal(USR1 => sub { waitpid $pid, 0; $n++; $end->() });
        },
    );
    is $n, 1, 'signals wake the other loop';
    ok defined $took && $took < 2, 'handlers in %SIG as well';
    return;
}

# A forked child goes on with the same loop, while the parent keeps its own descriptors.
sub children {
    my ($host) = @_;
    socketpair my $here, my $there, Socket::AF_UNIX(), Socket::SOCK_STREAM(), 0 or die;
    my $seen = 0;
    my $io;
    passes_of(
        $host,
        sub {
            my ($end) = @_;
            $io =
                Sprig::Loop::io($here, 0, sub { sysread $here, my $buffer, 1; $seen++; $end->() });
            syswrite $there, 'x';
        },
    );
    my $pid = fork;
    if (!$pid) {
        Sprig::Loop->attach;
        my $n = 0;
        $SIG{ALRM} = 'DEFAULT';
        alarm 10;
        my @keep;
        passes_of(
            $host,
            sub {
                my ($end) = @_;
                @keep = map {
                    Sprig::Loop::timer($_ / 100, 0, sub { $n++; $end->() if $n == 3 })
                } 1 .. 3;
            }
        );
        undef $io;
        require POSIX;
        POSIX::_exit($n == 3 ? 0 : 1);
    }
    waitpid $pid, 0;
    is $?, 0, 'a forked child attaches anew';
    passes_of($host, sub { syswrite $there, 'x' });
    is $seen, 2, 'and takes nothing from the parent';
    return;
}
