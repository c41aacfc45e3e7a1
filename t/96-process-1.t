# One process as the first of a container: it collects the orphans of others, and leaves its application its children.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Workers;
use Test::More;

-d '/proc/self' or plan skip_all => 'no /proc';
my @unshare = ('unshare', '--pid', '--fork', '--mount-proc', '--kill-child');
system("@unshare true 2>/dev/null") == 0 or plan skip_all => 'no pid namespace here';

# States of the processes that have this parent, dead ones included.
sub states_below {
    my ($parent) = @_;
    my @states;
    for my $file (glob '/proc/[0-9]*/stat') {
        my $text = eval { slurp($file) } or next;
        push @states, $1 if $text =~ /.*\) (\S) $parent /s;
    }
    return @states;
}

my $code = app_text() =~ s{^my %app_for = \(}{<<'PATHS'}mre;
my %app_for = (
    '/system'    => sub { [200, [], [system('exit 3;') >> 8]] },
    '/backticks' => sub { my $out = `echo out; exit 4`; chomp $out; [200, [], [$out . ($? >> 8)]] },
    '/waitpid'   => sub {
        my $pid = fork;
        POSIX::_exit(5) if !$pid;
        select undef, undef, undef, 0.5;
        [200, [], [waitpid($pid, 0) == $pid ? $? >> 8 : 'lost']];
    },
    '/child' => sub {
        sub {
            my ($respond) = @_;
            my $pid = fork;
            POSIX::_exit(6) if !$pid;
            my $w;
            $w = AE::child $pid, sub { undef $w; $respond->([200, [], [$_[1] >> 8]]) };
        };
    },
PATHS

# Its own children are the application's for as long as it likes.
sub own_children_ok {
    my ($server) = @_;
    is $server->body_of('/system'),    3,      'system';
    is $server->body_of('/backticks'), 'out4', 'backticks';
    is $server->body_of('/waitpid'),   5,      'waitpid, some time later';
    is $server->body_of('/child'),     6,      'AE::child';
    return;
}

my $outer =
    start_workers(under => \@unshare, workers => 1, code => $code, flags => ['--pid', 'pid']);
my ($first) = children_of($outer->pid);

subtest 'children of the application' => sub { own_children_ok($outer) };

subtest 'orphans' => sub {
    is $outer->body_of('/orphan'), 'left', 'a child of the app leaves one' for 1 .. 3;
    ok eventually(sub {
        my @states = states_below($first);
        @states == 1 && $states[0] ne 'Z';
        }),
        'they are collected'
        or diag join ' ', states_below($first);
};

subtest 'signals to process 1' => sub {
    kill 'USR2', $first;
    ok $outer->stderr_like(qr/USR2: .*needs a master/), 'reach the server';
    my $stream = $outer->connect;
    $stream->send(get('/stream?6x0.1'));
    $outer->await_lines('notes', qr/^stream/);
    kill 'TERM', $first;
    is $stream->response->body, "piece\n" x 6, 'TERM: a request in progress is answered';
    is $outer->stop('CONT'),    0,             'then it ends with status 0';
    ok !-e $outer->path('pid'), 'and no pid file is left';
};

subtest 'the status of the server is that of process 1' => sub {
    my $exits = start_workers(under => \@unshare, workers => 1);
    $exits->body_of('/exit?7');
    is $exits->stop('CONT') >> 8, 7, 'exit';
};

# plackup is process 1 itself, and the server is in it.
subtest 'plackup as process 1' => sub {
    my $text = $code =~ s{^my %app_for = \(}{<<'EARLY'}mre;
require Sprig::Server;
$Sprig::Server::ORPHAN_SECONDS = 0.1;
my $early = fork;
POSIX::_exit(8) if !$early;
my %app_for = (
    '/early' => sub { [200, [], [waitpid($early, 0) == $early ? $? >> 8 : 'lost']] },
EARLY
    my $plackup = start_workers(under => \@unshare, workers => 1, by => 'plackup', code => $text);
    my ($one) = children_of($plackup->pid);
    is $plackup->body_of('/orphan'), 'left', 'a child of the app leaves an orphan' for 1 .. 3;
    ok eventually(sub { states_below($one) == 1 }), 'they are collected'
        or diag join ' ', states_below($one);
    own_children_ok($plackup);
    is $plackup->body_of('/early'), 8, 'one that was forked while the application was loaded';
    kill 'TERM', $one;
    is $plackup->stop('CONT'), 0, 'it ends with status 0';
};

done_testing;
