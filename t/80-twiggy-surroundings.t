# What servers written in C stumble over around a response: env, errors, processes, signals, sockets. Each
# subtest is a row of the contract's table 4.1; the other rows are in 80-twiggy-traps.t.

use strict;
use warnings;
use Config;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server = start_server(app => "$FindBin::Bin/apps/traps.psgi", by => 'module');

# What the app answers on a connection of its own; the status if that is not 200.
sub outcome {
    my ($path) = @_;
    my $response = $server->ask(get($path));
    return $response->status == 200 ? $response->body : $response->status;
}

# All that comes for these bytes until the server closes.
sub talk {
    my ($bytes) = @_;
    my $client = $server->connect;
    $client->send($bytes);
    $client->half_close;
    return $client->rest;
}

sub diary_of { return join '; ', diary($server) }

my $clean = '1 1 127.0.0.1 GET';    # what /env-look sees in an env that nobody has touched

subtest '4.1 env isolation' => sub {
    my $client = $server->connect;
    for my $path ('/env-spoil', '/env-clear') {
        $client->send(get($path));
        is $client->response->status, 200, $path;
        $client->send(get('/env-look'));
        is $client->response->body, $clean, 'the next request sees nothing of it';
    }
};

subtest '4.1 app deletes/replaces keys (REMOTE_ADDR, psgi.input, psgi.errors, HTTP_CONNECTION)' =>
    sub {
    my $client = $server->connect;
    $client->send("POST /env-delete HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
    is $client->response->body, 'deleted', 'answered';
    $client->send(get('/env-look'));
    is $client->response->body, $clean, 'the connection goes on';
    $client->send(get('/env-delete', 'Connection: close'));
    my $response = $client->response;
    is $response->header('Connection'), 'close', 'the server still knows what was asked';
    is outcome('/env-delete-dies'),     500,     'psgi.errors is gone when the app dies';
    ok $server->stderr_like(qr/without psgi\.errors/), 'the message goes to standard error';
    };

subtest '4.1 reaper of $@, die in DESTROY, exit/last/goto out of app' => sub {
    is outcome('/topic'),             'mine', '$_ and $@ are the app\'s own';
    is outcome('/destroy-dies'),      'mine', 'die in DESTROY';
    is outcome('/late-destroy-dies'), 'ok',   'die in DESTROY of something in the env';
    ok $server->stderr_like(qr/in a late DESTROY/), 'is said';
    is outcome("/$_"), 500, $_ for qw(last next goto);
};

subtest '4.1 exit out of app' => sub {
    my $quitter = start_server(code => 'END { print STDERR "END ran\n" } sub { exit 7 }');
    my $client  = $quitter->connect;
    $client->send(get('/'));
    ok $client->is_closed, 'the connection is closed';
    is $quitter->stop >> 8, 7, 'the process ends with its status';
    like $quitter->stderr, qr/END ran/, 'and END blocks run';
};

subtest '4.1 fork in app' => sub {
    my $client = $server->connect;
    for my $n (1, 2) {
        $client->send(get('/fork'));
        is $client->response->body, 3, "exit in the child, $n";
    }
    is outcome('/system'), 5, 'system';
    my $waits = $server->connect;
    $waits->send(get('/pending'));
    is outcome('/fork'),       3,       'while another request waits';
    is $waits->response->body, 'first', 'which is answered';
};

subtest '4.1 %SIG handlers, alarm()' => sub {
    outcome('/handler');
    kill USR1 => $server->pid;
    is join(' ', await_diary($server, 1)), 'USR1', 'a handler of %SIG runs while the server idles';
SKIP: {
        skip_on_other_loop('AnyEvent lets no callback block in recv', 1);
        is outcome('/alarm'), "alarm\n", 'alarm around a blocking wait';
    }
    is outcome('/pipe-handler'), 'code',
        'SIGPIPE has a handler, which programs that are started do not inherit';
};

subtest '4.1 psgi.errors logging: replaced or tied' => sub {
    is outcome('/errors-replaced'), 500, 'an object that can print';
    like join(' ', await_diary($server, 1)), qr/logged: to a log/, 'gets the message';
    is outcome('/tied-stderr'), 500, 'STDERR is tied';
    like join(' ', await_diary($server, 1)), qr/tied: to the tied handle/, 'and gets the message';
};

subtest '4.1 psgix.io fd sharing' => sub {
    not_over_http2('no stream has a socket of its own');
    like talk(get('/close-io')), qr/mine\z/, 'closed by the app, its number is used again';
    is outcome('/env-look'), $clean, 'which is not closed by us';
};

subtest '4.1 psgix.io + TLS' => sub {
    require Sprig::Server;
    for my $option (qw(tls_key ssl ssl_key_file enable_ssl)) {
        ok !eval { Sprig::Server->new($option => 'file') }, "$option alone is not overlooked";
        like $@, qr/\ASprig::Server->new: \w+ needs a certificate: give tls_cert/,
            'and this is said';
    }
    for my $option (qw(tls_cert ssl_cert_file ssl_cert)) {
        my $server = Sprig::Server->new(host => '127.0.0.1', $option => '/nonexistent');
        ok !eval {
            $server->start_listen(sub { });
            1;
        }, "$option: a file that is not there";
        like $@, qr/built without TLS|\Atls_cert: \/nonexistent: No such file/, 'and this is said';
    }
    ok eval { Sprig::Server->new(ssl => 0) }, 'but what is off may be named';
};

subtest '4.1 psgix.io after parser read-ahead' => sub {
    not_over_http2('no stream has a socket of its own');
    like talk(get('/read-ahead', 'Connection: Upgrade', 'Upgrade: x') . 'ahead'), qr/\[ahead\]\z/,
        'bytes that came with the head are there for read';
};

subtest '4.1 disconnect detection by reading' => sub {
    not_over_http2('no stream has a socket of its own');
    diary_of();
    my $client = $server->connect;
    $client->send(get('/watch') . get('/env-look'));
    is $client->response->body, 'watch', 'a response whose client is watched';
    is $client->response->body, $clean,  'does not eat the request behind it';
    is diary_of(),              '',      'and nobody has left';
    $client = $server->connect;
    $client->send(get('/read-to-end'));
    $client->wait_for_bytes(3);
    $client->send('from the client');
    $client->half_close;
    is $client->rest, 'go [from the client]', 'bytes and end of file are left to the app\'s handle';
};

subtest '4.1 local $_' => sub {
    skip_on_other_loop('AnyEvent lets no callback block in recv');
    my @clients = map { $server->connect } 1 .. 2;
    $_->send(get('/local-topic')) for @clients;
    is_deeply [map { $_->response->body } @clients], ['mine', 'mine'], 'across a wait in the app';
};

subtest '4.1 DESTROY order' => sub {
    diary_of();
    is outcome('/order-of-end'), 'a', 'a body and an env with guards';
    my @lines = await_diary($server, 3);
    is_deeply [sort @lines], ['body', 'closed body', 'env'], 'each goes once';
    my %at = map { $lines[$_] => $_ } 0 .. $#lines;
    cmp_ok $at{'closed body'}, '<', $at{body}, 'the body after its close';
};

ok comes_to_rest($server), 'nothing is left over';
$server->stop_ok;

# A program with server and client in one process; $_ is the answer.
my $both_ends = <<'PROGRAM';
use strict; use warnings;
use Sprig::Loop;
use Sprig::Server;
use AnyEvent::Socket qw(tcp_connect);
use AnyEvent::Handle;
my ($port, $h);
my $server = Sprig::Server->new(
    host => '127.0.0.1', port => 0, server_ready => sub { $port = $_[0]{port} });
$server->register_service(app());
my $end = AE::cv;
tcp_connect '127.0.0.1', $port, sub {
    $h = AnyEvent::Handle->new(fh => $_[0], on_error => sub { $end->send($_[0]{rbuf}) }, on_read => sub {});
    $h->push_write("POST /path HTTP/1.0\r\nContent-Length: 3\r\n\r\nabc");
};
print $end->recv;
PROGRAM

subtest '4.1 taint' => sub {
    my $blib = SprigTest::root() . '/blib';

    # perl -T does not look at PERL5LIB, where Plack and AnyEvent may be.
    my @inc  = map { "-I$_" } "$blib/lib", "$blib/arch", split /:/, $ENV{PERL5LIB} // '';
    my $file = spew(SprigTest::temp_path('taint.pl'), <<'APP' . $both_ends);
sub app {
    return sub {
        my ($env) = @_;
        $env->{"psgi.input"}->read(my $body, 10);
        $body =~ m{\A(\w+)\z} or return [500, [], []];
        return [200, [], ["${^TAINT} $1"]];
    };
}
APP
    like output_of($^X, '-T', @inc, $file), qr{200 OK.*\r\n\r\n1 abc\z}s,
        'perl -T: a server, and an app that looks at its values before it returns them';
    spew($file, <<'APP' . $both_ends);
sub app {
    return sub {
        my ($env) = @_;
        $env->{"psgi.input"}->read(my $body, 10);
        return [200, ["X-Path" => substr $ENV{PATH}, 0, 1], [$body, $ENV{PATH}]];
    };
}
APP
    like output_of($^X, '-T', @inc, $file),
        qr{200 OK.*X-Path: .\r\n.*\r\n\r\nabc\Q$ENV{PATH}\E\z}s, 'and one that does not';
};

subtest '4.1 ithreads' => sub {
    plan skip_all => 'this perl has no threads' if !$Config{useithreads};
    my $blib = SprigTest::root() . '/blib';
    my $file = spew(SprigTest::temp_path('threads.pl'), <<'APP' . $both_ends);
use threads;
sub app {
    return sub { [200, [], [threads->create(sub { "thread of $_[0]" }, $_[0]{PATH_INFO})->join]] };
}
APP
    like output_of($^X, "-I$blib/lib", "-I$blib/arch", $file),
        qr{200 OK.*\r\n\r\nthread of /path\z}s, 'a thread within a request';
};

done_testing;
