package SprigTest::OverHttp2;

# A SprigTest::Client that carries over HTTP/2 what tests say and hear in HTTP/1: each request goes out
# on a stream, and what comes on it is put into the words of HTTP/1. So tests of what applications do run
# over HTTP/2 as they are:
#
#   SPRIG_TEST_HTTP2=1 prove -b -It/lib t/30-psgi-values.t
#
# A connection whose first request has no counterpart (HTTP/1.0, an upgrade, a bad head) stays with
# HTTP/1, which the same address serves. Requests of one connection are answered in order, whatever
# order their streams end in.

use strict;
use warnings;
use Digest::SHA ();
use SprigTest::Client;

our @ISA = ('SprigTest::Client');

my $WINDOW  = 0x7fffffff;
my $PREFACE = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
my %REASON  = (
    100 => 'Continue',
    103 => 'Early Hints',
    200 => 'OK',
    201 => 'Created',
    204 => 'No Content',
    206 => 'Partial Content',
    304 => 'Not Modified',
    404 => 'Not Found',
    413 => 'Payload Too Large',
    500 => 'Internal Server Error',
);
my %IS_DROPPED = map { $_ => 1 } qw(host connection keep-alive transfer-encoding te upgrade
    sec-websocket-key);

# Whether the servers of tests that do not say where they listen are asked over HTTP/2.
sub is_on {
    return 0 if !$ENV{SPRIG_TEST_HTTP2};
    require SprigTest::Http2;    # which needs SprigTest
    return SprigTest::Http2::has_http2();
}

# Whether this server, with the options of SprigTest::start_server, is asked over HTTP/2; then it takes
# WebSockets there.
sub serve {
    my ($option) = @_;
    return 0 if !_may_serve($option);
    $option->{args} = { http2_websocket => 'on', %{ $option->{args} || {} } };
    return 1;
}

sub _may_serve {
    my ($option) = @_;
    my @flags = (@{ $option->{flags} || [] }, %{ $option->{args} || {} });
    return
           is_on()
        && $option->{by} ne 'plackup'
        && !$option->{script}
        && !grep { /\A(?:--?)?(?:l|listen|o|host|p|port|tls.*|workers|proxy_protocol)\b/ } @flags;
}

sub adopt {
    my ($class, $socket) = @_;
    my $self = $class->SUPER::adopt($socket);
    return bless {
        %$self,
        speaks  => undef,    # 'HTTP/1' or 'HTTP/2', once it is known
        said    => '',       # by the test, and not put into frames yet
        left    => undef,    # bytes of the body that is being said; 'chunked'
        frames  => '',       # received, and incomplete
        last    => -1,
        streams => [],       # in the order of their requests
        window  => 65535,
        initial => 65535,
        hpack   => bless({ dynamic => [] }, 'SprigTest::Http2'),
    }, $class;
}

# ---- what is sent

sub send {
    my ($self, $bytes) = @_;
    return $self->SUPER::send($bytes) if ($self->{speaks} || '') eq 'HTTP/1';
    $self->{said} .= $bytes;
    while (length $self->{said}) {
        my $is_body = defined $self->{left};
        my $is_sent = $is_body ? $self->_send_body : $self->_send_head;
        return $self->{error} ? 0 : 1 if !$is_sent;
    }
    return 1;
}

# As much as is complete of a head; false: it is not, or nothing more can be sent.
sub _send_head {
    my ($self) = @_;
    my ($head) = $self->{said} =~ /\A(.*?\r\n\r\n)/s or return 0;
    my ($method, $path, @fields) = _read_head($head);
    if (!$self->{speaks}) {
        $self->{speaks} = defined $method ? 'HTTP/2' : 'HTTP/1';
        return $self->_stay if !defined $method;
        $self->_greet or return 0;
    }
    defined $method or die "HTTP/2 has no such request: $head";
    substr $self->{said}, 0, length $head, '';
    return $self->_send_request($method, $path, @fields);
}

