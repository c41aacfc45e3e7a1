# Callbacks that die, exit, leave loops, fork or change the state of the interpreter.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use File::Spec;
use POSIX ();
use SprigTest::AnyEvent;

# Runs code in a fresh perl; returns what it printed, with its exit status in $?.
sub output_of {
    my ($code) = @_;
    local $ENV{PERL5LIB} = join ':', map { File::Spec->rel2abs($_) } grep { !ref } @INC;
    open my $out, '-|', $^X, '-we', "use Sprig::Loop; use AnyEvent; $code" or die "cannot run: $!";
    local $/;
    my $text = <$out>;
    close $out;
    return defined $text ? $text : '';
}

subtest 'die' => sub {
    my ($after, @warned, @died) = (0);
    local $SIG{__WARN__} = sub { push @warned, @_ };
    my @timers = (AE::timer(0, 0, sub { die "oops\n" }), AE::timer(0, 0, sub { $after++ }));
    loop_until { $after };
    is_deeply \@warned, ["Sprig: error in a callback (ignored): oops\n"], 'is a warning';
    local $Sprig::Loop::DIED = sub { push @died, @_; die 'again' };
    @timers = (AE::timer(0, 0, sub { die { code => 5 } }), AE::timer(0, 0, sub { $after++ }));
    loop_until { $after == 2 };
    is_deeply \@died, [{ code => 5 }], 'or goes to $Sprig::Loop::DIED, objects as they are';
    is @warned, 2, 'whose own death is harmless';
};

subtest '$SIG{__DIE__} and $@' => sub {
    my @hook;
    local $SIG{__WARN__} = sub { };
    local $SIG{__DIE__}  = sub { push @hook, $_[0] };
    my ($error, $done);
    my $timer = AE::timer 0, 0, sub {
        eval { die "inner\n" };
        $error = $@;
        $done++;
    };
    loop_until { $done };
    is $error, "inner\n", 'eval works inside callbacks';
    is_deeply \@hook, ["inner\n"], 'the hook is called';
};

subtest 'last, next, goto' => sub {
    my (@died, $done);
    local $SIG{__WARN__} = sub { };
    local $Sprig::Loop::DIED = sub { push @died, $_[0] };
    my @timers = (
        AE::timer(0, 0, sub { no warnings; last }),
        AE::timer(0, 0, sub { no warnings; next }),
        AE::timer(0, 0, sub { goto OUTSIDE }),
        AE::timer(0, 0, sub { $done = 1 }),
    );
    my $turns = 0;
    for my $turn (1 .. 1000) {
        $turns = $turn;
        AnyEvent->_poll;
        last if $done;
    }
    ok $done, 'cannot leave the loop of whoever runs us';
OUTSIDE: is @died, 3, 'and are errors';
};

subtest 'return values and context' => sub {
    my $context = 'none';
    my $timer   = AE::timer 0, 0, sub { $context = wantarray; return (1) x 1000 };
    loop_until { !defined $context };
    ok !defined $context, 'callbacks are called in void context, their values dropped';
};

subtest 'deep recursion' => sub {
    my $depth = 0;
    my $timer = AE::timer 0, 0, sub {
        no warnings 'recursion';
        my $down;
        $down = sub { $down->() if ++$depth < 5000 };
        $down->();
        undef $down;
    };
    loop_until { $depth >= 5000 };
    is $depth, 5000, 'grows the stack under the loop';
};

subtest '$_ and regex captures of the caller' => sub {
    my $done;
    my $timer = AE::timer 0, 0, sub { local $_ = 'changed'; 'x' =~ /(.)/; $done++ };
    for (my $copy = 'kept') {
        'abc' =~ /(b)/;
        loop_until { $done };
        is $_, 'kept', '$_';
        is $1, 'b',    '$1';
    }
};

