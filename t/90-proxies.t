# What proxies tell about the client is believed from trusted proxies only; the PROXY protocol is
# spoken where it was asked for.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::UNIX;
use POSIX ();
use Socket qw(AF_INET6 IN6ADDR_ANY IPPROTO_IPV6 IPV6_V6ONLY SOCK_STREAM pack_sockaddr_in6);
use SprigTest;
use SprigTest::Client;
use SprigTest::Probe;
use SprigTest::Workers;
use Test::More;

my $app = <<'END';
sub {
    my ($env) = @_;
    my @values = map { defined $_ ? $_ : '-' }
        @$env{qw(REMOTE_ADDR psgi.url_scheme HTTP_HOST SERVER_PORT)};
    return [200, [], [join ' ', @values, defined $env->{REMOTE_PORT} ? $env->{REMOTE_PORT} : '-']];
}
END

my ($server, $port);

# "address scheme host port" as the app sees it; the server's own port is P, the client's C.
sub seen {
    my ($headers, %option) = @_;
    my $client = $option{client} || $server->connect;
    my $own    = $client->socket->sockport if $client->socket->can('sockport');
    $client->send(($option{before} || '')
        . "GET / HTTP/1.1\r\nHost: site\r\nConnection: close\r\n$headers\r\n");
    my $response = $client->response;
    return $response->status if $response->status != 200;
    my $body = $response->body;
    $body =~ s/ $port / P /;
    $body =~ s/ $own\z/ C/ if $own;
    return $body;
}

sub serve {
    my (%args) = @_;
    $server = start_server(code => $app, args => \%args);
    $port   = $server->port;
    return;
}

subtest 'nobody is trusted by default' => sub {
    serve();
    is(
        seen(
            "X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\nX-Forwarded-Host: other\r\n"
                . "X-Forwarded-Port: 444\r\nForwarded: for=9.9.9.9;proto=https;host=x\r\n"
        ),
        '127.0.0.1 http site P C',
        'whatever is said'
    );
    $server->stop_ok;
};

