# The disk of the temporary folder is full: that request fails with a reason, the server goes on.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp qw(tempdir);
use SprigTest;
use SprigTest::Probe;
use Test::More;

# A small file system of our own, in a mount name space that ends with the test.
if (!$ENV{SPRIG_TEST_SMALL_DISK}) {
    my $dir = tempdir(CLEANUP => 1);
    my @made =
        grep { system("unshare $_ mount -t tmpfs -o size=2m tmpfs $dir >/dev/null 2>&1") == 0 }
        '-m', '-rm';
    plan skip_all => 'cannot mount a small file system here' if !@made;
    $ENV{SPRIG_TEST_SMALL_DISK} = $dir;
    my @inc    = map { "-I$_" } @INC;
    my $status = system 'unshare', $made[0], 'sh', '-c',
        'mount -t tmpfs -o size=2m tmpfs "$SPRIG_TEST_SMALL_DISK" && exec "$@"', 'sh', $^X, @inc,
        $0;
    exit($status >> 8 || $status);
}

my $dir    = $ENV{SPRIG_TEST_SMALL_DISK};
my $server = start_probe(<<'APP', args => { temp_dir => $dir });
routes(
    '/length' => sub { [200, [], [$_[0]{CONTENT_LENGTH}]] },
    '/flood'  => sub { sub { my $w = $_[0]->([200, []]); $w->write($_ x 65_536) for 1 .. 900; $w->close } },
);
APP

sub post {
    my ($client, $n, $chunked) = @_;
    my $body = 'b' x $n;
    my $how  = $chunked ? 'Transfer-Encoding: chunked' : "Content-Length: $n";
    $body = sprintf "%x\r\n%s\r\n0\r\n\r\n", $n, $body if $chunked;
    $client->send("POST /length HTTP/1.1\r\nHost: a\r\n$how\r\n\r\n$body");
    return $client->response;
}

for my $chunked (0, 1) {
    my $from     = length $server->stderr;
    my $response = post($server->connect, 5_000_000, $chunked);
    is $response->status, 507, $chunked ? 'chunks: 507' : 'known length: 507';
    ok $server->stderr_like(qr/temp_dir \Q$dir\E: No space left/, from => $from),
        'the log names option, folder and reason';
}
is post($server->connect, 1_000_000)->body, 1_000_000,
    'the server goes on, and the disk is free again';

subtest 'output' => sub {
    my $from   = length $server->stderr;
    my $client = $server->connect;
    $client->send(get('/flood'));
    ok $server->stderr_like(
        qr/output_buffer_bytes in temp_dir \Q$dir\E: No space left/,
        from => $from
        ),
        'the log names options, folder and reason';
    ok !eval { $client->response->is_complete }, 'the response does not look whole';
    is post($server->connect, 1_000_000)->body, 1_000_000, 'the server goes on';
};

$server->stop_ok;
done_testing;
