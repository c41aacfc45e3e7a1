# Sprig under the programs that start and stop servers elsewhere, each with requests in progress: they stay whole, the status
# is right, and nothing is left. A part whose program is not installed is skipped, and named.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t/lib";
use IO::Socket::INET;
use SprigTest;
use SprigTest::Load;
use SprigTest::Workers;
use Test::More;
use Time::HiRes qw(sleep time);

-d '/proc/self' or plan skip_all => 'no /proc';

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "port: $!";
    return $socket->sockport;
}

# Streams in progress, in all processes that serve.
sub begin_streams {
    my ($master) = @_;
    my $before = grep { /^stream/ } $master->lines('notes');
    my @clients =
        map { my $client = $master->connect; $client->send(get('/stream?8x0.1')); $client } 1 .. 6;
    $master->await_lines('notes', qr/^stream/, $before + @clients);
    return @clients;
}

sub are_whole {
    my ($name, @clients) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @bodies = map {
        eval { $_->response->body } || "none: $@"
    } @clients;
    return is join('', @bodies), "piece\n" x (8 * @clients), $name;
}

# Starts it under a command, stops it by a signal to that command (or as `stop` says).
sub managed {
    my ($name, %option) = @_;
    my $tool = $option{tool};
    for my $n (1, 2, 4) {
        next if $option{workers} && !grep { $_ == $n } @{ $option{workers} };
        subtest "$name, workers $n" => sub {
            defined $tool and !tool_path($tool) and plan skip_all => "$tool is not installed";
            my $port   = free_port();
            my $master = start_workers(
                workers => $n,
                under   => $option{under}->($port),
                listen  => $option{listens} ? [] : ["127.0.0.1:$port", './app.sock'],
                flags   => $option{flags} || ['--pid', 'server-pid'],
                prepare => sub { setpgrp 0, 0 },
            );
            $master->serving($n);
            $option{then}->($master, $n) if $option{then};
            my @clients = begin_streams($master);
            ($option{stop} || sub { kill 'TERM', $_[0]->pid })->($master);
            are_whole('stop: requests in progress are whole', @clients);
            my $status = $master->stop('CONT');
            is $status, $option{status} || 0, 'the status is right' or diag $master->stderr;
            is join(' ',
                processes_in($master->dir),
                grep { -S || /server-pid/ } glob $master->path('*')),
                '', 'no process, socket or pid file is left';
        };
    }
    return;
}

# A reload while clients ask without a pause.
sub reloads {
    my ($signal) = @_;
    return sub {
        my ($master, $n) = @_;
        my @loads = $master->loads;
        $master->rewrite(version => 2);
        $signal->($master);
        ok eventually(sub { ($master->body_of('/') || 0) == 2 }, 20), 'reload: the new code serves';
        ok eventually(
            sub {
                my @seen = map { $master->body_of('/') || 0 } 1 .. 8;
                !grep { $_ != 2 } @seen;
            },
            20
            ),
            'and no other';
        no_loss_ok('reload', @loads);
    };
}

# ---- those that start one process, and pass signals on to its group ----

managed('dumb-init', tool => 'dumb-init', under => sub { ['dumb-init', '--'] });
managed('tini -g',   tool => 'tini',      under => sub { ['tini',      '-s', '-g', '--'] });
managed('tini',      tool => 'tini',      under => sub { ['tini',      '-s', '--'] });
managed(
    'dumb-init, HUP',
    tool    => 'dumb-init',
    workers => [2],
    under   => sub { ['dumb-init', '--single-child', '--'] },
    then    => reloads(sub { kill 'HUP', $_[0]->pid })
);

managed(
    'a group of its own (setsid), kill -- -PGID',
    under => sub { [] },
    stop  => sub { kill 'TERM', -$_[0]->pid }
);

# ---- start_server ----

managed(
    'start_server',
    tool    => 'start_server',
    listens => 1,
    flags   => [],
    under   => sub { ['start_server', '--port', "127.0.0.1:$_[0]", '--interval', 1, '--'] },
    then    => reloads(sub { kill 'HUP', $_[0]->pid })
);

