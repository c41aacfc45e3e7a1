# Bodies of requests: in memory and in a file, in pieces, expected, never complete.

use strict;
use warnings;
use Digest::SHA qw(sha1_hex);
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

# Answers with what can be learnt of psgi.input; counts how often it ran.
my $code = <<'APP';
use Digest::SHA;
my $runs = 0;
sub {
    my ($env) = @_;
    $runs++;
    return [200, [], [$runs]] if $env->{PATH_INFO} eq '/runs';
    my $input = $env->{'psgi.input'};
    my $digest = sub {
        my $sha = Digest::SHA->new(1);
        my $total = 0;
        while (my $n = $input->read(my $piece, 5000)) { $sha->add($piece); $total += $n }
        return $total . ' ' . $sha->hexdigest;
    };
    my $first = $digest->();
    $input->seek(0, 0);
    my $second = $digest->();
    $input->seek(0, 0);
    my $lines = 0;
    $lines++ while <$input>;
    my $fileno = fileno $input;
    my $kind = defined $fileno && $fileno >= 0 ? 'file' : 'memory';
    my $links = $kind eq 'file' ? (stat $input)[3] : '-';
    my $length = defined $env->{CONTENT_LENGTH} ? $env->{CONTENT_LENGTH} : 'none';
    return [200, [], [join "\n", $first, $second, $lines, $kind, $links, $length]];
};
APP

my $server = start_server(code => $code, args => { body_buffer_bytes => 65536 });

# Text with line ends and every byte, different for each length.
sub some_bytes {
    my ($n)   = @_;
    my $block = join '', map { chr($_ % 256) . ($_ % 50 ? '' : "line $_ of $n\n") } 1 .. 9973;
    return substr $block x (1 + $n / length $block), 0, $n;
}

sub head {
    my (@lines) = @_;
    return join("\r\n", 'POST /digest HTTP/1.1', 'Host: a', @lines) . "\r\n\r\n";
}

sub chunked {
    my ($body, $size) = @_;
    my $bytes = '';
    for (my $at = 0; $at < length $body; $at += $size) {
        my $piece = substr $body, $at, $size;
        $bytes .= sprintf "%x\r\n%s\r\n", length $piece, $piece;
    }
    return $bytes . "0\r\n\r\n";
}

