# PAGI applications: the scope websocket.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Pagi;
use SprigTest::Probe qw(get diary await_diary eventually);
use SprigTest::WebSocket;
use Test::More;

needs_pagi();
not_over_http2('this client opens its WebSockets by an upgrade');

my $APP = <<'APP';
async sub opened {
    my ($receive, $send, @accept) = @_;
    my $event = await $receive->();
    die $event->{type} if $event->{type} ne 'websocket.connect';
    await $send->({ type => 'websocket.accept', @accept });
}

sub ended {
    my ($event) = @_;
    note_down(join ' ', map { defined $event->{$_} ? "'$event->{$_}'" : 'undef' } qw(type code reason));
}

paths(
    '/echo' => async sub {
        my ($scope, $receive, $send) = @_;
        await opened($receive, $send);
        while (1) {
            my $event = await $receive->();
            return ended($event) if $event->{type} eq 'websocket.disconnect';
            my ($kind) = grep { defined $event->{$_} } qw(text bytes);
            await $send->({ type => 'websocket.send', $kind => "$kind:" . length($event->{$kind}) . ":$event->{$kind}" });
        }
    },
    '/scope' => async sub {
        my ($scope, $receive, $send) = @_;
        await opened($receive, $send, subprotocol => $scope->{subprotocols}[1], headers => [['x-own', 'yes']]);
        my ($version) = grep { $_->[0] eq 'sec-websocket-version' } @{ $scope->{headers} };
        my @told = (
            @$scope{qw(type scheme path raw_path query_string http_version)},
            join('+', @{ $scope->{subprotocols} }),
            join('+', sort keys %{ $scope->{extensions} }),
            (exists $scope->{method} ? 1 : 0),
            ref $scope->{'pagi.transport'},
            $scope->{pagi}{spec_version}, $version->[1],
        );
        await $send->({ type => 'websocket.send', text => join '|', @told });
        await $send->({ type => 'websocket.close' });
    },
    '/early' => async sub {
        my ($scope, $receive, $send) = @_;
        await $receive->();
        note_down(wrong($send->({ type => 'websocket.close' })));
        note_down(wrong($send->({ type => 'http.response.start', status => 204 })));
        await $send->({ type => 'websocket.accept' });
        await $send->({ type => 'websocket.close' });
    },
    '/deny'   => async sub {
        my ($scope, $receive, $send) = @_;
        await $receive->();
        await $send->({ type => 'http.response.start', status => 401, headers => [['www-authenticate', 'Bearer']] });
        await $send->({ type => 'http.response.body', body => 'not ', more => 1 });
        note_down(wrong($send->({ type => 'websocket.accept' })), wrong($send->({ type => 'websocket.close' })));
        await $send->({ type => 'http.response.body', body => 'you' });
    },
    '/wrong' => async sub {
        my ($scope, $receive, $send) = @_;
        my @wrong = map { wrong($send->($_)) } (
            { type => 'websocket.send', text => 'early' }, { type => 'websocket.keepalive', interval => 1 },
            { type => 'lifespan.startup.complete' }, { type => 'websocket.accept', headers => 'x' },
            { type => 'websocket.accept', headers => [["a\n", 1]] }, { type => 'http.response.body', body => 'x' },
        );
        await opened($receive, $send);
        push @wrong, map { wrong($send->($_)) } (
            { type => 'websocket.accept' },
            { type => 'http.response.start', status => 200 },
            { type => 'websocket.send' },
            { type => 'websocket.send', text => 'x', bytes => 'y' }, { type => 'websocket.send', bytes => "\x{263a}" },
            { type => 'websocket.close', code => 1006 }, { type => 'websocket.close', code => 'x' },
            { type => 'websocket.close', reason => 'x' x 124 }, { type => 'websocket.keepalive' },
        );
        await $send->({ type => 'websocket.send', text => join "\n", @wrong });
        await $send->({ type => 'websocket.close', code => 4000, reason => "gr\xfc\xdfe" });
        note_down(map { wrong($send->($_)) } ({ type => 'websocket.send', text => 'late' }, { type => 'websocket.close' }));
        ended(await $receive->());
    },
    '/return'   => async sub { await opened(@_[1, 2]) },
    '/nothing'  => async sub { return },
    '/die'      => async sub { await opened(@_[1, 2]); die "in the socket\n" },
    '/die-early' => async sub { die "before the socket\n" },
    '/wait' => async sub {
        my ($scope, $receive, $send) = @_;
        await opened($receive, $send);
        await $send->({ type => 'websocket.send', text => 'open' });
        my $event = await $receive->();
        ended($event);
        note_down("after '" . wrong($send->({ type => 'websocket.send', text => 'x' })) . "'");
    },
    '/ping' => async sub {
        my ($scope, $receive, $send) = @_;
        await opened($receive, $send);
        await $send->({ type => 'websocket.keepalive', interval => 0.05, timeout => 0.3 });
        ended(await $receive->());
    },
    '/unread' => async sub {
        my ($scope, $receive, $send) = @_;
        await opened($receive, $send);
        my $f = Future->new;
        my $t = AE::timer(0.3, 0, sub { $f->done });
        await $f;
        my $n = 0;
        while (1) {
            my $event = await $receive->();
            last if $event->{type} eq 'websocket.disconnect';
            $n++;
            await $send->({ type => 'websocket.send', text => $n }) if $n == 500;
        }
        note_down("got $n");
    },
    '/flood' => async sub {
        my ($scope, $receive, $send) = @_;
        await opened($receive, $send);
        my ($n_pending, $size) = (0, 60_000);
        for my $i (1 .. 300) {
            my $future = $send->({ type => 'websocket.send', bytes => 'x' x $size });
            $n_pending++ if !$future->is_ready;
            await $future;
        }
        note_down($n_pending > 0 ? 'has waited' : 'has not waited');
        await $send->({ type => 'websocket.close' });
    },
);
APP

