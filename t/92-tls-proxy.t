# A proxy that passes TLS on, and says in front of the handshake for whom: the PROXY protocol.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use Socket qw(inet_aton);
use SprigTest;
use SprigTest::OverTls;
use SprigTest::Probe qw(get);
use SprigTest::Tls;
use Test::More;

need_tls();
plan skip_all => 'needs Net::SSLeay' if !eval { require Net::SSLeay };

my $certificate = certificate();

sub start {
    my (%option) = @_;
    return start_server(
        by   => 'program',
        code =>
            'sub { my $env = shift; [200, [], [join " ", @$env{qw(REMOTE_ADDR REMOTE_PORT psgi.url_scheme)}]] }',
        flags => [
            '--listen',          '127.0.0.1:0,tls,proxy_protocol',
            '--tls-cert',        $certificate->{both},
            '--trusted-proxies', $option{trusted} || '127.0.0.1',
            @{ $option{flags} || [] }
        ],
    );
}

my $v1    = "PROXY TCP4 192.0.2.7 198.51.100.1 4711 443\r\n";
my $magic = "\r\n\r\n\0\r\nQUIT\n";
my $v2 =
      $magic
    . pack('CCn', 0x21, 0x11, 12 + 5)
    . inet_aton('192.0.2.8')
    . inet_aton('198.51.100.1')
    . pack('nn', 4712, 443)
    . pack('Cna2', 4, 2, "\0\0");
my $local   = $magic . pack('CCn', 0x20, 0, 0);
my $unknown = "PROXY UNKNOWN\r\n";

sub tcp {
    my ($server) = @_;
    return IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->port)
        || die "cannot connect: $@";
}

# The answer to who puts these pieces in front of the handshake.
sub seen {
    my ($server, @pieces) = @_;
    my $socket = tcp($server);
    $socket->autoflush(1);
    for my $piece (@pieces) {
        syswrite $socket, $piece;
        select undef, undef, undef, 0.02 if @pieces > 1;
    }
    my $client = SprigTest::OverTls->adopt($socket);
    return $client->error if $client->error;
    $client->send(get('/', 'Connection: close'));
    return $client->response->body;
}

my $server = start();

subtest 'the client is who the proxy says' => sub {
    like seen($server, $v1), qr/^192\.0\.2\.7 4711 https$/, 'version 1';
    like seen($server, $v2), qr/^192\.0\.2\.8 4712 https$/, 'version 2';
    is seen($server, split //, $_), seen($server, $_), 'byte by byte' for $v1, $v2;
    like seen($server, $_), qr/^127\.0\.0\.1 \d+ https$/, 'it names nobody' for $local, $unknown;
};

subtest 'what is not right' => sub {
    for my $bytes ('', "PROXY TCP4 nonsense\r\n", 'x' x 200) {
        like seen($server, $bytes), qr/handshake/,
            'no handshake behind "' . substr($bytes, 0, 10) . '"';
    }
    ok $server->stderr_like(qr/no TLS for 127\.0\.0\.1: PROXY protocol/), 'and a line in the log';
    my $socket = tcp($server);
    syswrite $socket, $v1 . get('/');
    like(SprigTest::Client->adopt($socket)->rest, qr/^HTTP\/1\.1 400 /, 'plain HTTP is told so');
};

subtest 'slow and silent' => sub {
    my $slow = start(flags => ['--tls-handshake-timeout', 0.3]);
    for my $bytes ('', 'PROXY TCP4', $v1) {
        my $socket = tcp($slow);
        syswrite $socket, $bytes;
        ok(SprigTest::Client->adopt($socket)->is_closed,
            'tls_handshake_timeout, "' . substr($bytes, 0, 10) . '"');
    }
    $slow->stop_ok;
};
$server->stop_ok;

subtest 'from others' => sub {
    my $strict = start(trusted => '192.0.2.0/24');
    like seen($strict, $v1), qr/handshake/, 'no handshake';
    ok $strict->stderr_like(
        qr/no TLS for 127\.0\.0\.1: PROXY protocol: the peer is not one of trusted_proxies/),
        'and a line in the log';
    $strict->stop_ok;
};

done_testing;