subtest 'X-Forwarded-*' => sub {
    serve(trusted_proxies => '127.0.0.1, 10.0.0.0/8');
    my @cases = (
        ['',                                                      '127.0.0.1 http site P C'],
        ['X-Forwarded-For: 9.9.9.9',                              '9.9.9.9 http site P -'],
        ['X-Forwarded-For: 8.8.8.8, 9.9.9.9',                     '9.9.9.9 http site P -'],
        ['X-Forwarded-For: 8.8.8.8, 10.1.2.3',                    '8.8.8.8 http site P -'],
        ["X-Forwarded-For: 8.8.8.8\r\nX-Forwarded-For: 10.1.2.3", '8.8.8.8 http site P -'],
        ['X-Forwarded-For: 7.7.7.7, 8.8.8.8, 10.1.2.3, 10.3.2.1', '8.8.8.8 http site P -'],
        ['X-Forwarded-For: 10.0.0.1, 10.0.0.2',                   '10.0.0.1 http site P -'],
        ['X-Forwarded-For: nonsense, 10.0.0.2',                   '10.0.0.2 http site P -'],
        ['X-Forwarded-For: 9.9.9.9, <script>',                    '127.0.0.1 http site P C'],
        ['X-Forwarded-For: 9.9.9.9:1234',                         '9.9.9.9 http site P 1234'],
        ['X-Forwarded-For: [2001:db8::1]:1234',                   '2001:db8::1 http site P 1234'],
        ['X-Forwarded-For: 2001:db8::1',                          '2001:db8::1 http site P -'],
        ['X-Forwarded-For: ::ffff:10.0.0.9',                      '10.0.0.9 http site P -'],
        ['X-Forwarded-Proto: https',                              '127.0.0.1 https site 443 C'],
        ['X-Forwarded-Proto: HTTPS',                              '127.0.0.1 https site 443 C'],
        ['X-Forwarded-Proto: gopher',                             '127.0.0.1 http site P C'],
        ['X-Forwarded-Proto: http, https',                        '127.0.0.1 https site 443 C'],
        [
            "X-Forwarded-For: 8.8.8.8, 10.0.0.1\r\nX-Forwarded-Proto: https, http",
            '8.8.8.8 https site 443 -'
        ],
        [
            "X-Forwarded-For: 8.8.8.8, 10.0.0.1\r\nX-Forwarded-Proto: https",
            '8.8.8.8 https site 443 -'
        ],
        ['X-Forwarded-Host: other:8080',                    '127.0.0.1 http other:8080 8080 C'],
        ['X-Forwarded-Host: [::1]',                         '127.0.0.1 http [::1] P C'],
        ['X-Forwarded-Host: a b',                           '127.0.0.1 http site P C'],
        ["X-Forwarded-Host: other\r\nX-Forwarded-Port: 81", '127.0.0.1 http other:81 81 C'],
        ["X-Forwarded-Host: [::1]\r\nX-Forwarded-Port: 81", '127.0.0.1 http [::1]:81 81 C'],
        ["X-Forwarded-Host: other:1\r\nX-Forwarded-Port: 81", '127.0.0.1 http other:1 1 C'],
        ["X-Forwarded-Host: other\r\nX-Forwarded-Port: 80", '127.0.0.1 http other 80 C'],
        [
            "X-Forwarded-Host: other\r\nX-Forwarded-Port: 443\r\nX-Forwarded-Proto: https",
            '127.0.0.1 https other 443 C'
        ],
        [
            "X-Forwarded-Host: other\r\nX-Forwarded-Port: 80\r\nX-Forwarded-Proto: https",
            '127.0.0.1 https other:80 80 C'
        ],
        ["X-Forwarded-Host: other\r\nX-Forwarded-Port: 0081", '127.0.0.1 http other P C'],
        ['X-Forwarded-Port: 81',                             '127.0.0.1 http site 81 C'],
        ['X-Forwarded-Proto: wss',                           '127.0.0.1 https site 443 C'],
        ['X-Forwarded-Proto: ws',                            '127.0.0.1 http site 80 C'],
        ['X-Forwarded-For: 9.9.9.9, ',                       '9.9.9.9 http site P -'],
        ['X-Forwarded-For: ,9.9.9.9,,  ,',                   '9.9.9.9 http site P -'],
        ["X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-For:",     '9.9.9.9 http site P -'],
        ["X-Forwarded-Proto: https\r\nX-Forwarded-Proto: ",  '127.0.0.1 https site 443 C'],
        ["X-Forwarded-Host: other,\r\nX-Forwarded-Host:",    '127.0.0.1 http other P C'],
        ['X-Forwarded-For: "8.8.8.8, 9.9.9.9',               '9.9.9.9 http site P -'],
        ['X-Forwarded-For: "9.9.9.9, 8.8.8.8"',              '127.0.0.1 http site P C'],
        ['X-Forwarded-For: ::FFFF:9.9.9.9',                  '9.9.9.9 http site P -'],
        ['X-Forwarded-For: [::ffff:9.9.9.9]:12',             '9.9.9.9 http site P 12'],
        ['X-Forwarded-Port: 99999',                         '127.0.0.1 http site P C'],
        ['Forwarded: for=9.9.9.9',                          '127.0.0.1 http site P C'],
        ['X_Forwarded_For: 9.9.9.9',                        '127.0.0.1 http site P C'],
    );
    is(seen($_->[0] eq '' ? '' : "$_->[0]\r\n"), $_->[1], $_->[0] =~ s/\r\n/ + /r) for @cases;
    my $other = SprigTest::Client->adopt(
        IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port, LocalAddr => '127.0.0.2')
    );
    is(
        seen("X-Forwarded-For: 9.9.9.9\r\n", client => $other),
        '127.0.0.2 http site P C',
        'from elsewhere nothing is believed'
    );
    $server->stop_ok;
};

