# A master and its workers under load. Prints what happened; exit status 1 if a promise is broken.
#
#   perl xt/workers.pl load    [--seconds 60] [--workers 2]   wrk and ab over reloads, upgrades, replacements
#   perl xt/workers.pl kill    [--seconds 60] [--workers 2]   a worker is killed every 5 seconds
#   perl xt/workers.pl streams [--clients 2500]               responses of two seconds, all at once
#   perl xt/workers.pl broken  [--seconds 30] [--workers 4]   an app that dies while it is loaded

$| = 1;
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t/lib";
use AnyEvent;
use Errno        qw(EAGAIN EINPROGRESS EINTR);
use Getopt::Long qw(GetOptions);
use IO::Socket::INET;
use POSIX ();
use SprigTest;
use SprigTest::Promise;
use SprigTest::Workers;
use Time::HiRes qw(time);

my %option = (clients => 2500);
GetOptions(\%option, 'seconds=f', 'workers=i', 'clients=i', 'max-requests=i', 'flag=s@')
    or exit 2;
my %mode = (load => \&load, kill => \&killing, streams => \&streams, broken => \&broken);
my $mode = shift || 'load';
my $run  = $mode{$mode} or die "what is '$mode'?\n";
my ($seconds, $workers) = $mode eq 'broken' ? (30, 4) : (60, 2);
%option = (seconds => $seconds, workers => $workers, %option);
$run->();
exit $SprigTest::Promise::broken;

# Lets the watchers of this process work until a time.
sub until_time {
    my ($time) = @_;
    my $cv     = AE::cv;
    my $timer  = AE::timer $time > time ? $time - time : 0, 0, $cv;
    $cv->recv;
    return;
}

# ---- load ----

# Starts a command; what it prints comes from the handle.
sub tool {
    my (@command) = @_;
    my $pid       = open my $out, '-|';
    defined $pid or die "fork: $!";
    return $out if $pid;
    open STDERR, '>&', \*STDOUT;
    exec(@command) or POSIX::_exit(127);
}

sub load {
    my ($wrk, $ab) = map { tool_path($_) || die "$_ is not installed\n" } qw(wrk ab);
    my $seconds = $option{seconds};
    my $master  = start_workers(
        workers => $option{workers},
        code    => app_text(version => 'v1', module => 1),
        flags   => [
            '--pid',          'pid',
            '--max-requests', $option{'max-requests'} || 1000,
            @{ $option{flag} || [] }
        ],
        prepare => sub { spew('lib/Changed.pm', 'package Changed; our $VERSION = "m1"; 1') },
    );
    $master->serving($option{workers});
    my $first = $master->learn_master;
    my $url   = $master->url;
    my $start = time;
    my %out   = (
        wrk => tool($wrk, '-t', 1,    '-c', 16, '-d', int($seconds), $url),
        ab  => tool($ab,  '-r', '-q', '-t', int($seconds), '-n', 100_000_000, '-c', 8, $url),
    );
    my @events = (qw(HUP HUP USR2 TTIN HUP HUP TTOU USR2 HUP));
    my ($version, $module) = (1, 1);

    for my $i (0 .. $#events) {
        until_time($start + $seconds * ($i + 1) / (@events + 1.5));
        event($master, $events[$i], \$version, \$module);
    }
    my %text = map { my $handle = $out{$_}; local $/; ($_ => scalar readline $handle) } keys %out;
    print_loads(\%text);
    my $forks = () = $master->lines('loads');
    printf "%d times a worker loaded the app\n", $forks;
    promise($master->settles($option{workers}), 'as many workers as at the beginning');
    promise($master->learn_master != $first,    'of another master');
    my $start_of_end = time;
    my $status       = $master->stop;
    promise(
        ($status || '') ne 'killed',
        sprintf 'TERM: it has ended after %.2f s',
        time - $start_of_end
    );
    my @left = (processes_in($master->dir), grep { -S || /pid/ } glob $master->path('*'));
    promise(!@left, 'nothing is left');
    return;
}

