# permessage-deflate: what is agreed on, messages both ways, and what bounds them.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use SprigTest::WebSocket;
use Test::More;

plan skip_all => 'needs Compress::Raw::Zlib' if !eval { require Compress::Raw::Zlib };

my $server = start_probe(<<'APP');
sub accepting {
    my (@options) = @_;
    return sub {
        $_[0]{'psgix.websocket'}->accept(
            on_message => sub { my ($ws, $m, $is_binary) = @_; $is_binary ? $ws->send_binary($m) : $ws->send($m) },
            on_close   => sub { note_down("closed $_[1]") },
            @options
        );
    };
}
routes(
    '/'      => accepting(),
    '/own'   => accepting(websocket_deflate => 'own', websocket_deflate_min_bytes => 0),
    '/wide'  => accepting(websocket_deflate => 'own', websocket_deflate_window_bits => 15),
    '/off'   => accepting(websocket_deflate => 'off'),
    '/small' => accepting(websocket_max_message_bytes => 1000),
);
APP

my $OFFER = 'Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits';

sub agreed {
    my ($path, $offer) = @_;
    my $said = SprigTest::WebSocket->open($server, $path, "Sec-WebSocket-Extensions: $offer")
        ->response->header('Sec-WebSocket-Extensions');
    return defined $said ? $said : 'none';
}

plan skip_all => 'built without zlib' if agreed('/', 'permessage-deflate') eq 'none';

sub deflater {
    my (%option) = @_;
    my ($z) = Compress::Raw::Zlib::Deflate->new(-WindowBits => -15, -AppendOutput => 1, %option);
    return sub {
        my ($text) = @_;
        my $out = '';
        $z->deflate($text, $out);
        $z->flush($out, Compress::Raw::Zlib::Z_SYNC_FLUSH());
        return substr $out, 0, -4;
    };
}

sub inflater {
    my ($z) = Compress::Raw::Zlib::Inflate->new(-WindowBits => -15, -AppendOutput => 1);
    return sub {
        my ($bytes) = @_;
        my $out     = '';
        my $in      = "$bytes\0\0\xff\xff";
        $z->inflate($in, $out);
        return $out;
    };
}

sub fresh_deflate { return deflater()->($_[0]) }
sub fresh_inflate { return inflater()->($_[0]) }
sub socket_at     { return SprigTest::WebSocket->open($server, $_[0], $OFFER) }

subtest 'what is agreed on' => sub {
    my $shared = 'permessage-deflate; server_no_context_takeover; client_no_context_takeover';
    my %row    = (
        '/ permessage-deflate'                              => $shared,
        '/ permessage-deflate; client_max_window_bits'      => $shared,
        '/ permessage-deflate; server_max_window_bits=10'   => "$shared; server_max_window_bits=10",
        '/ x-webkit-deflate-frame'                          => 'none',
        '/ permessage-deflate; server_max_window_bits=20'   => 'none',
        '/ permessage-deflate; unknown, permessage-deflate' => $shared,
        '/off permessage-deflate'                           => 'none',
        '/own permessage-deflate' => 'permessage-deflate; server_max_window_bits=12',
        '/own permessage-deflate; client_max_window_bits' =>
            'permessage-deflate; server_max_window_bits=12; client_max_window_bits=12',
        '/wide permessage-deflate; client_max_window_bits'     => 'permessage-deflate',
        '/wide permessage-deflate; client_no_context_takeover' =>
            'permessage-deflate; client_no_context_takeover',
    );
    for my $key (sort keys %row) {
        my ($path, $offer) = split / /, $key, 2;
        is(agreed($path, $offer), $row{$key}, $key);
    }
};

