package SprigTest::WebSocket;

# A WebSocket client that sees every frame: sends what it is told to, also what it must not.
#
#   my $ws = SprigTest::WebSocket->open($server, '/echo', @header_lines);
#   $ws->text('hello');  my $frame = $ws->frame;   # { opcode, final, rsv, payload }
#   is($ws->story, 'text(hello) close(1000 bye) eof');

use strict;
use warnings;
use SprigTest::Probe qw(get);
use Time::HiRes      qw(time);

my %NAME = (0 => 'more', 1 => 'text', 2 => 'binary', 8 => 'close', 9 => 'ping', 10 => 'pong');
my %CODE = reverse %NAME;

sub handshake {
    my ($path, @lines) = @_;
    return get(
        $path,
        'Connection: keep-alive, Upgrade',
        'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', @lines
    );
}

# Opens one; `response` is the server's. `early` (first argument may be a hash): bytes behind the request.
sub open {
    my ($class, $server, $path, @lines) = @_;
    my $client = $server->connect;
    my $self   = bless { client => $client }, $class;
    $client->send(handshake($path, @lines));
    $self->{response} = $client->response(interim => 1);
    return $self;
}

sub response { return $_[0]{response} }
sub client   { return $_[0]{client} }

# A masked frame as bytes. Options: final (1), rsv (0), mask ("\1\2\3\4"), opcode by name or number.
sub bytes {
    my ($opcode, $payload, %option) = @_;
    $payload = "$payload";
    my $first = (exists $CODE{$opcode} ? $CODE{$opcode} : $opcode) | ($option{rsv} || 0) << 4 |
        (exists $option{final} && !$option{final} ? 0 : 128);
    my $mask = exists $option{mask} ? $option{mask} : "\1\2\3\4";
    my $n    = length $payload;
    my $size = $n < 126 ? chr($n | 128) : $n < 65536 ? pack('Cn', 254, $n) : pack('CQ>', 255, $n);
    my $pad  = substr $mask x ($n / 4 + 1), 0, $n;
    return chr($first) . $size . $mask . ($payload ^ $pad);
}

sub send   { my ($self, @frame) = @_; $self->{client}->send(bytes(@frame)); return $self }
sub raw    { my ($self, $bytes) = @_; $self->{client}->send($bytes); return $self }
sub text   { my ($self, $text) = @_; return $self->send(text => $text) }
sub binary { my ($self, $text) = @_; return $self->send(binary => $text) }

sub close {
    my ($self, $code, $reason) = @_;
    return $self->send(
        close => defined $code ? pack('n', $code) . (defined $reason ? $reason : '') : '');
}

# The next frame of the server; nothing if it has closed.
sub frame {
    my ($self) = @_;
    my $frame;
    $self->{client}->_read_until(sub { $frame ||= _take(\$self->{client}{in}) });
    return $frame;
}

sub _take {
    my ($in) = @_;
    return if length $$in < 2;
    my ($first, $n) = unpack 'CC', $$in;
    die "a masked frame of the server\n" if $n & 128;
    my $at = 2;
    if ($n == 126) {
        return if length $$in < 4;
        ($n, $at) = (unpack('n', substr $$in, 2, 2), 4);
    } elsif ($n == 127) {
        return if length $$in < 10;
        ($n, $at) = (unpack('Q>', substr $$in, 2, 8), 10);
    }
    return if length $$in < $at + $n;
    my $payload = substr $$in, $at, $n;
    substr $$in, 0, $at + $n, '';
    return {
        opcode  => $NAME{ $first & 15 },
        final   => $first >> 7,
        rsv     => $first >> 4 & 7,
        payload => $payload
    };
}

# A frame in words: text(hello).
sub words {
    my ($frame) = @_;
    return 'eof' if !$frame;
    my $payload = $frame->{payload};
    $payload = unpack('n', $payload) . (length $payload > 2 ? ' ' . substr $payload, 2 : '')
        if $frame->{opcode} eq 'close' && length $payload;
    return
          ($frame->{rsv} ? "rsv$frame->{rsv} " : '')
        . "$frame->{opcode}($payload)"
        . ($frame->{final} ? '' : '+');
}

# The next frame in words.
sub next {
    my ($self) = @_;
    return words($self->frame);
}

# All frames until the server has closed; ends with `eof`, or with `reset`.
sub story {
    my ($self) = @_;
    my @words;
    while (my $frame = $self->frame) { push @words, words($frame) }
    my $client = $self->{client};
    push @words, length $client->{in} ? 'part of a frame' : (),
        defined $client->error ? 'reset' : 'eof';
    return join ' ', @words;
}

1;
