# The admin listener: who may ask it, what it answers, and that it answers while Perl blocks.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP ();
use POSIX    ();
use SprigTest;
use SprigTest::Admin;
use SprigTest::Client;
use SprigTest::Program;
use SprigTest::Workers;
use Test::More;

-d '/proc/self' or plan skip_all => 'no /proc';

my $APP = <<'END';
use Time::HiRes ();
sub {
    my ($env) = @_;
    Time::HiRes::sleep($env->{QUERY_STRING}) if $env->{PATH_INFO} eq '/block';
    return [200, ['Content-Type' => 'text/plain'], ["$$"]];
};
END
my $COMMAND = 'Sprig-Control: 1';

subtest 'a unix socket' => sub {
    my $master = start_workers(code => $APP, flags => ['--admin', 'unix:ctl']);
    my $ctl    = $master->path('ctl');
    is sprintf('%03o', (stat $ctl)[2] & 0777), '600', 'is for its owner alone';
    is_deeply [ask($ctl, '/healthz')], [200, "alive\n"], '/healthz';
    is_deeply [ask($ctl, '/readyz')],  [200, "ready\n"], '/readyz';
    $master->serving(2);
    my $numbers = numbers($ctl);
    is_deeply [map { $_->{number} } @{ $numbers->{workers} }], [1, 2], 'stats.json has two workers';
    is_deeply [map { $_->{state} } @{ $numbers->{workers} }], [('serving') x 2], 'that serve';
    like scalar ask($ctl, '/metrics'), qr{^Content-Type: text/plain; version=0\.0\.4}m, '/metrics';
    like scalar ask($ctl, '/metrics', 'Accept: application/openmetrics-text'),
        qr{^Content-Type: application/openmetrics-text.*# EOF\n\z}ms, 'or as OpenMetrics';
    is +(ask($ctl, '/nothing'))[0],     404, 'another path is 404';
    for my $path (map { "/workers/$_/kill" } '-1', '+1', '1x', ' 1', '') {
        like scalar ask($ctl, "POST $path", $COMMAND), qr{\AHTTP/1\.1 40[04] (?!.*no worker)}s, "as is $path";
    }
    is +(ask($ctl, '/reload'))[0],      405, 'a command is no GET';
    is +(ask($ctl, 'POST /reload'))[0], 403, 'and needs a field that no form can send';
    is +(ask($ctl, 'PUT /x'))[0],       405, 'nor is there PUT';
    is +(ask($ctl, 'HEAD /status'))[1], '',  'HEAD has no body';
    like scalar ask($ctl, "GET /a\tb"), qr{\AHTTP/1\.1 400 }, 'what is no request is 400';
    like scalar ask($ctl, '/' . 'x' x 5000), qr{\AHTTP/1\.1 414 }, 'a line that is too long 414';
    $master->ends_ok;
};

subtest 'many connections' => sub {
    my $server = start_workers(workers => 1, code => $APP, flags => ['--admin', 'unix:ctl']);
    my @clients = map { $server->connect } 1 .. 300;
    ok eventually(sub { numbers($server->path('ctl'))->{totals}{connections} >= 300 }), '300 are open';
    my ($status, $body) = ask($server->path('ctl'), '/connections.json');
    my $told = JSON::PP::decode_json($body);
    is scalar @{ $told->{connections} }, 300, 'all are told';
    is $told->{left_out},                0,   'none is left out';
    my %named = map { $_->{client} => 1 } @{ $told->{connections} };
    is keys %named, 300, 'each by its client';
    $server->ends_ok;
};

subtest 'while all workers are blocked' => sub {
    my $master = start_workers(code => $APP, flags => ['--admin', 'unix:ctl']);
    my $ctl    = $master->path('ctl');
    $master->serving(2);
    my @clients;
    ok eventually(sub {
        push @clients, $master->connect;
        $clients[-1]->send(get('/block?8', 'Connection: close'));
        2 == grep { $_->{busy} > 1 } @{ numbers($ctl)->{workers} };
    }, 15), 'both are busy';
    like +(ask($ctl, '/stuck'))[1], qr{(worker \d+ \(pid \d+\): blocked for \d+\.\d s by GET /block\?8\n){1}},
        'it is told for how long, and by which request';
    is_deeply [map { $_->{state} } @{ numbers($ctl)->{workers} }], [('blocked') x 2],
        'their state is blocked';
    my ($status, $body) = ask($ctl, '/connections.json');
    is_deeply [sort @{ JSON::PP::decode_json($body)->{silent} }], [1, 2],
        'they cannot describe their connections';
    $master->ends_ok(signal => 'INT');
};

subtest 'connections' => sub {
    my $master = start_workers(code => $APP, flags => ['--admin', 'unix:ctl']);
    my $ctl    = $master->path('ctl');
    my @idle   = map { my $c = $master->connect; $c->send(get('/')); $c->response; $c } 1 .. 3;
    my ($status, $body) = ask($ctl, '/connections.json');
    my $list = JSON::PP::decode_json($body)->{connections};
    is scalar @$list, 3, 'three are open';
    is_deeply [map { $_->{state} } @$list], [('idle') x 3], 'idle';
    is_deeply [map { $_->{requests} } @$list], [(1) x 3], 'behind one request each';
    like $list->[0]{client}, qr/\A127\.0\.0\.1 \d+\z/, 'with the address of the client';
    like +(ask($ctl, '/connections'))[1], qr/\AWORKER +CLIENT.*(?:\n\d.* idle .*){3}\n\z/, 'as a table';
    $master->ends_ok;
};

subtest 'drain' => sub {
    my $master = start_workers(code => $APP, flags => ['--admin', 'unix:ctl']);
    my $ctl    = $master->path('ctl');
    is +(ask($ctl, 'POST /drain', $COMMAND))[0], 200, 'drain';
    is_deeply [ask($ctl, '/readyz')], [503, "not ready\n"], '/readyz says no';
    ok defined $master->body_of('/'), 'serving goes on';
    is +(ask($ctl, 'POST /undrain', $COMMAND))[0], 200, 'undrain';
    is +(ask($ctl, '/readyz'))[0], 200, '/readyz says yes';
    $master->ends_ok;
};

subtest 'a single process' => sub {
    my $ctl    = SprigTest::temp_path('ctl');
    my $server = start_program('-o', '127.0.0.1', '-p', 0, '--admin', "unix:$ctl", app_file($APP));
    is +(ask($ctl, '/readyz'))[0], 200, 'is ready';
    my $client = $server->connect;
    $client->send(get('/block?6', 'Connection: close'));
    ok eventually(sub { numbers($ctl)->{totals}{active} == 1 }), 'a request blocks it';
    is +(ask($ctl, '/healthz'))[0], 200, 'it answers meanwhile';
    ok eventually(sub { numbers($ctl)->{workers}[0]{state} eq 'blocked' }), 'its state is blocked';
    is +(ask($ctl, 'POST /reload', $COMMAND))[0], 409, 'a reload needs a master';
    is +(ask($ctl, 'POST /stop', $COMMAND))[0], 200, 'it can be told to end';
    ok eventually(sub { !$server->is_alive }), 'and does';
    ok !-e $ctl, 'its socket is gone';
};

subtest 'TCP' => sub {
    my $port  = SprigTest::Server::_free_port();
    my $where = "127.0.0.1:$port";
    my $master = start_workers(code => $APP, flags => ['--admin', $where]);
    is +(ask($where, '/readyz'))[0], 200, 'a loopback address needs no token';
    is +(ask($where, '/stats.json', 'Host: 127.0.0.1:1'))[0], 200, 'by its number';
    is +(ask($where, '/stats.json', 'Host: evil.example'))[0], 403, 'but not by another name';
    $master->ends_ok;

    my $run = run_program('--workers', 2, '-p', 0, '--admin', "0.0.0.0:$port", app_file($APP));
    isnt $run->{status}, 0, 'another address is refused';
    like $run->{err},
        qr{admin must be a unix socket or a loopback address unless admin_token_file is given, got '0\.0\.0\.0:$port'},
        'with a word on what is missing';
    $run = run_program('-p', 0, '--admin', "0.0.0.0:$port", app_file($APP));
    like $run->{err}, qr/admin must be a unix socket or a loopback address/, 'in a single process, too';
    $run = run_program('-p', 0, '--admin', "$where,$_", app_file($APP))
        and is $run->{err}, "sprig: admin must be an address alone, without ',$_'\n", "$_ is refused"
        for qw(tls proxy_protocol redirect);
};

subtest 'a socket of systemd' => sub {
    for my $n (1, 2) {
        my $path   = SprigTest::temp_path('systemd');
        my $socket = IO::Socket::UNIX->new(Local => $path, Listen => 5) or die "$path: $!";
        my $web    = IO::Socket::INET->new(LocalAddr => '127.0.0.1:0', Listen => 5) or die $!;
        my $master = start_workers(
            code    => $APP,
            workers => $n,
            listen  => [],
            prepare => sub {
                POSIX::dup2(fileno $socket, 50);
                POSIX::dup2(fileno $web,    51);
                POSIX::dup2(50 + $_, 3 + $_) for 0, 1;
                @ENV{qw(LISTEN_PID LISTEN_FDS LISTEN_FDNAMES)} = ($$, 2, 'admin:web');
            },
        );
        is +(ask($path, '/readyz'))[0], 200, "by the name of admin is the listener, $n workers";
        is scalar(() = $master->stderr =~ /^sprig \S+: /mg), 1, 'and is not served';
        $master->ends_ok;
    }
};

subtest 'with a token' => sub {
    my $port  = SprigTest::Server::_free_port();
    my $where = "127.0.0.1:$port";
    my $file  = spew(SprigTest::temp_path('token'), "0123456789abcdef\n");
    my $master =
        start_workers(code => $APP, flags => ['--admin', "0.0.0.0:$port", '--admin-token-file', $file]);
    is +(ask($where, $_))[0], 200, "$_ needs none" for '/healthz', '/readyz';
    is +(ask($where, $_))[0], 401, "$_ does" for '/', '/metrics', '/stats.json', 'POST /reload';
    is +(ask($where, '/status', 'Authorization: Bearer 0123456789abcdef'))[0], 200, 'Bearer';
    is +(ask($where, '/status', 'Authorization: Basic eDowMTIzNDU2Nzg5YWJjZGVm'))[0], 200, 'Basic';
    is +(ask($where, '/status', "Authorization: Bearer $_"))[0], 401, "not '$_'"
        for '0123456789abcdeF', '0123456789abcdef0', '';
    $master->ends_ok;
    spew($file, "short\n");
    my $run = run_program('-p', 0, '--admin', $where, '--admin-token-file', $file, app_file($APP));
    like $run->{err}, qr/admin_token_file \S+ must hold at least 16 characters/, 'a short one is none';
    for my $token ("0123456789\x01abcdef", "0123456789abcde\xff", "0123456789 abcdef", "0123456789\nabcdef\n") {
        spew($file, $token);
        $run = run_program('-p', 0, '--admin', $where, '--admin-token-file', $file, app_file($APP));
        like $run->{err}, qr/admin_token_file \S+ must hold one word of printable ASCII/,
            'nor is ' . $token =~ s/([^ -~])/sprintf '\x%02x', ord $1/ger;
    }
    spew($file, 'x' x 501);
    $run = run_program('-p', 0, '--admin', $where, '--admin-token-file', $file, app_file($APP));
    like $run->{err}, qr/admin_token_file \S+ must hold at least 16 characters, and 500 at most/, 'nor one of 501';
};

subtest 'the page' => sub {
    my $master = start_workers(code => $APP, flags => ['--admin', 'unix:ctl']);
    my $ctl    = $master->path('ctl');
    my $answer = ask($ctl, '/');
    like $answer, qr{^Content-Type: text/html; charset=utf-8\r$}m,     'is HTML';
    like $answer, qr{^Content-Security-Policy: default-src 'none';}m,   'that may load nothing';
    unlike $answer, qr{(?:src|href)\s*=|url\(|https?://(?!www\.w3\.org/2000/svg)}, 'and does not try to';
    my $numbers = numbers($ctl);
    my ($script) = $answer =~ m{<script>(.*)</script>}s;
    my %known    = map { $_ => 1 } keys %{ $numbers->{totals} };
    my @used     = $script =~ /\bt\.(\w+)|rate\('(\w+)'\)/g;
    is_deeply [grep { defined && !$known{$_} } @used], [], 'each number that it shows is there';

    my $events = $master->unix_client($ctl);
    $events->send("GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n");
    my $socket = $events->{socket} || $events->socket;
    my $text   = '';
    eventually(sub {
        $socket->blocking(0);
        sysread $socket, $text, 65536, length $text;
        2 == (() = $text =~ /^data: \{.*\}\n\n/mg);
    }, 5);
    like $text, qr{^Content-Type: text/event-stream\r$}m, 'numbers come as events';
    is scalar(() = $text =~ /^data: \{.*\}\n\n/mg), 2, 'one at once, the next a second later';
    $master->ends_ok;
};

subtest 'many clients' => sub {
    my $master = start_workers(code => $APP, flags => ['--admin', 'unix:ctl']);
    my $ctl    = $master->path('ctl');
    my @silent = map { IO::Socket::UNIX->new(Peer => $ctl) } 1 .. 100;
    is +(ask($ctl, '/healthz'))[0], 200, 'those that say nothing make room for others';
    $master->ends_ok;
};

done_testing;
