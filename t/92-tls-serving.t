# HTTPS: the right bytes, the env, several ways to start, large bodies both ways, streams, and how
# connections end.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::MD5 qw(md5_hex);
use SprigTest;
use SprigTest::Tls;
use SprigTest::Workers;
use Test::More;
use Time::HiRes ();

need_tls('curl');

my $ec   = certificate();
my $rsa  = certificate(key => 'rsa');
my $file = spew(SprigTest::temp_path('file'), join '', map { chr($_ * 7 % 251) x 4099 } 1 .. 1600);

my $app = <<'END';
my $file = $ENV{TEST_FILE};
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [200, [], [join ' ', map { defined $env->{$_} ? $env->{$_} : '-' } split /,/, $env->{QUERY_STRING}]]
        if $path eq '/env';
    if ($path eq '/file') {
        open my $fh, '<:raw', $file or die;
        return [200, ['Content-Length' => -s $file], $fh];
    }
    if ($path eq '/length') {
        my ($n, $chunk) = (0);
        $n += length $chunk while $env->{'psgi.input'}->read($chunk, 8192);
        return [200, [], [$n]];
    }
    if ($path eq '/ticks') {
        return sub {
            my $writer = $_[0]->([200, []]);
            for my $n (1 .. 3) { $writer->write("tick $n\n"); select undef, undef, undef, 0.6 }
            $writer->close;
        };
    }
    if ($path eq '/die') {
        return sub {
            my $writer = $_[0]->([200, []]);
            $writer->write('x' x 100);
            die "no more\n";
        };
    }
    return [200, [], ['hello']];
}
END

sub start {
    my (%option) = @_;
    my $args = $option{args} || {};
    return start_server(
        code => $app,
        env  => { TEST_FILE => $file },
        %option,
        args => { tls_cert => $ec->{both}, %$args }
    );
}

for my $by (qw(module program plackup)) {
    subtest "started by $by" => sub {
        my $server = start(by => $by);
        is https($server, $ec, '/'), 'hello', 'the answer';
        is https($server, $ec, '/env?psgi.url_scheme,HTTPS,SERVER_PORT,REMOTE_ADDR'),
            'https on ' . $server->port . ' 127.0.0.1', 'the env says that it is https';
        $server->stop_ok;
    };
}

subtest 'bytes' => sub {
    my $server = start();
    is md5_hex(https($server, $ec, '/file')), md5_hex(slurp($file)), 'a large file';
    is md5_hex(https($server, $ec, '/file', '--http1.0')), md5_hex(slurp($file)),
        '... over HTTP/1.0, which ends with the connection';
    is https($server, $ec, '/length', '--data-binary', "\@$file"), -s $file, 'a large upload';
    is https($server, $ec, '/length', '-T',            $file),     -s $file, '... with Expect';
    is https($server, $ec, '/[1-20]'), 'hello' x 20, 'one connection for several requests';
    $server->idle_ok('nothing spins behind them');
    $server->stop_ok;
};

subtest 'versions' => sub {
    my $server = start();
    for my $version (qw(1_2 1_3)) {
        like s_client($server, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
            "-tls$version"),
            qr/^hello/m, "TLS $version";
    }
    unlike s_client($server, "GET / HTTP/1.0\r\n\r\n", '-tls1_1', '-cipher', 'ALL:@SECLEVEL=0'),
        qr/hello/, 'TLS 1.1 is refused';
    $server->stop_ok;
};

subtest 'an app that writes and works' => sub {
    my $server = start();
    my $pid    = open my $out, '-|', 'curl', '-sSN', '-k', '--http1.1', '--max-time', 20,
        $server->url('/ticks')
        or die "curl: $!";
    my ($first) = scalar readline $out;
    my $begun   = Time::HiRes::time();
    my @rest    = readline $out;
    is join('', $first, @rest), "tick 1\ntick 2\ntick 3\n", 'all came';
    cmp_ok Time::HiRes::time() - $begun, '>', 0.2, 'the first line while the app was at work';
    close $out;
    $server->stop_ok;
};

subtest 'a response that breaks off' => sub {
    my $server = start();
    isnt https($server, $ec, '/die', '--http1.0', '-w', '%{http_code}', '-o', '/dev/null'), '200',
        'does not look complete';
    my $said = s_client($server, "GET /die HTTP/1.0\r\n\r\n");
    unlike $said, qr/^closed$/m, 'no close_notify';
    $server->stop_ok;
};

subtest 'an answer that ends with the connection' => sub {
    my $server = start();
    my $said   = s_client($server, "GET / HTTP/1.0\r\n\r\n");
    like $said,   qr/^hello/m,        'the body';
    like $said,   qr/closed$/m,       'close_notify';
    unlike $said, qr/unexpected eof/, 'no truncation';
    $server->stop_ok;
};

subtest 'two kinds of keys, and a plain address beside' => sub {
    my $server = start(
        args => { tls_cert => "$ec->{cert},$rsa->{cert}", tls_key => "$rsa->{key},$ec->{key}" });
    like s_client($server, '', '-sigalgs', 'ECDSA+SHA256'), qr/Peer signature type: ECDSA/, 'ECDSA';
    like s_client($server, '', '-sigalgs', 'RSA-PSS+SHA256'), qr/Peer signature type: RSA/, 'RSA';
    $server->stop_ok;
};

subtest 'two workers' => sub {
    my $master = start_workers(workers => 2, flags => ['--tls-cert', $ec->{both}]);
    is curl('-k', 'https://127.0.0.1:' . $master->port . '/env'), '1 0 0', 'one of them answers';
    like $master->stderr, qr{: https://127\.0\.0\.1:}, 'the banner says https';
    $master->ends_ok;
};

done_testing;
