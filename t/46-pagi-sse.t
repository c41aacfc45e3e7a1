# PAGI applications: the scope sse, a stream of events, and requests for one that are refused.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Events;
use SprigTest::Pagi;
use SprigTest::Probe qw(get diary await_diary eventually);
use Test::More;

needs_pagi();

my $server = start_pagi(<<'APP', args => { graceful_timeout => 4 });
async sub open_stream {
    my ($send, @more) = @_;
    await $send->({ type => 'sse.start', @more });
}

async sub send_data {
    my ($send, @fields) = @_;
    await $send->({ type => 'sse.send', @fields });
}

paths(
    '/type' => async sub {
        my ($scope, $receive, $send) = @_;
        return await answer($send, 'http') if $scope->{type} eq 'http';
        my $event = await $receive->();
        await $send->({ type => 'http.response.start', status => 200, headers => [['x-type', $scope->{type}]] });
        my @body = (type => 'http.response.body');
        await $send->({ @body, body => join(':', @$event{qw(type body more)}) . ' ', more => 1 });
        my @keys = grep { exists $scope->{$_} } qw(method state pagi.connection pagi.transport);
        await $send->({ @body, body => "@keys" });
    },
    '/events' => async sub {
        my ($scope, $receive, $send) = @_;
        await open_stream($send);
        await send_data($send, data => "one\ntwo", event => 'named', id => 7, retry => 500);
        await send_data($send, data => "\x{263a}");
        await $send->({ type => 'sse.comment', comment => 'plain' });
        await $send->({ type => 'sse.comment', comment => ":two\nlines" });
        await $send->({ type => 'http.fullflush' });
        await send_data($send, data => '');
        await $send->({ type => 'sse.close' });
    },
    '/headers' => async sub {
        my ($scope, $receive, $send) = @_;
        my @type = ('Content-Type', 'text/event-stream; charset=utf-8');
        await open_stream($send, status => 202, headers => [\@type, ['x-own', 1]]);
        await $send->({ type => 'sse.close' });
    },
    '/close' => async sub {
        my ($scope, $receive, $send) = @_;
        await open_stream($send);
        await send_data($send, data => 'last');
        await $send->({ type => 'sse.close', reason => 'job_complete' });
        note_down("again '" . wrong($send->({ type => 'sse.close' })) . "'");
        my @rest = (data => 'x', comment => 'x', interval => 1);
        note_down(wrong($send->({ type => $_, @rest }))) for qw(sse.send sse.comment sse.keepalive);
        my $event;
        do { $event = await $receive->() } while $event->{type} ne 'sse.disconnect';
        note_down("$event->{type} $event->{reason}");
    },
    '/wrong' => async sub {
        my ($scope, $receive, $send) = @_;
        my @wrong = map { wrong($send->($_)) } (
            { type => 'sse.send', data => 'early' }, { type => 'sse.comment', comment => 'early' },
            { type => 'sse.close' }, { type => 'http.response.body', body => 'x' },
            { type => 'sse.http.response.start', status => 200 }, { type => 'sse.start', status => 'x' },
        );
        await open_stream($send);
        push @wrong, map { wrong($send->($_)) } (
            { type => 'sse.start' }, { type => 'http.response.start', status => 200 },
            { type => 'http.response.body', body => 'x' },
            { type => 'sse.send' }, { type => 'sse.send', data => 'x', event => "a\nb" },
            { type => 'sse.send', data => 'x', id => "a\rb" }, { type => 'sse.send', data => 'x', retry => 'soon' },
            { type => 'sse.comment' }, { type => 'sse.keepalive' }, { type => 'sse.keepalive', interval => -1 },
        );
        await send_data($send, data => join "\n", @wrong);
        await $send->({ type => 'sse.close' });
    },
    '/refuse' => async sub {
        my ($scope, $receive, $send) = @_;
        await $send->({ type => 'http.response.start', status => 401, headers => [['www-authenticate', 'Bearer']] });
        my @wrong = map { wrong($send->({ type => $_, data => 'x' })) } qw(sse.send sse.start sse.close);
        await $send->({ type => 'http.response.body', body => join "\n", @wrong });
    },
    '/none' => async sub {
        await $_[2]->({ type => 'http.response.start', status => 204 });
        await $_[2]->({ type => 'http.response.body' });
    },
    '/alive' => async sub {
        my ($scope, $receive, $send) = @_;
        await open_stream($send);
        await $send->({ type => 'sse.keepalive', interval => 0.05, comment => 'tick' });
        my $event;
        do { $event = await $receive->() } while $event->{type} ne 'sse.disconnect';
        note_down("$event->{type} $event->{reason}");
        note_down("after '" . wrong($send->({ type => 'sse.send', data => 'x' })) . "'");
    },
    '/die'  => async sub { await open_stream($_[2]); await send_data($_[2], data => 'first'); die "in the stream\n" },
    '/return' => async sub { await open_stream($_[2]); await send_data($_[2], data => 'first') },
    '/die-early' => async sub { die "before the stream\n" },
    '/nothing'   => async sub { return },
);
APP

sub ask_events {
    my ($path, @lines) = @_;
    return $server->ask(get($path, 'Accept: text/event-stream', @lines));
}

