# events.pl - event streams: what it costs the server to send one message to many of them, by a channel
# and by a loop over writers in Perl; and the memory that clients cost which do not read.
#
#   perl -Mblib bench/events.pl [--streams 1000] [--messages 500] [--bytes 100] [--stalled 20]
#       [--flood 1G]
use strict;
use warnings;
use FindBin;
use Getopt::Long;
use IO::Socket::INET;
use POSIX       ();
use Time::HiRes qw(sleep time);

GetOptions(
    'streams=i'  => \(my $n_streams  = 1000),
    'messages=i' => \(my $n_messages = 500),
    'bytes=i'    => \(my $n_bytes    = 100),
    'stalled=i'  => \(my $n_stalled  = 20),
    'flood=i'    => \(my $flood_mb   = 1024),
) or die "usage: see the top of $0\n";

my $app = <<'APP';
use strict; use warnings; use AnyEvent; use Sprig::Channel;
my $channel = Sprig::Channel->new('bench');
my (%writers, $timer);
my %send = (
    channel => sub { $channel->publish($_[0]) },
    event   => sub { $_->event(data => $_[0]) for values %writers },
    write   => sub { my $bytes = "data: $_[0]\n\n"; $_->write($bytes) for values %writers },
    nothing => sub { },
);
sub {
    my ($env) = @_;
    my ($path, %query) = ($env->{PATH_INFO}, map { split /=/ } split /&/, $env->{QUERY_STRING});
    if ($path eq '/go') {
        my ($n, $text, $send) = ($query{n}, 'x' x $query{bytes}, $send{ $query{how} });
        my $many = $query{many} || 1;
        return sub {
            my ($respond) = @_;
            $timer = AE::timer 0, 0.001, sub {
                for (1 .. $many) {
                    $send->($text);
                    next if --$n > 0;
                    undef $timer;
                    return $respond->([200, [], ['done']]);
                }
            };
        };
    }
    return [200, [], [$channel->members]] if $path eq '/members';
    return sub {
        my $w = $_[0]->([200, ['Content-Type' => 'text/event-stream']]);
        if ($query{in} eq 'channel') { $channel->join($w); return }
        $writers{$w} = $w;
        $w->on_disconnect(sub { delete $writers{ $_[0] }; $_[0]->close });
    };
};
APP

my $program = "$FindBin::Bin/../blib/script/sprig";
my $port    = free_port();
my $pid     = fork // die "fork: $!";
if (!$pid) {
    open STDOUT, '>', '/dev/null';
    $ENV{PERL5LIB} = join ":", "$FindBin::Bin/../blib/lib", "$FindBin::Bin/../blib/arch", $ENV{PERL5LIB} || ();
    no warnings 'exec';
    exec { $program } $program, '-o', '127.0.0.1', '-p', $port, '--max-connections', 0, '-e', $app;
    POSIX::_exit(1);
}
END { kill 'TERM', $pid if $pid }
for (1 .. 100) { last if IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port"); sleep 0.05 }

my %user;
for my $how (qw(nothing channel event write)) {
    my ($readers, $stop) = readers($n_streams, $how eq 'channel' ? 'channel' : 'perl');
    my ($before) = cpu();
    my $start = time;
    ask("/go?how=$how&n=$n_messages&bytes=$n_bytes", 300);
    my $seconds = time - $start;
    $user{$how} = ((cpu())[0] - $before) / $n_messages / $n_streams * 1e6;
    printf "%-8s %6.2f us of user CPU for each delivery, %d deliveries/s\n", $how, $user{$how},
        $n_messages * $n_streams / $seconds;
    $stop->();
}
printf "channel / event: %.2f, channel / write: %.2f\n", map { $user{channel} / $user{$_} } qw(event write);

my @stalled = map { open_stream('channel') } 1 .. $n_stalled;
my ($reader, $stop) = readers(1, 'channel');
my $before = rss();
my $size   = 1000;
my $most   = 0;
my $flood  = fork // die "fork: $!";
if (!$flood) {
    $pid = 0;
    ask("/go?how=channel&many=50&bytes=$size&n=" . int($flood_mb * 1024 * 1024 / $size), 600);
    POSIX::_exit(0);
}
until (waitpid $flood, POSIX::WNOHANG()) {
    my $now = rss();
    $most = $now if $now > $most;
    sleep 0.05;
}
printf "%d clients that never read, %d MB published: resident memory grew by %.1f MB\n", $n_stalled, $flood_mb,
    ($most - $before) / 1024;
$stop->();

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "listen: $@";
    return $socket->sockport;
}

sub open_stream {
    my ($in) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die "connect: $@";
    syswrite $socket, "GET /?in=$in HTTP/1.1\r\nHost: test\r\n\r\n";
    sysread $socket, my $head, 4096;
    return $socket;
}

# A process that reads from so many streams, and how it is ended.
sub readers {
    my ($n, $in) = @_;
    pipe my $ready, my $tell or die "pipe: $!";
    my $child = fork // die "fork: $!";
    if (!$child) {
        $pid = 0;
        my @sockets = map { open_stream($in) } 1 .. $n;
        require AnyEvent;
        my $buffer;
        my @watchers = map {
            my $s = $_;
            $s->blocking(0);
            AE::io($s, 0, sub { sysread $s, $buffer, 65536 })
        } @sockets;
        syswrite $tell, '1';
        AnyEvent->condvar->recv;
    }
    sysread $ready, my $byte, 1;
    return ($child, sub { kill 'KILL', $child; waitpid $child, 0; sleep 0.3 });
}

sub ask {
    my ($path, $seconds) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => $seconds) or die "connect: $@";
    syswrite $socket, "GET $path HTTP/1.0\r\n\r\n";
    local $/;
    return readline $socket;
}

# User and system time of the server in seconds.
sub cpu {
    open my $in, '<', "/proc/$pid/stat" or die "stat: $!";
    my @field = split / /, (readline($in) =~ s/.*\) //r);
    return map { $_ / POSIX::sysconf(POSIX::_SC_CLK_TCK()) } @field[11, 12];
}

sub rss {
    open my $in, '<', "/proc/$pid/status" or die "status: $!";
    return (join('', <$in>) =~ /VmRSS:\s+([0-9]+)/)[0];
}