subtest 'messages' => sub {
    my $ws    = socket_at('/');
    my $text  = 'the quick brown fox ' x 50;
    my $frame = $ws->send(text => fresh_deflate($text), rsv => 4)->frame;
    is($frame->{rsv}, 4, 'the answer is compressed');
    cmp_ok(length $frame->{payload}, '<', 100, 'to little');
    is(fresh_inflate($frame->{payload}), $text, 'and is what was sent');
    $frame = $ws->send(text => fresh_deflate($text), rsv => 4)->frame;
    is(fresh_inflate($frame->{payload}), $text, 'once more, without memory of the first');
    is($ws->send(text => fresh_deflate('short'), rsv => 4)->next,
        'text(short)', 'a short one comes back as it is');
    is($ws->text('plain')->next, 'text(plain)', 'a client need not compress');
    my $noise = join '', map { chr rand 256 } 1 .. 500;
    is($ws->binary($noise)->next, "binary($noise)",
        'what does not become shorter is sent as it is');
    my $packed = fresh_deflate($text);
    $ws->send(text => substr($packed, 0, 5), rsv => 4, final => 0)->send(ping => 'p');
    $ws->send(more => substr($packed, 5, 7), final => 0)->send(more => substr $packed, 12);
    is($ws->next,                            'pong(p)', 'in fragments, with a ping between them');
    is(fresh_inflate($ws->frame->{payload}), $text,     'it is one message');
    my $long = join ' ', 1 .. 60_000;
    is(fresh_inflate($ws->send(text => fresh_deflate($long), rsv => 4)->frame->{payload}),
        $long, 'a long one');
    is($ws->send(text => fresh_deflate(''), rsv => 4)->next, 'text()', 'an empty one');
    my ($z) = Compress::Raw::Zlib::Deflate->new(-WindowBits => -15, -AppendOutput => 1);
    my $final = '';
    $z->deflate('with a final block', $final);
    $z->flush($final);
    is(
        $ws->send(text => "$final\0", rsv => 4)->next,
        'text(with a final block)',
        'one with a final block'
    );
    is(
        $ws->send(text => $final, rsv => 4)->next,
        'text(with a final block)',
        'one that ends with it'
    );
    is($ws->send(text => fresh_deflate('and on'), rsv => 4)->next,
        'text(and on)', 'and one behind it');
    is($ws->close(1000)->story, 'close(1000) eof', 'closed');
};

subtest 'a window of its own' => sub {
    my $ws = socket_at('/own');
    my ($pack, $unpack) = (deflater(-WindowBits => -12), inflater());
    my $text = join ' ', map { $_ * 7919 % 1000 } 1 .. 100;
    my @size;
    for (1 .. 3) {
        my $frame = $ws->send(text => $pack->($text), rsv => 4)->frame;
        push @size, length $frame->{payload};
        is($unpack->($frame->{payload}), $text, "message $_");
    }
    cmp_ok($size[1], '<', $size[0] / 5, "what was said before costs little: @size");
    is($unpack->($ws->text('x')->frame->{payload}), 'x', 'a plain one in between');
    is($unpack->($ws->send(text => $pack->($text), rsv => 4)->frame->{payload}),
        $text, 'does not disturb');
};

subtest 'what is not right' => sub {
    my %story = (
        malformed            => [1007, "\xff\xff\xff\xff"],
        'not UTF-8'          => [1007, fresh_deflate("abc\xff")],
        'cut in a character' => [1007, fresh_deflate("abc\xe2\x82")],
        'cut in a block'     => [1007, substr fresh_deflate(join ' ', 1 .. 100), 0, -20],
        bomb                 => [1009, fresh_deflate("\0" x 100_000_000)],
    );
    my $before = $server->rss_kib;
    for my $name (sort keys %story) {
        my ($code, $bytes) = @{ $story{$name} };
        like(
            socket_at('/')->send(text => $bytes, rsv => 4)->story,
            qr/^close\($code .*\) eof$/,
            "$name: close $code"
        );
    }
    cmp_ok($server->rss_kib - $before, '<', 20_000, 'a bomb takes no memory');
    is(socket_at('/small')->send(text => fresh_deflate('y' x 100), rsv => 4)->next,
        'text(' . 'y' x 100 . ')', 'small');
    is(
        length fresh_inflate(
            socket_at('/small')->send(text => fresh_deflate('y' x 1000), rsv => 4)->frame->{payload}
        ),
        1000,
        'the limit is that of what it stands for'
    );
    like(socket_at('/small')->send(text => fresh_deflate('y' x 1001), rsv => 4)->story,
        qr/^close\(1009/, 'one past it');
    like(socket_at('/off')->send(text => fresh_deflate('x'), rsv => 4)->story,
        qr/^close\(1002/, 'where it was not agreed on');
};

comes_to_rest($server);
$server->stop_ok;
done_testing;
