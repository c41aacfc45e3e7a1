# Large bodies both ways, slow clients, and what they cost.

use strict;
use warnings;
use Digest::SHA qw(sha1_hex);
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my $path = SprigTest::temp_path('large');
my $code = <<'APP';
use strict;
use warnings;
my $block = join '', map { chr($_ % 251) } 0 .. 65535;
{
    package Blocks;
    sub getline { return $_[0]{left}-- > 0 ? $block : undef }
    sub close { }
}
sub {
    my ($env) = @_;
    my ($kind, $n) = $env->{PATH_INFO} =~ m{\A/(\w+)(?:/(\d+))?};
    return [200, [], [($block) x $n]] if $kind eq 'array';
    return [200, [], [$block x $n]]   if $kind eq 'string';
    return [200, [], bless { left => $n }, 'Blocks'] if $kind eq 'blocks';
    return [200, ['Content-Length' => $n * length $block], bless { left => $n }, 'Blocks'] if $kind eq 'known';
    if ($kind eq 'file') {
        open my $fh, '<:raw', $ENV{LARGE_FILE} or die "open: $!";
        seek $fh, $n, 0 if $n;
        return [200, [], $fh];
    }
    if ($kind eq 'echo') {
        my $input = $env->{'psgi.input'};
        return [200, ['Content-Length' => $env->{CONTENT_LENGTH}], $input];
    }
    return [404, [], []];
};
APP

my $block = join '', map { chr($_ % 251) } 0 .. 65535;
spew($path, $block x 160);
my $server = start_server(code => $code, env => { LARGE_FILE => $path });

sub get {
    my ($client, $target, $version) = @_;
    $client->send("GET $target HTTP/" . ($version || '1.1') . "\r\nHost: a\r\n\r\n");
    return $client->response;
}

my %whole = (
    'array/160'  => $block x 160,
    'string/160' => $block x 160,
    'blocks/160' => $block x 160,
    'known/160'  => $block x 160,
    'file/0'     => $block x 160,
    'file/1000'  => substr($block x 160, 1000),
);

my $client = $server->connect;
for my $target (sort keys %whole) {
    my $sum = sha1_hex($whole{$target});
    is(sha1_hex(get($client, "/$target")->body), $sum, "10 MiB from $target");
    my $other = $server->connect;
    is(sha1_hex(get($other, "/$target", '1.0')->body), $sum, "$target over HTTP/1.0");
}

subtest 'echo' => sub {
    for my $n (1000, 3_000_000) {
        my $body = substr $block x 50, 7, $n;
        $client->send("POST /echo HTTP/1.1\r\nHost: a\r\nContent-Length: $n\r\n\r\n$body");
        is(sha1_hex($client->response->body), sha1_hex($body), "$n bytes there and back");
    }
};

subtest 'several at once' => sub {
    my @clients = map { $server->connect } 1 .. 8;
    $_->send("GET /blocks/50 HTTP/1.1\r\nHost: a\r\n\r\n") for @clients;
    my $sum = sha1_hex($block x 50);
    is(sha1_hex($_->response->body), $sum, 'complete') for @clients;
};

subtest 'a slow client costs no memory' => sub {
    my $before = $server->rss_kib;
    my $slow   = $server->connect;
    $slow->send("GET /blocks/2000 HTTP/1.1\r\nHost: a\r\n\r\n");
    $slow->wait_for_bytes(1);
    is($server->ask("GET /array/1 HTTP/1.1\r\nHost: a\r\n\r\n")->body, $block, 'others are served')
        for 1 .. 5;
    cmp_ok($server->rss_kib - $before, '<', 20_000, 'of 125 MiB little is in memory');
    is(length $slow->response->body, 2000 * length $block, 'it gets all in the end');
    cmp_ok($server->rss_kib - $before, '<', 20_000, 'and that costs no memory, too');
};

subtest 'clients that leave in the middle' => sub {
    my $before = $server->n_descriptors;
    for my $target (sort keys %whole) {
        my $leaver = $server->connect;
        $leaver->send("GET /$target HTTP/1.1\r\nHost: a\r\n\r\n");
        $leaver->wait_for_bytes(1000);
        $leaver->reset;
    }
    my $left;
    for (1 .. 200) {
        is_deeply(get($client, '/array/1')->status, 200, 'the others are served') if $_ == 1;
        get($client, '/array/1');
        last if ($left = $server->n_descriptors) <= $before;
    }
    cmp_ok($left, '<=', $before, 'no descriptor is left behind');
};

is($server->stderr, '', 'nothing to complain about');
$server->stop_ok;
done_testing;
