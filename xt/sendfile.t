# A large file costs about as much processor time as with nginx's sendfile, measured in the same run.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t/lib";
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX ();
use SprigTest;
use SprigTest::Probe;
use Test::More;

my ($nginx) = grep { -x } map { "$_/nginx" } qw(/usr/sbin /usr/local/sbin), File::Spec->path;
plan skip_all => 'needs nginx' if !$nginx;
plan skip_all => 'needs curl'  if !tool_path('curl');
plan skip_all => 'needs /proc' if !-r "/proc/$$/schedstat";

my $n_clients  = 4;
my $n_requests = 20;    # of each
my $n_rounds   = 3;
my $mib        = 32;

my $dir = tempdir(CLEANUP => 1);
chmod 0755, $dir;
spew("$dir/file.bin", join '', map { chr(65 + $_ % 26) x (1 << 20) } 1 .. $mib);

my $server = start_probe(<<"APP" . <<'APP', by => 'program');
my \$dir = '$dir';
APP
use Plack::App::File;
Plack::App::File->new(root => $dir)->to_app;
APP
my ($other, $port) = start_nginx();
my $ours   = $server->pid;
my $theirs = worker_of($other);

load($_) for $server->port, $port;
my (%cpu, %floor);
for my $round (1 .. $n_rounds) {
    for my $side (['sprig', $ours, $server->port], ['nginx', $theirs, $port]) {
        my ($name, $pid, $at) = @$side;
        my $before = cpu_ms($pid);
        load($at);
        my $each = (cpu_ms($pid) - $before) / ($n_clients * $n_requests);
        note sprintf 'round %d: %s %.2f ms of processor time for each %d MiB', $round, $name, $each,
            $mib;
        $cpu{$name} = $each if !$cpu{$name} || $each < $cpu{$name};
    }
}
note sprintf 'best rounds: %.2f of nginx', $cpu{sprig} / $cpu{nginx};
cmp_ok $cpu{sprig}, '<=', 1.3 * $cpu{nginx}, 'at most 1.3 times the processor time of nginx';
kill 'TERM', $other;
waitpid $other, 0;
$server->stop_ok;
done_testing;

sub start_nginx {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "port: $!";
    my $free   = $socket->sockport;
    close $socket;
    my $user = $> == 0 ? 'user root;' : '';
    spew("$dir/nginx.conf", <<"CONF");
$user
daemon off; worker_processes 1; pid $dir/pid; error_log $dir/error.log;
events { worker_connections 100; }
http {
    sendfile on; tcp_nopush on; access_log off; keepalive_requests 100000;
    client_body_temp_path $dir/b; proxy_temp_path $dir/p; fastcgi_temp_path $dir/f;
    uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
    server { listen 127.0.0.1:$free; root $dir; }
}
CONF
    defined(my $pid = fork) or die "fork: $!";
    if (!$pid) {
        open STDERR, '>', "$dir/stderr" or die;
        exec {$nginx} $nginx, '-p', $dir, '-c', "$dir/nginx.conf";
        POSIX::_exit(127);
    }
    my $is_up = eventually { IO::Socket::INET->new("127.0.0.1:$free") };
    $is_up or die 'nginx does not start: ' . slurp("$dir/stderr");
    return ($pid, $free);
}

sub worker_of {
    my ($pid) = @_;
    return eventually { (split ' ', slurp("/proc/$pid/task/$pid/children"))[0] };
}

# Processor time of a process so far.
sub cpu_ms {
    my ($pid) = @_;
    return (split ' ', slurp("/proc/$pid/schedstat"))[0] / 1e6;
}

sub load {
    my ($at) = @_;
    my @pids;
    for (1 .. $n_clients) {
        defined(my $pid = fork) or die "fork: $!";
        if (!$pid) {
            {
                exec 'curl', '-sS', '-o', '/dev/null',
                    "http://127.0.0.1:$at/file.bin?[1-$n_requests]"
            }
            POSIX::_exit(127);
        }
        push @pids, $pid;
    }
    for (@pids) {
        waitpid $_, 0;
        die "curl failed with $?" if $?;
    }
    return;
}
