# The options of WebSockets: each limit where it is and one past it, for the server and for one socket.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use SprigTest::WebSocket;
use Test::More;
use Time::HiRes qw(time);

my $app = <<'APP';
my (%socket, %count);

sub accepting {
    my (@options) = @_;
    return sub {
        my ($env) = @_;
        my $ws = $env->{'psgix.websocket'} or return [426, [], ['none']];
        return $ws->accept(
            on_message => sub { $_[0]->send(ref $_[1] ? 'ref' : $_[1]) },
            on_close   => sub { shift; note_down("closed @_") },
            on_error   => sub { note_down("error $_[1]") },
            @options
        );
    };
}

# Sends until one is refused, at most so many.
sub fill {
    my ($ws, $size, $max) = @_;
    my $n = 0;
    $n++ while $n < $max && $ws->send_binary('x' x $size);
    note_down("$n sent, open: " . ($ws->is_open || 0));
}

routes(
    '/'       => accepting(),
    '/user' => sub { $_[0]{REMOTE_USER} = 'ann'; accepting()->($_[0]) },
    '/other'  => accepting(websocket_max_message_bytes => 5, websocket_max_fragments => 2),
    '/silent' => accepting(websocket_ping_interval => 0.2, websocket_ping_timeout => 0.2),
    '/alive'  => accepting(websocket_ping_interval => 0.2, websocket_ping_timeout => 0.2),
    '/close'  => accepting(websocket_close_timeout => 0.3, on_open => sub { $_[0]->close(1000) }),
    '/fill'   => accepting(on_message => sub { fill($_[0], 1000, 10_000) }),
    '/fill-close' => accepting(websocket_queue_policy => 'close', on_message => sub { fill($_[0], 1000, 10_000) }),
    '/fill-spill' => accepting(websocket_queue_policy => 'spill', on_message => sub { fill($_[0], 1000, 10_000) }),
    '/one-large'  => accepting(on_message => sub { fill($_[0], 20_000_000, 2) }),
    '/drain'  => accepting(on_message => sub {
        my ($ws) = @_;
        $ws->on_drain(sub { my ($ws) = @_; $ws->on_drain(undef); $ws->send('drained ' . $ws->buffered); });
        $ws->send_binary('x' x 500_000);
        note_down($ws->buffered > 0 ? 'buffered' : 'not buffered');
    }),
    '/origins' => accepting(websocket_origins => 'https://one.example *.two.example, same'),
);
APP

my $server = start_probe(
    $app,
    args => {
        websocket_max_message_bytes => 10,
        websocket_max_fragments     => 3,
        websocket_queue_bytes       => '2M',
        websocket_deflate           => 'off',
    }
);

sub socket_at { return SprigTest::WebSocket->open($server, @_) }

