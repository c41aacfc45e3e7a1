# HTTPS under load: clients that do not read, and new certificates while others connect.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Copy qw(copy);
use POSIX      ();
use SprigTest;
use SprigTest::OverTls;
use SprigTest::Probe;
use SprigTest::Tls;
use SprigTest::Workers;
use Test::More;
use Time::HiRes qw(sleep time);

need_tls();
plan skip_all => 'needs Net::SSLeay' if !eval { require Net::SSLeay };

my $first = certificate();

subtest 'clients that do not read' => sub {
    my $server = start_probe(<<'APP', args => { tls_cert => $first->{both} });
my $piece = 'x' x (1 << 20);
routes(
    '/hello'  => sub { [200, [], ['hello']] },
    '/writer' => sub { sub { my $w = $_[0]->([200, []]); $w->write($piece) for 1 .. 50; $w->close } },
);
APP
    $server->{client} = 'SprigTest::OverTls';
    is $server->ask(get('/hello'))->body, 'hello', 'it serves';
    my $before = $server->rss_kib;
    my @clients =
        map { my $client = $server->connect; $client->send(get('/writer')); $client } 1 .. 20;
    is $server->ask(get('/hello'))->body, 'hello', 'others are served';
    cmp_ok $server->rss_kib - $before, '<', 32 * 1024,
        '20 x 50 MB that nobody reads: less than 32 MB more';
    $server->idle_ok('nothing spins');
    my $response = $clients[0]->response;
    is length $response->body, 50 << 20, 'who does read gets all';
    $_->close for @clients;
    ok comes_to_rest($server), 'nothing is left';
    $server->stop_ok;
};

# New connections one after the other until a byte comes: writes "ok bad serials" to a pipe.
sub connect_and_ask {
    my ($port, $out) = @_;
    my ($ok, $bad, %serial) = (0, 0);
    my $end = time + 60;
    while (time < $end) {
        my $client = eval { SprigTest::OverTls->connect('127.0.0.1', $port) };
        my $body   = eval {
            die 'no handshake' if !$client || $client->error;
            $client->send(get('/', 'Connection: close'));
            $client->response->body;
        };
        defined $body && $body eq 'hello' ? $ok++ : $bad++;
        $serial{ serial_of($client) }++ if $client && !$client->error;
        syswrite $out, "$ok $bad " . keys(%serial) . "\n";
    }
    return;
}

sub serial_of {
    my ($client) = @_;
    my $cert = Net::SSLeay::get_peer_certificate($client->{ssl}) or return 'none';
    return Net::SSLeay::P_ASN1_INTEGER_get_hex(Net::SSLeay::X509_get_serialNumber($cert));
}

# In processes of their own. Each has a pipe with a line for each connection.
sub start_clients {
    my ($port, $n) = @_;
    return map {
        my $pid = open my $in, '-|';
        defined $pid or die "fork: $!";
        if (!$pid) {
            eval { connect_and_ask($port, \*STDOUT) };
            POSIX::_exit(0);
        }
        { pid => $pid, in => $in, ok => 0, bad => 0, serials => 0 };
    } 1 .. $n;
}

# Reads what they have said until each has made so many connections more.
sub await_more {
    my ($n, @clients) = @_;
    for my $client (@clients) {
        my $goal = $client->{ok} + $client->{bad} + $n;
        while ($client->{ok} + $client->{bad} < $goal) {
            my $line = readline $client->{in};
            defined $line or last;
            @$client{qw(ok bad serials)} = split ' ', $line;
        }
    }
    return;
}

for my $n_workers (1, 2) {
    subtest "certificates that change under load, workers: $n_workers" => sub {
        my $pem = SprigTest::temp_path('changing.pem');
        copy($first->{both}, $pem);
        my $code  = 'sub { [200, [], ["hello"]] }';
        my @flags = ('--tls-cert', $pem);
        my $server =
            $n_workers == 1
            ? start_server(by => 'program', code => $code, flags => \@flags)
            : start_workers(workers => $n_workers, code => $code, flags => \@flags);
        my $hup     = sub { $n_workers == 1 ? kill HUP => $server->pid : $server->signal('HUP') };
        my @clients = start_clients($server->port, 2);
        await_more(10, @clients);

        for my $round (1 .. 2) {
            spew($pem, slurp(certificate()->{both}));
            $hup->();
            eventually(
                sub {
                    await_more(1, @clients);
                    return !grep { $_->{serials} != $round + 1 } @clients;
                },
                20
            );
            is_deeply [map { $_->{serials} } @clients], [($round + 1) x 2],
                'a new certificate each time';
        }
        spew($pem, "broken\n");
        $hup->();
        ok eventually(sub { $server->stderr =~ /the old certificates stay in use/ }),
            'a broken one is told of';
        await_more(10, @clients);
        is_deeply [map { $_->{serials} } @clients], [3, 3], 'and the old one stays';
        is_deeply [map { $_->{bad} } @clients],     [0, 0], 'no connection failed';
        for my $client (@clients) {
            kill KILL => $client->{pid};
            close $client->{in};
        }
        $n_workers == 1 ? $server->stop_ok : $server->ends_ok;
    };
}

done_testing;
