# Clients as people have them: each opens a socket, sends text, bytes and something long, and closes.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server = start_probe(<<'APP');
routes('/echo' => sub {
    $_[0]{'psgix.websocket'}->accept(
        protocols  => ['echo'],
        on_message => sub { my ($ws, $m, $is_binary) = @_; $is_binary ? $ws->send_binary($m) : $ws->send($m) },
        on_close   => sub { note_down("closed $_[1] $_[2]") },
    );
});
APP
my $url = $server->url('/echo') =~ s/\Ahttp/ws/r;

# What a program in another language says.
sub run_script {
    my ($name, $text, @command) = @_;
    my $file = spew(SprigTest::temp_path($name), $text);
    diary($server);
    my $said = output_of(@command, $file, $url);
    $said =~ s/^.*(?:Warning|trace-warnings).*\n//mg;
    return $said;
}

# In a process of its own: our loop is not to be mixed with that of the client.
sub run_perl { my ($text) = @_; return run_script('client.pl', $text, $^X) }

subtest 'AnyEvent::WebSocket::Client' => sub {
    plan skip_all => 'needs AnyEvent::WebSocket::Client'
        if !eval { require AnyEvent::WebSocket::Client };
    is(run_perl(<<'END'), "short 50000\n", 'text and something long');
use AnyEvent::WebSocket::Client;
my $c  = AnyEvent::WebSocket::Client->new->connect($ARGV[0])->recv;
my $cv = AE::cv;
my @got;
$c->on(each_message => sub { push @got, $_[1]->body; $cv->send if @got == 2 });
$c->send($_) for 'short', 'x' x 50_000;
$cv->recv;
print "$got[0] ", length $got[1], "\n";
my $end = AE::cv;
$c->on(finish => sub { $end->send });
$c->close(1000, 'bye');
$end->recv;
END
    is(join('', await_diary($server, 1)), 'closed 1000 bye', 'and closes');
};

subtest 'Mojo::UserAgent' => sub {
    plan skip_all => 'needs Mojo::UserAgent' if !eval { require Mojo::UserAgent };
    is(
        run_perl(
            <<'END'), "short 100000 permessage-deflate; server_no_context_takeover; client_no_context_takeover\n", 'compressed');
use Mojo::UserAgent; use Mojo::IOLoop;
my $ua = Mojo::UserAgent->new; my @got;
$ua->websocket($ARGV[0] => { 'Sec-WebSocket-Extensions' => 'permessage-deflate' } => sub {
    my ($ua, $tx) = @_;
    die 'no handshake' if !$tx->is_websocket;
    $tx->on(finish => sub { Mojo::IOLoop->timer(0.2 => sub { Mojo::IOLoop->stop }) });
    $tx->on(message => sub { my ($tx, $m) = @_; push @got, $m; $tx->finish(1000, 'bye') if @got == 2 });
    $tx->compressed(1) if $tx->can('compressed');
    $tx->send('short'); $tx->send('x' x 100_000);
    $main::ext = $tx->res->headers->sec_websocket_extensions;
});
Mojo::IOLoop->start;
print "$got[0] ", length $got[1], " $main::ext\n";
END
    is(join('', await_diary($server, 1)), 'closed 1000 bye', 'and closes');
};

subtest 'python3-websockets' => sub {
    my ($python) =
        grep { -x && !system "$_ -c 'import websockets' >/dev/null 2>&1" } '/usr/bin/python3',
        grep { defined } tool_path('python3');
    plan skip_all => 'needs python3 with websockets' if !$python;
    my $said = run_script('client.py', <<'END', $python);
import asyncio, sys, websockets
async def main():
    async with websockets.connect(sys.argv[1], subprotocols=['echo']) as ws:
        messages = ['short', 'äöü€😀' * 1000, b'\x00\xff', b'y' * 1000000, '']
        for m in messages:
            await ws.send(m)
            assert await ws.recv() == m
        await (await ws.ping(b'there?'))
        print(ws.subprotocol, len(messages))
        await ws.close(4000, 'bye')
asyncio.run(main())
END
    is($said,                             "echo 5\n",        'text, bytes, long ones, a ping');
    is(join('', await_diary($server, 1)), 'closed 4000 bye', 'and closes');
};

subtest 'node' => sub {
    my $node = tool_path('node') or plan skip_all => 'needs node';
    my @flag = grep {
        !system
            "$node $_ -e 'process.exit(typeof WebSocket === \"function\" ? 0 : 1)' >/dev/null 2>&1"
    } '--no-warnings', '--experimental-websocket';
    plan skip_all => 'this node has no WebSocket' if !@flag;
    my $said = run_script('client.js', <<'END', $node, $flag[0]);
const ws = new WebSocket(process.argv[2], ['echo']), got = [];
ws.binaryType = 'arraybuffer';
ws.onopen = () => { ws.send('short €'); ws.send(new Uint8Array([0, 255])); ws.send('x'.repeat(100000)); };
ws.onmessage = e => { got.push(e.data); if (got.length === 3) ws.close(1000, 'bye'); };
ws.onclose = e => console.log(got[0], got[1].byteLength, got[2].length, ws.protocol, e.code, e.wasClean);
END
    is($said, "short \xe2\x82\xac 2 100000 echo 1000 true\n", 'text, bytes and something long');
    is(join('', await_diary($server, 1)), 'closed 1000 bye',  'and closes');
};

comes_to_rest($server);
$server->stop_ok;
done_testing;