sub body_ok {
    my ($response, $body, $kind, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $sum   = length($body) . ' ' . sha1_hex($body);
    my $lines = () = $body =~ /[^\n]*\n|[^\n]+\z/g;
    my $links = $kind eq 'file' ? 0 : '-';
    is_deeply(
        [split /\n/, $response->body],
        [$sum, $sum, $lines, $kind, $links, length $body],
        "$name: read twice, and line by line"
    );
    return;
}

sub runs {
    return $server->ask("GET /runs HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")->body;
}

for my $n (1, 4096, 65535, 65536, 65537, 1_000_000, 20_000_000) {
    my $body   = some_bytes($n);
    my $kind   = $n > 65536 ? 'file' : 'memory';
    my $client = $server->connect;
    $client->send(head("Content-Length: $n") . $body);
    body_ok($client->response, $body, $kind, "$n bytes");
    $client->send(head('Transfer-Encoding: chunked') . chunked($body, $n > 100_000 ? 65_521 : 777));
    body_ok($client->response, $body, $kind, "$n bytes in chunks");
    $client->close;
}

subtest 'chunks of one byte' => sub {
    my $body = some_bytes(3000);
    body_ok($server->ask(head('Transfer-Encoding: chunked') . chunked($body, 1)),
        $body, 'memory', '3000 of them');
};

subtest 'Expect: 100-continue' => sub {
    my $client = $server->connect;
    $client->send(head('Content-Length: 5', 'Expect: 100-continue'));
    my $interim = $client->response(interim => 1);
    is($interim->status, 100, 'the interim answer comes before the body');
    is($interim->head,   "HTTP/1.1 100 Continue\r\n\r\n", 'it is bare');
    ok($client->is_quiet(0.05), 'then the server waits');
    $client->send('hello');
    body_ok($client->response, 'hello', 'memory', 'after the interim answer');

    $client->send(head('Content-Length: 5', 'Expect: 100-Continue') . 'hello');
    my $response = $client->response;
    cmp_ok(scalar @{ $response->interim }, '<=', 1, 'a body that is there needs no interim answer');
    body_ok($response, 'hello', 'memory', 'a client that does not wait');

    $client->send(head('Transfer-Encoding: chunked', 'Expect: 100-continue'));
    is($client->response(interim => 1)->status, 100, 'the same for chunks');
    $client->send(chunked('hello', 2));
    body_ok($client->response, 'hello', 'memory', 'chunks after it');

    $client->send("GET /runs HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n\r\n");
    is_deeply($client->response->interim, [], 'none where there is no body');

    $client->send("POST /digest HTTP/1.0\r\nConnection: keep-alive\r\nContent-Length: 5\r\n"
            . "Expect: 100-continue\r\n\r\n");
    ok($client->is_quiet(0.05), 'none for HTTP/1.0');
    $client->send('hello');
    body_ok($client->response, 'hello', 'memory', 'HTTP/1.0');
};

subtest 'what is not complete never reaches the app' => sub {
    my $before = runs();
    my %cut    = (
        'half a body'        => head('Content-Length: 10') . 'hello',
        'no body'            => head('Content-Length: 10'),
        'half a chunk'       => head('Transfer-Encoding: chunked') . "a\r\nhello",
        'no last chunk'      => head('Transfer-Encoding: chunked') . "5\r\nhello\r\n",
        'no end of trailers' => head('Transfer-Encoding: chunked') . "5\r\nhello\r\n0\r\n",
        'half a large body'  => head('Content-Length: 200000') . 'b' x 100_000,
    );
    for my $name (sort keys %cut) {
        my $logged = length $server->stderr;
        my $client = $server->connect;
        $client->send($cut{$name});
        $client->half_close;
        my $answer = $client->rest;
        unlike($answer, qr/\AHTTP\/1.1 [23]/, "$name: no good answer");
        ok($server->stderr_like(qr/^sprig: 400 for .* inside the body \((?:POST|GET) \S+\)\n\z/m, from => $logged),
            "$name: logged as 400");
    }
    is(runs(), $before + 1, 'the app did not run');

    for my $start ('', 'G', "GET / HTTP/1.1", "GET / HTTP/1.1\r\nHost: a\r\n", "\r\n") {
        my $client = $server->connect;
        $client->send($start);
        $client->half_close;
        my $is_closed = over_tls()    # ... nor is it said to be complete
            ? $client->rest eq ''
            : $client->is_closed;
        ok($is_closed, 'a head that ends after ' . length($start) . ' bytes: no answer')
            or diag($client->buffered);
    }

    for my $name (sort keys %cut) {
        my $client = $server->connect;
        $client->send($cut{$name});
        $client->reset;
    }
    is(runs(), $before + 2, 'nor after a reset');
};

subtest 'temporary files and descriptors are given back' => sub {
    my $before = $server->n_descriptors;
    for my $i (1 .. 20) {
        my $client = $server->connect;
        $client->send(head('Content-Length: 200000') . 'b' x ($i % 2 ? 200_000 : 100_000));
        $i % 2 ? $client->response : $client->wait_for_bytes(0);
        $client->close;
    }
    runs();
    my $name = 'as many descriptors as before';
    my $left = $server->n_descriptors;
    for (1 .. 50) {
        last if $left <= $before;
        runs();
        $left = $server->n_descriptors;
    }
    cmp_ok($left, '<=', $before, $name);
};

subtest 'temp_dir' => sub {
    my $folder = SprigTest::temp_path('folder');
    mkdir $folder or die "mkdir: $!";
    my $other =
        start_server(code => $code, args => { temp_dir => $folder, body_buffer_bytes => 10 });
    my $client = $other->connect;
    $client->send(head('Content-Length: 11') . '0123456789a');
    body_ok($client->response, '0123456789a', 'file', 'a small buffer');
    opendir my $dh, $folder or die "opendir: $!";
    is_deeply([grep { !/^\./ } readdir $dh], [], 'the file has no name');
    $other->stop_ok;
};

$server->stop_ok;
done_testing;
