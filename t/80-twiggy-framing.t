# How responses are framed. Each subtest is one of the rules (a) to (j) behind the contract's table 4.2.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $app = <<'APP';
my ($n_asked, %kept) = 0;
{ package Lines; sub getline { shift @{ $_[0][0] } } sub close { main::note_down('closed') } }
*main::note_down = \&note_down;
sub lines { return bless [[@_]], 'Lines' }
sub chunked { return [200, ['Transfer-Encoding' => 'chunked'], ["3\r\nabc\r\n", "0\r\n\r\n"]] }
routes(
    '/array'     => sub { [200, [], ['a', 'bc']] },
    '/length'    => sub { [200, ['Content-Length' => 3], ['a', 'bc']] },
    '/lines'     => sub { [200, [], lines('a', 'bc')] },
    '/chunked'   => \&chunked,
    '/short'     => sub { [200, ['Content-Length' => 5], ['abc']] },
    '/long'      => sub { [200, ['Content-Length' => 2], ['abc']] },
    '/head'      => sub { [200, ['Content-Length' => 12], lines('abc')] },
    '/204'       => sub { [204, [], lines('abc')] },
    '/304'       => sub { [304, ['Content-Length' => 12], lines('abc')] },
    '/close'     => sub { [200, ['Connection' => 'close'], ['abc']] },
    '/keep'      => sub {
        [200, ['Connection' => 'keep-alive', 'Keep-Alive' => 'timeout=5'], ['abc']];
    },
    '/upgrade'   => sub { [200, ['Upgrade' => 'x'], ['abc']] },
    '/101'       => sub { [101, ['Upgrade' => 'x', 'Connection' => 'Upgrade'], []] },
    '/io'        => sub {
        $kept{io} = $_[0]{'psgix.io'};
        syswrite $kept{io}, 'raw';
        sub { $kept{r} = $_[0] };
    },
    '/io-end'    => sub { %kept = (); [200, [], ['ended']] },
    '/connect'   => sub {
        sub {
            my ($r, $io) = @_;
            syswrite $io, "HTTP/1.1 200 OK\r\n\r\n";
            $kept{w} = AE::io $io, 0, sub {
                my $n = sysread $io, my $got, 100;
                return syswrite $io, "<$got>" if $n;
                delete $kept{w};
                close $io;
            };
        };
    },
    '/date'      => sub { [200, ['Date' => 'Sat, 01 Jan 2000 00:00:00 GMT'], ['abc']] },
    '/slow'      => sub {
        sub {
            my $r = shift;
            $kept{t} = AE::timer 0.1, 0, sub { delete $kept{t}; $r->([200, [], [$n_asked]]) };
        }
    },
    '/count'     => sub { [200, [], [++$n_asked]] },
);
APP

# CONNECT and OPTIONS * have no path of their own.
my $server = start_probe("my \$routes = do {\n$app};\n" . <<'APP');
sub {
    my ($env) = @_;
    $env->{PATH_INFO} = '/connect' if $env->{REQUEST_METHOD} eq 'CONNECT';
    return $routes->($env);
};
APP

sub answer { return $server->ask(get(@_)) }
sub http10 { return $server->ask("GET $_[0] HTTP/1.0\r\n\r\n") }

# All that comes until the server closes.
sub talk {
    my ($bytes) = @_;
    my $client = $server->connect;
    $client->send($bytes);
    return $client->rest;
}

subtest '4.2 (a) echo request version in status line' => sub {
    is http10('/array')->version, '1.0', 'HTTP/1.0';
    is answer('/array')->version, '1.1', 'HTTP/1.1';
};

subtest '4.2 (b) known-length array: Content-Length unless app gave one' => sub {
    is_deeply [answer($_)->header('Content-Length')], [3], $_ for '/array', '/length';
};

subtest '4.2 (c) unknown length: 1.1 chunked, 1.0 close' => sub {
    is answer('/lines')->framing,                     'chunked', 'HTTP/1.1';
    is answer('/lines')->body,                        'abc',     'its body';
    is http10('/lines')->header('Transfer-Encoding'), undef,     'HTTP/1.0';
    like talk("GET /lines HTTP/1.0\r\n\r\n"), qr/\r\n\r\nabc\z/, 'is ended by closing';
};