subtest 'who asks for events' => sub {
    my %type_of = (
        'text/event-stream'                        => 'sse',
        'TEXT/Event-Stream'                        => 'sse',
        '*/*'                                      => 'http',
        'text/*'                                   => 'http',
        'text/html, text/event-stream'             => 'sse',
        'text/event-stream;q=0.1'                  => 'sse',
        'text/event-stream;q=0'                    => 'http',
        'text/event-stream; q=0.000, */*'          => 'http',
        'text/event-stream;charset=utf-8'          => 'sse',
        'text/event-streams'                       => 'http',
        'a/b;x="text/event-stream,", c/d'          => 'http',
        'text/html;level="1,2", text/event-stream' => 'sse',
    );
    for my $accept (sort keys %type_of) {
        my $type = $server->ask(get('/type', "Accept: $accept"))->header('X-Type') ? 'sse' : 'http';
        is $type, $type_of{$accept}, $accept;
    }
    is $server->ask(get('/type', 'Accept: text/html', 'Accept: text/event-stream'))
        ->header('X-Type'), 'sse',
        'two fields';
    is $server->ask(get('/type'))->body, 'http', 'none';
    my $post = $server->ask(
        "POST /type HTTP/1.1\r\nHost: test\r\nAccept: text/event-stream\r\nContent-Length: 2\r\n\r\nhi"
    );
    like $post->body,
        qr/\Asse\.request:(?:hi)?:[01] method state pagi\.connection pagi\.transport\z/,
        'any method, with a body';
};

subtest 'a stream' => sub {
    my $response = ask_events('/events');
    is $response->status,                          200,                 'status';
    is scalar($response->header('Content-Type')),  'text/event-stream', 'type';
    is scalar($response->header('Cache-Control')), 'no-cache',          'not to be kept';
    ok scalar($response->header('Date')), 'date';
    my $text = $response->body;
    utf8::decode($text);
    is $text,
        "id: 7\nevent: named\nretry: 500\ndata: one\ndata: two\n\ndata: \x{263a}\n\n:plain\n\n:two\n:lines\n\ndata: \n\n",
        'events and comments';
    $response = ask_events('/headers');
    is $response->status,                         202, 'another status';
    is scalar($response->header('Content-Type')), 'text/event-stream; charset=utf-8', 'and type';
};

subtest 'sse.close ends it' => sub {
    is ask_events('/close')->body, "data: last\n\n", 'what was sent';
    my @lines = await_diary($server, 5);
    is shift @lines, "again ''", 'once more does no harm';
    like shift @lines, qr/\A\Q$_\E: the stream was closed/, $_
        for qw(sse.send sse.comment sse.keepalive);
    is $lines[0], 'sse.disconnect job_complete', 'receive tells of it';
};

subtest 'wrong events' => sub {
    my @told     = ask_events('/wrong')->body =~ /^data: (.*)$/mg;
    my @expected = (
        (qr/send sse\.start first/) x 3,
        qr/http\.response\.body: the response has not been started/,
        qr/sse\.http\.response\.start: there is no such event for an sse scope/,
        qr/status must be/,
        qr/started before/,
        (qr/the event stream was started before/) x 2,
        qr/data is missing/,
        qr/event has a line end/,
        qr/id has a line end/,
        qr/retry must be/,
        qr/comment is missing/,
        qr/interval is missing/,
        qr/interval must be/,
    );
    is scalar @told, scalar @expected, 'one reason each' or diag join "\n", @told;
    like $told[$_], $expected[$_] for 0 .. $#expected;
};

subtest 'refusing' => sub {
    my $client = $server->connect;
    $client->send(get('/refuse', 'Accept: text/event-stream'));
    my $response = $client->response;
    is $response->status,                             401,      'status';
    is scalar($response->header('WWW-Authenticate')), 'Bearer', 'header';
    like $response->body,
        qr/\Asse\.send: the event stream was refused.*\nsse\.start: .*\nsse\.close: /,
        'no events any more';
    is scalar($response->header('Connection')), 'close', 'the connection ends' if !over_http2();
    is ask_events('/none')->status,             204,     'one without a body';
};

subtest 'comments keep it alive, and a client that leaves is noticed' => sub {
    my $client = $server->connect;
    $client->send(get('/alive', 'Accept: text/event-stream'));
    ok eventually { $client->poll; $client->buffered =~ /:tick\n\n.*:tick\n\n/s }, 'comments come';
    $client->close;
    is_deeply [await_diary($server, 2)], ['sse.disconnect client_closed', "after ''"], 'it is told';
    ok eventually { scope_counters($server) == 0 }, 'and nothing is left';
};

subtest 'failures' => sub {
    my $response = ask_events('/die');
    ok !$response->is_complete,                              'in the stream: it is cut off';
    ok $server->stderr_like(qr{^GET /die: in the stream$}m), 'reported';
    is ask_events($_)->status, 500, $_ for qw(/die-early /nothing);
    $response = ask_events('/return');
    ok !$response->is_complete, 'returning without sse.close: it is cut off as well';
    ok $server->stderr_like(
        qr{^GET /return: PAGI application returned before its event stream was closed: send sse\.close$}m
        ),
        'and that is reported';
};

subtest 'the end of the server' => sub {
    my $client = $server->connect;
    $client->send(get('/alive', 'Accept: text/event-stream'));
    ok eventually { $client->poll; $client->buffered =~ /:tick/ }, 'a stream is open';
    $server->stop_ok('it does not keep the server');
    unlike $client->rest, qr/\n0\r\n\r\n\z/,
        'nor does its end look as if the application had ended it'
        if !over_http2() && !over_tls();
};

done_testing;
