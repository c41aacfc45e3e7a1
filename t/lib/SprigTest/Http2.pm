package SprigTest::Http2;

# A client of HTTP/2 that says exactly what it is told, frame by frame; and what a test needs to know
# of a build with HTTP/2.

use strict;
use warnings;
use Exporter qw(import);
use IO::Select;
use IO::Socket::INET;
use SprigTest;
use SprigTest::Probe qw(start_probe);
use Test::More       ();
use Time::HiRes      qw(time);

our @EXPORT = qw(has_http2 need_http2 start_http2 over_ok %FRAME %FLAG);

our %FRAME = (
    DATA          => 0,
    HEADERS       => 1,
    PRIORITY      => 2,
    RST_STREAM    => 3,
    SETTINGS      => 4,
    PUSH_PROMISE  => 5,
    PING          => 6,
    GOAWAY        => 7,
    WINDOW_UPDATE => 8,
    CONTINUATION  => 9,
);
our %FLAG = (END_STREAM => 1, ACK => 1, END_HEADERS => 4, PADDED => 8, PRIORITY => 32);
my %NAME = reverse %FRAME;

my $PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
my $SECONDS = 10;

# Whether the Sprig under test was built with nghttp2.
sub has_http2 {
    return SprigTest::slurp(SprigTest::root() . '/Makefile') !~ m{^SPRIG_CORE = .*/h2_none\.c}m;
}

# Skips all of a test file where something is missing.
sub need_http2 {
    my (@tools) = @_;
    Test::More::plan(skip_all => 'this Sprig was built without nghttp2') if !has_http2();
    for my $tool (@tools) {
        Test::More::plan(skip_all => "there is no $tool") if !defined tool_path($tool);
    }
    return;
}

# ---- the server

# One for the text of an app, see SprigTest::Probe, that speaks HTTP/2 without TLS; with these options.
sub start_http2 {
    my ($app, %args) = @_;
    return start_probe(
        $app,
        by    => 'program',
        flags => ['--listen', '127.0.0.1:0,h2c'],
        args  => \%args
    );
}

# When these clients have left, nothing of them stays, and the server ends.
sub over_ok {
    my ($server, @clients) = @_;
    $_->close for @clients;
    $server->idle_ok;
    $server->stop_ok;
    return;
}

# ---- the connection

# Options: settings (list of id and value), silent (says nothing yet), window (what the server may send
# altogether, 64 MB if it is not given).
sub connect {
    my ($class, $server, %option) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => $server->host, PeerPort => $server->port)
        or die "cannot connect: $!";
    binmode $socket;
    my $self = bless { socket => $socket, in => '', frames => [], dynamic => [], last => -1 },
        $class;
    return $self if $option{silent};
    my $settings = pack '(nN)*', @{ $option{settings} || [4, 0x7fffffff] };
    my $window   = defined $option{window} ? $option{window} : 64 << 20;
    $self->send($PREFACE . frame('SETTINGS', 0, 0, $settings));
    $self->send(frame('WINDOW_UPDATE', 0, 0, pack 'N', $window - 65535)) if $window > 65535;
    return $self;
}

sub send {
    my ($self, @bytes) = @_;
    my $bytes = join '', @bytes;
    local $SIG{PIPE} = 'IGNORE';
    $self->{socket}->blocking(1);
    while (length $bytes) {
        my $n = syswrite $self->{socket}, $bytes;
        return 0 if !$n;
        substr $bytes, 0, $n, '';
    }
    return 1;
}

sub close { return close $_[0]{socket} }

# ---- what is sent

sub frame {
    my ($type, $flags, $id, $payload) = @_;
    $payload = ''            if !defined $payload;
    $type    = $FRAME{$type} if exists $FRAME{$type};
    return substr(pack('N', length $payload), 1) . pack('CCN', $type, $flags, $id) . $payload;
}

sub _integer {
    my ($n, $bits, $first) = @_;
    my $max = (1 << $bits) - 1;
    return chr($first | $n) if $n < $max;
    my $out = chr($first | $max);
    for ($n -= $max; $n >= 128; $n >>= 7) { $out .= chr($n & 127 | 128) }
    return $out . chr $n;
}

# Fields as bytes: literals that nobody keeps.
sub block {
    my (@fields) = @_;
    my $out = '';
    while (my ($name, $value) = splice @fields, 0, 2) {
        $out .= "\0" . join '', map { _integer(length, 7, 0) . $_ } $name, $value;
    }
    return $out;
}

# The fields of a GET, with others in their place or behind them.
sub fields {
    my ($path, @more) = @_;
    my %more = @more;
    my @fields;
    for my $pair (
        [':method',    'GET'],
        [':scheme',    'http'],
        [':authority', 'localhost'],
        [':path',      $path]
        )
    {
        my ($name, $value) = @$pair;
        $value = delete $more{$name} if exists $more{$name};
        push @fields, $name, $value if defined $value;
    }
    while (my ($name, $value) = splice @more, 0, 2) {
        push @fields, $name, $value if exists $more{$name};
    }
    return @fields;
}

