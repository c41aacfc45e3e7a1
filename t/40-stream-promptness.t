# What an app has written reaches the client while the app goes on working in the same call: a report
# that shows its progress, a body that is slow to read.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;
use Time::HiRes qw(sleep time);

# The app rests so long between two pieces; a piece that came within half of it did not wait for the
# next one. (Twenty milliseconds are promised, but not on a machine that is busy with tests.)
use constant REST => 0.6;

my $APP = <<'APP';
use Time::HiRes qw(sleep time);

# A line that tells when it was written.
sub stamp { return sprintf "%.4f\n", time }

sub rest { sleep $ENV{REST} }

my %app = (
    '/report' => sub {
        my ($respond) = @_;
        my $w = $respond->([200, ['X-Stamp' => stamp() =~ /(.*)/]]);
        rest();
        for (1 .. 3) { $w->write(stamp()); rest() }
        $w->close;
    },
    '/two-at-once' => sub {
        my $w = $_[0]->([200, []]);
        for (1 .. 2) { $w->write(stamp()) for 1 .. 2; rest() }
        $w->close;
    },
    '/busy' => sub {
        my $w = $_[0]->([200, []]);
        for (1 .. 2) { $w->write(stamp()); my $end = time + $ENV{REST}; 1 while time < $end }
        $w->close;
    },
    '/recv' => sub {
        my $w = $_[0]->([200, []]);
        for (1 .. 2) {
            $w->write(stamp());
            my $cv = AE::cv();
            my $t = AE::timer(0.05, 0, sub { $cv->send });
            $cv->recv;
            $w->write(stamp());
            rest();
        }
        $w->close;
    },
    '/ten' => sub {
        my $w = $_[0]->([200, []]);
        $w->write("piece $_\n") for 1 .. 10;
        $w->close;
    },
    '/gone' => sub {
        my $w = $_[0]->([200, []]);
        my $n = 0;
        while ($n < 40 && $w->write("piece\n")) { $n++; sleep 0.1 }
        $w->close;
        print STDERR "stopped after $n\n";
    },
    '/large' => sub {
        my $w = $_[0]->([200, []]);
        $w->write('x' x 300_000) for 1 .. 20;
        rest();
        $w->write("end\n");
        $w->close;
    },
    '/fork' => sub {
        my $w = $_[0]->([200, []]);
        $w->write(stamp());
        my $pid = fork;
        if (!$pid) { $w->write("from the child\n"); require POSIX; POSIX::_exit(0) }
        waitpid $pid, 0;
        rest();
        $w->write(stamp());
        $w->close;
    },
);

{
    package Slow;
    sub new { my ($class, @line) = @_; return bless [@line], $class }
    sub getline { my ($self) = @_; my $code = shift @$self or return; return $code->() }
    sub close { }
}

sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return $app{$path} if $app{$path};
    return [200, ['X-Stamp' => stamp() =~ /(.*)/], Slow->new(map { sub { rest(); stamp() } } 1 .. 3)]
        if $path eq '/getline';
    return [200, [], ['others']];
}
APP

my %by = map {
    $_ => start_server(by => $_, code => "use AnyEvent;\n$APP", env => { REST => REST })
} qw(module program plackup);
my $server = $by{module};

# Asks, and returns what it took each stamp, those of the head included, to arrive.
sub lags {
    my ($on, $path) = @_;
    my ($client, @lag) = $on->connect;
    my $seen = 0;
    $client->send("GET $path HTTP/1.0\r\nHost: a\r\n\r\n");
    my $end = time + 15;
    while (time < $end) {
        my $is_open = $client->poll;
        my $now     = time;
        my @stamp   = $client->buffered =~ /(\d{9,}\.\d{4})\r?\n/g;
        push @lag, $now - $stamp[$seen++] while $seen < @stamp;
        last if !$is_open;
        sleep 0.002;
    }
    return @lag;
}