subtest 'Forwarded' => sub {
    serve(trusted_proxies => '127.0.0.0/8', proxy_headers => 'forwarded');
    my @cases = (
        ['for=9.9.9.9',                                '9.9.9.9 http site P -'],
        ['for=9.9.9.9;proto=https;host=other',         '9.9.9.9 https other 443 -'],
        ['For="[2001:db8:cafe::17]:4711"',             '2001:db8:cafe::17 http site P 4711'],
        ['for=9.9.9.9;host="other:81", for=127.0.0.5', '9.9.9.9 http other:81 81 -'],
        ['for=7.7.7.7;proto=https, for=9.9.9.9',       '9.9.9.9 http site P -'],
        ['for=unknown',                                '127.0.0.1 http site P C'],
        ['for=_hidden, for=127.0.0.7',                 '127.0.0.7 http site P -'],
        ['proto=https',                                '127.0.0.1 https site 443 C'],
        ['for=9.9.9.9;proto=wss',                      '9.9.9.9 https site 443 -'],
        ['for=9.9.9.9, ,',                             '9.9.9.9 http site P -'],
        ["for=9.9.9.9\r\nForwarded: ",                 '9.9.9.9 http site P -'],
        ['for=9.9.9.9 ; host=other',                   '9.9.9.9 http other P -'],
        ['for=9.9.9.9;host = other',                   '127.0.0.1 http site P C'],
        ['for="9.9.9.9";by="a, b; c";proto=https',     '9.9.9.9 https site 443 -'],
        ['for=8.8.8.8;x="\\\\", for=9.9.9.9',          '9.9.9.9 http site P -'],

        # what the client wrote into its Host is quoted by the proxy
        ['for=9.9.9.9;host="a,for=6.6.6.6"',                       '9.9.9.9 http a,for=6.6.6.6 P -'],
        ['for=9.9.9.9;host="a;for=6.6.6.6"',                       '9.9.9.9 http a;for=6.6.6.6 P -'],
        ['host="a;for=6.6.6.6;proto=https";for=9.9.9.9',
            '9.9.9.9 http a;for=6.6.6.6;proto=https P -'],
        ['for=9.9.9.9;host="a\"b"',                   '9.9.9.9 http site P -'],
        ['for=9.9.9.9;host="a\",for=6.6.6.6;x=\"b"',  '9.9.9.9 http site P -'],

        # a backslash in a quoted string takes the meaning from the byte behind it
        ['for="9.9.9\.9";proto="h\ttps";host="\o\ther:8\1"', '9.9.9.9 https other:81 81 -'],
        ['for="\[2001:db8::1\]:\4711"',                '2001:db8::1 http site P 4711'],
        ['for="7.7.7\.7", for="127.0.0\.3"',           '7.7.7.7 http site P -'],
        ['for="8.8.8\.8", for="127\.0.0.3", for="127.0\.0.4"', '8.8.8.8 http site P -'],
        ['for="un\known", for="127\.0.0.3", for="127.0\.0.4"', '127.0.0.3 http site P -'],
        ['for=9.9.9.9;proto="\gopher"',                '9.9.9.9 http site P -'],
        ['for=9.9.9.9;proto="\123456789"',             '9.9.9.9 http site P -'],
        ['for="\\1' . '0' x 70 . '"',                     '127.0.0.1 http site P C'],
        ['for=9.9.9.9;host="\\' . 'a' x 264 . '"',        '9.9.9.9 http ' . 'a' x 264 . ' P -'],
        ['for=9.9.9.9;host="\\' . 'a' x 265 . '"',        '9.9.9.9 http site P -'],
        ['for=9.9\.9.9',                               '127.0.0.1 http site P C'],
        ['for=9.9.9.9;host=a\.b',                      '127.0.0.1 http site P C'],

        # what the client sent ahead opens a quote that the proxy's part closes
        ['for=6.6.6.6;x=", for=9.9.9.9;host="a"',                  '9.9.9.9 http a P -'],
        ['for=6.6.6.6;x=", for=9.9.9.9;host=";y=_,for=7.7.7.7;z="',
            '9.9.9.9 http ;y=_,for=7.7.7.7;z= P -'],
        ['for=6.6.6.6;x="\\, for=9.9.9.9;proto=https',           '9.9.9.9 https site 443 -'],
        ["for=6.6.6.6;x=\"\r\nForwarded: for=9.9.9.9;host=\"a\"", '9.9.9.9 http a P -'],

        # malformed: nothing of the element is believed
        ['for=9.9.9.9;for=6.6.6.6',        '127.0.0.1 http site P C'],
        ['for="9.9.9.9',                   '127.0.0.1 http site P C'],
        ['for=9.9.9.9"',                   '127.0.0.1 http site P C'],
        ['for="9.9.9.9"x;proto=https',     '127.0.0.1 http site P C'],
        ['for;proto=https',                '127.0.0.1 http site P C'],
        ['for=;proto=https',               '127.0.0.1 http site P C'],
        ['for=6.6.6.6, for=127.0.0.1;;=',  '127.0.0.1 http site P C'],
        [';for=9.9.9.9;;proto=https;',     '9.9.9.9 https site 443 -'],
    );
    is(seen("Forwarded: $_->[0]\r\n"), $_->[1], $_->[0]) for @cases;
    is(
        seen("X-Forwarded-For: 9.9.9.9\r\n"),
        '127.0.0.1 http site P C',
        'X-Forwarded-For is not read'
    );
    $server->stop_ok;
};

