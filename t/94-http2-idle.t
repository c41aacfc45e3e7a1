# HTTP/2: what a connection costs while nothing is asked for on it, and that it goes on behind that.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Http2;
use Test::More;

need_http2();

my ($N, $MAX_BYTES) = (400, 10_000);

my $server = start_server(
    by    => 'program',
    code  => 'sub { [200, [], ["$_[0]{REQUEST_METHOD} $_[0]{HTTP_X_KEPT}"]] }',
    flags => ['--listen', '127.0.0.1:0,h2c'],
    args  => { keepalive_timeout => 60 }
);

# A GET with a field that both sides remember, and one that refers to it (RFC 7541 section 6.2.1).
my $first = SprigTest::Http2::block(SprigTest::Http2::fields('/')) . "\x40\x06x-kept\x04kept";
my $again = SprigTest::Http2::block(SprigTest::Http2::fields('/')) . "\xbe";

sub ask {
    my ($h2, $block) = @_;
    my $id = $h2->{last} += 2;
    $h2->send(SprigTest::Http2::frame('HEADERS', $FLAG{END_STREAM} | $FLAG{END_HEADERS}, $id, $block));
    return $h2->response($id)->{body};
}

sub connections {
    my ($n) = @_;
    my @h2 = map { SprigTest::Http2->connect($server) } 1 .. $n;
    ask($_, $first) for @h2;
    return @h2;
}

# Memory, when all connections have been left alone for long enough.
sub rested {
    my $least = $server->rss_kib;
    for (1 .. 100) {
        select undef, undef, undef, 0.1;
        my $now = $server->rss_kib;
        $least = $now if $now < $least;
        last if $_ > 25 && $now == $least;
    }
    return $least;
}

my @h2     = connections(50);
my $before = rested();
push @h2, connections($N);
my $bytes = (rested() - $before) * 1024 / $N;

SKIP: {
    skip 'a sanitizer keeps memory of its own', 1 if defined $ENV{ASAN_OPTIONS};
    cmp_ok($bytes, '<', $MAX_BYTES, 'memory of an idle connection');
}
is(scalar(grep { ask($_, $again) eq 'GET kept' } @h2), $N + 50, 'all go on as if nothing had been');
is(scalar(grep { ask($_, $again) eq 'GET kept' } @h2), $N + 50, 'and again');
$_->close for @h2;
$server->idle_ok;
$server->stop_ok;

done_testing;
