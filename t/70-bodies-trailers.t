# psgix.trailers: the fields behind a request's body, the same over HTTP/1.1 and HTTP/2, for bodies
# that are there as a whole and for those that stream.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Http2;
use Test::More;

my $app = <<'END';
sub text {
    my ($env) = @_;
    my $list = $env->{'psgix.trailers'};
    my @named = grep { /^HTTP_(X_SUM|CHECKSUM|COOKIE|FORGED)/ } sort keys %$env;
    return join '|', @named, $list ? ('trailers', @$list) : 'none';
}
sub {
    my ($env) = @_;
    return [200, [], [text($env)]] if !$env->{'psgix.input.streaming'};
    return sub {
        my ($respond) = @_;
        my $before    = @{ $env->{'psgix.trailers'} };
        my $reader    = $env->{'psgix.input.reader'};
        $reader->on_data(sub { });
        $reader->on_end(sub { $respond->([200, [], ["$before|" . text($env)]]) });
    };
}
END

sub start {
    my (%args) = @_;
    my $listen = '127.0.0.1:0' . (has_http2() ? ',h2c' : '');
    return start_server(
        by    => 'program',
        code  => $app,
        flags => ['--listen', $listen],
        args  => { streaming_input => '/up', %args }
    );
}

# A POST over HTTP/1.1 with these fields behind it, in pieces of so many bytes; status and body.
sub over_1 {
    my ($server, $path, $n, @fields) = @_;
    my $client = $server->connect;
    my $body   = "3\r\nabc\r\n0\r\n";
    while (my ($name, $value) = splice @fields, 0, 2) { $body .= "$name: $value\r\n" }
    my $bytes = "POST $path HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n$body\r\n";
    for my $piece ($bytes =~ /\G(.{1,$n})/gs) {
        $client->send($piece);
        select undef, undef, undef, 0.001 if $n < 1000;
    }
    my $r = $client->response;
    return ($r->status, $r->body);
}

sub over_2 {
    my ($server, $path, $n, @fields) = @_;
    my $h2 = SprigTest::Http2->connect($server);
    my $id = $h2->request($path, body => 'abc', open => 1, fields => [':method' => 'POST']);
    $h2->trailers($id, @fields);
    my $r = $h2->response($id);
    $h2->close;
    return ($r->{status}, $r->{body});
}

my %over = ('HTTP/1.1' => \&over_1, has_http2() ? ('HTTP/2' => \&over_2) : ());
diag 'this Sprig was built without nghttp2: HTTP/1.1 only' if !has_http2();

for my $protocol (sort keys %over) {
    my $post  = $over{$protocol};
    my @ahead = $protocol eq 'HTTP/2' ? () : ('Host' => 'b', 'Content-Length' => 99);    # resets it
    my $case  = $protocol eq 'HTTP/2' ? sub { lc $_[0] } : sub { $_[0] };
    subtest "trailers over $protocol" => sub {
        my $server = start();
        for my $path ('/', '/up') {
            my $before = $path eq '/up' ? '0|' : '';
            my ($none, $kind) =
                $path eq '/up' ? ('0|trailers', 'a body that streams') : ('none', 'a whole body');
            my $ask = sub { return (post_ok($post, $server, $path, 30000, @_))[1] };
            is($ask->(), $none, "$kind without any");
            is(
                $ask->($case->('X-Sum') => 'a b', $case->('Checksum') => '1', 'x-sum' => ''),
                "${before}trailers|x-sum|a b|checksum|1|x-sum|",
                "$kind: in their order, names in lower case, none of them a header"
            );
            is(
                $ask->(@ahead, 'x_sum' => 1, 'trailer' => 'x', 'cookie' => 'a=b'),
                "${before}trailers|cookie|a=b",
                "$kind: not what says how a message is framed, or where it goes"
            );
        }
        is(
            (post_ok($post, $server, '/', 30000, 'x-long' => 'y' x 15000))[1],
            'trailers|x-long|' . 'y' x 15000,
            'long ones'
        );
        $server->stop_ok;
    };

    subtest "limits over $protocol" => sub {
        my $server = start(max_headers => 5, max_header_bytes => 300);
        for my $path ('/', '/up') {
            my $status = sub { return ($post->($server, $path, 30000, @_))[0] };
            is($status->(map { ("x-$_" => 1) } 1 .. 5), 200, "$path: as many as there may be");
            is($status->(map { ("x-$_" => 1) } 1 .. 6), 431, "$path: and one more");
            is($status->('x-a' => 'y' x 293),           200, "$path: as many bytes");
            is($status->('x-a' => 'y' x 294),           431, "$path: and one more");
        }
        $server->idle_ok;
        $server->stop_ok;
    };
}

sub post_ok {
    my ($post,   @args) = @_;
    my ($status, $body) = $post->(@args);
    is($status, 200, 'is accepted');
    return ($status, $body);
}

subtest 'trailers that come byte by byte' => sub {
    my $server = start();
    for my $path ('/', '/up') {
        my (undef, $body) = over_1($server, $path, 1, 'X-Sum' => 'a', 'B' => 'c');
        is($body, ($path eq '/up' ? '0|' : '') . 'trailers|x-sum|a|b|c', $path);
    }
    $server->stop_ok;
};

subtest 'no request has those of another' => sub {
    my $server = start();
    my $client = $server->connect;
    my $chunks = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n";
    $client->send("${chunks}X-Sum: 1\r\n\r\n$chunks\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    is($client->response->body, 'trailers|x-sum|1', 'the first one of a connection');
    is($client->response->body, 'none',             'the second one');
    is($client->response->body, 'none',             'one without a body');
    $server->stop_ok;
};

subtest 'trailers of HTTP/2 that may not be' => sub {
    plan skip_all => 'this Sprig was built without nghttp2' if !has_http2();
    my $server = start();
    my $h2     = SprigTest::Http2->connect($server);
    for my $bad ([':path' => '/a'], ['X-Upper' => 1], ['connection' => 'close'], ['x-a' => "b\0"]) {
        my $id = $h2->request('/', body => 'abc', open => 1, fields => [':method' => 'POST']);
        $h2->trailers($id, @$bad);
        my $r = $h2->response($id);
        ok(($r->{status} || 0) == 400 || $r->{reset}, "refused: $bad->[0]") or diag explain $r;
    }
    my $id = $h2->request('/', body => 'abc', open => 1, fields => [':method' => 'POST']);
    $h2->send(SprigTest::Http2::frame(
        'HEADERS', $FLAG{END_HEADERS}, $id, SprigTest::Http2::block('x-a' => 1)
    ));
    ok($h2->response($id)->{reset}, 'refused: such that do not end the stream');
    is($h2->response($h2->request('/'))->{body}, 'none', 'all that does no harm to the connection');
    $h2->close;
    $server->stop_ok;
};

done_testing;
