# seeds.pl FOLDER - writes the inputs that the tests know, and those that fuzzing found, as hex in
# corpus/TARGET.hex: FOLDER/head/*, FOLDER/chunk/* and so on.
use strict;
use warnings;
no warnings 'qw';    # commas and all
use FindBin;
use lib "$FindBin::Bin/../../t/lib";
use SprigTest;
use SprigTest::Http2;
use SprigTest::Smuggling;

my ($folder) = @ARGV or die "usage: seeds.pl FOLDER\n";
my %n;

sub seed {
    my ($target, $bytes) = @_;
    mkdir "$folder/$target";
    my $path = sprintf '%s/%s/test-%03d', $folder, $target, ++$n{$target};
    open my $out, '>:raw', $path or die "$path: $!";
    print {$out} $bytes;
    close $out or die "$path: $!";
    return;
}

for my $case (smuggling_corpus()) {
    my (undef, $bytes) = @$case;
    seed('head', "$_$bytes") for "\1\3", "\7\x83";
    seed('chunk', "\2\5$1")
        if $bytes =~ /Transfer-Encoding: chunked\r\n\r\n(.*)/s;
}

my @headers = (
    '',                          'Content-Type:text/plain',
    'Content-Length:5',          "Content-Length:5\1Content-Length:6",
    'Transfer-Encoding:chunked', "Set-Cookie:a=b\1Set-Cookie:c=d",
    "X:a\r\nY: b",               "X:a\nb",
    "X\0:a",                     'Connection:close',
    'Connection:keep-alive',     'Date:now',
    'Server:x',                  ':no name',
    "X: \xff ",                  "Upgrade:x\1Connection:upgrade",
);
for my $status (100, 101, 103, 200, 204, 304, 404, 426, 503, 999) {
    seed('response', pack('CCC', $status >> 2, $status & 3, $_ * 7 & 31) . $headers[$_])
        for 0 .. $#headers;
}

seed('option', $_)
    for qw(max_headers=100 max-headers=0 max_body_bytes=10K header_timeout=1.5 keepalive=on
    nested=dispatch temp_dir=/tmp server_header=x max_body_bytes=99999999999999999999G app=x
    header_timeout=.25 backlog=-1 unknown=1 umask=027 trusted_proxies=10.0.0.0/8,::1);

seed('proxy', "\1\2$_")
    for (
    "PROXY TCP4 192.0.2.1 198.51.100.1 1234 80\r\nGET / HTTP/1.1\r\n",
    "PROXY TCP6 2001:db8::1 2001:db8::2 65535 443\r\n",
    "PROXY UNKNOWN\r\n",
    'for=6.6.6.6;x=", for=9.9.9.9;host=";y=_,for=7.7.7.7;z="',
    'for=9.9.9.9;host="a\\",for=6.6.6.6;x=\\"b", , "\\',
    'for="7.7.7\\.7";proto="h\\ttps";host="\\o:8\\1", for="10.0\\.0.1", for="\\[::1\\]:\\9"',
    '::ffff:10.0.0.1, 9.9.9.9, ',
    '2',
    "PROXY UNKNOWN ffff::1 ::1 1 2\r\n",
    "PROXY TCP4 1.2.3.4 5.6.7.8 0 99999\r\n",
    "PROXY TCP4 1.2.3.4\r\n",
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x04\xd2\0\x50rest",
    "\r\n\r\n\0\r\nQUIT\n\x21\x21\0\x24" . "\x20\1" x 16 . "\x04\xd2\x01\xbb",
    "\r\n\r\n\0\r\nQUIT\n\x20\0\0\0",
    "\r\n\r\n\0\r\nQUIT\n\x21\x31\0\xd8" . "a" x 216,
    "\r\n\r\n\0\r\nQUIT\n\x31\x11\0\x0c" . "a" x 12,
    "\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff",
    );

seed('utf', "\1\3$_")
    for ("a\xc3\xa4\xe2\x82\xac\xf0\x9f\x98\x80" . 'x' x 20,
    "\xef\xbf\xbe\xef\xbf\xbf",
    "\xed\xa0\x80", "\xc0\x80", "\xe0\x80\x80", "\xf4\x90\x80\x80", "0123456789abcdef\xff",
    "\xe2\x82",);

