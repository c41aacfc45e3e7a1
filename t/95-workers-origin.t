# What an application does to the process must not reach the next one: USR2 behind a changed environment and
# folder, and the pid file under Server::Starter.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Program;
use SprigTest::Workers;
use Test::More;

-d '/proc/self' or plan skip_all => 'no /proc';

subtest 'USR2 behind an application that changed the process' => sub {
    my $code =
          '$ENV{PATH} = "/nowhere"; $ENV{PERL5LIB} = "/nowhere"; delete $ENV{HOME};'
        . 'my $mine = $ENV{MINE}; $ENV{MINE} = "changed"; chdir "/";'
        . ' sub { [200, [], ["$mine " . getppid]] }';
    my $master = start_workers(
        code  => $code,
        env   => { MINE => 'kept' },
        flags => ['--pid', 'pid', '--preload-app'],
    );
    my $first = $master->learn_master;
    is $master->body_of('/'), "kept $first", 'the first one serves';
    $master->signal('USR2');
    my $is_new = eventually(sub { my ($pid) = $master->lines('pid'); $pid && $pid != $first });
    ok $is_new, 'another one takes over' or diag $master->stderr;
    ok eventually(sub { !is_running($first) }), 'the first one is gone';
    my $second = $master->learn_master;
    is $master->body_of('/'), "kept $second", 'it has the environment and the folder of the start';
    kill 'TERM', $second;
    ok eventually(sub { !is_running($second) }), 'it ends';
    ok !-e $master->path('pid'),                     'and removes the pid file';
    $master->stop;
};

for my $n (1, 2) {
    subtest "start_server -- sprig --pid FILE --workers $n" => sub {
        my $starter = tool_path('start_server')
            or plan skip_all => 'Server::Starter is not installed';
        my $port   = SprigTest::Server::_free_port();
        my $master = start_workers(
            workers => $n,
            under   => [$starter, '--port', "127.0.0.1:$port", '--interval', 1, '--'],
            listen  => [],
            flags   => ['--pid', 'pid'],
        );
        my ($first) = $master->lines('pid');
        ok is_running($first), 'the file names the process';
        $master->rewrite(version => 2);
        $master->signal('HUP');
        ok eventually(sub { !is_running($first) }), 'HUP: the old process is gone'
            or diag $master->stderr;
        my $second;
        ok eventually(sub {
            ($second) = $master->lines('pid');
            return $second && $second != $first && is_running($second);
            }),
            'the file names the new one';
        is $master->body_of('/'), 2, 'which serves';
        $master->ends_ok;
        ok !-e $master->path('pid'), 'the file is removed at the end';
    };
}

subtest 'a pid file in use is refused otherwise' => sub {
    my $pid    = SprigTest::temp_path('pid');
    my @app    = ('-l', '127.0.0.1:0', '--pid', $pid, '-e', 'sub { [200, [], []] }');
    my $server = start_program(@app);
    for my $env ({}, { SERVER_STARTER_GENERATION => 1 }) {
        my $run = run_program($env, @app);
        like $run->{err}, qr/in use by the running process/, 'is told';
        is $run->{status}, 1, 'and ends it';
    }
    $server->stop_ok;
};

done_testing;
