# realtime.pl - WebSockets beside other servers: what an echo, a delivery to one of many, and an idle
# socket cost; and event streams by a channel (events.pl). Started by dev/bench --realtime.
#
#   perl -Mblib bench/realtime.pl [--servers sprig,mojo,node,python] [--seconds 3] [--clients 50]
#       [--members 1000] [--messages 300] [--idle 10000] [--no-events]
#
# node needs the package ws where node finds it (NODE_PATH), python the one of the system.
use strict;
use warnings;
use FindBin;
use Getopt::Long;
use IO::Select;
use IO::Socket::INET;
use POSIX       ();
use Time::HiRes qw(sleep time);

my @names = qw(sprig mojo node python);
my %at = (seconds => 3, clients => 50, members => 1000, messages => 300, idle => 10_000, events => 1);
GetOptions(\%at, 'servers=s', map({ "$_=i" } qw(seconds clients members messages idle)), 'events!')
    or die "usage: see the top of $0\n";
@names = split /,/, $at{servers} if defined $at{servers};

# All of them echo; "go N" sends so many messages of 100 bytes to everybody, one each millisecond.
my %program = (
    sprig => [
        'app.psgi', <<'END', sub { ("$FindBin::Bin/../blib/script/sprig", '-o', '127.0.0.1', '-p', $_[1], '--max-connections', 0, '--websocket-deflate', 'off', $_[0]) }],
use strict; use warnings; use AnyEvent; use Sprig::Channel;
my $all = Sprig::Channel->new('bench');
my $timer;
sub go { my ($n) = @_; $timer = AE::timer 0, 0.001, sub { $all->publish('x' x 100); undef $timer if --$n <= 0 } }
sub {
    my $ws = $_[0]{'psgix.websocket'} or return [200, [], ['WebSocket only']];
    my $joins = $_[0]{PATH_INFO} eq '/all';
    $ws->accept(
        on_open    => sub { $all->join($_[0]) if $joins },
        on_message => sub { my ($ws, $text) = @_; $text =~ /^go (\d+)/ ? go($1) : $ws->send($text) },
    );
};
END
    mojo => [
        'app.pl', <<'END', sub { ($^X, $_[0], 'daemon', '-m', 'production', '-c', 20_000, '-l', "http://127.0.0.1:$_[1]") }],
use Mojolicious::Lite;
app->log->level('fatal');
my (%all, $timer);
sub go {
    my ($n) = @_;
    $timer = Mojo::IOLoop->recurring(0.001 => sub {
        $_->send('x' x 100) for values %all;
        Mojo::IOLoop->remove($timer) if --$n <= 0;
    });
}
for my $path ('/', '/all') {
    websocket $path => sub {
        my ($c) = @_;
        $c->inactivity_timeout(1000);
        $all{$c} = $c if $path eq '/all';
        $c->on(message => sub { my ($c, $text) = @_; $text =~ /^go (\d+)/ ? go($1) : $c->send($text) });
        $c->on(finish => sub { delete $all{$c} });
    };
}
app->start;
END
    node => [
        'app.js', <<'END', sub { ('node', @_) }],
const { WebSocketServer } = require('ws');
const server = new WebSocketServer({ port: +process.argv[2], host: '127.0.0.1', perMessageDeflate: false, backlog: 1000 });
const all = new Set();
function go(n) {
    const timer = setInterval(() => {
        for (const ws of all) ws.send('x'.repeat(100));
        if (--n <= 0) clearInterval(timer);
    }, 1);
}
server.on('connection', (ws, request) => {
    if (request.url === '/all') { all.add(ws); ws.on('close', () => all.delete(ws)); }
    ws.on('message', (data, binary) => {
        const found = /^go (\d+)/.exec(data);
        if (found) go(+found[1]); else ws.send(data, { binary });
    });
});
END
    python => [
        'app.py', <<'END', sub { ('/usr/bin/python3', @_) }],
import asyncio, sys, websockets
members = set()
async def go(n):
    for _ in range(n):
        websockets.broadcast(members, 'x' * 100)
        await asyncio.sleep(0.001)
async def serve(ws, *path):
    name = path[0] if path else getattr(ws, 'path', None) or ws.request.path
    if name == '/all': members.add(ws)
    try:
        async for text in ws:
            if text.startswith('go '): asyncio.ensure_future(go(int(text[3:])))
            else: await ws.send(text)
    finally: members.discard(ws)
async def main():
    async with websockets.serve(serve, '127.0.0.1', int(sys.argv[1]), compression=None, ping_interval=None): await asyncio.Future()
asyncio.run(main())
END
);

my %is_there = (
    sprig  => sub { -x "$FindBin::Bin/../blib/script/sprig" },
    mojo   => sub { !system qq{$^X -MMojolicious -e 1 2>/dev/null} },
    node   => sub { !system q{node -e 'require("ws")' 2>/dev/null} },
    python => sub { !system q{/usr/bin/python3 -c 'import websockets' 2>/dev/null} },
);

my $folder = "/tmp/sprig-realtime-$$";
mkdir $folder or die "$folder: $!";
my ($pid, $owner) = (0, $$);
END {
    kill 'TERM', $pid if $pid;
    system 'rm', '-rf', $folder if $$ == $owner;
}

