# The same requests of HTTP/1.0 to `twiggy app` and to `sprig app`: the same status and body come back,
# unless Sprig::Manual::Migration says that, and how, they differ.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use POSIX ();
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $twiggy = tool_path('twiggy') or plan skip_all => 'twiggy is not installed';
my $blib   = SprigTest::root() . '/blib';
my $manual = slurp(SprigTest::root() . '/lib/Sprig/Manual/Migration.pod');
my $app    = "$FindBin::Bin/apps/compare.psgi";
my %pid_of;

sub start {
    my ($name, @command) = @_;
    my $port = do {
        my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "port: $!";
        $socket->sockport;
    };
    my $pid = fork;
    defined $pid or die "fork: $!";
    if (!$pid) {
        $ENV{PERL5LIB} = join ':', "$blib/lib", "$blib/arch", grep { length } $ENV{PERL5LIB} || '';
        $ENV{DUMP_APP} = dump_app();
        open STDERR, '>', '/dev/null';
        exec @command, '--listen', "127.0.0.1:$port", $app or POSIX::_exit(127);
    }
    $pid_of{$name} = $pid;
    ok eventually(sub { IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") }), "$name serves";
    return $port;
}

END {
    local $?;
    for my $pid (values %pid_of) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
    }
}

my %port_of = (
    twiggy => start('twiggy', $^X, $twiggy),
    sprig  => start('sprig',  "$blib/script/sprig"),
);

# "200 body"; "nothing" where the connection ends without a byte. Sprig is read strictly; of what
# Twiggy sends the framing is only its end.
sub answer {
    my ($name, $bytes) = @_;
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port_of{$name}")
        or return 'refused';
    my $client = SprigTest::Client->adopt($socket);
    $client->send($bytes);
    if ($name eq 'sprig') {
        my $response = $client->response($bytes =~ /\AHEAD/ ? (method => 'HEAD') : ());
        return 'nothing' if !defined $response->status;
        return join ' ', $response->status, $response->body if $response->is_complete;
        return join ' ', 'cut', $response->status, $response->body;
    }
    my $text = $client->rest;
    return 'nothing' if $text eq '';
    return $text =~ m{\AHTTP/1\.0 ([0-9]{3}).*?\r\n\r\n(.*)\z}s ? "$1 $2" : $text;
}

sub request {
    my ($method, $target, $body, @lines) = @_;
    push @lines, 'Content-Length: ' . length $body if defined $body;
    return join("\r\n", "$method $target HTTP/1.0", @lines, '', '') . (defined $body ? $body : '');
}

my @same = (
    (
        map { request('GET', $_) }
            qw(
            /array /zero /empty /created /moved /gone /strange /phrase /latin /undef-value
            /long /glob /memory /lines /delayed /now /stream /slow /dropped /condvar /by-hand /dies /false
            /no-content /unchanged
            )
    ),
    (
        map { request('GET', $_) }
            qw(
            / /a /a/b/ /a?b=c /a?b=c&d=%20 /a%20b /%2fa /a%2Fb /caf%c3%a9 /a+b //a///b /a;b=c /?0 /a?b?c
            /%7Euser /a%252F /a.b-c_d~e /a:b@c
            )
    ),
    "GET / HTTP/1.0\r\nHost: localhost\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n",
    "GET / HTTP/1.0\r\nX-A: a\r\nX-A: b\r\n\r\n",
    "GET / HTTP/1.0\r\nx-lower: yes\r\nX-UPPER: yes\r\nX-Empty:\r\n\r\n",
    "GET / HTTP/1.0\r\nCookie: a=1; b=2\r\nAuthorization: Basic eA==\r\n\r\n",
    "GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
    "GET / HTTP/1.0\r\nX-Long: " . 'x' x 5000 . "\r\n\r\n",
    "GET / HTTP/1.0\r\nContent-Type: text/plain; charset=utf-8\r\n\r\n",
    "GET / HTTP/1.0\r\nX-Colon: a:b:c\r\nX-Quote: \"q\"\r\n\r\n",
    (map { request($_, '/method') } qw(POST PUT DELETE PATCH OPTIONS PROPFIND MKCOL REPORT)),
    request('POST', '/form',   'a=1&b=2', 'Content-Type: application/x-www-form-urlencoded'),
    request('POST', '/long',   undef),
    request('POST', '/upload', 'x' x 300_000, 'Content-Type: application/octet-stream'),
    request('PUT',  '/put',    "\0\1\2\xff"),
    request('GET',  '/body',   'with a body'),
    request('POST', '/none',   ''),
    "GET nothing\r\n\r\n",
    "nothing at all\r\n\r\n",
    "GET /a%zz HTTP/1.0\r\n\r\n",
);

my $whole = "[^\0]*";

# Bytes, what Twiggy answers, what Sprig answers, and the heading of the manual.
my @different = (
    [request('GET',  '/body-204'), qr/\A204 unwanted/, qr/\A204 \z/, 'Responses without a body'],
    [request('HEAD', '/array'),    qr/\A200 ab/,       qr/\A200 \z/, 'Responses without a body'],
    [
        request('GET', '/string'), qr/400 Bad Request/, qr/\A200 a string\z/,
        'A plain string as body'
    ],
    [request('GET', '/wide'), qr/\A200 /, qr/\A500 Internal Server Error\z/, 'Wide characters'],
    [request('GET', '/split'),     qr/\A200 split/, qr/\A500 /, 'Invalid headers'],
    [request('GET', '/odd'),       qr/odd\z/,       qr/\A500 /, 'Invalid headers'],
    [request('GET', '/hash'),      qr/\A400 \z/,    qr/\A500 /, 'Errors in the application'],
    [request('GET', '/nothing'),   qr/\Anothing\z/, qr/\A500 /, 'Errors in the application'],
    [request('GET', '/dies-late'), qr/\A400 \z/,    qr/\A500 /, 'Errors in the application'],
    [request('GET', '/never'),     qr/\Anothing\z/, qr/\A500 /, 'Errors in the application'],
    [
        request('GET', '/dies-amid'),
        qr/\A200 some/,
        qr/\A(?:cut 200 some|200 some|nothing)/,
        'Errors in the application'
    ],
    [request('GET', '/recv'), qr/\A500 /, qr/\A200 waited\z/, 'Blocking waits'],
    [
        "GET / HTTP/1.0\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
        qr/HTTP_COOKIE=a=1, b=2$/m,
        qr/HTTP_COOKIE=a=1; b=2$/m,
        'Request headers'
    ],
    [
        "GET / HTTP/1.0\r\nX_A: 1\r\n\r\n", qr/HTTP_X_A=1/,
        qr/\A(?!$whole\bHTTP_X_A)/,         'Request headers'
    ],
    [
        "GET / HTTP/1.0\r\nProxy: x\r\n\r\n", qr/HTTP_PROXY=x/,
        qr/\A(?!$whole\bHTTP_PROXY)/,         'Request headers'
    ],
    [
        "GET / HTTP/1.0\r\nX-A: 1\r\n folded\r\n\r\n",
        qr/\A200 /, qr/\A400 /, 'Requests that are refused'
    ],
    ["GET / HTTP/1.0\nHost: a\n\n",       qr/\A200 /, qr/\A400 /, 'Requests that are refused'],
    ["GET / HTTP/1.0\r\nX-A : 1\r\n\r\n", qr/\A200 /, qr/\A400 /, 'Requests that are refused'],
    [
        "GET / HTTP/1.0\r\nX-Big: " . 'x' x 100_000 . "\r\n\r\n",
        qr/\A200 /, qr/\A431 /, 'Requests that are refused'
    ],
    [
        "GET /" . 'x' x 20_000 . " HTTP/1.0\r\n\r\n",
        qr/\A200 /, qr/\A414 /, 'Requests that are refused'
    ],
    [
        "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        qr/\A200 /, qr/\A400 /, 'Requests that are refused'
    ],
    [
        "POST / HTTP/1.0\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        qr/\A200 /, qr/\A400 /, 'Requests that are refused'
    ],
    ["\r\nGET / HTTP/1.0\r\n\r\n", qr/\A400 /, qr/\A200 /, 'Requests that are accepted'],
    [
        "GET http://h:81/a?x HTTP/1.0\r\n\r\n", qr/PATH_INFO=http/,
        qr{PATH_INFO=/a$}m,                     'Requests that are accepted'
    ],
    ["GET /a%00b HTTP/1.0\r\n\r\n", qr/PATH_INFO=\/a$/m, qr/\A400 /, 'Requests that are refused'],
);

sub shown {
    my ($bytes) = @_;
    my ($first) = $bytes =~ /\A((?:\r\n)?[^\r\n]*(?:\r?\n[^\r\n]+)?)/;
    $first =~ s/\r?\n/ | /g;
    return length $first > 70 ? substr($first, 0, 70) . '...' : $first;
}

subtest 'the same answers' => sub {
    for my $bytes (@same) {
        my ($theirs, $ours) = map { answer($_, $bytes) } qw(twiggy sprig);

        # Twiggy sends no text with its own refusals.
        $ours =~ s/\A(4\d\d) .*/$1 /s if $theirs =~ /\A4\d\d \z/;
        ok $ours eq $theirs, shown($bytes)
            or diag 'twiggy: ' . substr($theirs, 0, 500) . "\nsprig: " . substr $ours, 0, 500;
    }
};

subtest 'other answers, as the manual says' => sub {
    for my $case (@different) {
        my ($bytes, $theirs, $ours, $heading) = @$case;
        like answer('twiggy', $bytes), $theirs, shown($bytes) . ': Twiggy';
        like answer('sprig',  $bytes), $ours,   shown($bytes) . ': Sprig';
        like $manual, qr/^=head2 \Q$heading\E$/m, "is explained: $heading";
    }
};

done_testing;