# Sends a signal and waits until it has had its effect.
sub event {
    my ($master, $signal, $version, $module) = @_;
    my $before  = time;
    my $old     = $master->master;
    my @workers = $master->workers;
    if ($signal eq 'HUP') {
        $master->rewrite(version => 'v' . ++$$version, module => 1);
    } elsif ($signal eq 'USR2') {
        $master->put('lib/Changed.pm', 'package Changed; our $VERSION = "m' . ++$$module . '"; 1');
    }
    $master->signal($signal);
    my $is_done = eventually(
        sub {
            $master->learn_master;
            return $master->master != $old && !is_running($old) if $signal eq 'USR2';
            return 1                                            if $signal =~ /^TT/;
            return !grep { is_running($_) } @workers;
        },
        20
    );
    my $took  = time - $before;
    my $about = ($master->body_of('/about') || '') =~ s/^\d+ \d+ //r;
    $is_done &&= $about eq "v$$version m$$module";
    promise($is_done, sprintf '%s: %s after %.2f s', $signal, $about, $took);
    return;
}

sub print_loads {
    my ($text)    = @_;
    my ($wrk_n)   = $text->{wrk} =~ /(\d+) requests in/;
    my ($errors)  = $text->{wrk} =~ /(Socket errors: .*)/;
    my ($wrk_bad) = $text->{wrk} =~ /(Non-2xx .*)/;
    promise(
        $wrk_n && !$errors && !$wrk_bad,
        'wrk, kept connections: ' . join ', ',
        ($wrk_n || 0) . ' answers',
        grep { defined } $errors, $wrk_bad
    );
    my ($ab_n)     = $text->{ab} =~ /Complete requests:\s+(\d+)/;
    my ($ab_lost)  = $text->{ab} =~ /Failed requests:\s+(\d+)/;
    my ($ab_bad)   = $text->{ab} =~ /(Non-2xx responses:.*)/;
    my ($ab_kinds) = $text->{ab} =~ /(\(Connect: .*\))/;
    my ($ab_error) = $text->{ab} =~ /(apr_.*)/;
    promise(
        $ab_n && defined $ab_lost && $ab_lost == 0 && !$ab_bad && !$ab_error,
        'ab, new connections: ' . join ', ',
        ($ab_n || 0) . ' answers',
        defined $ab_lost ? "$ab_lost failed" : 'no report',
        grep { defined } $ab_kinds,
        $ab_bad,
        $ab_error
    );
    return;
}

# ---- clients of this process ----

# A client that asks for a path again and again (n times, or for ever) and tells about each request:
# done($text or undef, $why, \%client). What is not answered whole is not asked for again.
sub client {
    my (%client) = @_;
    my $self = {%client};
    $self->{ask} = sub { ask($self) };
    ask($self);
    return $self;
}

sub ask {
    my ($self) = @_;
    return if $self->{is_over};
    if (!$self->{socket}) {
        $self->{socket} = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$self->{port}")
            or return answer($self, undef, "cannot connect: $!");
        $self->{socket}->blocking(0);
    }
    $self->{begin} = time;
    $self->{in}    = '';
    my $close = $self->{keeps} ? '' : "Connection: close\r\n";
    syswrite $self->{socket}, "GET $self->{path} HTTP/1.1\r\nHost: a\r\n$close\r\n"
        or return answer($self, undef, "cannot send: $!");
    $self->{io} ||= AE::io $self->{socket}, 0, sub { receive($self) };
    return;
}

sub receive {
    my ($self) = @_;
    my $n      = sysread $self->{socket}, $self->{in}, 65536, length $self->{in};
    return if !defined $n && ($! == EAGAIN || $! == EINTR);
    my $body = body_of(\$self->{in});
    return answer($self, $body) if defined $body;
    return                      if $n;
    return answer($self, undef, defined $n ? 'closed' : "$!");
}

# The body as soon as it is complete.
sub body_of {
    my ($in) = @_;
    $$in =~ /\AHTTP\/1\.1 200 .*?\r\n\r\n/s or return;
    my $at = $+[0];
    if (substr($$in, 0, $at) =~ /^Content-Length: (\d+)/mi) {
        return length $$in >= $at + $1 ? substr $$in, $at, $1 : undef;
    }
    my $body = substr $$in, $at;
    return $body =~ /\r\n0\r\n\r\n\z/ ? $body =~ s/\r?\n?^[0-9a-f]+\r\n//gmr : undef;
}

sub answer {
    my ($self, $body, $why) = @_;
    $self->{end} = time;
    $self->{done}->($body, $why, $self);
    if (!$self->{keeps} || !defined $body || $self->{in} =~ /^Connection: close/mi) {
        delete $self->{io};
        close delete $self->{socket} if $self->{socket};
    }
    $self->{timer} = AE::timer $why && $why =~ /connect/ ? 0.05 : 0, 0, $self->{ask};
    return;
}

# ---- kill ----

