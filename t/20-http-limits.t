# The limits of a request: at each limit it is served, one past it it is refused with the right status.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Cuts;
use Test::More;

my $get = "GET / HTTP/1.1\r\nHost: a\r\n";

sub status_ok {
    my ($server, $bytes, $status, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $client = $server->connect;
    $client->send($bytes);
    my $response = $client->response;
    my $ok       = is($response->status, $status, "$name: $status");
    return $response if $status < 400;
    is($response->header('Connection'), 'close', "$name: Connection: close");
    $client->half_close;
    ok($client->is_closed, "$name: closed without a reset");
    return $response;
}

# A request whose request line has n bytes, CRLF not counted.
sub with_line {
    my ($n) = @_;
    my $fixed = length 'GET / HTTP/1.1';
    return 'GET /' . 'a' x ($n - $fixed) . " HTTP/1.1\r\nHost: a\r\n\r\n";
}

# A request whose header lines have n bytes, each CRLF counted, the empty line not.
sub with_header_bytes {
    my ($n) = @_;
    my $fixed = length "Host: a\r\nX: \r\n";
    return "${get}X: " . 'a' x ($n - $fixed) . "\r\n\r\n";
}

# A request with n header fields.
sub with_headers {
    my ($n) = @_;
    return $get . join('', map { "X-$_: 1\r\n" } 2 .. $n) . "\r\n";
}

# A POST with n bytes, whole or in chunks of at most 7.
sub with_body {
    my ($n) = @_;
    return "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: $n\r\n\r\n" . 'b' x $n;
}

sub with_chunks {
    my ($n) = @_;
    my $bytes = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (my $left = $n; $left > 0; $left -= 7) {
        my $size = $left < 7 ? $left : 7;
        $bytes .= "$size\r\n" . 'b' x $size . "\r\n";
    }
    return $bytes . "0\r\n\r\n";
}

subtest 'the defaults' => sub {
    my $server = start_server(app => dump_app());
    status_ok($server, with_line(8192),          200, 'a request line of 8 KiB');
    status_ok($server, with_line(8193),          414, 'a longer one');
    status_ok($server, with_header_bytes(65536), 200, 'headers of 64 KiB');
    status_ok($server, with_header_bytes(65537), 431, 'more');
    status_ok($server, with_headers(100),        200, '100 headers');
    status_ok($server, with_headers(101),        431, '101 headers');
    my $n = 128 * 1024 * 1024 + 1;
    status_ok($server, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: $n\r\n\r\n",
        413, 'a body of more than 128 MiB, announced');
    status_ok($server, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9223372036854775807\r\n\r\n",
        413, 'the largest length there is');
    $server->stop_ok;
};

subtest 'limits of one\'s own' => sub {
    my $server = start_server(
        app  => dump_app(),
        args => {
            max_request_line => 50,
            max_header_bytes => 80,
            max_headers      => 4,
            max_body_bytes   => 20
        }
    );
    status_ok($server, with_line(50),         200, 'a request line at the limit');
    status_ok($server, with_line(51),         414, 'a request line past it');
    status_ok($server, with_line(5000),       414, 'a request line far past it');
    status_ok($server, with_header_bytes(80), 200, 'header bytes at the limit');
    status_ok($server, with_header_bytes(81), 431, 'header bytes past it');
    status_ok($server, with_headers(4),       200, 'headers at the limit');
    status_ok($server, with_headers(5),       431, 'headers past it');
    status_ok($server, with_body(20),         200, 'a body at the limit');
    status_ok($server, with_body(21),         413, 'a body past it');
    status_ok($server, with_chunks(20),       200, 'a chunked body at the limit');
    status_ok($server, with_chunks(21),       413, 'a chunked body past it');
    cuts_ok(
        $server,
        ['a request line at the limit',    with_line(50)],
        ['a request line past the limit',  with_line(51)],
        ['header bytes at the limit',      with_header_bytes(80)],
        ['header bytes past the limit',    with_header_bytes(81)],
        ['headers at the limit',           with_headers(4)],
        ['headers past the limit',         with_headers(5)],
        ['a chunked body at the limit',    with_chunks(20)],
        ['a chunked body past the limit',  with_chunks(21)],
        ['empty lines count for no limit', "\r\n\r\n" . with_line(50)],
    );
    $server->stop_ok;
};

subtest 'max_headers 0 is no limit' => sub {
    my $server = start_server(app => dump_app(), args => { max_headers => 0 });
    status_ok($server, with_headers(101),        200, 'more than the default');
    status_ok($server, with_headers(5000),       200, 'many more');
    status_ok($server, with_header_bytes(65537), 431, 'that of bytes stays');
    $server->stop_ok;
};

subtest 'max_request_line, max_header_bytes and max_requests_per_turn 0 are no limits' => sub {
    my $server = start_server(
        app  => dump_app(),
        args => {
            max_request_line      => 0,
            max_header_bytes      => 0,
            max_headers           => 0,
            max_requests_per_turn => 0
        },
    );
    status_ok($server, with_line(8193),            200, 'a longer line than by default');
    status_ok($server, with_line(300_000),         200, 'a much longer one');
    status_ok($server, with_header_bytes(65_537),  200, 'more header bytes than by default');
    status_ok($server, with_header_bytes(500_000), 200, 'many more');
    my $client = $server->connect;
    $client->send("$get\r\n" x 100);
    is(scalar(grep { $client->response->status == 200 } 1 .. 100), 100,
        'many requests in one turn');
    $server->stop_ok;
};

subtest 'a request line that never ends is refused while it comes' => sub {
    my $server = start_server(app => dump_app());
    my $client = $server->connect;
    $client->send('GET /' . 'a' x 10_000);
    is($client->response->status, 414, 'no line end was needed');
    $client = $server->connect;
    $client->send($get . 'X: ' . 'a' x 70_000);
    is($client->response->status, 431, 'nor one of a header');
    $client = $server->connect;
    $client->send($get . "X: a\r\n" x 101);
    is($client->response->status, 431, 'nor the end of the head');
    $client->close;
    $server->stop_ok;
};

subtest 'a body that is too large is refused before it is read' => sub {
    my $server = start_server(app => dump_app(), args => { max_body_bytes => 10 });
    my $client = $server->connect;
    $client->send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n");
    is($client->response->status, 413, 'as soon as its length is known');
    $client = $server->connect;
    $client->send(
        "POST / HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 11\r\n\r\n");
    my $response = $client->response;
    is($response->status, 413, 'with Expect: 100-continue, too');
    is_deeply($response->interim, [], 'and without an interim 100');
    $client = $server->connect;
    $client->send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n01234567890");
    is($client->response->status, 413, 'as soon as the chunks are too long');
    $client->close;
    $server->stop_ok;
};

subtest 'max_body_bytes 0 is no limit' => sub {
    my $server = start_server(app => dump_app(), args => { max_body_bytes => 0 });
    status_ok($server, with_body(300_000),  200, 'a body');
    status_ok($server, with_chunks(30_000), 200, 'chunks');
    $server->stop_ok;
};

subtest 'trailers are limited like headers' => sub {
    my $server = start_server(app => dump_app(), args => { max_header_bytes => 200 });
    my $chunks = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    status_ok($server, $chunks . "X: 1\r\n" x 5 . "\r\n",     200, 'a few');
    status_ok($server, $chunks . "X: 1\r\n" x 5_000 . "\r\n", 431, 'too many');
    $server->stop_ok;
};

subtest 'many chunks with extensions are not read for ever' => sub {
    my $server = start_server(app => dump_app(), args => { max_body_bytes => 1000 });
    my $chunks =
          "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        . "1\r\nb\r\n" x 1001
        . "0\r\n\r\n";
    status_ok($server, $chunks, 413, 'tiny chunks over the limit');
    $server->stop_ok;
};

done_testing;