my $server = start_pagi($APP,
    args => { graceful_timeout => 4, high_water_bytes => 131072, websocket_deflate => 'off' });

sub open_ws { return SprigTest::WebSocket->open($server, @_) }

subtest 'messages' => sub {
    my $ws = open_ws('/echo');
    is $ws->response->status, 101, 'accepted';
    my $text = "gr\xfc\xdfe \x{263a}";
    utf8::encode(my $bytes = $text);
    $ws->text($bytes);
    is $ws->frame->{payload}, 'text:7:' . $bytes, 'text is decoded and encoded';
    $ws->binary("\0\xff");
    is $ws->frame->{payload}, "bytes:2:\0\xff", 'bytes stay bytes';
    $ws->text("number $_") for 1 .. 20;
    is join(',', map { $ws->frame->{payload} =~ /(\d+)\z/ } 1 .. 20), join(',', 1 .. 20),
        'many at once, in order';
    $ws->close(4001, 'bye');
    is $ws->frame->{opcode}, 'close', 'closed';
    is_deeply [await_diary($server, 1)], ["'websocket.disconnect' '4001' 'bye'"],
        'with what the peer said';
};

subtest 'how it ends' => sub {
    my $ws = open_ws('/echo');
    $ws->client->close;
    is_deeply [await_diary($server, 1)], ["'websocket.disconnect' '1006' 'client_closed'"],
        'without a word';
    $ws = open_ws('/echo');
    $ws->close;
    is_deeply [await_diary($server, 1)], ["'websocket.disconnect' '1005' ''"], 'without a code';
    $ws = open_ws('/echo');
    $ws->send(text => "\xff");
    is_deeply [await_diary($server, 1)], ["'websocket.disconnect' '1007' 'protocol_error'"],
        'text that is none';
    $ws = open_ws('/echo');
    $ws->send(7 => 'x');
    is_deeply [await_diary($server, 1)], ["'websocket.disconnect' '1002' 'protocol_error'"],
        'a frame that is none';
    $ws = open_ws('/ping');
    is $ws->frame->{opcode}, 'ping', 'a silent peer is pinged';
    is_deeply [await_diary($server, 1)], ["'websocket.disconnect' '1006' 'keepalive_timeout'"],
        'and given up';
};

subtest 'the scope, and what is agreed on' => sub {
    my $ws = open_ws('/scope?a=%20b', 'Sec-WebSocket-Protocol: one, two , three');
    is scalar($ws->response->header('Sec-WebSocket-Protocol')), 'two', 'subprotocol';
    is scalar($ws->response->header('X-Own')),                  'yes', 'header';
    is $ws->frame->{payload},
        join('|',
        'websocket', over_tls() ? 'wss' : 'ws', '/scope', '/scope',
        'a=%20b',    '1.1', 'one+two+three', over_tls() ? 'tls' : '',
        0,           'Sprig::PAGI::Transport', '0.6', 13),
        'scope';
};

