# The access log as JSON and by syslog: always valid, whatever a client sends, and nothing is lost of it.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::UNIX;
use JSON::PP;
use Socket qw(SOCK_DGRAM);
use SprigTest;
use SprigTest::Program;
use SprigTest::Redirected;
use SprigTest::Tls ();
use Test::More;

my @here = ('-l', '127.0.0.1:0');
my $app  = app_file(<<'END');
sub {
    my ($env) = @_;
    $env->{REMOTE_USER} = qq{"joe\\\xff"} if $env->{PATH_INFO} eq '/user';
    return [200, ['Content-Length' => 3], ["x\n\n"]];
}
END

# A server with such a log, and what brings its lines.
sub started {
    my ($path, @args) = @_;
    my $server = start_redirected({}, @here, '--access-log', $path, @args, $app);
    my $lines  = sub {
        my ($n) = @_;
        $server->eventually(sub { (() = slurp($path) =~ /\n/g) >= $n });
        return split /\n/, slurp($path);
    };
    return ($server, $lines);
}

# Bytes as the log shows them.
sub shown { return $_[0] =~ s/([^\x20-\x7e]|["\\])/sprintf '\\x%02X', ord $1/ger }

subtest 'the names of OpenTelemetry' => sub {
    my $path = SprigTest::temp_path('log');
    my ($server, $lines) = started($path, '--access-log-format', 'json');
    $server->ask(
        "GET /user?a=b HTTP/1.1\r\nHost: example.org:8080\r\nUser-Agent: t\r\nConnection: close\r\n\r\n"
    );
    $server->ask("GET /no%20host HTTP/1.1\r\n\r\n");
    $server->ask("\x16\x03 no request\r\n\r\n");
    my ($good, $bad, $none) = map { decode_json($_) } $lines->(3);
    my %expected = (
        'client.address'              => '127.0.0.1',
        'user.name'                   => '\x22joe\x5C\xFF\x22',
        'http.request.method'         => 'GET',
        'url.path'                    => '/user',
        'url.query'                   => 'a=b',
        'network.protocol.version'    => '1.1',
        'tls.protocol.version'        => undef,
        'tls.cipher'                  => undef,
        'sprig.refused'               => undef,
        'server.address'              => 'example.org',
        'server.port'                 => $server->{port},
        'http.response.status_code'   => 200,
        'http.response.body.size'     => 3,
        'user_agent.original'         => 't',
        'http.request.header.referer' => undef,
        'sprig.request_id'            => undef,
        'sprig.request.raw'           => undef,
        'process.pid'                 => $server->pid,
    );
    is $good->{$_}, $expected{$_}, $_ for sort keys %expected;
    like delete $good->{timestamp}, qr/\A\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z\z/, 'timestamp';

    for my $time (map { delete $good->{$_} } 'http.server.request.duration',
        map { "sprig.${_}_time" } qw(queue app send))
    {
        ok $time >= 0 && $time < 5, "a time in seconds: $time";
    }
    is_deeply [sort keys %$good], [sort grep { defined $expected{$_} } keys %expected],
        'nothing else: what is not known is left out';
    is $bad->{'http.response.status_code'}, 400,   'a request that was refused';
    is $none->{'http.request.method'},      undef, 'what is no request has no method';
    like $none->{'sprig.request.raw'}, qr/no request/, 'but is shown';
    $server->stop_ok;
};

subtest '1000 hostile requests: every line parses and holds the bytes' => sub {
    my $path = SprigTest::temp_path('log');
    my ($server, $lines) = started($path, '--access-log-format', 'json');
    srand 4711;
    my (@sent, $client);
    for my $i (1 .. 1000) {
        my $odd   = join '', map { chr(1 + int rand 255) } 1 .. 1 + int rand 40;
        my $value = $odd =~ s/[\x00-\x08\x0a-\x1f\x7f]//gr =~ s/\A[ \t]+|[ \t]+\z//gr;
        my $path  = join '', map { sprintf '%%%02x', ord } split //, $odd;
        $client = $server->connect if $i % 100 == 1;
        $client->send("GET /$path?$i HTTP/1.1\r\nHost: x\r\nUser-Agent: $value\r\n\r\n");
        $client->response;
        push @sent, ["/$odd", $value];
    }
    my @got = $lines->(1000);
    is scalar @got, 1000, 'a line for each';
    my $n_wrong = 0;
    for my $i (0 .. $#got) {
        my $line = eval { decode_json($got[$i]) };
        my ($odd, $value) = @{ $sent[$i] };
        my $is_right =
               $line
            && $line->{'url.path'} eq shown($odd)
            && ($line->{'user_agent.original'} // '') eq shown($value);
        diag "$got[$i]\n" . shown($odd) . ' ' . shown($value) if !$is_right && !$n_wrong++;
    }
    is $n_wrong, 0, 'all are right';
    $server->stop_ok;
};

subtest 'times and versions in formats of text' => sub {
    my $path = SprigTest::temp_path('log');
    my ($server, $lines) =
        started($path, '--access-log-format',
        '%{queue}x %{app}x %{send}x %{http_version}x %{tls_protocol}x %{iso_time}x');
    $server->ask("GET / HTTP/1.0\r\n\r\n");
    my ($line) = $lines->(1);
    like $line, qr/\A\d+ \d+ \d+ 1\.0 - \d{4}-\d\d-\d\dT[0-9:.]{12}Z\z/, 'the line';
    $server->stop_ok;
    my $run = run_program(@here, '--access-log-format', '%{nothing}x', $app);
    is $run->{err}, "sprig: access_log_format: there is no directive '%{nothing}x'\n", 'an unknown name';
};

subtest 'why a request was refused' => sub {
    my $path = SprigTest::temp_path('log');
    my ($server, $lines) =
        started($path, '--access-log-format', '%s "%{refused}x"', '--max-body-bytes', 10);
    $server->ask("GET / HTTP/1.0\r\n\r\n");
    $server->ask("POST / HTTP/1.0\r\nContent-Length: 11\r\n\r\n");
    $server->ask("GET / HTTP/1.1\r\n\r\n");
    is_deeply [$lines->(3)],
        ['200 "-"', '413 "max_body_bytes: the announced body is too large"',
        '400 "no Host header"'], 'in a format of text';
    $server->stop_ok;
    unlink $path;
    ($server, $lines) = started($path, '--access-log-format', 'json', '--max-body-bytes', 10);
    $server->ask("POST / HTTP/1.0\r\nContent-Length: 11\r\n\r\n");
    is decode_json(($lines->(1))[0])->{'sprig.refused'},
        'max_body_bytes: the announced body is too large', 'in JSON';
    $server->stop_ok;
};

subtest 'TLS' => sub {
    plan skip_all => 'this Sprig was built without OpenSSL' if !SprigTest::Tls::has_tls();
    plan skip_all => 'there is no openssl'                  if !defined tool_path('openssl');
    plan skip_all => 'there is no curl'                     if !defined tool_path('curl');
    my $path = SprigTest::temp_path('log');
    my ($server, $lines) = started($path, '--access-log-format', '%{tls_protocol}x %{tls_cipher}x',
        '--tls-cert', SprigTest::Tls::certificate()->{both});
    my $curl = tool_path('curl');
    system "$curl -sk --tls-max 1.2 https://127.0.0.1:$server->{port}/ >/dev/null";
    system "$curl -sk --http1.1 https://127.0.0.1:$server->{port}/ >/dev/null";
    my @got = $lines->(2);
    like $got[0], qr/\ATLSv1\.2 ECDHE-\S+\z/, 'protocol and cipher of TLS 1.2';
    like $got[1], qr/\ATLSv1\.3 TLS_\S+\z/,   'of TLS 1.3';
    $server->stop_ok;
};

subtest 'syslog: a datagram for each line; without anybody there, requests go on' => sub {
    my $path   = SprigTest::temp_path('syslog');
    my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path) or die "socket: $!";
    my $server =
        start_redirected({}, @here, '--access-log', "syslog:unix:$path", '--access-log-format',
        '%r', $app);
    $socket->blocking(0);
    my @got;
    my $take = sub {
        push @got, $_[0] while defined recv $socket, $_[0], 65536, 0;
        return @got;
    };
    $server->ask("GET /$_ HTTP/1.0\r\n\r\n") for 1 .. 3;
    ok $server->eventually(sub { $take->() == 3 }), 'three datagrams';
    like $got[2], qr{\A<30>1 \S+Z \S+ sprig [0-9]+ - - GET /3 HTTP/1\.0\z}, 'as RFC 5424 has it';

    is scalar(grep { $server->ask("GET /full$_ HTTP/1.0\r\n\r\n")->status == 200 } 1 .. 50), 50,
        'nobody takes them: requests are answered';
    @got = ();
    ok $server->eventually(sub {
        grep { m{/full50 } } $take->();
        }),
        'the lines have waited';
    is scalar @got, 50, 'all of them';

    close $socket;
    unlink $path;
    is $server->ask("GET /gone HTTP/1.0\r\n\r\n")->status, 200, 'the daemon is gone: answered';
    $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path) or die "socket: $!";
    $socket->blocking(0);
    @got = ();
    ok $server->eventually(sub {
        grep { m{/gone } } $take->();
        }),
        'it is back, and gets the line';
    $server->stop_ok;
};

subtest 'log_buffer_bytes' => sub {
    pipe my $reader, my $writer or die "pipe: $!";
    my $server =
        start_redirected({ 1 => $writer }, @here, qw(--access-log - --log-buffer-bytes 4096), $app);
    close $writer;
    my $long = '/' . 'x' x 4000;
    is scalar(grep { $server->ask("GET $long HTTP/1.0\r\n\r\n")->status == 200 } 1 .. 40), 40,
        'answered';
    ok $server->stderr_like(qr/nobody reads it; lines are lost/), 'more than fits is lost';
    $server->stop_ok;
};

subtest 'a unix socket has no port' => sub {
    my $path   = SprigTest::temp_path('log');
    my $socket = SprigTest::temp_path('socket');
    my ($server, $lines) = started($path, '--access-log-format', 'json', '--listen', $socket);
    my $connected;
    $server->eventually(sub { $connected = IO::Socket::UNIX->new(Peer => $socket) });
    my $client = SprigTest::Client->adopt($connected);
    $client->send("GET / HTTP/1.1\r\nHost: [::1]:80\r\nConnection: close\r\n\r\n");
    $client->rest;
    my ($line) = map { decode_json($_) } $lines->(1);
    is_deeply [@{$line}{qw(server.address server.port)}], ['[::1]', undef], 'so the log has none';
    $server->stop_ok;
};

done_testing;