sub killing {
    my $n      = $option{workers};
    my $master = start_workers(workers => $n, flags => $option{flag} || []);
    my @pids   = $master->serving($n);
    my ($n_answers, @lost, %killed) = (0);
    my $done = sub {
        my ($body, $why, $client) = @_;
        if (defined $body) {
            $n_answers++;
            $client->{worker} = $body;
            return;
        }
        push @lost, { why => $why, at => time, worker => $client->{keeps} && $client->{worker} };
        delete $client->{worker};
    };
    my @clients =
        map { client(path => '/pid', port => $master->port, keeps => $_ % 2, done => $done) }
        1 .. 16;
    my $end = time + $option{seconds};
    while (time < $end - 2) {
        until_time(time + 5 < $end - 2 ? time + 5 : $end - 2);
        my @workers = $master->workers;
        my $pid     = $workers[rand @workers];
        kill 'KILL', $pid;
        $killed{$pid} = time;
    }
    until_time($end);
    $_->{is_over} = 1 for @clients;
    my %why;
    $why{ $_->{why} }++ for @lost;
    printf "%d answers, %d workers killed, %d requests lost (%s)\n", $n_answers,
        scalar keys %killed,
        scalar @lost, join ', ', map { "$_: $why{$_}" } sort keys %why;
    my @kept  = grep { $_->{worker} && !$killed{ $_->{worker} } } @lost;
    my @other = grep { !is_near($_->{at}, values %killed) } @lost;
    promise(!@kept,  'on kept connections only requests to killed workers are lost');
    promise(!@other, 'nothing is lost but in the moment of a kill');
    promise(!(grep { /connect|refused/ } keys %why), 'nobody is refused');
    promise(@lost <= 16 * keys %killed,              'not more than there were clients');
    promise($n_answers > 100,                        'there was a load');
    promise($master->settles($n),                    'all workers are there');
    promise(($master->stop || 0) eq '0',             'ends with status 0');
    return;
}

sub is_near {
    my ($at, @times) = @_;
    return scalar grep { $at >= $_ && $at < $_ + 0.3 } @times;
}

# ---- streams ----

sub streams {
    my $n      = $option{clients};
    my $master = start_workers(
        workers => $option{workers},
        under   => ulimited(20000),
        flags   => $option{flag} || []
    );
    my @pids = $master->serving($option{workers});
    my (@seconds, %why);
    my $cv   = AE::cv;
    my $done = sub {
        my ($body, $why, $client) = @_;
        $client->{is_over} = 1;
        push @seconds, $client->{end} - $client->{begin};
        $body = ''                     if !defined $body;
        $why{ $why || 'wrong body' }++ if $body !~ /\A(?:piece\n\s*){20}/;
        $cv->send                      if @seconds == $n;
    };
    my $start = time;
    my @clients =
        map { client(path => '/stream?20x0.1', port => $master->port, done => $done) } 1 .. $n;
    my $opened = time - $start;
    my $timer  = AE::timer 30, 0, $cv;
    $cv->recv;
    my %took = map { ($_ => $_) } @seconds;
    printf "%d streams of 1.9 s opened within %.2f s: p50 %.3f, p99 %.3f, longest %.3f s\n",
        scalar @seconds, $opened, map { percentile($_, @seconds) } 50, 99, 100;
    my %share;
    $share{$_}++ for map { /([0-9]+)/ } grep { /^stream/ } $master->lines('notes');
    print 'by worker: ', join(', ', map { $share{$_} } sort keys %share), "\n";
    promise(
        !%why && @seconds == $n,
        join ', ',
        'all are whole',
        map { "$_: $why{$_}" } sort keys %why
    );
    promise(percentile(99, @seconds) <= 2.3, 'p99 is at most 2.3 s');
    promise(($master->stop || 0) eq '0',     'ends with status 0');
    return;
}

# ---- broken ----

sub broken {
    my $master = start_workers(workers => $option{workers});
    $master->settles($option{workers});
    my $before_it = $master->lines('loads');
    $master->rewrite(dies => 'die "broken on purpose\n";');
    kill 'KILL', $master->workers;
    until_time(time + $option{seconds});
    my $n = $master->lines('loads') - $before_it;
    promise($n >= 4 && $n < 20,                                  "$n forks in $option{seconds} s");
    promise((() = $master->stderr =~ /broken on purpose/g) == 1, 'the error is told once');
    my $before = time;
    my $status = $master->stop;
    promise(($status || '') ne 'killed', sprintf 'TERM: it has ended after %.2f s', time - $before);
    return;
}
