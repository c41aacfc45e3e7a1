# PAGI applications: a request and its response, from the scope to the last byte, and what the server
# says to events that are wrong.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP ();
use SprigTest;
use SprigTest::Pagi;
use SprigTest::Probe qw(get diary await_diary eventually);
use Test::More;

needs_pagi();

my $server = start_pagi(<<'APP');
use JSON::PP ();

my $json = JSON::PP->new->canonical->latin1->allow_blessed;

# The scope, with the classes of its objects and without its state.
async sub scope {
    my ($scope, $receive, $send) = @_;
    my %told = (%$scope, map { $_ => ref $scope->{$_} } 'pagi.connection', 'pagi.transport');
    await answer($send, $json->encode(\%told));
}

# All that is received until the body is complete: "more:bytes".
async sub body {
    my ($scope, $receive, $send) = @_;
    my ($text, $event) = ('');
    do {
        $event = await $receive->();
        die $event->{type} if $event->{type} ne 'http.request';
        $text .= "$event->{more}:$event->{body}\n";
    } while ($event->{more});
    await answer($send, $text);
}

async sub size {
    my ($scope, $receive, $send) = @_;
    my ($n, $n_events, $largest) = (0, 0, 0);
    while (1) {
        my $event = await $receive->();
        $n += length $event->{body};
        $n_events++;
        $largest = length $event->{body} if length $event->{body} > $largest;
        last if !$event->{more};
    }
    await answer($send, "$n $n_events $largest");
}

async sub pieces {
    my ($scope, $receive, $send) = @_;
    await $send->({ type => 'http.response.start', status => 203, headers => [['x-a', 1], ['x-a', 2]] });
    for my $i (1 .. 3) {
        await $send->({ type => 'http.response.body', body => "piece $i\n", more => 1 });
    }
    await $send->({ type => 'http.response.body' });
}

# Sends what is wrong at each stage, and goes on as if nothing had happened.
async sub refused {
    my ($scope, $receive, $send) = @_;
    my @start = (type => 'http.response.start', status => 200);
    my @body  = (type => 'http.response.body');
    my @wrong = map { wrong($send->($_)) } (
        'no hash', {}, { type => 'http.unknown' }, { type => 'websocket.send', text => 'x' },
        { @body, body => 'too early' },
        { type => 'http.response.start' },
        { @start, status  => 'ok' },
        { @start, status  => 99 },
        { @start, status  => 101 },
        { @start, headers => 'none' },
        { @start, headers => [['only-a-name']] },
        { @start, headers => [['a', 'b', 'c']] },
        { @start, headers => [['x-a', undef]] },
        { @start, headers => [["x-a\n", 1]] },
        { @start, headers => [['x-a', "1\r\nx-b: 2"]] },
        { @start, headers => [['x-a', "\0"]] },
        { @start, headers => [['x-a', "\x{263a}"]] },
    );
    push @wrong, 'started: ' . $scope->{'pagi.connection'}->response_started;
    my @ignored = (['Connection', 'close'], ['transfer-encoding', 'gzip']);
    await $send->({ @start, headers => [['x-right', 'yes'], @ignored] });
    push @wrong, map { wrong($send->($_)) } (
        { @start },
        { @body, body => "\x{263a}" },
        { @body, body => [] },
        { @body, body => 'x', file => '/etc/passwd' },
        { @body, file => '/nowhere/at/all' },
        { @body, file => '/etc' },
        { @body, fh => 'no handle' },
        { @body, file => '/etc/passwd', offset => -1 },
        { @body, file => '/etc/passwd', length => 'long' },
        { type => 'http.response.trailers' },
    );
    await $send->({ @body, body => join("\n", @wrong, ''), more => 1, unknown => ['field'] });
    await $send->({ @body, body => 'end' });
    note_down(wrong($send->({ @body, body => 'too late' })));
    note_down(wrong($send->({ @start })));
}

# With trailers, or why there are none.
async sub trailers {
    my ($scope, $receive, $send) = @_;
    my @length = $scope->{query_string} eq 'length' ? ['content-length', 4] : ();
    await $send->({ type => 'http.response.start', status => 200, headers => [@length], trailers => 1 });
    note_down(wrong($send->({ type => 'http.response.trailers' })));
    await $send->({ type => 'http.response.body', body => 'body' });
    note_down('not complete') if !$scope->{'pagi.connection'}->response_complete;
    my @wrong = (["x-a\r\n", 1], ['x-a', "1\n"], ['content-length', 4]);
    note_down(map { wrong($send->({ type => 'http.response.trailers', headers => [$_] })) } @wrong);
    my @fields = (['x-sum', '42'], ['x-more', '']);
    note_down('right: ' . wrong($send->({ type => 'http.response.trailers', headers => \@fields })));
    note_down('complete') if $scope->{'pagi.connection'}->response_complete;
}