subtest 'exit' => sub {
    my $text = output_of(<<'CODE');
        $| = 1;
        my $timer = AE::timer 0, 0, sub { print "exiting "; exit 3 };
        END {
            my $status = $?;
            print "end ";
            my $cv = AE::cv;
            my $late = AE::timer 0.01, 0, sub { $cv->send };
            $cv->recv;
            print "looped ", Sprig::Loop::depth();
            $? = $status;
        }
        AE::cv->recv;
CODE
    is $text,   'exiting end looped 0', 'runs END blocks, in which the loop works';
    is $? >> 8, 3,                      'with its status';
};

subtest 'global destruction' => sub {
    my $text = output_of(<<'CODE');
        $| = 1;
        our @keep = map { AE::timer 0, 1, sub { } } 1 .. 3;
        push @keep, AE::io(0, 0, sub { }), AE::signal(USR1 => sub { }), AE::idle(sub { });
        push @keep, AE::child(0 => sub { }), AE::cv;
        my $cycle; $cycle = AE::timer 100, 0, sub { $cycle };
        AnyEvent->_poll;
        print "ok";
CODE
    is $text, 'ok', 'with watchers of all kinds alive';
    is $?,    0,    'is quiet';
};

subtest 'fork' => sub {
    pipe my $in, my $out or die;
    my ($pid, $n) = (undef, 0);
    my $reader = AE::io $in, 0, sub { sysread $in, my $buffer, 1 and $n++ };
    my $timer;
    $timer = AE::timer 0, 0, sub {
        $pid = fork;
        die "fork: $!" if !defined $pid;
        return         if $pid;
        undef $reader;    # in the child
        undef $timer;
        my $ok;
        my $later = AE::timer 0.01, 0, sub { $ok = 1 };
        loop_until { $ok };
        POSIX::_exit($ok ? 7 : 1);
    };
    loop_until { defined $pid };
    is waitpid($pid, 0), $pid, 'a child made in a callback';
    is $? >> 8,          7,    'has a loop of its own';
    syswrite $out, 'x';
    loop_until { $n };
    is $n, 1, 'the parent keeps its watchers';
    undef $timer;
};

subtest 'a child that just leaves' => sub {
    pipe my $in, my $out or die;
    my $n       = 0;
    my $reader  = AE::io $in, 0, sub { sysread $in, my $buffer, 1 and $n++ };
    my $program = q(use Sprig::Loop; use AnyEvent; our $w = AE::io 0, 0, sub { }; fork; exit);
    output_of($program);
    my $pid = fork;
    if (!$pid) {
        $SIG{__WARN__} = sub { POSIX::_exit(1) };
        exec $^X, '-e', 'exit 0';
    }
    waitpid $pid, 0;
    is $?,                               0, 'by exec';
    is system($^X, '-e', 'exit 4') >> 8, 4, 'or by system';
    syswrite $out, 'x';
    loop_until { $n };
    is $n, 1, 'costs the parent nothing';
};

subtest 'watchers made by callbacks that are being destroyed' => sub {
    my ($ran, $again) = (0);
    my $on_free = SprigTest::OnFree->new(sub {
        $again = AE::timer 0, 0, sub { $ran++ }
    });
    my $timer = AE::timer 100, 0, sub { $on_free };
    undef $on_free;
    undef $timer;
    loop_until { $ran };
    is $ran, 1, 'work';
};

subtest 'live objects are counted' => sub {
    my $before   = Sprig::Loop->counters->{watchers};
    my @watchers = map {
        AE::timer 1, 0,
            sub { }
    } 1 .. 5;
    is(Sprig::Loop->counters->{watchers}, $before + 5, 'up');
    @watchers = ();
    is(Sprig::Loop->counters->{watchers}, $before, 'and down');
};

nothing_is_left;
done_testing;

package SprigTest::OnFree;

sub new { my ($class, $code) = @_; return bless { code => $code }, $class }
sub DESTROY { my ($self) = @_; $self->{code}->(); return }
