# What ps shows of a master and its workers; as many workers as processors; a master of one worker.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Workers;
use Test::More;

-d '/proc/self' or plan skip_all => 'no /proc';

sub title {
    my ($pid) = @_;
    my $text = eval { slurp("/proc/$pid/cmdline") } // '';
    return $text =~ s/\0+\z//r =~ tr/\0/ /r;
}

# The titles of all processes, workers sorted.
sub titles {
    my ($master) = @_;
    return join "\n", title($master->master), sort map { title($_) } $master->workers;
}

my $app = <<'END';
my %of = ('/name' => sub { $0 }, '/env' => sub { join ' ', map { "$_=$ENV{$_}" } sort grep { /^TITLE/ } keys %ENV },
    '/args' => sub { "@ARGV" });
sub {
    my ($env) = @_;
    my $of = $of{ $env->{PATH_INFO} } or return [404, [], []];
    [200, [], [$of->()]];
};
END

subtest 'titles' => sub {
    my $long   = 'x' x 500;
    my $master = start_workers(code => $app, env => { TITLE_A => $long, TITLE_B => 'b c' });
    my $named  = sub {
        "sprig: master, 2 workers, generation $_[0] (app.psgi)\n" . join "\n",
            map { "sprig: worker $_, generation $_[1] (app.psgi)" } 1, 2;
    };
    ok eventually(sub { titles($master) eq $named->(1, 1) }), 'master, numbers, generation, and whose they are';
    is slurp('/proc/' . ($master->workers)[0] . '/comm'), "sprig\n",
        'the short name is that of the program';
    like $master->body_of('/name'), qr{/app\.psgi\z}, '$0 of the application is its file';
    is $master->body_of('/env'), "TITLE_A=$long TITLE_B=b c", 'the environment is what it was';
    $master->signal('HUP');
    ok eventually(sub { titles($master) eq $named->(2, 2) }), 'after a reload'
        or diag titles($master);
    $master->signal('TTIN');
    ok eventually(sub { titles($master) =~ /3 workers.*\nsprig: worker 3, generation 2/s }),
        'one more';
    $master->ends_ok;
};

subtest 'an upgrade gets the words that were given, not the title' => sub {
    my $master = start_workers(code => $app, flags => ['--pid', 'pid', '--max-headers', 77]);
    my $before = $master->master;
    $master->signal('USR2');
    ok eventually(
        sub { $master->learn_master && $master->master != $before && !is_running($before) }, 20
        ),
        'it takes over';
    like title($master->master), qr/\Asprig: master, 2 workers/, 'with a title of its own';
    is $master->body_of('/args'), '', 'it serves';
    $master->ends_ok;
};

subtest 'a perl' => sub {
    my $master = start_workers(code => $app, by => 'plackup');
    my $titles =
        qr/\Asprig: master, 2 workers, generation 1 \(\S*plackup\)\nsprig: worker 1, .*\nsprig: worker 2, /;
    ok eventually(sub { titles($master) =~ $titles }), 'has titles as well' or diag titles($master);
    like $master->body_of('/name'), qr{plackup\z}, '$0 stays';
    $master->ends_ok;
};

subtest 'an application that names its processes has the last word' => sub {
    my $master = start_workers(code => "sub { \$0 = 'mine'; [200, [], []] }", by => 'plackup');
    $master->body_of('/');
    ok eventually(sub { titles($master) =~ /\Asprig: master.*\nmine\b/s }), 'under plackup'
        or diag titles($master);
    $master->ends_ok;
};

subtest 'workers auto' => sub {
    my ($n)    = `nproc 2>/dev/null` =~ /^(\d+)$/ or plan skip_all => 'no nproc';
    my $master = start_workers(workers => 'auto', code => $app);
    my $least  = slurp('/proc/self/status') =~ /^Cpus_allowed_list:\s*(\S+)/m ? $1 : '';
    my $got    = () = titles($master)       =~ /^sprig: worker/mg;
    cmp_ok $got, '>=', 1,  'there is a worker';
    cmp_ok $got, '<=', $n, "and no more than processors ($n, $least)";
    like titles($master), qr/\Asprig: master, $got worker/, 'the master says so';
    $master->ends_ok;

    my $taskset = tool_path('taskset') or return pass 'no taskset here';
    my $run     = start_workers(
        code  => $app,
        flags => ['--workers', 'auto', '--max-requests', 1000],
        under => [$taskset,    '-c',   $least =~ /^(\d+)/]
    );
    like titles($run), qr/\Asprig: master, 1 worker, .*\nsprig: worker 1, [^\n]*\z/,
        'bound to one processor it is one, with a master all the same';
    $run->ends_ok;
};

subtest 'WEB_CONCURRENCY auto' => sub {
    my $n = () = titles(
        my $master = start_workers(
            code  => $app,
            env   => { WEB_CONCURRENCY => 'auto' },
            flags => ['--workers', 'auto']
        )
    ) =~ /^sprig: worker/mg;
    cmp_ok $n, '>=', 1, 'is the same';
    $master->ends_ok;
    my $program = SprigTest::root() . '/blib/script/sprig';
    local $ENV{WEB_CONCURRENCY} = 'auto';
    like scalar `$program --print-config`, qr/^workers = [0-9]+ +# WEB_CONCURRENCY: auto$/m,
        'and is said so';
};

subtest 'a master of one worker' => sub {
    my $master = start_workers(workers => 1, flags => ['--master']);
    my ($old) = $master->serving(1);
    isnt $old, $master->master, 'the worker is another process';
    kill 'KILL', $old;
    ok eventually(sub { my ($new) = $master->serving(1); $new && $new != $old }),
        'is started again';
    my ($before) = $master->serving(1);
    my @loads = $master->loads;
    $master->rewrite(version => 2);
    $master->signal('HUP');
    ok eventually(sub { ($master->body_of('/') // '') eq '2' && !is_running($before) }),
        'and reloaded';
    SprigTest::Load::no_loss_ok('HUP', @loads);
    $master->ends_ok;
};

done_testing;
