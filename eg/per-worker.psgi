# Resources of each worker: a log opened when the worker starts and closed when it ends, and work that goes on after
# the response. A worker does not exit before that work is done.
#
#   sprig --workers 4 eg/per-worker.psgi
#   curl http://localhost:5000/
use strict;
use warnings;
use AnyEvent;
use Sprig::Worker;

my $folder = $ENV{TMPDIR} || '/tmp';
my ($name, $log);

Sprig::Worker->after_fork(sub {
    my ($worker) = @_;
    $name = 'worker ' . $worker->number;
    open $log, '>>', "$folder/per-worker-$$.log" or die "cannot write to $folder: $!\n";
});

Sprig::Worker->before_exit(sub {
    print {$log} "$name has ended\n";
    close $log;
});

# Runs the code a moment later. Only workers have a guard.
sub later {
    my ($guard, $code) = @_;
    $guard->begin if $guard;
    my $timer;
    $timer = AE::timer 0.5, 0, sub {
        undef $timer;
        $code->();
        $guard->end if $guard;
    };
    return;
}

sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    later($env->{'psgix.exit_guard'}, sub { print {$log} "$name has served $path\n" });
    return [200, ['Content-Type' => 'text/plain'], ["$name (process $$) has heard of $path\n"]];
};
