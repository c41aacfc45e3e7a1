# Clients that do not read, and apps that write all the same: memory stays bounded, nothing is lost.
# SPRIG_TEST_FULL=1 runs it in full size.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::MD5 ();
use SprigTest;
use SprigTest::Probe;
use Test::More;

plan skip_all => 'needs /proc' if !-r "/proc/$$/status";

my $n_clients = $ENV{SPRIG_TEST_FULL} ? 20 : 6;
my $n_pieces  = 50;
my $size      = 1 << 20;
my $max_kib   = $ENV{SPRIG_TEST_FULL} ? 32 * 1024 : 16 * 1024;

my $code = <<'APP';
use Digest::MD5 ();
my $size = 1 << 20;
my @kept = map { my $n = $_; join '', map { pack 'N256', map { $n * 1000 + $_ } 1 .. 256 } 1 .. $size / 1024 } 1 .. 50;
my $digest = Digest::MD5->new;
$digest->add($_) for @kept;
$digest = $digest->hexdigest;
sub writes(&) {
    my $code = shift;
    return sub { my $r = shift; my $w = $r->([200, ['X-Digest' => $digest]]); $code->($w); $w->close };
}
routes(
    '/warm'  => sub { [200, [], ['warm']] },
    '/peak'  => sub {
        open my $in, '<', '/proc/self/status' or die;
        [200, [], [grep { /^VmHWM/ } <$in>]];
    },
    '/reset' => sub { open my $out, '>', '/proc/self/clear_refs' or die; print $out "5\n"; close $out; [200, [], []] },
    '/writer' => sub { writes {
        my $w = shift;
        $w->write(do { my $own = $_; vec($own, 0, 8) = vec($own, 0, 8); $own }) for @kept;
    } },
    '/small'  => sub { writes { my $w = shift; for my $kept (@kept) { $w->write($_) for unpack '(a4000)*', $kept } } },
    '/array'  => sub { [200, ['X-Digest' => $digest], \@kept] },
    '/own'    => sub { [200, ['X-Digest' => $digest], [map { $_ . '' } @kept]] },
    '/one'    => sub { writes { $_[0]->write(join '', @kept) } },
    '/files'  => sub {
        my $n = 0;
        for (glob '/proc/self/fd/*') { my $to = readlink; $n++ if defined $to && $to =~ /deleted/ && $to =~ m{/(?:sprig-|\#)} }
        [200, [], [$n]];
    },
);
APP

sub body_of {
    my ($server, $path) = @_;
    return $server->ask(get($path))->body;
}

sub peak_kib {
    my ($server) = @_;
    return body_of($server, '/peak') =~ /([0-9]+) kB/ ? $1 : 0;
}

# The MD5 of a chunked or measured body of that many bytes, read without keeping it.
sub digest_of {
    my ($client, $n) = @_;
    my $response = $client->response;
    is length $response->body, $n, 'every byte';
    return ($response->header('X-Digest'), Digest::MD5::md5_hex($response->body));
}

for my $path (qw(/array /own /writer /small)) {
    my $server = start_probe($code);
    subtest "clients that read nothing: $path" => sub {
        my $before = $server->rss_kib;
        body_of($server, '/reset');
        my @clients = map { $server->connect } 1 .. $n_clients;
        $_->send("GET $path HTTP/1.1\r\nHost: a\r\n\r\n") for @clients;
        ok $_->wait_for_bytes(1), 'an answer begins' for @clients[0, -1];
        my $grown = peak_kib($server) - $before;
        note "$n_clients clients x $n_pieces MiB, peak growth $grown KiB";
        $grown -= $n_pieces * $size / 1024 if $path eq '/own';    # the app's own, one at a time
        cmp_ok $grown, '<', $max_kib, 'memory is bounded';
        my ($expected, $got) = digest_of($clients[-1], $n_pieces * $size);
        is $got, $expected, 'intact';
        $clients[-1]->send("GET /warm HTTP/1.1\r\nHost: a\r\n\r\n");
        is $clients[-1]->response->body, 'warm', 'the next request on that connection';
        $_->close for @clients;
        ok + (eventually { body_of($server, "/files") eq 0 }), 'no temporary file is left';
    };
    $server->stop_ok;
}

subtest 'one huge piece' => sub {
    my $server = start_probe($code);
    my $client = $server->connect;
    $client->send("GET /one HTTP/1.1\r\nHost: a\r\n\r\n");
    ok $client->wait_for_bytes(1), 'an answer begins';
    is body_of($server, '/files'), 1, 'waits in a file';
    my ($expected, $got) = digest_of($client, $n_pieces * $size);
    is $got,                       $expected, 'intact';
    is body_of($server, '/files'), 0,         'which goes when it was sent';
    is $server->stderr,            '',        'without a word';
    $server->stop_ok;
};

subtest 'max_output_bytes' => sub {
    my $server = start_probe($code, args => { max_output_bytes => '8M' });
    my $client = $server->connect;
    $client->send("GET /writer HTTP/1.1\r\nHost: a\r\n\r\n");
    ok $server->stderr_like(qr/max_output_bytes/), 'the log says why';
    ok !eval { $client->response->is_complete },   'the response is aborted';
    $client = $server->connect;
    $client->send("GET /array HTTP/1.1\r\nHost: a\r\n\r\n");
    my ($expected, $got) = digest_of($client, $n_pieces * $size);
    is $got,                      $expected, 'what the app keeps does not count';
    is body_of($server, '/warm'), 'warm',    'the server goes on';
    $server->stop_ok;
};

done_testing;