sub prompt_ok {
    my ($on, $path, $n, $name) = @_;
    my @lag = lags($on, $path);
    is @lag, $n, "$name: all came";
    cmp_ok $_, '<', REST / 2, "$name: promptly" for @lag;
}

# A worker of two, and servers that live in the loop of somebody else.
$by{workers} = start_server(
    by    => 'program',
    code  => "use AnyEvent;\n$APP",
    env   => { REST => REST },
    flags => ['--workers', 2]
);
my %hosted = (
    'a loop that watches our descriptor' => { PERL_ANYEVENT_MODEL => 'Perl' },
    'a loop that watches our sockets'    => { PERL_ANYEVENT_MODEL => 'Perl', SPRIG_LOOP_INTEREST => 1 },
);
$by{$_} = start_server(
    by   => 'module',
    code => "use AnyEvent;\n$APP",
    env  => { REST => REST, %{ $hosted{$_} } }
) for sort keys %hosted;

for my $by (sort keys %by) {
    subtest "a report that shows its progress, its head included ($by)" =>
        sub { prompt_ok($by{$by}, '/report', 4, 'a piece') };
}

subtest 'what follows a piece at once does not wait either' =>
    sub { prompt_ok($server, '/two-at-once', 4, 'a piece') };

subtest 'an app that computes' => sub { prompt_ok($server, '/busy', 2, 'a piece') };

subtest 'an app that waits in recv in between' => sub {
    skip_on_other_loop('AnyEvent lets no callback block in recv');
    prompt_ok($server, '/recv', 4, 'a piece');
};

subtest 'a body that is slow to read: its head, and each line' =>
    sub { prompt_ok($server, '/getline', 4, 'a line') };

subtest 'an app that forks' => sub { prompt_ok($server, '/fork', 2, 'a piece') };

subtest 'the app hears that the client left' => sub {
    my $client = $server->connect;
    $client->send("GET /gone HTTP/1.1\r\nHost: a\r\n\r\n");
    ok $client->wait_for_bytes(20), 'it has begun';
    $client->close;
    ok $server->stderr_like(qr/stopped after (\d+)/), 'a write told' or return;
    my ($n) = $server->stderr =~ /stopped after (\d+)/;
    cmp_ok $n, '<', 40, 'before all was written';
};

subtest 'a client that does not read holds nobody up' => sub {
    my $client = $server->connect;
    my $begin  = time;
    $client->send("GET /large HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    is $server->ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n")->body, 'others', 'others are served';
    my $body = $client->response->body;
    is length $body, 6_000_004, 'all of it came';
    like $body, qr/x\nend\n\z|xend\n\z/, 'in its order';
};

subtest 'ten pieces in one turn are two sends at most' => sub {
    my $strace = tool_path('strace') or plan skip_all => 'no strace';
    my $client = $server->connect;
    $client->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    $client->response;
    my $file = SprigTest::temp_path('strace');
    my $pid  = fork // die "fork: $!";
    if (!$pid) {
        open STDERR, '>', "$file.said";
        exec $strace, '-f', '-qq', '-e', 'trace=sendto,sendmsg,write,writev', '-o', $file, '-p',
            $server->pid or exit 1;
    }
    my $tries = 0;
    for (; $tries < 100 && !(-s $file); $tries++) {
        last if waitpid($pid, 1) == $pid;
        $client->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        $client->response;
        sleep 0.05;
    }
    plan skip_all => 'strace cannot look at other processes here' if !-s $file;
    my $before = () = slurp($file) =~ /(send\w+)\(/g;
    for (1 .. 10) {
        $client->send("GET /ten HTTP/1.1\r\nHost: a\r\n\r\n");
        is $client->response->body, join('', map { "piece $_\n" } 1 .. 10), 'the pieces';
    }
    kill INT => $pid;
    waitpid $pid, 0;
    my $n = (() = slurp($file) =~ /(send\w+)\(/g) - $before;
    cmp_ok $n, '<=', 20, "$n sends for ten times ten pieces";
};

$by{$_}->stop_ok for sort keys %by;
done_testing;
