# A hundred thousand mixed requests leave the memory where it was after the first ten thousand.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

plan skip_all => 'needs /proc' if !-r "/proc/$$/status";

my $code = <<'APP';
use strict;
use warnings;
my $quiet = '';
open my $errors, '>', \$quiet or die;
sub Body::getline { shift @{ $_[0] } }
sub Body::close { }
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    if ($path eq '/die') {
        seek $errors, 0, 0;
        $env->{'psgi.errors'} = $errors;
        die "on purpose\n";
    }
    return [204, [], []] if $path eq '/204';
    return [200, [], bless ['a', 'b'], 'Body'] if $path eq '/lines';
    local $/;
    my $body = readline $env->{'psgi.input'};
    return [200, ['Content-Type' => 'text/plain'], [$env->{HTTP_X_A} || '', $body]];
};
APP

my $server = start_server(code => $code);

my $get    = "GET /?a=b HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nCookie: a=b\r\n";
my $body   = 'b' x 300;
my $chunks = "12c\r\n$body\r\n0\r\n\r\n";
my @mixed  = (
    "$get\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 300\r\n\r\n$body",
    "$get\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n$chunks",
    "GET /lines HTTP/1.1\r\nHost: a\r\n\r\n",
    "$get\r\n",
    "GET /204 HTTP/1.1\r\nHost: a\r\nX-B: 2\r\n\r\n",
    "$get\r\n",
    "GET /die HTTP/1.1\r\nHost: a\r\n\r\n",
    "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n",
);
my @refused = (
    "GET / HTTP/1.1\r\n\r\n",
    "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello",
    "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloX",
    'GET /' . 'a' x 9000,
);

# Sends all of it on a new connection and counts the answers until the server closes.
sub n_answers {
    my ($bytes) = @_;
    my $client = $server->connect;
    $client->send($bytes);
    $client->half_close;
    my $n = () = $client->rest =~ m{HTTP/1\.1 [1-9]}g;
    $client->close;
    return $n;
}

# Ten thousand: 9,000 over kept connections, 600 each on its own, 400 refused.
sub ten_thousand {
    my $n = 0;
    $n += n_answers(join('', @mixed) x 9)              for 1 .. 100;
    $n += n_answers($mixed[$_ % @mixed])               for 1 .. 400;
    $n += n_answers("${get}Connection: close\r\n\r\n") for 1 .. 200;
    $n += n_answers($refused[$_ % @refused])           for 1 .. 400;
    return $n;
}

is(ten_thousand(), 10_000, 'the first ten thousand');
my $rss         = $server->rss_kib;
my $descriptors = $server->n_descriptors;
is(ten_thousand(), 10_000, "ten thousand more, turn $_") for 2 .. 10;
my $end = $server->rss_kib;
note("resident after 10,000: $rss KiB; after 100,000: $end KiB");
cmp_ok($end, '<=', $rss * 1.03, 'memory is where it was');
cmp_ok($server->n_descriptors_down_to($descriptors),
    '<=', $descriptors, 'and so are the descriptors');
$server->stop_ok;
done_testing;