subtest '4.2 (d) app-supplied Transfer-Encoding: chunked' => sub {
    is answer('/chunked')->body, 'abc', 'is passed through';
    is_deeply answer('/chunked')->chunks, [3], 'as it was framed';
};

subtest '4.2 (e) app-supplied Content-Length wrong' => sub {
    my $response = answer('/short');
    ok !$response->is_complete, 'short: closed';
    like talk(get('/long', 'Connection: close')), qr/\r\n\r\nab\z/, 'long: truncated';
};

subtest '4.2 (f) HEAD/1xx/204/304' => sub {
    diary($server);
    my $head = talk("HEAD /head HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    like $head, qr/^Content-Length: 12\r$/m, 'HEAD keeps Content-Length';
    like $head, qr/\A(?:[^\n]+\r\n)+\r\n\z/, 'and has no body';
    for my $status (204, 304) {
        my $bytes = talk(get("/$status", 'Connection: close'));
        like $bytes, qr/\A(?:[^\n]+\r\n)+\r\n\z/, "$status has no body, no last chunk";
        is scalar($bytes =~ /^Content-Length: 12\r$/m), 1, 'and keeps Content-Length'
            if $status == 304;
    }
    is_deeply [diary($server)], [('closed') x 3], 'body->close is called';
};

subtest '4.2 (g) Connection and Upgrade of the app' => sub {
    is_deeply [answer('/close')->header('Connection')], ['close'], 'close is honoured, once';
    like talk(get('/close', 'Connection: close')), qr/^Connection: close\r\n(?!.*^Connection)/ms,
        'also if the client wants it, too';
    my $response = answer('/keep');
    is $response->header($_), undef, "$_: keep-alive is dropped" for 'Connection', 'Keep-Alive';
    is answer('/upgrade')->header('Upgrade'), undef, 'Upgrade of status 200 is dropped';
    $response = answer('/101', 'Connection: Upgrade', 'Upgrade: x');
    is join(' ', $response->status, $response->header('Upgrade')), '101 x', 'that of 101 is sent';
};

subtest '4.2 (h) 101, 2xx to CONNECT, psgix.io: no more parsing' => sub {
    my $client = $server->connect;
    $client->send("CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n");
    $client->wait_for_bytes(19);
    $client->send(get('/array'));
    $client->half_close;
    my $bytes = $client->rest;
    like $bytes, qr/\AHTTP\/1\.1 200 OK\r\n\r\n<GET \/array/, 'what follows CONNECT is the app\'s';
    unlike $bytes, qr/HTTP\/1\.1.*\r\n\r\nabc/s,              'and no request';
    $client = $server->connect;
    $client->send(get('/io'));
    $client->wait_for_bytes(3);
    $client->send(get('/array'));
    select undef, undef, undef, 0.1;
    $client->poll;
    is $client->buffered, "raw", 'nor while the app has psgix.io';
    answer('/io-end');
    is $client->rest =~ /\r\n\r\nabc/ ? 'parsed' : 'closed', 'closed',
        'the connection ends with it';
};

subtest '4.2 (i) Date' => sub {
    like answer('/array')->header('Date'), qr/\A\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT\z/,
        'is added';
    is_deeply [answer('/date')->header('Date')], ['Sat, 01 Jan 2000 00:00:00 GMT'],
        'unless the app gave one';
    is answer('/array')->header('Server'), undef, 'Server is not';
};

subtest '4.2 (j) next pipelined request after the current response' => sub {
    my $client = $server->connect;
    $client->send(get('/slow') . get('/count') . get('/count'));
    is $client->response->body, 0, 'the slow one saw none of the others';
    is $client->response->body, $_, "then number $_" for 1, 2;
};

ok comes_to_rest($server), 'nothing is left over';
$server->stop_ok;

subtest '4.2 keep-alive hazards for old Twiggy apps: keepalive => 0' => sub {
    my $single = start_probe($app, args => { keepalive => 0 });
    my $client = $single->connect;
    $client->send(get('/array') . get('/array'));
    my $response = $client->response;
    is $response->header('Connection'), 'close', 'one request';
    ok $client->is_closed, 'for a connection';
    $client->close;
    $single->stop_ok;
};

done_testing;