paths(
    '/trailers' => \&trailers,
    '/scope'   => \&scope,
    "/a b/\xe4" => \&scope,
    "/\xff"    => \&scope,
    '/body'    => \&body,
    '/size'    => \&size,
    '/pieces'  => \&pieces,
    '/refused' => \&refused,
    '/empty'   => async sub { await answer($_[2], '') },
    '/204'     => async sub {
        await $_[2]->({ type => 'http.response.start', status => 204 });
        await $_[2]->({ type => 'http.response.body' });
    },
    '/long'    => async sub { await answer($_[2], 'x' x 3_000_000) },
    '/flush'   => async sub {
        my ($scope, $receive, $send) = @_;
        await $send->({ type => 'http.response.start', status => 200 });
        await $send->({ type => 'http.response.body', body => 'now', more => 1 });
        await $send->({ type => 'http.fullflush' });
        await $send->({ type => 'http.response.body' });
    },
);
APP

sub scope_of {
    my ($bytes) = @_;
    return JSON::PP->new->latin1->decode($server->ask($bytes)->body);
}

subtest 'the scope of a request has every key' => sub {
    my $scope =
        scope_of(get('/scope?x=%41&y', 'X-One: a', 'Cookie: a=1', 'x-ONE: b', 'Cookie: b=2; c=3'));
    is_deeply $scope->{pagi}, { version => '0.5', spec_version => '0.6' }, 'versions';
    is_deeply [@$scope{qw(type http_version method scheme path raw_path query_string root_path)}],
        [
        'http',   over_http2() ? '2' : '1.1', 'GET',     over_tls() ? 'https' : 'http',
        '/scope', '/scope',                   'x=%41&y', ''
        ],
        'strings';
    is_deeply [grep { $_->[0] =~ /\A(?:x-one|cookie)\z/ } @{ $scope->{headers} }],
        [['x-one', 'a'], ['cookie', 'a=1; b=2; c=3'], ['x-one', 'b']],
        'headers in order, cookies as one';
    is $scope->{client}[0], '127.0.0.1', 'client';
    like $scope->{client}[1], qr/\A[0-9]+\z/, 'and its port';
    is_deeply $scope->{server}, ['127.0.0.1', $server->port], 'server';
    is_deeply $scope->{state}, {}, 'state';
    is_deeply [sort keys %{ $scope->{extensions} }],
        [over_tls() ? qw(fullflush tls) : 'fullflush'], 'extensions';
    is $scope->{'pagi.connection'}, 'Sprig::PAGI::Connection', 'pagi.connection';
    is $scope->{'pagi.transport'},  'Sprig::PAGI::Transport',  'pagi.transport';
    is scalar(grep { !/\A:/ } map { $_->[0] } @{ $scope->{headers} }),
        scalar @{ $scope->{headers} }, 'no pseudo header';
};

subtest 'a path is text if it is UTF-8, and bytes otherwise' => sub {
    my $text = scope_of(get('/a%20b/%C3%A4'));
    is $text->{path},                 "/a b/\xe4",     'decoded';
    is $text->{raw_path},             '/a%20b/%C3%A4', 'as it was sent';
    is scope_of(get('/%FF'))->{path}, "/\xff",         'not UTF-8';
};

subtest 'an absolute target names the host' => sub {
    not_over_http2('a target has one form there');
    my $scope = scope_of("GET http://example.org:81/scope HTTP/1.1\r\nHost: other\r\n\r\n");
    is_deeply [grep { $_->[0] eq 'host' } @{ $scope->{headers} }], [['host', 'example.org:81']];
};

subtest 'the body of a request is received' => sub {
    is $server->ask(get('/body'))->body, "0:\n", 'none';
    my $length = "POST /body HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n\r\n";
    is $server->ask($length . 'hello')->body, "0:hello\n", 'with a length';
    my $client = $server->connect;
    $client->send($length);
    $client->send('hello');
    like $client->response->body, qr/\A(?:1:\n)?(?:1:hel\n)?0:(?:hello|lo|)\n\z/, 'a little later';
    my $big = 'x' x 1_000_000;
    my ($n, $n_events) = split / /,
        $server->ask("POST /size HTTP/1.1\r\nHost: test\r\nContent-Length: 1000000\r\n\r\n$big")
        ->body;
    is $n, 1_000_000, 'a large one arrives';
    cmp_ok $n_events, '>', 1, 'in pieces';
};