subtest 'a number of hops' => sub {
    serve(trusted_proxies => 1);
    my @one = (
        ['9.9.9.9',                   '9.9.9.9 http site P -'],
        ['6.6.6.6, 9.9.9.9',          '9.9.9.9 http site P -'],
        ["6.6.6.6\r\nX-Forwarded-For: 9.9.9.9", '9.9.9.9 http site P -'],
        ['9.9.9.9, nonsense',         '127.0.0.1 http site P C'],
    );
    is(seen("X-Forwarded-For: $_->[0]\r\n"), $_->[1], "1: $_->[0]") for @one;
    is(seen(''), '127.0.0.1 http site P C', '1: nothing said');
    is(
        seen("X-Forwarded-For: 6.6.6.6, 9.9.9.9\r\nX-Forwarded-Proto: http, https\r\n"),
        '9.9.9.9 https site 443 -',
        '1: the scheme of the same hop'
    );
    $server->stop_ok;
    serve(trusted_proxies => 2);
    my @two = (
        ['6.6.6.6, 9.9.9.9, 10.0.0.1', '9.9.9.9 http site P -'],
        ['9.9.9.9, 10.0.0.1',          '9.9.9.9 http site P -'],
        ['9.9.9.9',                    '9.9.9.9 http site P -'],
    );
    is(seen("X-Forwarded-For: $_->[0]\r\n"), $_->[1], "2: $_->[0]") for @two;
    $server->stop_ok;
    for my $hops (1, 2) {
        $server = start_server(
            by    => 'program',
            code  => $app,
            flags => ['--listen', '127.0.0.1:0,proxy_protocol', '--trusted-proxies', $hops]
        );
        $port = $server->port;
        is(
            seen(
                "X-Forwarded-For: 6.6.6.6, 9.9.9.9\r\n",
                before => "PROXY TCP4 192.0.2.1 198.51.100.1 1234 8443\r\n"
            ),
            $hops == 1 ? '192.0.2.1 http site 8443 1234' : '9.9.9.9 http site 8443 -',
            "$hops: a PROXY header counts for one"
        );
        $server->stop_ok;
    }
};

subtest 'clients that are trusted like proxies are warned of' => sub {
    for my $networks ('0.0.0.0/0', '10.0.0.1, ::/0', '10.0.0.0/7') {
        serve(trusted_proxies => $networks);
        my ($network) = $networks =~ m{(\S+/\d)\z};
        ok($server->stderr_like(qr/^sprig: trusted_proxies has \Q$network\E: clients /m), $networks);
        $server->stop_ok;
    }
    serve(trusted_proxies => '10.0.0.0/8, fc00::/7, unix');
    is(seen(''), '127.0.0.1 http site P C', 'private networks');
    unlike($server->stderr, qr/trusted_proxies/, 'are not');
    $server->stop_ok;
};

