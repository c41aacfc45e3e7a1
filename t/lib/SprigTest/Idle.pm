package SprigTest::Idle;

# A server with nothing to do uses no processor, whatever it holds, has paused or waits for.
#
#   use SprigTest::Idle;
#   ok_idle($pid, 'while a request is held');    # or $server->idle_ok($name)

use strict;
use warnings;
use Exporter   qw(import);
use POSIX      ();
use Test::More ();

our @EXPORT = qw(ok_idle);

# A process that spins takes all it can get of each second; one that sleeps may still have a timer or
# two to see to. It may also be about to finish something: only one that is busy every time spins.
my $LOOK_SECONDS = 1;
my $MAX_SECONDS  = 0.05;
my $MAX_LOOKS    = 5;

# Seconds of processor that a process has used, children that it waited for left out.
sub cpu_seconds {
    my ($pid) = @_;
    open my $in, '<', "/proc/$pid/stat" or return;
    my $stat = <$in>;
    $stat =~ s/^.*\)//s;    # the name may hold anything
    my (undef, undef, @field) = split ' ', $stat;
    return ($field[9] + $field[10]) / POSIX::sysconf(POSIX::_SC_CLK_TCK());
}

# Asserts that the process uses next to no processor while nobody asks it for anything.
sub ok_idle {
    my ($pid, $name) = @_;
    my $builder = Test::More->builder;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $name = 'a server with nothing to do uses no processor' if !defined $name;
    return $builder->skip("no /proc/PID/stat here: $name") if !-r "/proc/$$/stat";
    my @used;
    for (1 .. $MAX_LOOKS) {
        my $before = cpu_seconds($pid);
        select undef, undef, undef, $LOOK_SECONDS;
        my $after = cpu_seconds($pid);
        return $builder->ok(0, "$name: the process is gone") if !defined $before || !defined $after;
        push @used, $after - $before;
        return $builder->ok(1, $name) if $used[-1] <= $MAX_SECONDS;
    }
    $builder->ok(0, $name);
    $builder->diag("seconds of processor used in each second: @used");
    return 0;
}

1;