# ---- supervisord ----

# Writes its configuration around the command, and becomes it.
my $supervise = <<'CODE';
mkdir 'sup';
my $command = join ' ', map { /\A[\w.\/:-]+\z/ ? $_ : qq("$_") } @ARGV;
open my $conf, '>', 'sup/conf' or die $!;
print $conf <<"CONF";
[unix_http_server]
file=sup/control
[rpcinterface:supervisor]
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface
[supervisorctl]
serverurl=unix://sup/control
[supervisord]
nodaemon=true
logfile=sup/log
pidfile=sup/pid
[program:app]
command=$command
stopasgroup=true
killasgroup=true
stopwaitsecs=30
startsecs=0
autorestart=false
stderr_logfile=stderr
stdout_logfile=stdout
CONF
close $conf;
exec 'supervisord', '-c', 'sup/conf' or die "supervisord: $!";
CODE

sub supervisorctl {
    my ($master, @words) = @_;
    return output_of('sh', '-c', 'cd "$1" && shift && exec "$@" 2>&1',
        'sh', $master->dir, 'supervisorctl', '-c', 'sup/conf', @words);
}

managed(
    'supervisord, stopasgroup and killasgroup',
    tool  => 'supervisord',
    under => sub { [$^X, '-e', $supervise] },
    then  => sub {
        my ($master, $n) = @_;
        my @clients = begin_streams($master);
        my $said    = supervisorctl($master, 'restart', 'app');
        are_whole('restart: requests in progress are whole', @clients);
        ok eventually(sub { $master->serving($n, 1) == $n }, 20), 'and it serves again'
            or diag $said;
    },
);

# ---- systemd, as far as it matters here ----

# Starts the command as the main process of a service. TERM to itself stops the service: TERM to all its processes, one by
# one, or with "mixed" to the main one only; whatever is left when the main one is gone, or after 40 seconds, is killed.
my $systemd = <<'CODE';
use strict; use warnings; use Cwd;
my $mixed = shift @ARGV eq 'mixed';
my $dir   = getcwd();
my $is_stopped;
$SIG{TERM} = sub { $is_stopped = 1 };
my $main = fork // die; if (!$main) { require POSIX; POSIX::setsid(); exec @ARGV or die }
sub left { return grep { $_ != $$ && (readlink("/proc/$_/cwd") || '') eq $dir } map { m{(\d+)} } glob '/proc/[0-9]*' }
select undef, undef, undef, 0.02 until $is_stopped;
my @all = $mixed ? $main : ($main, grep { $_ != $main } left());
kill 'TERM', $_ for @all;
my ($deadline, $status) = (time + 40);
while (time < $deadline) {
    require POSIX;
    $status = $? if !defined $status && waitpid($main, POSIX::WNOHANG()) == $main;
    last if defined $status && ($mixed || !left());
    select undef, undef, undef, 0.02;
}
my @killed = left();
kill 'KILL', @killed;
open my $note, '>', 'killed'; print $note "@killed"; close $note;
POSIX::_exit(!defined $status ? 99 : @killed ? 98 : $status >> 8 || $status & 127);
CODE

for my $mode ('control-group', 'mixed') {
    managed("systemd, KillMode=$mode", under => sub { [$^X, '-e', $systemd, $mode] });
}

# ---- process 1 ----

my @unshare = ('unshare', '--pid', '--fork', '--mount-proc', '--kill-child');

sub process_1 {
    my ($master) = @_;
    my ($first)  = children_of($master->pid);
    return $first;
}

SKIP: {
    skip 'no pid namespace here', 1 if system("@unshare true 2>/dev/null") != 0;
    managed(
        'process 1 of a pid namespace',
        under => sub { [@unshare] },
        stop  => sub { kill 'TERM', process_1($_[0]) }
    );
    managed(
        'process 1 of a pid namespace, HUP',
        workers => [2],
        under   => sub { [@unshare] },
        then    => reloads(sub { kill 'HUP', process_1($_[0]) }),
        stop    => sub { kill 'TERM', process_1($_[0]) }
    );
}

done_testing;