# Waits for what the server greets with.
sub _greet {
    my ($self) = @_;
    $self->_send_frames(
        $PREFACE,
        SprigTest::Http2::frame('SETTINGS', 0, 0, pack 'nN', 4, $WINDOW),
        SprigTest::Http2::frame('WINDOW_UPDATE', 0, 0, pack 'N', $WINDOW - 65535)
    ) or return 0;
    $self->_read_until(sub { $self->{is_greeted} });
    return !$self->{eof};
}

# HTTP/1 it is.
sub _stay {
    my ($self) = @_;
    my $bytes = $self->{said};
    $self->{said} = '';
    $self->SUPER::send($bytes);
    return 0;
}

# Method, path and fields; nothing if it is none that HTTP/2 could say as well.
sub _read_head {
    my ($head) = @_;
    my ($line, @lines) = split /\r\n/, $head;
    my ($method, $path) = $line =~ m{\A([A-Z]+) (/\S*) HTTP/1\.1\z} or return;
    my @fields;
    for my $text (@lines) {
        my ($name, $value) = $text =~ /\A([!#\$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*\z/s
            or return;
        return if $value =~ /[\0\r\n]/;
        push @fields, lc $name, $value;
    }
    my %value = @fields;
    return if defined $value{upgrade} && !_opens_websocket($method, \%value);
    return ($method, $path, @fields);
}

# So that HTTP/2 could say it, too: RFC 8441.
sub _opens_websocket {
    my ($method, $value) = @_;
    return
           $method eq 'GET'
        && $value->{upgrade} eq 'websocket'
        && ($value->{connection}              || '') =~ /\bupgrade\b/i
        && ($value->{'sec-websocket-version'} || '') eq '13'
        && ($value->{'sec-websocket-key'}     || '') =~ m{\A[A-Za-z0-9+/]{21}[AQgw]==\z}
        && !grep { defined $value->{$_} } qw(content-length transfer-encoding);
}

sub _send_request {
    my ($self, $method, $path, @fields) = @_;
    my %value = @fields;
    my $key   = defined $value{upgrade} ? $value{'sec-websocket-key'} : undef;
    my @sent  = (':method', $method, ':scheme', 'http', ':path', $path);
    @sent[1, 6, 7] = ('CONNECT', ':protocol', 'websocket') if defined $key;
    splice @sent, 4, 0, ':authority', $value{host} if defined $value{host};
    for my $at (grep { !($_ % 2) } 0 .. $#fields) {
        push @sent, @fields[$at, $at + 1] if !$IS_DROPPED{ $fields[$at] };
    }
    my $is_chunked = ($value{'transfer-encoding'} || '') =~ /chunked/i;
    my $n          = $value{'content-length'} || 0;
    my $id         = $self->{last} += 2;
    $self->{left} = defined $key ? 'all' : $is_chunked ? 'chunked' : $n ? $n : undef;
    push @{ $self->{streams} },
        {
        id     => $id,
        method => $method,
        key    => $key,
        text   => '',
        window => $self->{initial},
        closes => scalar(lc($value{connection} || '') =~ /\bclose\b/),
        };
    my $flags = 4 | (defined $self->{left} ? 0 : 1);
    return $self->_send_frames(
        SprigTest::Http2::frame('HEADERS', $flags, $id, SprigTest::Http2::block(@sent)));
}

# What is there of a body. False: nothing is, or it cannot be sent.
sub _send_body {
    my ($self) = @_;
    if ($self->{left} eq 'all') {
        my $bytes = $self->{said};
        $self->{said} = '';
        return $self->_send_data($bytes, 0);
    }
    if ($self->{left} ne 'chunked') {
        my $piece = substr $self->{said}, 0, $self->{left}, '';
        $self->{left} -= length $piece;
        my $is_last = !$self->{left};
        $self->{left} = undef if $is_last;
        return $self->_send_data($piece, $is_last);
    }
    my ($line) = $self->{said} =~ /\A([0-9A-Fa-f]+)[^\r\n]*\r\n/ or return 0;
    my ($at, $n) = ($+[0], hex $line);
    return 0 if length $self->{said} < $at + $n + 2;
    my $piece = substr $self->{said}, $at, $n;
    substr $self->{said}, 0, $at + $n + 2, '';
    $self->{left} = undef if !$n;
    return $self->_send_data($piece, !$n);
}

# DATA, as the server has room for it.
sub _send_data {
    my ($self, $bytes, $is_last) = @_;
    my $stream = $self->{streams}[-1] || { over => 1 };
    my $until  = time + $SprigTest::Client::SECONDS;
    do {
        my ($n) = sort { $a <=> $b } 16384, length $bytes, $self->{window}, $stream->{window} || 0;
        return $self->_send_frames('') if $stream->{over};
        if ($n > 0 || !length $bytes) {
            my $is_end = $is_last && $n == length $bytes;
            my $piece  = substr $bytes, 0, $n > 0 ? $n : 0, '';
            $self->{window}   -= $n;
            $stream->{window} -= $n;
            $self->_send_frames(
                SprigTest::Http2::frame('DATA', $is_end ? 1 : 0, $stream->{id}, $piece))
                or return 0;
        } elsif ($self->{eof}) {
            return 0;
        } elsif (time > $until) {
            die "the server opened no window in time\n";
        } else {
            $self->_wait(0, 1) and $self->_receive;
        }
    } while (length $bytes);
    return 1;
}

sub _send_frames {
    my ($self, @frames) = @_;
    return $self->SUPER::send(join '', @frames);
}

# ---- what comes

sub is_quiet {
    my ($self, $seconds) = @_;
    my $until = time + $seconds;
    while (!length $self->{in} && !$self->{eof}) {
        my $left = $until - time;
        return 1 if $left <= 0;
        $self->_wait(0, $left) and $self->_receive;
    }
    return 0;
}

sub _receive {
    my ($self) = @_;
    return $self->SUPER::_receive if ($self->{speaks} || 'HTTP/1') eq 'HTTP/1';
    my $heard = $self->{in};
    $self->{in} = '';
    $self->SUPER::_receive;
    $self->{frames} .= $self->{in};
    $self->{in} = $heard;
    my $at = 0;

    while (length($self->{frames}) - $at >= 9) {
        my ($high, $low, $type, $flags, $id) = unpack 'CnCCN', substr $self->{frames}, $at, 9;
        my $n = $high << 16 | $low;
        last if length($self->{frames}) - $at < 9 + $n;
        $self->_on_frame($type, $flags, $id, substr $self->{frames}, $at + 9, $n);
        $at += 9 + $n;
    }
    substr $self->{frames}, 0, $at, '';
    $self->_speak;
    return;
}

my %on = (
    0 => sub { $_[0]->_on_data(@_[1 .. 3]) },
    1 => sub { $_[0]->_on_head(@_[1 .. 3]) },
    3 => sub { $_[0]->_on_reset($_[2], unpack 'N', $_[3]) },
    4 => sub { $_[0]->_on_settings(@_[1, 3]) },
    6 => sub { $_[1] & 1 or $_[0]->_send_frames(SprigTest::Http2::frame('PING', 1, 0, $_[3])) },
    8 => sub { $_[0]->_on_window(@_[2, 3]) },
);

sub _on_frame {
    my ($self, $type, @frame) = @_;
    $on{$type}->($self, @frame) if $on{$type};
    return;
}

sub _stream {
    my ($self, $id) = @_;
    my ($stream) = grep { $_->{id} == $id } @{ $self->{streams} };
    return $stream;
}

sub _on_settings {
    my ($self, $flags, $payload) = @_;
    return if $flags & 1;
    my %value = unpack '(nN)*', $payload;
    $self->{is_greeted} = 1;
    if (defined $value{4}) {
        $_->{window} += $value{4} - $self->{initial} for @{ $self->{streams} };
        $self->{initial} = $value{4};
    }
    $self->_send_frames(SprigTest::Http2::frame('SETTINGS', 1, 0));
    return;
}

sub _on_window {
    my ($self, $id, $payload) = @_;
    my $of = $id ? $self->_stream($id) : $self;
    $of->{window} += unpack 'N', $payload if $of;
    return;
}

sub _on_head {
    my ($self, $flags, $id, $block) = @_;
    my @fields = @{ $self->{hpack}->_unblock($block) };
    my $stream = $self->_stream($id) or return;
    my $is_end = $flags & 1;
    if ($stream->{has_head}) {    # trailers
        $stream->{trailers} = \@fields;
        $self->_end($stream);
        return;
    }
    my ($name, $status) = splice @fields, 0, 2;
    return $self->_on_open($stream, @fields) if $status == 200 && defined $stream->{key};
    my $text = "HTTP/1.1 $status " . ($REASON{$status} || 'Some Reason') . "\r\n";
    for (my $at = 0; $at < @fields; $at += 2) {
        $text .= _in_caps($fields[$at]) . ": $fields[$at + 1]\r\n";
    }
    $stream->{text} .= $text;
    if ($status >= 200) {
        $stream->{has_head} = 1;
        my %value      = @fields;
        my $has_no_end = $stream->{method} ne 'HEAD' && $status != 204 && $status != 304;
        $stream->{is_chunked} = $has_no_end && !defined $value{'content-length'};
        $stream->{text} .= "Transfer-Encoding: chunked\r\n" if $stream->{is_chunked};
        $stream->{text} .= "Connection: close\r\n"          if $stream->{closes};
    }
    $stream->{text} .= "\r\n";
    $self->_end($stream) if $is_end;
    return;
}

# What follows on the stream is no HTTP.
sub _on_open {
    my ($self, $stream, @fields) = @_;
    my $accept = Digest::SHA::sha1_base64("$stream->{key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11");
    unshift @fields, 'upgrade', 'websocket', 'connection', 'Upgrade', 'sec-websocket-accept',
        "$accept=";
    $stream->{text} .= "HTTP/1.1 101 Switching Protocols\r\n";
    while (my ($name, $value) = splice @fields, 0, 2) {
        $stream->{text} .= _in_caps($name) . ": $value\r\n";
    }
    $stream->{text} .= "\r\n";
    @$stream{qw(has_head closes)} = (1, 1);
    return;
}

sub _in_caps {
    my ($name) = @_;
    return join '-', map { ucfirst } split /-/, $name;
}

sub _on_data {
    my ($self, $flags, $id, $bytes) = @_;
    my $stream = $self->_stream($id) or return;
    $stream->{text} .=
          !$stream->{is_chunked} ? $bytes
        : length $bytes          ? sprintf("%x\r\n", length $bytes) . "$bytes\r\n"
        :                          '';
    $self->_end($stream) if $flags & 1;
    return;
}

sub _end {
    my ($self, $stream) = @_;
    return if $stream->{over};
    $stream->{over} = 1;
    $stream->{text} .= "0\r\n\r\n" if $stream->{is_chunked};
    return;
}

sub _on_reset {
    my ($self, $id, $code) = @_;
    my $stream = $self->_stream($id) or return;
    return if $stream->{over};
    @$stream{qw(over reset)} = (1, "stream reset, code $code");
    return;
}

# Puts what is known of the first stream, and once it is over of the next, where responses are read.
sub _speak {
    my ($self) = @_;
    while (my $stream = $self->{streams}[0]) {
        $self->{in} .= $stream->{text};
        $stream->{text} = '';
        last if !$stream->{over};
        shift @{ $self->{streams} };
        @$self{qw(eof error)} = (1, $stream->{reset}) if defined $stream->{reset};
        $self->{eof}          = 1                     if $stream->{closes};
    }
    return;
}

1;