subtest 'a body that nobody asks for waits, and 100 Continue with it' => sub {
    not_over_http2('it has no 100 Continue');
    my $client = $server->connect;
    $client->send(
        "POST /body HTTP/1.1\r\nHost: test\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    is $client->response(interim => 1)->status, 100, 'the app has asked for it';
    $client->send('ok');
    like $client->response->body, qr/0:(?:ok)?\n\z/, 'and gets it';
};

subtest 'chunked bodies' => sub {
    not_over_http2('it has no chunks');
    my $text =
        $server->ask("POST /body HTTP/1.1\r\nHost: test\r\nTransfer-Encoding: chunked\r\n\r\n"
            . "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")->body;
    is join('', $text =~ /:(.*)/g), 'abcde', 'decoded';
    like $text, qr/0:.*\n\z/, 'the last is the last';
};

subtest 'a response in pieces' => sub {
    my $response = $server->ask(get('/pieces'));
    is $response->status, 203,                           'status';
    is $response->body,   "piece 1\npiece 2\npiece 3\n", 'body';
    is_deeply [$response->header('X-A')], [1, 2], 'headers in order';
    ok scalar($response->header('Date')), 'Date is added';
    is $server->ask(get('/empty'))->body,       '',        'an empty one';
    is $server->ask(get('/204'))->status,       204,       'one without a body';
    is length $server->ask(get('/long'))->body, 3_000_000, 'a long one';
    is $server->ask(get('/flush'))->body,       'now',     'http.fullflush';
};

subtest 'trailers' => sub {
    not_over_http2('it cannot send them yet');
    my $client = $server->connect;
    $client->send(get('/trailers', 'Connection: close'));
    like $client->rest, qr/\r\n4\r\nbody\r\n0\r\nx-sum: 42\r\nx-more: \r\n\r\n\z/,
        'behind the last chunk';
    my @lines = await_diary($server, 7);
    like shift @lines, qr/the body is not complete/, 'not before the end of the body';
    is shift @lines, 'not complete', 'which is not that of the response';
    like shift @lines, $_, 'wrong ones'
        for qr/invalid name/, qr/control character/, qr/is not allowed as a trailer/;
    is_deeply \@lines, ['right: ', 'complete'], 'right ones';
    $server->ask(get('/trailers?length'));
    like join("\n", await_diary($server, 6)), qr/right: .*without chunks cannot have trailers/,
        'with a length there is no place for them';
    is $server->ask("HEAD /trailers HTTP/1.1\r\nHost: test\r\n\r\n", method => 'HEAD')->status,
        200, 'HEAD drops them';
    is((await_diary($server, 7))[-1], 'complete', 'silently');
};

subtest 'HEAD is answered like GET, without the body' => sub {
    my $response = $server->ask("HEAD /long HTTP/1.1\r\nHost: test\r\n\r\n", method => 'HEAD');
    is scalar($response->header('Content-Length')), 3_000_000, 'the length is told';
    my $pieces = $server->ask("HEAD /pieces HTTP/1.1\r\nHost: test\r\n\r\n", method => 'HEAD');
    is $pieces->status, 203, 'without a length';
};

subtest 'HTTP/1.0' => sub {
    not_over_http2('it is another version');
    my $response = $server->ask("GET /scope HTTP/1.0\r\n\r\n");
    my $scope    = JSON::PP->new->decode($response->body);
    is $scope->{http_version}, '1.0', 'version';
    is $server->ask("GET /pieces HTTP/1.0\r\n\r\n")->body, "piece 1\npiece 2\npiece 3\n",
        'the body ends with the connection';
};

subtest 'connections are kept' => sub {
    my $client = $server->connect;
    for my $i (1 .. 3) {
        $client->send(get('/pieces') . get('/empty'));
        is $client->response->status, 203, "request $i";
        is $client->response->status, 200, 'and the one behind it';
    }
};

subtest 'a wrong event fails its future, and changes nothing' => sub {
    my $response = $server->ask(get('/refused'));
    is scalar($response->header('X-Right')), 'yes', 'the right head is sent';
    is scalar($response->header('Transfer-Encoding')), 'chunked',    # over HTTP/2 our client's word
        'framing is the server\'s';
    my @expected = (
        qr/an event is a hash reference/,
        qr/has no type/,
        qr/\Ahttp\.unknown: there is no such event/,
        qr/\Awebsocket\.send: there is no such event for an http scope/,
        qr/\Ahttp\.response\.body: the response has not been started/,
        qr/\Ahttp\.response\.start: status is missing/,
        (qr/\Ahttp\.response\.start: status must be an integer from 200 to 999/) x 3,
        qr/headers must be an array/,
        (qr/each header must be an array of name and value/) x 2,
        qr/name and value of a header must be strings/,
        qr/invalid name/,
        (qr/control character/) x 2,
        qr/wide character/,
        qr/\Astarted: 0\z/,
        qr/the response was started before/,
        qr/body has a wide character/,
        qr/body must be a string of bytes/,
        qr/give one of body, file and fh/,
        qr/cannot open file '\/nowhere\/at\/all': No such file/,
        qr/'\/etc' is not a plain file/,
        qr/fh is not an open file handle/,
        qr/offset must be a non-negative integer, not '-1'/,
        qr/length must be a non-negative integer, not 'long'/,
        qr/\Ahttp\.response\.trailers: http\.response\.start had no trailers/,
    );
    my @told = split /\n/, $response->body;
    is pop @told,    'end',            'the body is complete';
    is scalar @told, scalar @expected, 'one reason each' or diag $response->body;
    like $told[$_], $expected[$_] for 0 .. $#expected;
    like $_, qr/is complete|started before/, 'nothing may follow the end'
        for await_diary($server, 2);
};

my $expected = <<'TEXT';
sprig: the application does not use lifespan (optional): this app knows no lifespan
TEXT
$expected .= <<'TEXT' if !over_http2();
GET /trailers: PAGI application returned before its response was complete
sprig: response aborted: the app failed in the middle of a response
TEXT
is $server->stderr, $expected, 'nothing else is reported';
ok eventually { scope_counters($server) == 0 }, 'no scope is left';
$server->stop_ok;

done_testing;