subtest 'refusing' => sub {
    is open_ws('/early')->next, 'close(1000)', 'it can be accepted after';
    my @lines = await_diary($server, 2);
    like shift @lines, qr/\Awebsocket\.close: send websocket\.accept first/,
        'a close that is too early';
    like shift @lines, qr/\Ahttp\.response\.start: status 204 does not refuse a WebSocket/,
        'what is no refusal';
    my $response = open_ws('/deny')->response;
    is $response->status,                       401,       'a refusal';
    is $response->body,                         'not you', 'and its body';
    is scalar($response->header('Connection')), 'close',   'end the connection';
    @lines = await_diary($server, 2);
    like shift @lines, qr/\Awebsocket\.accept: the handshake was answered before/,
        'nor can it be accepted then';
    like shift @lines, qr/\Awebsocket\.close: the WebSocket was refused by http\.response\.start/,
        'or closed';
    is open_ws($_)->response->status, 500, $_ for qw(/nothing /die-early);
};

subtest 'wrong events' => sub {
    my $ws       = open_ws('/wrong');
    my @told     = split /\n/, $ws->frame->{payload};
    my @expected = (
        (qr/send websocket\.accept first/) x 2,
        qr/lifespan\.startup\.complete: there is no such event for a websocket scope/,
        qr/headers must be/,
        qr/invalid name/,
        qr/has not been started/,
        qr/answered before/,
        qr/accepted before/,
        (qr/give either text or bytes/) x 2,
        qr/wide character/,
        qr/code 1006/,
        qr/code must be/,
        qr/more than 123/,
        qr/interval is missing/,
    );
    is scalar @told, scalar @expected, 'one reason each' or diag join "\n", @told;
    like $told[$_], $expected[$_] for 0 .. $#expected;
    my $close = $ws->frame;
    is $close->{opcode},               'close', 'then it is closed';
    is unpack('n', $close->{payload}), 4000,    'with the code of the app';
    $ws->close(4000);
    my @lines = await_diary($server, 3);
    like shift @lines, qr/closed by websocket\.close/, 'nothing can follow' for 1, 2;
    is $lines[0], "'websocket.disconnect' '4000' ''", 'the peer has answered';
};

subtest 'an application that returns or dies' => sub {
    is unpack('n', open_ws('/return')->frame->{payload}), 1011,
        'returning with an open one closes it';
    ok $server->stderr_like(
        qr{^GET /return: PAGI application returned before its WebSocket was closed: send}m),
        'as if it had failed';
    is unpack('n', open_ws('/die')->frame->{payload}), 1011, 'dying closes with 1011';
    ok $server->stderr_like(qr{^GET /die: in the socket$}m), 'and is reported';
};

subtest 'messages wait for who does not ask, and room is waited for' => sub {
    my $ws = open_ws('/unread');
    $ws->text("message $_ " . 'x' x 1000) for 1 .. 500;
    is $ws->frame->{payload}, 500, 'none is lost';
    $ws->client->close;
    is_deeply [await_diary($server, 1)], ['got 500'], 'all were received';
    $ws = open_ws('/flood');
    select undef, undef, undef, 0.2;
    my $n = 0;
    while ((my $frame = $ws->frame)->{opcode} eq 'binary') { $n += length $frame->{payload} }
    is $n, 300 * 60_000, 'a flood arrives';
    is_deeply [await_diary($server, 1)], ['has waited'], 'as fast as it is read';
};

ok eventually { scope_counters($server) == 0 }, 'no scope is left' or diag scope_counters($server);

subtest 'the end of the server' => sub {
    my $ws = open_ws('/wait');
    is $ws->frame->{payload}, 'open', 'a socket is open';
    kill TERM => $server->pid;
    my $close = $ws->frame;
    is unpack('n', $close->{payload}), 1001, 'it is told that the server goes';
    $ws->close(1001);
    $server->ends_ok;
};

subtest 'over a reload' => sub {
    my $log    = SprigTest::temp_path('log');
    my $reload = start_pagi(
        "sub note_down { open my \$fh, '>>', '$log'; print {\$fh} \"\$_\\n\" for \@_ }\n" . $APP,
        by   => 'program',
        args => { workers => 2, graceful_timeout => 10 }
    );
    my $ws = SprigTest::WebSocket->open($reload, '/wait');
    is $ws->frame->{payload}, 'open', 'a socket is open';
    kill HUP => $reload->pid;
    is unpack('n', $ws->frame->{payload}), 1012, 'it is told to come back';
    $ws->close(1012);
    ok eventually { -e $log && slurp($log) =~ /after/ }, 'the app has heard of it';
    like slurp($log), qr/\A'websocket\.disconnect' '1012' 'server_shutdown'\nafter ''\n/, 'and why';
    $reload->stop_ok;
};

done_testing;