subtest 'a unix socket' => sub {
    my $path = SprigTest::temp_path('socket');
    my $tcp  = '127.0.0.1:0';
    $server = start_server(
        by    => 'program',
        code  => $app,
        flags => ['--listen', $tcp, '--listen', $path, '--trusted-proxies', 'unix']
    );
    $port = $server->port;
    my $unix = sub { SprigTest::Client->adopt(IO::Socket::UNIX->new(Peer => $path)) };
    like(seen("X-Forwarded-For: 9.9.9.9\r\n", client => $unix->()), qr/\A9\.9\.9\.9 /,
        'is trusted');
    like(seen("X-Forwarded-For: 9.9.9.9\r\n"), qr/\A127\.0\.0\.1 /, 'the address is not');
    $server->stop_ok;
};

my $v1 = "PROXY TCP4 192.0.2.1 198.51.100.1 1234 8443\r\n";
my $v2 = "\r\n\r\n\0\r\nQUIT\n";

subtest 'the PROXY protocol' => sub {
    my $serve = sub {
        $server = start_server(
            by    => 'program',
            code  => $app,
            flags => ['--listen', '127.0.0.1:0,proxy_protocol', @_]
        );
        $port = $server->port;
    };
    $serve->('--trusted-proxies', '127.0.0.1,192.0.2.0/24');
    my @cases = (
        ['version 1', $v1, '192.0.2.1 http site 8443 1234'],
        [
            'version 1, IPv6',
            "PROXY TCP6 2001:db8::1 2001:db8::2 1 443\r\n",
            '2001:db8::1 http site 443 1'
        ],
        ['unknown',                "PROXY UNKNOWN\r\n",               '127.0.0.1 http site P C'],
        ['unknown with addresses', "PROXY UNKNOWN 1::1 1::2 1 2\r\n", '127.0.0.1 http site P C'],
        [
            'version 2',
            $v2 . "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\1\x04\xd2\x01\xbb",
            '192.0.2.1 http site 443 1234'
        ],
        [
            'version 2 with more',
            $v2 . "\x21\x11\0\x0f\xc0\0\2\1\xc6\x33\x64\1\x04\xd2\x01\xbb\4\0\0",
            '192.0.2.1 http site 443 1234'
        ],
        [
            'version 2, IPv6',
            $v2 . "\x21\x21\0\x24" . "\x20\1" x 16 . "\0\1\0\2",
            '2001:2001:2001:2001:2001:2001:2001:2001 http site 2 1'
        ],
        ['version 2, local', $v2 . "\x20\0\0\0",                     '127.0.0.1 http site P C'],
        [
            'version 2 with 4,096 bytes',
            $v2
                . "\x21\x11\x10\x00\xc0\0\2\1\xc6\x33\x64\1\x04\xd2\x01\xbb"
                . "\xea\x0f\xf1"
                . 'x' x 4081,
            '192.0.2.1 http site 443 1234'
        ],
        [
            'version 2 with one more',
            $v2 . "\x21\x11\x10\x01\xc0\0\2\1\xc6\x33\x64\1\x04\xd2\x01\xbb" . 'x' x 4085, 400
        ],
        [
            'version 1, IPv4 in IPv6',
            "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:192.0.2.2 1234 8443\r\n",
            '192.0.2.1 http site 8443 1234'
        ],
        [
            'version 2, IPv4 in IPv6',
            $v2
                . "\x21\x21\0\x24"
                . ("\0" x 10 . "\xff\xff\xc0\0\2\1") x 2
                . "\x04\xd2\x01\xbb",
            '192.0.2.1 http site 443 1234'
        ],
        ['none',             '',                                     400],
        ['another word',     "PROXIES TCP4 1.1.1.1 2.2.2.2 1 2\r\n", 400],
        ['no such address',  "PROXY TCP4 1.1.1.256 2.2.2.2 1 2\r\n", 400],
        ['an address of the other kind', "PROXY TCP4 ::1 ::2 1 2\r\n",             400],
        ['no such port',                 "PROXY TCP4 1.1.1.1 2.2.2.2 1 65536\r\n", 400],
        ['too few words',                "PROXY TCP4 1.1.1.1 2.2.2.2 1\r\n",       400],
        ['too many words',               "PROXY TCP4 1.1.1.1 2.2.2.2 1 2 3\r\n",   400],
        ['two spaces',                   "PROXY TCP4  1.1.1.1 2.2.2.2 1 2\r\n",    400],
        ['LF only',                      "PROXY TCP4 1.1.1.1 2.2.2.2 1 2\n",       400],
        ['too long',                     'PROXY UNKNOWN ' . 'x' x 100 . "\r\n",    400],
        ['version 3',                    $v2 . "\x31\x11\0\x0c" . 'a' x 12,        400],
        ['version 2, too short',         $v2 . "\x21\x11\0\x04aaaa",               400],
        ['version 2, too long',          $v2 . "\x21\x11\xff\xff",                 400],
        ['twice',                        $v1 . $v1,                                400],
    );
    for my $case (@cases) {
        my ($name, $before, $expected) = @$case;
        is(seen('', before => $before), $expected, $name) if $name ne 'twice';
        next if length $before > 1000;
        my $client = $server->connect;
        for my $byte (split //, $before) {
            $client->send($byte);
            $client->poll;
        }
        is(seen('', client => $client), $expected, "$name, byte by byte");
    }
    is(
        seen("X-Forwarded-For: 9.9.9.9\r\n", before => $v1),
        '9.9.9.9 http site 8443 -',
        'with a proxy before it'
    );
    for my $untold ("PROXY UNKNOWN\r\n", "PROXY UNKNOWN 1::1 1::2 1 2\r\n", "$v2\x20\0\0\0",
        "$v2\x21\0\0\0", "$v2\x21\x31\0\xd8" . 'a' x 216)
    {
        is(
            seen("X-Forwarded-For: 9.9.9.9\r\nX-Forwarded-Proto: https\r\n", before => $untold),
            '127.0.0.1 http site P C',
            'where the header does not name the client, the client is not believed'
        );
    }
    my $client = $server->connect;
    $client->send($v1);
    for (1 .. 2) {
        $client->send("GET / HTTP/1.1\r\nHost: site\r\n\r\n");
        like($client->response->body, qr/\A192\.0\.2\.1 /, 'it holds for the connection');
    }
    $client->send("${v1}GET / HTTP/1.1\r\nHost: site\r\n\r\n");
    is($client->response->status, 400, 'and stands at its start only');
    $server->connect->close;
    $server->stop_ok;

    $serve->('--trusted-proxies', '127.0.0.2');
    is(seen('', before => $v1), 400, 'from trusted proxies only');
    ok($server->stderr_like(qr/400 for 127\.0\.0\.1: PROXY protocol: the peer is not one of/),
        'logged');
    $server->stop_ok;
    serve(trusted_proxies => '127.0.0.1');
    is(seen('', before => $v1), 400, 'and only where it was asked for');
    $server->stop_ok;

    for my $flags ([], ['--workers', 2]) {
        is(
            SprigTest::output_of(
                SprigTest::root() . '/blib/script/sprig', @$flags,
                '--listen',                               '127.0.0.1:0,proxy_protocol',
                '-e',                                     'sub { [200, [], []] }'
            ),
            'sprig: cannot listen on 127.0.0.1:0,proxy_protocol: proxy_protocol needs trusted_proxies, '
                . "the addresses of those that may send PROXY headers\n",
            "without trusted_proxies it does not start (@$flags)"
        );
    }
};

