# Large request bodies: they go to files, arrive intact, and leave nothing behind.
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

my $full    = $ENV{SPRIG_TEST_FULL};
my $n_large = $full ? 1024 : 96;    # MiB of the one large body
my $n_many  = $full ? 50   : 20;    # bodies at once
my $n_each  = $full ? 10   : 2;     # MiB of each of them
my $mib     = join '', map {
    pack 'N256',
        map { $_ * 2_654_435_761 & 0xffffffff }
        1 .. 256
} 1 .. 1024;
my $code = <<'APP';
use Digest::MD5 ();
my $n_runs = 0;
sub peak { open my $in, '<', '/proc/self/status' or die; (grep { /^VmHWM/ } <$in>)[0] =~ /([0-9]+)/; $1 }
routes(
    '/md5' => sub {
        my $env = shift;
        $n_runs++;
        my $in = $env->{'psgi.input'};
        my $md5 = Digest::MD5->new->addfile($in)->hexdigest;
        seek $in, -4, 2 or die;
        read $in, my $last, 10;
        return [200, [], [join ' ', $env->{CONTENT_LENGTH}, $md5, length $last, $env->{'psgix.input.buffered'}]];
    },
    '/runs'  => sub { [200, [], [$n_runs]] },
    '/reset' => sub { open my $out, '>', '/proc/self/clear_refs' or die; print $out "5\n"; close $out; [200, [], []] },
    '/peak'  => sub { [200, [], [peak()]] },
    '/files' => sub {
        my $n = () = grep { /deleted/ && m{/(?:sprig-|\#)} } map { readlink || '' } glob '/proc/self/fd/*';
        [200, [], [$n]];
    },
);
APP
my $server = start_probe($code, args => { max_body_bytes => 0 });

sub body_of {
    my ($path) = @_;
    return $server->ask(get($path))->body;
}

# Sends that many MiB, in chunks of odd sizes if there is no length, and returns their MD5.
sub upload {
    my ($client, $n, $chunked) = @_;
    my $digest = Digest::MD5->new;
    my $how    = $chunked ? 'Transfer-Encoding: chunked' : 'Content-Length: ' . $n * length $mib;
    $client->send("POST /md5 HTTP/1.1\r\nHost: a\r\n$how\r\n\r\n");
    for my $i (1 .. $n) {
        my $piece = pack('N', $i) . substr $mib, 4;
        $digest->add($piece);
        $piece = join '', map { sprintf "%x\r\n%s\r\n", length, $_ } unpack '(a50001)*', $piece
            if $chunked;
        $client->send($piece) or return 'broken';
    }
    $client->send("0\r\n\r\n") if $chunked;
    return $digest->hexdigest;
}

for my $chunked (0, 1) {
    subtest $chunked ? 'a large body in chunks' : 'a large body of known length' => sub {
        my $before = $server->rss_kib;
        body_of('/reset');
        my $client = $server->connect;
        my $md5    = upload($client, $n_large, $chunked);
        local $SprigTest::Client::SECONDS = 60;
        is $client->response->body, join(' ', $n_large * length $mib, $md5, 4, 1), 'intact';
        my $grown = body_of('/peak') - $before;
        note "$n_large MiB, peak growth $grown KiB";
        cmp_ok $grown, '<', 8 * 1024, 'memory is bounded';
        is body_of('/files'), 0, 'no file is left';
    };
}

subtest 'many at once' => sub {
    my $before = $server->rss_kib;
    body_of('/reset');
    my @clients = map { $server->connect } 1 .. $n_many;
    my @digests = map { Digest::MD5->new } @clients;
    $_->send(
        "POST /md5 HTTP/1.1\r\nHost: a\r\nContent-Length: " . $n_each * length($mib) . "\r\n\r\n")
        for @clients;
    for my $turn (1 .. $n_each) {
        for my $i (0 .. $#clients) {
            my $piece = pack('NN', $turn, $i) . substr $mib, 8;
            $digests[$i]->add($piece);
            $clients[$i]->send($piece);
        }
        is body_of('/files'), $n_many, 'a file for each' if $turn == 1;
    }
    my @got      = map { (split / /, $_->response->body)[1] } @clients;
    my @expected = map { $_->hexdigest } @digests;
    is "@got", "@expected", 'intact';
    my $grown = body_of('/peak') - $before;
    note "$n_many x $n_each MiB, peak growth $grown KiB";
    cmp_ok $grown, '<', 8 * 1024, 'memory is bounded';
};

subtest 'broken off' => sub {
    my $n_runs        = body_of('/runs');
    my $n_descriptors = $server->n_descriptors;
    for my $how (qw(close reset)) {
        my $client = $server->connect;
        $client->send("POST /md5 HTTP/1.1\r\nHost: a\r\nContent-Length: 9000000\r\n\r\n$mib");
        ok + (eventually { body_of('/files') == 1 }), "$how: it has a file";
        $client->$how;
        ok + (eventually { body_of('/files') == 0 }), 'which is gone then';
    }
    is body_of('/runs'), $n_runs, 'the app did not run';
    ok + (eventually { $server->n_descriptors <= $n_descriptors }), 'no descriptor is left';
};

$server->stop_ok;
done_testing;