sub fragments {
    my ($ws, @parts) = @_;
    $ws->send($_ ? 'more' : 'text', $parts[$_], final => $_ == $#parts) for 0 .. $#parts;
    return $ws;
}

subtest 'websocket_max_message_bytes' => sub {
    my $too_large = 'close(1009 websocket_max_message_bytes: the message is too large) eof';
    is(socket_at('/')->text('x' x 10)->next,  'text(' . 'x' x 10 . ')', 'at the limit');
    is(socket_at('/')->text('x' x 11)->story, $too_large,               'one past it');
    is(
        fragments(socket_at('/'), 'x' x 5, 'x' x 5)->next,
        'text(' . 'x' x 10 . ')',
        'in fragments, at the limit'
    );
    is(fragments(socket_at('/'), 'x' x 5, 'x' x 6)->story, $too_large,    'one past it');
    is(socket_at('/other')->text('x' x 5)->next,           'text(xxxxx)', 'a limit of one socket');
    is(socket_at('/other')->text('x' x 6)->story,          $too_large,    'and past it');
};

subtest 'websocket_max_fragments' => sub {
    my $too_many = 'close(1008 websocket_max_fragments: too many frames in a message) eof';
    is(fragments(socket_at('/'), 'a', '', 'b')->next, 'text(ab)', 'at the limit');
    is(fragments(socket_at('/'), 'a', '', '', 'b')->story,
        $too_many, 'one past it, empty ones count');
    is(fragments(socket_at('/other'), 'a', 'b')->next, 'text(ab)', 'a limit of one socket');
    is(fragments(socket_at('/other'), 'a', 'b', 'c')->story, $too_many, 'and past it');
};

subtest 'websocket_ping_interval, websocket_ping_timeout' => sub {
    diary($server);
    my $start  = time;
    my $silent = socket_at('/silent');
    is($silent->next, 'ping(heartbeat)', 'a silent client is asked');
    like($silent->story, qr/^(?:reset|eof)$/, 'and given up');
    is(
        join('|', await_diary($server, 2)),
        'error websocket_ping_timeout: the peer is silent|closed 1006 ',
        'as 1006'
    );
    cmp_ok(time - $start, '>', 0.3, 'not before both have passed');
    my $alive = socket_at('/alive');
    my @seen  = map { my $frame = $alive->next; $alive->send(pong => 'heartbeat'); $frame } 1 .. 4;
    is("@seen", join(' ', ('ping(heartbeat)') x 4), 'one that answers is asked again');
    is($alive->text('x')->next, 'text(x)',          'and lives');
    my $busy  = socket_at('/alive');
    my $pings = 0;

    for (1 .. 10) {
        $busy->text($_);
        my $said = $busy->next;
        $pings++, redo if $said eq 'ping(heartbeat)' && $busy->send(ping => '');
        select undef, undef, undef, 0.05;
    }
    is($pings, 0, 'one that talks is not asked') or 1;
};

subtest 'websocket_close_timeout' => sub {
    diary($server);
    my $ws = socket_at('/close');
    is($ws->next, 'close(1000)', 'a close of the app');
    like($ws->story, qr/^(?:reset|eof)$/, 'to a client that does not answer');
    is(join('|', await_diary($server, 1)), 'closed 1006 ', 'is over with 1006');
};

subtest 'websocket_queue_bytes, websocket_queue_policy' => sub {
    diary($server);
    my $ws     = socket_at('/fill')->text('go');
    my ($said) = await_diary($server, 1);
    my ($n)    = $said =~ /^(\d+) sent, open: 1$/;
    cmp_ok($n, '<', 9_900, "drop: $said");
    cmp_ok($n, '>', 2_000, 'what the kernel takes does not count');
    my $got = 0;
    $got++ while $got < $n && $ws->next eq 'binary(' . 'x' x 1000 . ')';
    is($got,                  $n,                           'what was queued arrives');
    is($ws->text('go')->next, 'binary(' . 'x' x 1000 . ')', 'and then it goes on');
    await_diary($server, 1);

    $ws = socket_at('/fill-close')->text('go');
    ($said) = await_diary($server, 1);
    like($said, qr/^\d+ sent, open: 0$/, "close: $said");
    my $story = $ws->story;
    like(
        $story,
        qr/close\(1013 websocket_queue_bytes: too slow\)/,
        'told with 1013, behind what was queued'
    ) or diag substr $story, -300;
    await_diary($server, 1);

    $ws = socket_at('/fill-spill')->text('go');
    is(join('|', await_diary($server, 1)), '10000 sent, open: 1', 'spill: all is queued');
    $got = 0;
    $got++ while $got < 10_000 && $ws->next eq 'binary(' . 'x' x 1000 . ')';
    is($got, 10_000, 'and arrives');

    $ws->client->close;
    await_diary($server, 1);
    $ws = socket_at('/one-large')->text('go');
    like(
        join('|', await_diary($server, 1)),
        qr/^1 sent, open: 1$/,
        'a message for an empty queue is always taken'
    );
    is(length $ws->frame->{payload}, 20_000_000, 'and arrives');
};

subtest 'on_drain and buffered' => sub {
    diary($server);
    my $ws = socket_at('/drain')->text('go');
    $ws->frame;
    like($ws->next,                          qr/^text\(drained \d+\)$/, 'told when there is room');
    like(join('|', await_diary($server, 1)), qr/buffered/,              'buffered is a number');
};

subtest 'websocket_origins' => sub {
    my %status = (
        'https://one.example'      => 101,
        'http://one.example'       => 403,
        'https://two.example:8443' => 101,
        'http://a.b.two.example'   => 101,
        'https://xtwo.example'     => 403,
        'http://localhost'         => 101,
        'null'                     => 403,
    );
    is(socket_at('/origins', "Origin: $_")->response->status, $status{$_}, "$_: $status{$_}")
        for sort keys %status;
    ok(
        $server->stderr_like(
            qr{^sprig: 403 for 127\.0\.0\.1: websocket_origins: .*\(https://xtwo\.example\)$}m),
        'the log names the page'
    );
    is(socket_at('/origins')->response->status,                     101, 'no browser');
    is(socket_at('/', 'Origin: http://anywhere')->response->status, 101, 'all, if it is not given');
};

comes_to_rest($server);
$server->stop_ok;

subtest 'an open socket is no request in progress' => sub {
    my $log    = SprigTest::temp_path('log');
    my $narrow = start_probe(
        $app,
        args => {
            max_requests_in_flight => 1,
            queue_timeout          => 2,
            access_log             => $log,
            access_log_format      => '%u %s'
        }
    );
    my $ws = SprigTest::WebSocket->open($narrow, '/user');
    is($ws->text('x')->next, 'text(x)', 'open');
    is($narrow->ask(get('/probe/loop', 'Connection: close'))->status,
        200, 'max_requests_in_flight leaves room beside it');
    $ws->close(1000)->story;
    comes_to_rest($narrow);
    $narrow->stop_ok;
    like(slurp($log), qr/^ann 101$/m, 'its line in the access log has the user');
};

done_testing;