# The log names the client, not the proxy, wherever the head of the request was understood.
subtest 'messages name the client' => sub {
    $server = start_server(
        by    => 'program',
        code  => $app,
        flags => [
            '--listen', '127.0.0.1:0,proxy_protocol', '--trusted-proxies', '127.0.0.1,192.0.2.1',
            '--max-body-bytes', 10
        ]
    );
    $port = $server->port;
    my $post = "POST / HTTP/1.1\r\nHost: a\r\n";
    my @cases = (
        ['bare LF in a head',  "GET / HTTP/1.1\n", '192.0.2.1: bare LF'],
        ['a body that breaks', "${post}Content-Length: 5\r\n\r\nab", '192.0.2.1: connection closed'],
        ['too large a body',   "${post}Content-Length: 11\r\n\r\n",  '192.0.2.1: max_body_bytes'],
        [
            'too large a body behind two proxies',
            "${post}X-Forwarded-For: 9.9.9.9\r\nContent-Length: 11\r\n\r\n",
            '9.9.9.9: max_body_bytes'
        ],
        [
            'a body that breaks behind two proxies',
            "${post}X-Forwarded-For: 9.9.9.9\r\nContent-Length: 5\r\n\r\nab",
            '9.9.9.9: connection closed'
        ],
    );
    for my $case (@cases) {
        my ($name, $bytes, $expected) = @$case;
        my $from   = length $server->stderr;
        my $client = $server->connect;
        $client->send($v1 . $bytes);
        $client->half_close;
        ok($server->stderr_like(qr/^sprig: 4\d\d for \Q$expected\E/m, from => $from), $name);
    }
    $server->stop_ok;
};

