# Clients that read slowly or not at all: write_timeout counts only time without progress, the app is
# told, and nobody else waits. SPRIG_TEST_FULL=1 runs it in full size.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Socket qw(SOL_SOCKET SO_RCVBUF);
use SprigTest;
use SprigTest::Probe;
use Test::More;

not_over_http2('these clients read from the socket itself; t/94-http2-streams.t has such ones');
use Time::HiRes qw(time);

my $code = <<'APP';
{ package Body; sub new { bless $_[1] } sub getline { $_[0]->() } sub close { SprigTest::Probe::note_down('closed') } }
my $size = 24 << 20;
routes(
    '/hello' => sub { [200, [], ['hello']] },
    '/array' => sub { [200, [], ['x' x $size]] },
    '/writer' => sub { sub {
        my $w = $_[0]->([200, []]);
        $w->on_disconnect(sub { note_down('told') });
        my $left = $size / 65_536;
        $w->on_drain(sub { $left-- > 0 ? $_[0]->write('w' x 65_536) : $_[0]->close });
    } },
    '/paced' => sub { my $left = $_[0]{QUERY_STRING} * 16; sub {
        my $w = $_[0]->([200, []]);
        $w->on_drain(sub { $left-- > 0 ? $_[0]->write('p' x 65_536) : $_[0]->close });
    } },
    '/getline' => sub {
        my $left = $size / 65_536;
        [200, [], Body->new(sub { $left-- > 0 ? 'g' x 65_536 : undef })];
    },
);
APP

# A client whose kernel takes in little by itself.
sub narrow_client {
    my ($server) = @_;
    my $client = $server->connect;
    setsockopt $client->socket, SOL_SOCKET, SO_RCVBUF, 65_536;
    return $client;
}

# Reads a bit now and then, for that many seconds; returns the bytes it got.
sub sip {
    my ($client, $seconds, $bytes, $pause) = @_;
    my ($end, $n) = (time + $seconds, 0);
    while (time < $end) {
        my $got = $client->get($bytes);
        $client->{in} = '';
        return $n if defined $got  && $got == 0;
        return $n if !defined $got && !$!{EAGAIN};
        $n += $got || 0;
        select undef, undef, undef, $pause;
    }
    return $n;
}

my $SLACK  = 1;                                                    # what a busy machine may add
my $server = start_probe($code, args => { write_timeout => 1 });

for my $path (qw(/array /writer /getline)) {
    subtest "$path, read slowly" => sub {
        my $client = narrow_client($server);
        $client->send(get($path));
        my $start = time;
        cmp_ok sip($client, 3, 20_000, 0.1), '>', 200_000, 'gets bytes all the time';
        ok !$client->eof && $client->wait_for_bytes(1_000_000), 'is still served after that';
        $client->close;
    };
    diary($server);
}

subtest 'a gulp just within each write_timeout' => sub {
    my $client = narrow_client($server);
    $client->send(get('/array'));
    my $from = length $server->stderr;
    ok sip($client, 4, 1 << 20, 0.75) > 200_000 && $client->wait_for_bytes(1_000_000), 'is enough';
    is substr($server->stderr, $from), '', 'and nothing is logged';
    $client->close;
};

subtest 'read for a while, and then no more' => sub {
    my $client = narrow_client($server);
    my $from   = length $server->stderr;
    $client->send(get('/array'));
    sip($client, 1.5, 20_000, 0.1);
    my $start = time;
    ok $server->stderr_like(qr/write_timeout/, from => $from), 'the log says why';
    my $seconds = time - $start;
    cmp_ok $seconds, '<=', 1 * 1.25 + $SLACK, 'at most a quarter later than it might';
    $client->close;
};

subtest 'not read at all' => sub {
    for my $path (qw(/array /writer /getline)) {
        my $from   = length $server->stderr;
        my $start  = time;
        my $client = narrow_client($server);
        $client->send(get($path));
        ok $server->stderr_like(qr/write_timeout/, from => $from), "$path: the log says why";
        my $seconds = time - $start;
        cmp_ok $seconds, '>=', 0.9,               'not too early';
        cmp_ok $seconds, '<=', 1 * 1.25 + $SLACK, 'nor more than a quarter later';
        $client->rest;
        ok defined $client->error, 'the connection is reset';
    }
    my %told = map { $_ => 1 } await_diary($server, 2);
    ok $told{told},   'the app is told by on_disconnect';
    ok $told{closed}, 'the body is closed';
};

# Downloads by curl at a limited rate (MiB and MiB a second): what /usr/bin/curl says of each, and how
# long a hello took beside them.
sub downloads {
    my ($n, $size, $rate) = @_;
    my @curls = map {
        open my $out, '-|', 'curl', '-sS', '--limit-rate', "${rate}M", '-o', '/dev/null', '-w',
            '%{size_download} %{time_total}', $server->url("/paced?$size")
            or die "curl: $!";
        $out;
    } 1 .. $n;
    my ($fast, $end, $highest, @seconds) = ($server->connect, time + $size / $rate * 0.9, 0);
    while (time < $end) {
        my $start = time;
        $fast->send(get('/hello'));
        $fast->response;
        push @seconds, time - $start;
        $highest = $server->rss_kib if $server->rss_kib > $highest;
        select undef, undef, undef, 0.005;
    }
    my @said = map { scalar readline $_ } @curls;
    @seconds = sort { $a <=> $b } @seconds;
    return ($highest, $seconds[@seconds * 0.99], map { [split / /] } @said);
}

subtest 'others do not wait' => sub {
    plan skip_all => 'needs curl' if !tool_path('curl');
    $server->idle_ok;
    $server->stop_ok;
    $server = start_probe($code);    # curl rests for more than a second at times
    my ($size, $rate, $n) = $ENV{SPRIG_TEST_FULL} ? (50, 1, 50) : (24, 8, 20);
    downloads(2, 8, 8);
    for my $clients (1, $n) {
        my $rss = $server->rss_kib;
        my ($highest, $p99, @got) = downloads($clients, $size, $rate);
        my @seconds = sort { $a <=> $b } map { $_->[1] } @got;
        note sprintf '%d x %d MiB at %d MiB/s: %.1f to %.1f s, memory +%d KiB, hello p99 %.1f ms',
            $clients, $size, $rate, @seconds[0, -1], $highest - $rss, $p99 * 1000;
        is_deeply [map { $_->[0] } @got], [($size << 20) x $clients], "$clients: every byte";
        cmp_ok $seconds[0], '>', $size / $rate * 0.7, 'paced by the client'
            if $ENV{SPRIG_TEST_FULL};
        cmp_ok $highest - $rss, '<', 2048 + 160 * $clients,   'memory is flat';
        cmp_ok $p99, '<', $ENV{SPRIG_TEST_FULL} ? 0.01 : 1, 'a hello beside them is quick';
    }
    ok comes_to_rest($server), 'nothing is left';
};

$server->idle_ok;
$server->stop_ok;
done_testing;
