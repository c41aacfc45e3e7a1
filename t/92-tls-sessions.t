# Sessions that are resumed, in whichever process; versions, ciphers and what is not there.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe qw(eventually);
use SprigTest::Tls;
use SprigTest::Workers;
use Test::More;

need_tls();

my $certificate = certificate();
my $app         = 'sub { [200, [], ["hello"]] }';
my $request     = "GET /env HTTP/1.0\r\n\r\n";

# Asks, keeps the session in a file, and asks with it again: "New" or "Reused" each time.
sub sessions {
    my ($server, $version, $file, $n) = @_;
    my @seen;
    for my $turn (0 .. $n) {
        my $said = s_client($server, $request, "-tls$version", -e $file ? ('-sess_in', $file) : (),
            '-sess_out', "$file.new");
        push @seen, $said =~ /^(New|Reused), TLS/m ? $1 : "neither: $said";
        rename "$file.new", $file if -s "$file.new";
    }
    return @seen;
}

for my $version (qw(1_2 1_3)) {
    subtest "TLS $version over workers, reloads and upgrades" => sub {
        my $master = start_workers(workers => 2, flags => ['--tls-cert', $certificate->{both}]);
        my $file   = SprigTest::temp_path('session');
        is join(' ', sessions($master, $version, $file, 6)), join(' ', 'New', ('Reused') x 6),
            'whichever worker is asked';
        $master->signal('HUP');
        ok eventually(sub { $master->stderr =~ /reloaded: all workers are of generation 2/ }),
            'HUP';
        is join(' ', sessions($master, $version, $file, 2)), 'Reused Reused Reused',
            'after a reload';
        $master->signal('USR2');
        ok eventually(sub { $master->stderr =~ /upgraded: pid/ }), 'USR2';
        is join(' ', sessions($master, $version, $file, 2)), 'Reused Reused Reused',
            'after an upgrade';
        unlike $master->stderr, qr/is no option/, 'what is passed on is not taken for an option';
        my ($heir) = $master->stderr =~ /upgraded: pid ([0-9]+) serves/;
        kill TERM => $heir if $heir;
        ok eventually(sub { !is_running($heir) }), 'its heir ends';
        $master->ends_ok if !$heir;
    };
}

subtest 'a new ticket each time' => sub {
    my $server = start_server(code => $app, args => { tls_cert => $certificate->{both} });
    my $file   = SprigTest::temp_path('session');
    my @flags  = ('-tls1_3', '-ign_eof');
    my $first  = s_client($server, $request, @flags, '-sess_out', $file);
    like $first, qr/New Session Ticket arrived/, 'behind a full handshake';
    my $next = s_client($server, $request, @flags, '-sess_in', $file);
    like $next, qr/^Reused, TLSv1\.3/m,        'resumed';
    like $next, qr/New Session Ticket arrived/, 'and another one behind that: clients use each once';
    $server->stop_ok;
};

subtest 'tls_ticket_lifetime' => sub {
    my $off = start_server(
        code => $app,
        args => { tls_cert => $certificate->{both}, tls_ticket_lifetime => 0 }
    );
    is join(' ', sessions($off, '1_2', SprigTest::temp_path('session'), 1)), 'New New',
        '0: no session is resumed';
    $off->stop_ok;
    my $short = start_server(
        code => $app,
        args => { tls_cert => $certificate->{both}, tls_ticket_lifetime => 3 }
    );
    my $file = SprigTest::temp_path('session');
    is join(' ', sessions($short, '1_2', $file, 1)), 'New Reused', 'within it';
    select undef, undef, undef, 4.2;    # it counts whole seconds
    is join(' ', sessions($short, '1_2', $file, 0)), 'New', 'behind it';
    $short->stop_ok;
};

subtest 'versions and ciphers' => sub {
    my $server = start_server(
        code => $app,
        args => { tls_cert => $certificate->{both}, tls_min_version => '1.3' }
    );
    like s_client($server, $request, '-tls1_3'),   qr/^hello/m, 'tls_min_version: the one';
    unlike s_client($server, $request, '-tls1_2'), qr/^hello/m, 'and not the one before';
    $server->stop_ok;
    my $plain = start_server(
        code => $app,
        args => {
            tls_cert         => $certificate->{both},
            tls_ciphers      => 'ECDHE-ECDSA-AES256-GCM-SHA384',
            tls_ciphersuites => 'TLS_CHACHA20_POLY1305_SHA256',
            tls_groups       => 'P-384'
        }
    );
    like s_client($plain, $request, '-tls1_2'), qr/Cipher is ECDHE-ECDSA-AES256-GCM-SHA384/,
        'tls_ciphers';
    my $said = s_client($plain, $request, '-tls1_3');
    like $said, qr/Cipher is TLS_CHACHA20_POLY1305_SHA256/,     'tls_ciphersuites';
    like $said, qr/Server Temp Key: ECDH, (?:secp384r1|P-384)/, 'tls_groups';
    $plain->stop_ok;
    my $usual = start_server(code => $app, args => { tls_cert => $certificate->{both} });
    unlike s_client($usual, $request, '-tls1_2', '-cipher', $_), qr/^hello/m, "no $_"
        for qw(AES128-SHA ECDHE-ECDSA-AES128-SHA);
    like s_client($usual, $request, '-tls1_3'), qr/Early data was not sent|Max Early Data: 0/,
        'no early data';
    like s_client($usual, $request, '-alpn', 'http/1.1'), qr/ALPN protocol: http\/1\.1/, 'ALPN';
    like s_client($usual, $request, '-alpn', 'spdy/3'), qr/no application protocol|alert number 120/,
        'one that is not spoken';
    $usual->stop_ok;
};

subtest 'tls_ocsp' => sub {
    my $bad = SprigTest::temp_path('ocsp');
    spew($bad, 'nonsense');
    ok !eval {
        start_server(code => $app, args => { tls_cert => $certificate->{both}, tls_ocsp => $bad });
        1;
    }, 'nonsense is refused';
    like $@, qr/tls_ocsp: \S+: it is not an OCSP response/, 'with a reason';
    my $ca     = certificate(names => ['ca.test'],   is_ca => 1);
    my $signed = certificate(names => ['localhost'], by    => $ca);
    my $index  = spew(SprigTest::temp_path('index'), '');
    my $der    = SprigTest::temp_path('response');
    my $serial =
        output_of('openssl', 'x509', '-in', $signed->{cert}, '-noout', '-serial') =~ /=(\w+)/
        ? $1
        : '';
    spew($index,        "V\t301231235959Z\t\t$serial\tunknown\t/CN=localhost\n");
    spew("$index.attr", "unique_subject = no\n");
    output_of(
        'openssl', 'ocsp',          '-index',   $index,      '-rsigner', $ca->{cert},
        '-rkey',   $ca->{key},      '-CA',      $ca->{cert}, '-issuer',  $ca->{cert},
        '-cert',   $signed->{cert}, '-respout', $der,        '-ndays',   3
    );
    plan skip_all => 'openssl makes no response' if !-s $der;
    my $server =
        start_server(code => $app, args => { tls_cert => $signed->{both}, tls_ocsp => $der });
    like s_client($server, $request, '-status'), qr/OCSP Response Status: successful/,
        'is sent along';
    $server->stop_ok;
};

done_testing;