# Frames: a mask of their own each, the payload already masked.
my $mask  = "\1\2\3\4";
my $frame = sub {
    my ($first, $payload) = @_;
    my $n      = length $payload;
    my $length = $n < 126 ? chr($n | 128) : "\xfe" . pack 'n', $n;
    return chr($first) . $length . $mask . ($payload ^ substr $mask x ($n / 4 + 1), 0, $n);
};
seed('frame', "\5\7\7$_")
    for (
    $frame->(0x81, 'Hello'),
    $frame->(1,    'Hel') . $frame->(0x89, 'ping') . $frame->(0x80, 'lo'),
    $frame->(0x88, "\x03\xe8bye"),
    $frame->(0xc2, 'x' x 200),
    $frame->(1,    '') . $frame->(0, '') x 3 . $frame->(0x80, ''),
    "\x81\xff\x7f\xff\xff\xff\xff\xff\xff\xff$mask",
    "\x8a\x80$mask",
    );
seed('sse', $_)
    for (
    "\0\0", "\0\1", "\3\0abcdata", "\3\1a\nbdata",
    "\1\7xa\r\nb\rc\nd\n", "\0\0\r", "\0\0: \n:\r\r\n\n"
    );

# Raw deflate: a stored block, fixed codes, a reference, a final block, an unfinished one, nonsense.
seed('deflate', "\5\7$_")
    for map { my $how = $_; map { "$how\6$_" } "\0\5\0\xfa\xffHello", "\xf2\x48\xcd\xc9\xc9\7\0", "\xf2\x48\5\0",
    "\xf3\x48\xcd\xc9\xc9\7\0\0", "\x4a\x4c\x44\x86\xa3", "\7", "\xff\xff", '' } "\0", "\3", "\4";

for my $file (glob "$FindBin::Bin/corpus/*.hex") {
    my ($target) = $file =~ m{([a-z]+)\.hex\z};
    open my $in, '<', $file or die "$file: $!";
    while (my $line = <$in>) {
        chomp $line;
        seed($target, pack 'H*', $line);
    }
}

# Frames of HTTP/2.
sub frame { return SprigTest::Http2::frame(@_) }

sub head {
    my ($id, $flags, @fields) = @_;
    my $path = shift @fields;
    return frame('HEADERS', $flags | 4, $id,
        SprigTest::Http2::block(SprigTest::Http2::fields($path, @fields)));
}

my @post = (':method' => 'POST');
my @open = (':method' => 'CONNECT', ':protocol' => 'websocket', 'sec-websocket-version' => 13);
seed('http2', "\3\7\0$_")
    for (
    head(1, 1, '/') . head(3, 1, '/a', cookie => 'a=b', cookie => 'c'),
    head(1, 0, '/',  @post) . frame('DATA', 0, 1, 'ab') . frame('DATA', 1, 1, 'c'),
    head(1, 0, '/s', @post) . frame('DATA', 8, 1, "\2ab\0\0") . frame('DATA', 1, 1, ''),
    head(1, 0, '/s', @post, 'content-length' => 3) . frame('DATA', 1, 1, 'abcd'),
    head(1, 0, '/',  @open) . frame('DATA', 0, 1, 'xyz') . frame('DATA', 1, 1, 'z'),
    head(1, 0, '/',  @open) . frame('RST_STREAM', 0, 1, pack 'N', 8),
    head(1, 1, '/') . frame('RST_STREAM', 0, 1, pack 'N', 8),
    head(1, 0, '/', @post) . head(1, 1, '/', x => 'trailer'),
    head(1, 1, '/', map { ("x$_" => 'y') } 1 .. 25),
    frame('HEADERS', 0, 1, SprigTest::Http2::block(':method' => 'GET'))
    . frame('CONTINUATION', 4, 1, SprigTest::Http2::block(':path' => '/')),
    frame('PING',          0,  0, 'x' x 8) . frame('PRIORITY', 0, 3, pack 'NC', 0, 1),
    frame('WINDOW_UPDATE', 0,  0, pack 'N',  1) . frame('SETTINGS', 0, 0, pack 'nN', 4, 0),
    frame('GOAWAY',        0,  0, pack 'NN', 0, 0) . frame(99, 255, 7, 'unknown'),
    frame('SETTINGS',      0,  0, pack 'nN', 1, 0) . head(1, 1, '/') . frame('DATA', 1, 2, 'x'),
    frame('HEADERS',       37, 1, pack('NC', 1, 1) . SprigTest::Http2::block(':method' => 'GET')),
    );