printf "%-8s %10s %10s %14s %14s %10s\n", '', 'echoes/s', 'us/echo', 'deliveries/s', 'us/delivery', 'bytes/idle';
for my $name (@names) {
    if (!$program{$name} || !$is_there{$name}->()) {
        print "$name is not installed\n";
        next;
    }
    my $port = start($name);
    my @echo = measure(sub { echo($port) });
    my @send = measure(sub { broadcast($port) });
    my $idle = idle($port);
    printf "%-8s %10.0f %10.2f %14.0f %14.2f %10.0f\n", $name, @echo, @send, $idle;
    kill 'TERM', $pid;
    waitpid $pid, 0;
    $pid = 0;
}
system $^X, '-Mblib', "$FindBin::Bin/events.pl" if $at{events};

sub start {
    my ($name) = @_;
    my ($file, $text, $command) = @{ $program{$name} };
    open my $out, '>', "$folder/$file" or die "$folder/$file: $!";
    print {$out} $text;
    close $out or die "$folder/$file: $!";
    my $port = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
    $pid = fork // die "fork: $!";
    if (!$pid) {
        open STDOUT, '>', '/dev/null';
        open STDERR, '>', "$folder/log";
        $ENV{PERL5LIB} = join ':', "$FindBin::Bin/../blib/lib", "$FindBin::Bin/../blib/arch", $ENV{PERL5LIB} || ();
        exec $command->("$folder/$file", $port) or POSIX::_exit(1);
    }
    for (1 .. 200) {
        return $port if IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port");
        sleep 0.05;
    }
    die "$name did not start:\n", do { local (@ARGV, $/) = "$folder/log"; <> };
}

# What `what` returns, a number of things done, in a second; and the server's user CPU for each of them.
sub measure {
    my ($what)   = @_;
    my $start    = time;
    my ($before) = cpu();
    my ($n, $seconds) = $what->();
    return ($n / ($seconds || time - $start), ((cpu())[0] - $before) / $n * 1e6);
}

sub cpu {
    open my $in, '<', "/proc/$pid/stat" or die "the server is gone\n";
    my @field = split / /, (readline($in) =~ s/.*\) //r);
    return map { $_ / POSIX::sysconf(POSIX::_SC_CLK_TCK()) } @field[11, 12];
}

sub rss {
    open my $in, '<', "/proc/$pid/status" or die "the server is gone\n";
    return (join('', <$in>) =~ /RssAnon:\s+([0-9]+)/)[0] * 1024;
}

sub open_socket {
    my ($port, $path) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die "connect: $@";
    syswrite $socket, join "\r\n", "GET $path HTTP/1.1", 'Host: test', 'Upgrade: websocket', 'Connection: Upgrade',
        'Sec-WebSocket-Version: 13', 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', '', '';
    my $head = '';
    until ($head =~ /\r\n\r\n/) { sysread($socket, $head, 4096, length $head) or die "no handshake: $head\n" }
    return $socket;
}

# A short frame of a client; the mask changes nothing.
sub frame {
    my ($text) = @_;
    return chr(0x81) . chr(0x80 | length $text) . "\0\0\0\0$text";
}

# Each client sends the next message when the echo has come.
sub echo {
    my ($port)  = @_;
    my $frame   = frame('x' x 100);
    my @sockets = map { open_socket($port, '/') } 1 .. $at{clients};
    my $select  = IO::Select->new(@sockets);
    my ($n, $end, $buffer, %got) = (0, time + $at{seconds});
    syswrite $_, $frame for @sockets;
    while (time < $end) {
        for my $socket ($select->can_read(1)) {
            $got{$socket} += sysread($socket, $buffer, 65_536) || die "the server closed\n";
            next if $got{$socket} < 102;
            $got{$socket} -= 102;
            $n++;
            syswrite $socket, $frame;
        }
    }
    return $n;
}

# Another process reads, so that this one can wait.
sub broadcast {
    my ($port) = @_;
    pipe my $ready, my $tell or die "pipe: $!";
    my $n     = $at{members} * $at{messages};
    my $child = fork // die "fork: $!";
    if (!$child) {
        $pid = 0;
        my $select = IO::Select->new(map { open_socket($port, '/all') } 1 .. $at{members});
        syswrite $tell, '1';
        my ($left, $buffer) = (102 * $n);
        while ($left > 0) {
            $left -= sysread($_, $buffer, 65_536) || 0 for $select->can_read(1);
        }
        syswrite $tell, '2';
        POSIX::_exit(0);
    }
    close $tell;
    sysread $ready, my $byte, 1;
    my $start = time;
    my $one   = open_socket($port, '/');
    syswrite $one, frame("go $at{messages}");
    sysread $ready, $byte, 1;
    waitpid $child, 0;
    return ($n, time - $start);
}

sub idle {
    my ($port) = @_;
    my $before = rss();
    my $most   = POSIX::sysconf(POSIX::_SC_OPEN_MAX()) - 100;
    my $n      = $at{idle} < $most ? $at{idle} : $most;
    my @open   = map { open_socket($port, '/') } 1 .. $n;
    sleep 0.5;
    return (rss() - $before) / $n;
}