# A request; the id of its stream. Option body: DATA frames follow, or are to come (open).
sub request {
    my ($self, $path, %option) = @_;
    my $id    = $self->{last} += 2;
    my $has   = defined $option{body};
    my $flags = $FLAG{END_HEADERS} | ($has || $option{open} ? 0 : $FLAG{END_STREAM});
    $self->send(frame('HEADERS', $flags, $id, block(fields($path, @{ $option{fields} || [] }))));
    $self->data($id, $option{body}, end => !$option{open}) if $has;
    return $id;
}

sub data {
    my ($self, $id, $bytes, %option) = @_;
    my @parts = length $bytes ? $bytes =~ /\G(.{1,16384})/gs : '';
    my $last  = pop @parts;
    $self->send(frame('DATA', 0, $id, $_)) for @parts;
    return $self->send(frame('DATA', $option{end} ? $FLAG{END_STREAM} : 0, $id, $last));
}

# Fields behind a body, which end it.
sub trailers {
    my ($self, $id, @fields) = @_;
    return $self->send(
        frame('HEADERS', $FLAG{END_STREAM} | $FLAG{END_HEADERS}, $id, block(@fields)));
}

sub reset  { return $_[0]->send(frame('RST_STREAM',    0, $_[1], pack 'N', $_[2] // 8)) }
sub window { return $_[0]->send(frame('WINDOW_UPDATE', 0, $_[1], pack 'N', $_[2])) }

# ---- what comes

# The next frame, as { type (name), flags, id, payload, fields }; nothing at the end of the connection,
# or after some seconds.
sub next_frame {
    my ($self, $seconds) = @_;
    my $until = time + (defined $seconds ? $seconds : $SECONDS);
    while (1) {
        if (length $self->{in} >= 9) {
            my ($high, $low, $type, $flags, $id) = unpack 'CnCCN', $self->{in};
            my $n = $high << 16 | $low;
            if (length $self->{in} >= 9 + $n) {
                my $payload = substr substr($self->{in}, 0, 9 + $n, ''), 9;
                return $self->_frame($type, $flags, $id, $payload);
            }
        }
        $self->_receive($until) or return;
    }
}

sub _receive {
    my ($self, $until) = @_;
    my $left = $until - time;
    return if $left <= 0 || !IO::Select->new($self->{socket})->can_read($left);
    my $n = sysread $self->{socket}, $self->{in}, 65536, length $self->{in};
    $self->{ended} = 1 if !$n;
    return $n;
}

sub _frame {
    my ($self, $type, $flags, $id, $payload) = @_;
    my $name  = $NAME{$type} || $type;
    my $frame = { type => $name, flags => $flags, id => $id, payload => $payload };
    if ($name eq 'HEADERS') {
        substr $payload, 0, 5, '' if $flags & $FLAG{PRIORITY};
        $frame->{fields} = $self->_unblock($payload);
    }
    $self->send(frame('SETTINGS', $FLAG{ACK}, 0)) if $name eq 'SETTINGS' && !($flags & $FLAG{ACK});
    return $frame;
}

# The server has closed the connection, or does within some seconds.
sub is_closed {
    my ($self, $seconds) = @_;
    my $until = time + (defined $seconds ? $seconds : $SECONDS);
    1 while $self->_receive($until);
    return $self->{ended};
}

# Frames until one that is asked for, by type or by a sub; all of them.
sub until {
    my ($self, $wanted, $seconds) = @_;
    my $is_it = ref $wanted ? $wanted : sub { $_[0]{type} eq $wanted };
    my @frames;
    while (my $frame = $self->next_frame($seconds)) {
        push @frames, $frame;
        last if $is_it->($frame);
    }
    return @frames;
}

# The response on a stream, once it is complete or reset: { status, body, headers, fields (the same as a list), trailers,
# reset (code) }. What
# comes for others meanwhile is kept for them.
sub response {
    my ($self, $id, %option) = @_;
    my $r = $self->_response_of($id);
    while (!$r->{over}) {
        my $frame = $self->next_frame($option{seconds}) or return $r;
        $self->_collect($frame);
    }
    return $r;
}

sub _response_of {
    my ($self, $id) = @_;
    return $self->{responses}{$id} ||= { body => '', interim => [] };
}

sub _collect {
    my ($self, $frame) = @_;
    my ($type, $id)    = @$frame{qw(type id)};
    my $r = $self->_response_of($id);
    if ($type eq 'GOAWAY') {
        $self->{goaway} =
            { last => unpack('N', $frame->{payload}), code => unpack 'x4N', $frame->{payload} };
    } elsif ($type eq 'HEADERS' && $r->{status}) {
        $r->{trailers} = $frame->{fields};
    } elsif ($type eq 'HEADERS') {
        my %fields = @{ $frame->{fields} };
        push @{ $r->{interim} }, $fields{':status'} if $fields{':status'} =~ /^1/;
        @$r{qw(status headers fields)} = ($fields{':status'}, \%fields, $frame->{fields})
            if $fields{':status'} !~ /^1/;
    } elsif ($type eq 'DATA') {
        $r->{body} .= $frame->{payload};
    } elsif ($type eq 'RST_STREAM') {
        $r->{reset} = unpack 'N', $frame->{payload};
        $r->{over}  = 1;
    }
    $r->{over} = 1
        if ($type eq 'HEADERS' || $type eq 'DATA') && $frame->{flags} & $FLAG{END_STREAM};
    return;
}

# ---- HPACK (RFC 7541)

my @STATIC = (
    undef, ':authority', map({ [':method', $_] } qw(GET POST)),
    map({ [':path',   $_] } '/', '/index.html'),
    map({ [':scheme', $_] } qw(http https)),
    map({ [':status', $_] } 200, 204, 206, 304, 400, 404, 500),
    qw(accept-charset accept-encoding accept-language accept-ranges accept access-control-allow-origin age
        allow authorization cache-control content-disposition content-encoding content-language
        content-length content-location content-range content-type cookie date etag expect expires from
        host if-match if-modified-since if-none-match if-range if-unmodified-since last-modified link
        location max-forwards proxy-authenticate proxy-authorization range referer refresh retry-after
        server set-cookie strict-transport-security transfer-encoding user-agent vary via
        www-authenticate)
);

sub _unblock {
    my ($self, $block) = @_;
    my @fields;
    while (length $block) {
        my $first = ord $block;
        if ($first & 128) {
            push @fields, @{ $self->_indexed(_read_integer(\$block, 7)) };
        } elsif (($first & 224) == 32) {
            _read_integer(\$block, 5);
        } else {
            my $keeps = $first & 64;
            my $index = _read_integer(\$block, $keeps ? 6 : 4);
            my $name  = $index ? $self->_indexed($index)->[0] : _read_string(\$block);
            my $pair  = [$name, _read_string(\$block)];
            unshift @{ $self->{dynamic} }, $pair if $keeps;
            push @fields, @$pair;
        }
    }
    return \@fields;
}

sub _indexed {
    my ($self, $index) = @_;
    my $entry = $index < @STATIC ? $STATIC[$index] : $self->{dynamic}[$index - @STATIC];
    return ref $entry ? $entry : [$entry, ''];
}

sub _read_integer {
    my ($in, $bits) = @_;
    my $max = (1 << $bits) - 1;
    my $n   = ord(substr $$in, 0, 1, '') & $max;
    return $n if $n < $max;
    for (my $shift = 0;; $shift += 7) {
        my $byte = ord substr $$in, 0, 1, '';
        $n += ($byte & 127) << $shift;
        return $n if $byte < 128;
    }
}

sub _read_string {
    my ($in)       = @_;
    my $is_huffman = ord($$in) & 128;
    my $bytes      = substr $$in, 0, _read_integer($in, 7), '';
    return $is_huffman ? _decode($bytes) : $bytes;
}

# The lengths of the codes of the 256 bytes, nXm for m of them; the codes follow from those.
my @LENGTHS = map { /(.+)x(.+)/ ? ($1) x $2 : $_ } qw(
    13 23 28x7 24 30 28x2 30 28x8 30 28x9 6 10x2 12 13 6 8 11 10x2 8 11 8 6x3 5x3 6x7 7 8 15 6
    12 10 13 6 7x22 8 7 8 13 19 13 14 6 15 5 6 5 6 5 6x3 5 7x2 6x3 5 6 7 6 5x2 6 7x5 15 11 14 13
    28 20 22 20x2 22x3 23 22 23x5 24 23 24x2 22 23 24 23x4 21 22 23 22 23x2 24 22 21 20 22x2
    23x2 21 23 22x2 24 21 22 23x2 21x2 22 21 23 22 23x2 20 22x3 23 22x2 23 26x2 20 19 22 23 22
    25 26x3 27x2 26 24 25 19 21 26 27x2 26 27 24 21x2 26x2 28 27x3 20 24 20 21 22 21x2 23 22x2
    25x2 24x2 26 23 26 27 26x2 27x5 28 27x5 26
);
my %BYTE;
{
    my ($code, $length) = (0, 5);
    for my $byte (sort { $LENGTHS[$a] <=> $LENGTHS[$b] || $a <=> $b } 0 .. 255) {
        $code <<= $LENGTHS[$byte] - $length;
        $length = $LENGTHS[$byte];
        $BYTE{ sprintf "%0${length}b", $code++ } = chr $byte;
    }
}

sub _decode {
    my ($bytes) = @_;
    my ($out, $code) = ('', '');
    for my $bit (split //, unpack 'B*', $bytes) {
        $code .= $bit;
        next if !exists $BYTE{$code};
        $out .= $BYTE{$code};
        $code = '';
    }
    return $out;
}

1;