subtest 'an IPv4 client of a socket for both families has an IPv4 address' => sub {
    my $both;
    socket($both, AF_INET6, SOCK_STREAM, 0)
        && setsockopt($both, IPPROTO_IPV6, IPV6_V6ONLY, pack 'i', 0)
        && bind($both, pack_sockaddr_in6(0, IN6ADDR_ANY))
        && listen($both, 50)
        or plan skip_all => "no socket for both families: $!";
    my $master = start_workers(
        code    => $app,
        listen  => [],
        flags   => ['--trusted-proxies', '127.0.0.1', '--access-log', 'log'],
        prepare => sub {
            POSIX::dup2(POSIX::dup(fileno $both), 3);
            @ENV{qw(LISTEN_FDS LISTEN_PID)} = (1, $$);
        }
    );
    my $ask = sub {
        my ($headers) = @_;
        my $client = SprigTest::Client->connect('127.0.0.1', $master->port);
        $client->send("GET / HTTP/1.1\r\nHost: site\r\n$headers\r\n");
        return $client->response->body;
    };
    like($ask->(''), qr/\A127\.0\.0\.1 http /, 'in the env');
    like($ask->("X-Forwarded-For: 9.9.9.9\r\n"), qr/\A9\.9\.9\.9 /, 'where proxies are looked for');
    my $client = SprigTest::Client->connect('127.0.0.1', $master->port);
    $client->send("nonsense\r\n\r\n");
    is($client->response->status, 400, 'a bad request');
    ok(eventually(sub { $master->stderr =~ /400 for 127\.0\.0\.1: /m }), 'in the log');
    my $hosts = sub { join ' ', sort { $a cmp $b } SprigTest::slurp($master->path('log')) =~ /^(\S+)/mg };
    ok(eventually(sub { $hosts->() eq '127.0.0.1 127.0.0.1 9.9.9.9' }), 'in the access log');
    $master->ends_ok;
};

subtest 'wrong networks are refused at the start' => sub {
    for my $bad ('10.0.0.0/33', '0', '33', '1,2', '-1', '10.0.0', 'host.example', '::1/129', '1.2.3.4/', '1.2.3.4/x') {
        my $out = SprigTest::output_of(SprigTest::root() . '/blib/script/sprig',
            '--trusted-proxies', $bad);
        my $item = $bad eq '1,2' ? 1 : $bad;
        is(
            $out,
            'sprig: trusted_proxies must be a list of addresses and networks, or a number of hops from '
                . "1 to 32, got '$item'\n",
            "'$bad'"
        );
    }
};

done_testing;
