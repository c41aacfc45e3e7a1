# PAGI applications: why a request came to its end, wherever that was found; and what only HTTP/2 does.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Http2;
use SprigTest::Pagi;
use SprigTest::Probe qw(get diary await_diary eventually);
use Test::More;

needs_pagi();
not_over_http2('it has a client of its own for HTTP/2');

my $APP = <<'APP';
my $piece = 'x' x 65536;

# Each end as "reason detail", from on_disconnect and from the event that is received.
sub report_end {
    my ($scope, $note) = @_;
    my $conn = $scope->{'pagi.connection'};
    $conn->on_disconnect(sub {
        my ($reason, $detail) = @_;
        note_down(join ' ', $reason, $detail // '-', $note ? $note->() : ());
    });
    return $conn;
}

paths(
    '/body' => async sub {
        my ($scope, $receive, $send) = @_;
        my $conn = report_end($scope);
        my $event;
        do { $event = await $receive->() } while $event->{type} eq 'http.request' && $event->{more};
        note_down($event->{type});
    },
    '/begun' => async sub {
        my ($scope, $receive, $send) = @_;
        report_end($scope);
        await $send->({ type => 'http.response.start', status => 200 });
        await $send->({ type => 'http.response.body', body => 'begun', more => 1 });
        1 while (await $receive->())->{type} eq 'http.request';
    },
    '/flood' => async sub {
        my ($scope, $receive, $send) = @_;
        my $conn = report_end($scope);
        await $send->({ type => 'http.response.start', status => 200 });
        await $send->({ type => 'http.response.body', body => $piece, more => 1 }) while $conn->is_connected;
    },
    '/careless' => async sub {
        my ($scope, $receive, $send) = @_;
        my $is_inside = 0;
        my $conn = report_end($scope, sub { "inside $is_inside" });
        await $send->({ type => 'http.response.start', status => 200 });
        for my $i (1 .. 100) {
            $is_inside = 1;
            $send->({ type => 'http.response.body', body => $piece, more => 1 })->retain;
            $is_inside = 0;
            last if !$conn->is_connected;
        }
        note_down('found ' . $conn->disconnect_reason);
    },
    '/trailers' => async sub {
        my ($scope, $receive, $send) = @_;
        my @length = $scope->{query_string} ? ['content-length', 4] : ();
        await $send->({ type => 'http.response.start', status => 200, headers => \@length, trailers => 1 });
        await $send->({ type => 'http.response.body', body => 'body' });
        my @fields = (['X-Sum', ' 42 '], ['x-more', 'm' x 100]);
        my @wrong = (['te', 1], [':path', '/']);
        note_down(wrong($send->({ type => 'http.response.trailers', headers => \@wrong })) ? 'refused' : 'taken');
        await $send->({ type => 'http.response.trailers', headers => \@fields });
    },
);
APP

my %limits = (
    max_body_bytes   => 100_000,
    body_timeout     => 0.4,
    write_timeout    => 0.6,
    max_output_bytes => 500_000
);
my $listen = '127.0.0.1:0' . (has_http2() ? ',h2c' : '');
my $server = start_pagi($APP, by => 'program', flags => ['--listen', $listen], args => \%limits);

my $post = "POST /body HTTP/1.1\r\nHost: test\r\n";

sub end_of {
    my (@bytes) = @_;
    my $client = $server->connect;
    $client->send(join '', @bytes);
    my @lines = await_diary($server, 2);
    return ($client, @lines);
}

subtest 'what the client does' => sub {
    my @end = end_of($post, "Content-Length: 10\r\n\r\nabc");
    is_deeply [@end[1, 2]],
        ['client_timeout body_timeout: the body made no progress', 'http.disconnect'],
        'a body that stops';
    like $end[0]->rest, qr/\AHTTP\/1\.1 408/, 'it is told as well';
    @end = end_of($post, "Transfer-Encoding: chunked\r\n\r\nzz\r\n");
    like $end[1], qr/\Aprotocol_error .*chunk/, 'chunks that are none';
    @end = end_of($post, "Transfer-Encoding: chunked\r\n\r\n30000\r\n", 'x' x 196_608);
    is $end[1], 'body_too_large max_body_bytes: the body is too large', 'a body that is too large';
    my $client = $server->connect;
    $client->send($post . "Content-Length: 10\r\n\r\nabc");
    eventually { $server->ask(get('/probe/counters'))->status };
    $client->half_close;
    like(
        (await_diary($server, 2))[0],
        qr/\Aclient_closed connection closed inside the body/,
        'a body that breaks off'
    );
    $client = $server->connect;
    $client->send(get('/begun'));
    eventually { $client->poll; $client->buffered =~ /begun/ };
    $client->reset;
    like(
        (await_diary($server, 1))[0],
        qr/\A(?:read_error Connection reset by peer|client_closed -)\z/,
        'a reset'
    );
};

subtest 'what it does not do' => sub {
    my $client = $server->connect;
    $client->send(get('/flood'));
    is((await_diary($server, 1))[0], 'write_timeout write_timeout: the client took no bytes', 'to read');
    $client->close;
    $client = $server->connect;
    $client->send(get('/careless'));
    is_deeply [sort { $a cmp $b } await_diary($server, 2)],
        [
        'found queue_overflow',
        'queue_overflow max_output_bytes: the client reads too slowly inside 0',
        ],
        'too much waits for it; no callback comes inside of $send';
};

subtest 'HTTP/2' => sub {
    has_http2() or plan skip_all => 'this Sprig was built without nghttp2';
    my $h2 = SprigTest::Http2->connect($server);
    my $id = $h2->request('/begun');
    $h2->until('DATA');
    $h2->reset($id);
    is((await_diary($server, 1))[0], 'client_closed RST_STREAM: CANCEL', 'a stream that is reset');
    for my $query ('', '?length') {
        my $r = $h2->response($h2->request("/trailers$query"));
        is $r->{body}, 'body', "a body $query";
        is_deeply $r->{trailers}, ['x-sum', '42', 'x-more', 'm' x 100], 'with trailers behind it';
        is_deeply [await_diary($server, 1)], ['refused'],               'wrong ones are refused';
    }
    my $r = $h2->response($h2->request('/trailers', fields => [':method' => 'HEAD']));
    is $r->{trailers}, undef, 'HEAD has none';
    $id = $h2->request('/body', body => 'x' x 90_000, open => 1, fields => [':method' => 'POST']);
    $h2->data($id, 'x' x 20_000);
    is(
        (await_diary($server, 3))[-2],
        'body_too_large max_body_bytes: the body is too large',
        'a body that is too large'
    );
    $h2->close;
};

ok eventually { scope_counters($server) == 0 }, 'no scope is left';
$server->stop_ok;

done_testing;
