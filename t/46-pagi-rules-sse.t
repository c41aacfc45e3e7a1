# The rules that PAGI::Spec::Www has for servers: streams of events.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Pagi;
use SprigTest::PagiRules;
use SprigTest::Probe qw(get eventually);
use Test::More;

not_over_http2('the wire is that of HTTP/1.1');

my $server;

sub raw_events {
    my ($path) = @_;
    my $client = $server->connect;
    $client->send(get($path, 'Accept: text/event-stream', 'Connection: close'));
    return $client->rest;
}

sub kind_of {
    my ($first, @lines) = @_;
    my ($kind) = split / /, ask_http($server, $first, @lines)->body;
    return $kind;
}

sub check_detection {
    my @accept = (
        ['sse',  'text/event-stream'],
        ['sse',  'Text/Event-Stream'],
        ['sse',  'text/html, text/event-stream;q=0.1'],
        ['sse',  'text/event-stream; charset=utf-8'],
        ['http', 'text/event-stream;q=0'],
        ['http', 'text/event-stream; q=0.000'],
        ['http', 'text/*'],
        ['http', '*/*'],
        ['http', 'text/event-streams'],
    );
    is kind_of('GET /kind', "Accept: $_->[1]"), $_->[0], $_->[1] for @accept;
    is kind_of('GET /kind'),                    'http',  'none';
    is kind_of('GET /kind', 'Accept: text/html', 'Accept: text/event-stream'), 'sse', 'two fields';
    is kind_of("$_ /kind", 'Accept: text/event-stream', 'Content-Length: 0'), 'sse', $_
        for qw(POST PUT DELETE);
    my $lines = "Host: a\r\nAccept: text/event-stream\r\nContent-Length: 5";
    my @told  = split / /, $server->ask("POST /kind HTTP/1.1\r\n$lines\r\n\r\nhello")->body;
    is_deeply [@told[0 .. 3]], ['sse', 'sse.request', 0, 'hello'], 'its body';
    is scalar(split /\+/, $told[4]), 12, 'the scope has the keys of one of http';
}

sub check_stream {
    my $all = raw_events('/events');
    like $all, qr/\AHTTP\/1\.1 200/, 'status';
    like $all, qr/^\Q$_\E/mi, $_
        for 'Content-Type: text/event-stream', 'Cache-Control: no-cache', 'Date: ';
    my $body  = ask_http($server, 'GET /events', 'Accept: text/event-stream')->body;
    my @fates = (('failed') x 9);
    my @parts = split /\n\n/, $body;
    is_deeply [sort split /\n/, shift @parts],
        [sort 'event: named', 'id: 7', 'retry: 500', map { "data: $_" } qw(one two three)],
        'an event with all fields';
    is_deeply \@parts, ["data: \xe2\x98\xba", ':plain', ':colon', "data: @fates"],
        'text is UTF-8, comments have their colon, and what is wrong fails';
    is(
        (notes($server, 'events', 1))[0],
        'done failed failed failed',
        'after sse.close there is only another one'
    );
    like $all, qr/\r\n0\r\n\r\n\z/, 'it ends the stream';
    my $client = $server->connect;
    $client->send(get('/alive', 'Accept: text/event-stream'));
    ok eventually { $client->poll; $client->buffered =~ /:tock\n\n.*:tock\n\n/s }, 'keepalive';
    unlike $client->buffered, qr/tick/, 'the last one counts';
    $client->close;
}

sub check_end {
    like raw_events('/ended?close'), qr/data: all\n\n\r\n0\r\n\r\n\z/, 'sse.close';
    is_deeply [notes($server, 'ended', 2)], ['complete 1', 'complete 2'], 'is a clean end';
    for my $query ('', 'die') {
        my $all = raw_events("/ended?$query");
        like $all,   qr/data: all/, "ended?$query";
        unlike $all, qr/\r\n0\r\n/, 'what was not closed looks incomplete';
        is_deeply [grep { /\A(?:disconnect 1|complete)/ } notes($server, 'ended', 3)],
            ['disconnect 1 server_error 0 server_error 1 0'], 'and is told so';
    }
    like raw_events('/nothing'), qr/\AHTTP\/1\.1 500/, 'nothing at all';
}

sub check_client {
    for my $query ('', 'early') {
        my $client = $server->connect;
        $client->send(get("/open?$query", 'Accept: text/event-stream'));
        $query
            ? select undef, undef, undef, 0.2
            : eventually { $client->poll; $client->buffered =~ /open/ };
        $client->close;
        my @lines    = notes($server, 'open');
        my ($reason) = $lines[0] =~ /\Afuture (\S+)/;
        my $progress = $query ? '0 0' : '1 0';
        is_deeply \@lines,
            [
            "future $reason 0 $reason $progress",
            "disconnect 1 $reason 0 $reason $progress",
            "disconnect 2 $reason 2",
            "received sse.disconnect $reason 0 $reason $progress",
            'send done',
            'end',
            ],
            "open?$query: a client that leaves is told of in order, with one reason";
        my $cut = $server->connect;
        $cut->send(get("/abort?$query", 'Accept: text/event-stream'));
        unlike $cut->rest, qr/\r\n0\r\n/, 'abort cuts the client off';
        is((grep { /received/ } notes($server, 'abort'))[0], 'received app_abort', 'and is told');
    }
}

sub check_refusal {
    my $all = raw_events('/refuse');
    like $all, qr/\AHTTP\/1\.1 404.*^X-Why: unknown\r\n/msi,        'a plain response';
    like $all, qr/^Connection: close\r$/mi,                         'ends the connection';
    like $all, qr/not .*here: failed failed failed failed failed/s, 'no events can follow';
    is_deeply [notes($server, 'refuse', 2)], ['complete 1', 'complete 2'], 'it is a clean end';
    like raw_events('/removed'), qr/\AHTTP\/1\.1 204.*^X-Fate: failed\r$/msi,
        'without a body; the events of earlier versions are unknown';
}

for_each_loop(sub {
    ($server) = @_;
    subtest 'who asks for events' => \&check_detection;
    subtest 'a stream'            => \&check_stream;
    subtest 'its end'             => \&check_end;
    subtest 'the client'          => \&check_client;
    subtest 'refusing'            => \&check_refusal;
});

done_testing;
