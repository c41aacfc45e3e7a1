# psgix.websocket: the handshake, messages in both directions, and how sockets end.

use strict;
use warnings;
use utf8;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use SprigTest::WebSocket;
use Test::More;

my $server = start_probe(<<'APP', args => { websocket_deflate => 'off' });
use utf8;
my %socket;

# What every socket notes down.
sub notes {
    my ($name) = @_;
    return (
        on_close => sub { shift; note_down("$name closed @_") },
        on_error => sub { note_down("$name error $_[1]") },
    );
}

sub accepting {
    my (@options) = @_;
    return sub { $_[0]{'psgix.websocket'} ? $_[0]{'psgix.websocket'}->accept(@options) : [426, [], ['none']] };
}

routes(
    '/echo' => sub {
        my ($env) = @_;
        my $ws = $env->{'psgix.websocket'} or return [426, [Upgrade => 'websocket'], ["no handshake\n"]];
        return $ws->accept(
            protocols  => ['chat.v2', 'chat'],
            headers    => ['Set-Cookie' => 'a=b', 'X-Test' => 'yes'],
            on_message => sub { my ($ws, $m, $is_binary) = @_; $is_binary ? $ws->send_binary($m) : $ws->send($m) },
            notes('echo'),
        );
    },
    '/length' => accepting(on_message => sub { my ($ws, $m) = @_; $ws->send(length($m) . ' ' . (utf8::is_utf8($m) || 0)) }),
    '/early' => sub {
        my ($env) = @_;
        my $ws = $env->{'psgix.websocket'};
        my $code = $ws->accept(on_open => sub { $_[0]->send('open') }, on_message => sub { $_[0]->send("got $_[1]") });
        $ws->send('before the 101');
        return $code;
    },
    '/later' => sub {
        my ($env) = @_;
        return sub {
            my $respond = shift;
            my $ws      = $env->{'psgix.websocket'};
            my $t; $t = AE::timer 0.1, 0, sub {
                undef $t;
                $ws->accept(on_message => sub { $_[0]->send("late $_[1]") })->($respond);
            };
        };
    },
    '/refuse' => sub { [403, ['Content-Type' => 'text/plain'], ['not you']] },
    '/die'    => accepting(on_message => sub { die "$_[1]\n" }, notes('die')),
    '/die-on-open' => accepting(on_open => sub { die "at once\n" }, notes('die-on-open')),
    '/close'  => accepting(on_message => sub { my ($ws, $m) = @_; $ws->close(split / /, $m, 2);
        note_down('open: ' . ($ws->is_open || 0) . ', sent: ' . ($ws->send('more') || 0)) }, notes('close')),
    '/abort'  => accepting(on_message => sub { $_[0]->abort }, notes('abort')),
    '/drop'   => accepting(on_open => sub { $_[0]->send('and gone') }),
    '/keep'   => accepting(on_open => sub { $socket{keep} = $_[0] }, notes('keep')),
    '/forget' => sub { delete $socket{keep}; [200, [], ['ok']] },
    '/misuse' => accepting(on_message => sub {
        my ($ws, $m) = @_;
        my %try = (
            wide      => sub { $ws->send_binary("\x{20ac}") },
            surrogate => sub { no warnings; $ws->send("a\x{d800}") },
            undef     => sub { $ws->send(undef) },
            code      => sub { $ws->close(1005) },
            big       => sub { $ws->close(70000) },
            reason    => sub { $ws->close(1000, 'x' x 124) },
            ping      => sub { $ws->ping('x' x 126) },
            callback  => sub { $ws->on_message('no code') },
        );
        eval { $try{$m}->(); 1 } and return $ws->send('lived');
        my $error = $@; $error =~ s/ at .*//s;
        $ws->send($error);
    }),
    '/ways' => accepting(on_message => sub {
        my ($ws, $m) = @_;
        my $large = 'y' x 40_000;
        $ws->send(\"reference"); $ws->send("\xe4"); $ws->send_binary("\xe4"); $ws->send_binary(\$large);
        $ws->send_binary(\my $small) if 0;
        $ws->ping('are you there');
        $ws->on_pong(sub { $_[0]->send("pong $_[1]") });
    }),
    '/bad-accept' => sub { my $ws = $_[0]{'psgix.websocket'};
        my @said = map { my @o = @$_; eval { $ws->accept(@o); 'lived' } || $@ =~ s/ at .*//sr }
            [protocol => 'x'], [protocols => 'x'], [websocket_max_message_bytes => 'many'],
            [websocket_none => 1], [on_message => 1];
        return [200, [], [join "\n", @said]];
    },
);
APP

sub socket_at { return SprigTest::WebSocket->open($server, @_) }

subtest 'the handshake' => sub {
    my $ws = socket_at('/echo');
    my $r  = $ws->response;
    is($r->status,                         101,                            'switching protocols');
    is($r->header('Sec-WebSocket-Accept'), 's3pPLMBiTxaQ9kYGzzhZRbK+xOo=', 'accept');
    is(lc $r->header('Upgrade'),           'websocket',                    'upgrade');
    like($r->header('Connection'), qr/upgrade/i, 'connection');
    is($r->header('Set-Cookie'),               'a=b',             'headers of the app');
    is($r->header('Sec-WebSocket-Protocol'),   undef,             'no subprotocol was offered');
    is($r->header('Sec-WebSocket-Extensions'), undef,             'and no extension');
    is($ws->close(1000)->story,                'close(1000) eof', 'closed');
    is(
        socket_at('/echo', 'Sec-WebSocket-Protocol: soap, chat')
            ->response->header('Sec-WebSocket-Protocol'),
        'chat',
        'one of ours that is offered'
    );
    is(
        socket_at('/echo', 'Sec-WebSocket-Protocol: chat', 'Sec-WebSocket-Protocol: chat.v2')
            ->response->header('Sec-WebSocket-Protocol'),
        'chat.v2',
        'the best of ours'
    );
    is(
        socket_at('/echo', 'Sec-WebSocket-Protocol: soap')
            ->response->header('Sec-WebSocket-Protocol'),
        undef,
        'none of ours'
    );
    is($server->ask(get('/echo', 'Connection: close'))->status,
        426, 'an ordinary request has no socket');
    my $old =
        $server->ask(
        SprigTest::WebSocket::handshake('/echo') =~ s/: 13/: 12/r =~ s/keep-alive, /close, /r);
    is($old->status,                           426, 'nor has one of another version');
    is($old->header('Sec-WebSocket-Version'),  13,  'and is told which one there is');
    is(socket_at('/refuse')->response->status, 403, 'an app that refuses');
    my $later = socket_at('/later');
    is($later->response->status, 101,            'accepted later');
    is($later->text('x')->next,  'text(late x)', 'and it works');
};

subtest 'messages' => sub {
    my $ws = socket_at('/echo');
    is($ws->text('Hello')->next,    'text(Hello)',    'text');
    is($ws->binary("\0\xff")->next, "binary(\0\xff)", 'binary');
    is($ws->text('')->next,         'text()',         'an empty one');
    is(
        $ws->send(text => 'Hel', final => 0)->send(ping => 'p')->send(more => '', final => 0)
            ->send(more => 'lo')->next,
        'pong(p)',
        'a ping between fragments is answered at once'
    );
    is($ws->next,                                   'text(Hello)', 'the fragments are one message');
    is($ws->binary('x' x 70_000)->frame->{payload}, 'x' x 70_000,  'a long one');
    my $many = join '', map { SprigTest::WebSocket::bytes(text => $_) } 1 .. 500;
    $ws->raw($many);
    is(
        join(' ', map { $ws->next } 1 .. 500),
        join(' ', map { "text($_)" } 1 .. 500),
        'five hundred at once, in order'
    );
    is($ws->close(1000, 'bye')->story, 'close(1000) eof', 'closed');
    my $length = socket_at('/length');
    is($length->text("\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80")->next,
        'text(3 1)', 'text comes as characters');
    is($length->text('abc')->next,                      'text(3 0)', 'ASCII needs no flag');
    is($length->binary("\xc3\xa4")->next,               'text(2 0)', 'binary comes as bytes');
    is($length->text("\xef\xbf\xbe\xef\xbf\xbf")->next, 'text(2 1)', 'non-characters are valid');
};

subtest 'a message cut anywhere' => sub {
    my $ws = socket_at('/echo');
    my $bytes =
          SprigTest::WebSocket::bytes(text => 'Hel', final => 0)
        . SprigTest::WebSocket::bytes(ping => 'p')
        . SprigTest::WebSocket::bytes(more => "l\xc3\xb6");
    my $wrong = 0;
    for my $at (1 .. length($bytes) - 1) {
        $ws->raw(substr $bytes, 0, $at);
        $server->ask(get('/probe/loop', 'Connection: close'));    # a turn of the loop
        $ws->raw(substr $bytes, $at);
        $wrong++ if $ws->next . $ws->next ne "pong(p)text(Hell\xc3\xb6)";
    }
    is($wrong, 0, 'is the same, wherever it is cut');
};

subtest 'what is sent early' => sub {
    my $ws = socket_at('/early');
    is($ws->next, 'text(before the 101)', 'waits for the 101');
    is($ws->next, 'text(open)',           'and is before what on_open sends');
    my $client = $server->connect;
    $client->send(
        SprigTest::WebSocket::handshake('/early') . SprigTest::WebSocket::bytes(text => 'x'));
    is($client->response(interim => 1)->status, 101, 'a message right behind the handshake');
    my $eager = bless { client => $client }, 'SprigTest::WebSocket';
    is(
        join(' ', map { $eager->next } 1 .. 3),
        'text(before the 101) text(open) text(got x)',
        'is heard'
    );
};

subtest 'how they end' => sub {
    diary($server);
    socket_at('/echo')->close(1000, 'bye')->story;
    is(
        join("|", await_diary($server, 1)),
        'echo closed 1000 bye',
        'the code and the reason of the client'
    );
    socket_at('/echo')->close->story;
    is(join("|", await_diary($server, 1)), 'echo closed 1005 ', 'without a code');
    socket_at('/echo')->client->close;
    is(join("|", await_diary($server, 1)), 'echo closed 1006 ', 'without a close');
    socket_at('/echo')->client->reset;
    is(join("|", await_diary($server, 1)), 'echo closed 1006 ', 'by a reset');
    my $ws = socket_at('/close')->text('4001 that is all');
    is($ws->next,                          'close(4001 that is all)', 'closed by the app');
    is(join("|", await_diary($server, 1)), 'open: 0, sent: 0', 'nothing can be sent any more');
    is($ws->text('not looked at')->close(4001, 'yes')->story, 'eof', 'the answer ends it');
    is(
        join("|", await_diary($server, 1)),
        'close closed 4001 yes',
        'on_close has what the client says'
    );
    is(
        socket_at('/die')->text('Oops')->story,
        'close(1011 internal error) eof',
        'a die closes with 1011'
    ) if 0;
    $ws = socket_at('/die')->text('Oops');
    is($ws->next, 'close(1011 internal error)', 'a die closes with 1011');
    ok($server->stderr_like(qr/^Oops$/m), 'and is reported');
    $ws->close(1011)->story;
    is(join("|", await_diary($server, 1)), 'die closed 1011 ',           'on_close comes as ever');
    is(socket_at('/die-on-open')->next,    'close(1011 internal error)', 'a die in on_open, too');
    is(socket_at('/abort')->text('x')->story, 'reset',                   'abort is a reset');
    like(join("\n", await_diary($server, 1)), qr/abort closed 1006/, 'told as 1006');
    is(socket_at('/drop')->next . ' ', 'text(and gone) ', 'a socket that nobody keeps');
    $ws = socket_at('/drop');
    $ws->next;
    is($ws->next, 'close(1001)', 'is closed with 1001');
    $ws = socket_at('/keep');
    $server->ask(get('/forget', 'Connection: close'));
    is($ws->next, 'close(1001)', 'so is one that is forgotten later');
};

subtest 'ways to send' => sub {
    my $ws = socket_at('/ways')->text('go');
    is($ws->next,                      'text(reference)',     'a reference');
    is($ws->next,                      "text(\xc3\xa4)",      'characters are encoded');
    is($ws->next,                      "binary(\xe4)",        'bytes are not');
    is($ws->frame->{payload},          'y' x 40_000,          'a large string by reference');
    is($ws->next,                      'ping(are you there)', 'a ping');
    is($ws->send(pong => 'yes')->next, 'text(pong yes)',      'its answer is told');
};

subtest 'misuse' => sub {
    my $ws   = socket_at('/misuse');
    my %said = (
        wide => 'Sprig::WebSocket::send_binary: wide character: encode it first; nothing was sent',
        surrogate => 'Sprig::WebSocket::send: the message has a character outside Unicode',
        undef     => 'Sprig::WebSocket::send: the message is undefined',
        code      =>
            'Sprig::WebSocket::close: 1005 cannot be sent as a code: use one of 1000 to 1003, 1007 to 1014 or 3000 to 4999',
        big =>
            'Sprig::WebSocket::close: 70000 cannot be sent as a code: use one of 1000 to 1003, 1007 to 1014 or 3000 to 4999',
        reason   => 'Sprig::WebSocket::close: the reason has more than 123 bytes',
        ping     => 'Sprig::WebSocket::ping: more than 125 bytes',
        callback => 'Sprig::WebSocket::on_message: not a code reference',
    );
    is($ws->text($_)->next, "text($said{$_})", "$_: dies") for sort keys %said;
    my $bad = $server->connect;
    $bad->send(SprigTest::WebSocket::handshake('/bad-accept'));
    my $response = $bad->response;
    return is($response->status, 405, 'no WebSocket, but 200: what would open one') if over_http2();
    is_deeply(
        [split /\n/, $response->body],
        [
            "Sprig::WebSocket::accept: there is no option 'protocol'",
            'Sprig::WebSocket::accept: protocols must be an array reference',
            'Sprig::WebSocket::accept: websocket_max_message_bytes must be a number of bytes from 0 to'
                . " 1073741824 (K, M or G may follow), got 'many'",
            "Sprig::WebSocket::accept: there is no option 'websocket_none'",
            'Sprig::WebSocket::on_message: not a code reference',
        ],
        'accept with what it does not take'
    );
};

subtest 'the peer breaks a rule' => sub {
    my @rows = (
        ['a reserved bit',             1002, SprigTest::WebSocket::bytes(text => 'x', rsv => 1)],
        ['an unknown opcode',          1002, SprigTest::WebSocket::bytes(3, 'x')],
        ['no mask',                    1002, "\x81\x01x"],
        ['not UTF-8',                  1007, SprigTest::WebSocket::bytes(text => "\xff")],
        ['a surrogate',                1007, SprigTest::WebSocket::bytes(text => "\xed\xa0\x80")],
        ['an incomplete character',    1007, SprigTest::WebSocket::bytes(text => "\xe2\x82")],
        ['too much',                   1009, "\x81\xff\0\0\0\0\0\x10\0\1\1\2\3\4"],
        ['a length bomb',              1009, "\x82\xff\x7f\xff\xff\xff\xff\xff\xff\xff\1\2\3\4"],
        ['a code that cannot be',      1002, SprigTest::WebSocket::bytes(close => "\x03\xed")],
        ['a reason that is not UTF-8', 1007, SprigTest::WebSocket::bytes(close => "\x03\xe8\xff")],
        ['a close of one byte',        1002, SprigTest::WebSocket::bytes(close => "\x03")],
    );
    for (@rows) {
        my ($name, $code, $bytes) = @$_;
        diary($server);
        my $ws = socket_at('/echo');
        like($ws->raw($bytes)->story, qr/^close\($code .+\) eof$/, "$name: close $code");
        like(
            join("\n", await_diary($server, 2)),
            qr/^echo error .+\necho closed $code .+$/,
            "$name: told as error and close"
        );
    }
    my $ws = socket_at('/echo');
    $ws->raw("\x81\x8a\0\0\0\0ab\xff");    # seven bytes are still to come
    like($ws->story, qr/^close\(1007 /, 'text is judged at the first byte that cannot be');
};

comes_to_rest($server);
$server->stop_ok;
done_testing;
