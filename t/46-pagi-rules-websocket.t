# The rules that PAGI::Spec::Www has for servers: WebSockets.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Pagi;
use SprigTest::PagiRules;
use SprigTest::Probe qw(get eventually);
use SprigTest::WebSocket;
use Test::More;

not_over_http2('this client opens its WebSockets by an upgrade');

my $server;

sub open_ws { return SprigTest::WebSocket->open($server, @_) }

# The code and reason of the next frame, which is a Close.
sub close_of {
    my ($ws) = @_;
    my $frame = $ws->frame or return 'none';
    return "not a close: $frame->{opcode}" if $frame->{opcode} ne 'close';
    return unpack('n', $frame->{payload});
}

sub check_handshake {
    my $ws = open_ws('/scope/%C3%A4?a=%20', 'Sec-WebSocket-Protocol: one,two , three');
    is scalar($ws->response->header('Sec-WebSocket-Protocol')), 'two', 'subprotocol';
    is scalar($ws->response->header('X-Own')),                  1,     'headers';
    is $ws->frame->{payload},
        join('|',
        'websocket', '1.1',
        over_tls() ? 'wss' : 'ws',
        "/scope/\xc3\xa4", '/scope/%C3%A4', 'a=%20', '', 'one+two+three',
        'connection+sec-websocket-key+sec-websocket-protocol+sec-websocket-version+upgrade',
        'connection+transport', 'ARRAY+ARRAY+HASH+HASH'),
        'the scope';
    is((split /\|/, open_ws('/scope')->frame->{payload})[7], '', 'no subprotocols');
    is open_ws($_)->response->status, 500, $_ for qw(/nothing /die);
}

sub check_messages {
    my $ws = open_ws('/echo');
    $ws->text("\xe2\x98\xba!");
    is $ws->frame->{payload}, "text:2:\xe2\x98\xba!", 'text is decoded, and encoded';
    $ws->binary("\xff\0");
    is $ws->frame->{payload}, "bytes:2:\xff\0", 'bytes stay as they are';
    $ws->send(ping => 'p');
    is $ws->frame->{opcode}, 'pong', 'the server answers pings';
    $ws->send(text => 'in ', final => 0)->send(more => 'two');
    is $ws->frame->{payload}, 'text:6:in two', 'fragments are one message';
    $ws->close(4001, 'bye');
    is close_of($ws), 4001, 'a Close is answered';
    is_deeply [grep { !/\A(?:future|disconnect)/ } notes($server, 'echo')],
        [
        'complete 1', 'complete 2', 'received websocket.disconnect 4001 bye 0 - 1 1',
        'send done',  'end',
        ],
        'which is a clean end, with what the peer said';
    my $fates = open_ws('/validation');
    is $fates->frame->{payload}, join(' ', ('failed') x 10),
        'what is wrong fails, and changes nothing';
    is close_of($fates), 4001, 'closed by the application';
    is((notes($server, 'validation', 1))[0], 'failed failed', 'after that all sends fail');
}

sub check_faults {
    my %fault = (
        1007 => [text => "\xff"],
        1002 => [3    => 'unknown'],
    );
    for my $code (sort keys %fault) {
        my $ws = open_ws('/echo');
        $ws->send(@{ $fault{$code} });
        is close_of($ws), $code, "fault $code";
        is_deeply [grep { /\A(?:received|complete|disconnect 1)/ } notes($server, 'echo')],
            [
            'disconnect 1 protocol_error 0 protocol_error 1 0',
            "received websocket.disconnect $code protocol_error 0 protocol_error 1 0",
            ],
            'is told to the application';
    }
    my $ws = open_ws('/echo');
    $ws->send(text => 'x', rsv => 2);
    is close_of($ws), 1002, 'reserved bits';
    notes($server, 'echo');
}

sub check_client {
    my $ws = open_ws('/echo');
    $ws->close;
    is(
        (grep { /received/ } notes($server, 'echo'))[0],
        'received websocket.disconnect 1005 - 0 - 1 1',
        'a Close without a code'
    );
    $ws = open_ws('/echo');
    $ws->client->close;
    is_deeply [notes($server, 'echo')],
        [
        'future client_closed 0 client_closed 1 0',
        'disconnect 1 client_closed 0 client_closed 1 0',
        'disconnect 2 client_closed 2',
        'received websocket.disconnect 1006 client_closed 0 client_closed 1 0',
        'send done',
        'end',
        ],
        'one that leaves without';
    my $early = $server->connect;
    $early->send(SprigTest::WebSocket::handshake('/early'));
    notes($server, 'early', 1);
    $early->close;
    is_deeply [notes($server, 'early')],
        ['received websocket.disconnect 1006 client_closed', 'end'],
        'during the handshake';
    $ws = open_ws('/ping');
    is $ws->frame->{opcode}, 'ping', 'websocket.keepalive sends pings';
    is_deeply [grep { /\A(?:received|disconnect 1)/ } notes($server, 'ping')],
        [
        'disconnect 1 keepalive_timeout 0 keepalive_timeout 1 0',
        'received websocket.disconnect 1006 keepalive_timeout',
        ],
        'a peer that does not answer is given up';
}

sub check_application {
    for my $query ('', 'die') {
        my $ws = open_ws("/leave?$query");
        is close_of($ws), 1011, "leave?$query: an open WebSocket is closed with 1011";
        is_deeply [grep { /\A(?:complete|disconnect 1)/ } notes($server, 'leave', 3)],
            ['disconnect 1 server_error 0 server_error 1 0'], 'and is told so';
    }
    my $ws = open_ws('/close');
    is close_of($ws), 4000, 'websocket.close';
    $ws->close(4000);
    is_deeply [notes($server, 'close')],
        ['complete 1', 'complete 2', 'received websocket.disconnect 4000 -', 'end'],
        'is a clean end when the peer answers';
    for my $query ('', 'early') {
        my $cut = $server->connect;
        $cut->send(SprigTest::WebSocket::handshake("/abort?$query"));
        my $all = $cut->rest;
        $query
            ? is($all, '', 'abort before the handshake')
            : unlike($all, qr/\x88/, 'abort: no Close is sent');
        is(
            (grep { /received/ } notes($server, 'abort'))[0],
            'received websocket.disconnect 1006 app_abort',
            'and the application is told'
        );
    }
}

sub check_refusal {
    my $response = open_ws('/refuse')->response;
    is $response->status, 401, 'status';
    is scalar($response->header($_->[0])), $_->[1], $_->[0]
        for ['WWW-Authenticate', 'Bearer'], ['Connection', 'close'];
    is $response->body, 'sign in: failed failed failed', 'body; nothing else is possible then';
    is_deeply [notes($server, 'refuse', 3)], ['1 - 1 0', 'complete 1', 'complete 2'],
        'it is a clean end';
    is length open_ws('/refuse-file')->response->body, 20, 'a file';
    ok !open_ws('/refuse-half')->response->is_complete, 'half a refusal looks incomplete';
    is_deeply [grep { /\A(?:complete|disconnect 1)/ } notes($server, 'refuse-half', 3)],
        ['disconnect 1 server_error 0 server_error 1 0'], 'and is told so';
}

for_each_loop(sub {
    ($server) = @_;
    subtest 'the handshake'             => \&check_handshake;
    subtest 'messages'                  => \&check_messages;
    subtest 'faults of the peer'        => \&check_faults;
    subtest 'the client'                => \&check_client;
    subtest 'what the application does' => \&check_application;
    subtest 'refusing'                  => \&check_refusal;
});

done_testing;
