# The rules that PAGI::Spec, PAGI::Spec::Www and PAGI::Spec::Lifespan have for servers: requests of HTTP.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP ();
use SprigTest;
use SprigTest::Pagi;
use SprigTest::PagiRules;
use SprigTest::Probe qw(get eventually);
use Test::More;

not_over_http2('the wire is that of HTTP/1.1');

my $file = slurp(SprigTest::root() . '/t/apps/pagi-rules.pl');
my $server;

sub scope_of {
    my ($target, @lines) = @_;
    return JSON::PP->new->latin1->decode(ask_http($server, "GET $target", @lines)->body);
}

# All that comes for a request, until the server closes.
sub raw_answer {
    my ($bytes) = @_;
    my $client = $server->connect;
    $client->send($bytes);
    return $client->rest;
}

my @methods = qw(is_connected disconnect_reason disconnect_detail on_disconnect on_complete
    disconnect_future response_started response_complete abort);

sub check_scope {
    my $scope =
        scope_of('/scope?x=%41&y', 'X-Two: a', 'Cookie: a=1', 'x-TWO: b', 'Cookie: b=2; c=3');
    is_deeply [@$scope{qw(type http_version method path raw_path query_string root_path)}],
        ['http', '1.1', 'GET', '/scope', '/scope', 'x=%41&y', ''], 'strings';
    is $scope->{scheme}, over_tls() ? 'https' : 'http', 'scheme';
    is_deeply [grep { $_->[0] =~ /x-two|cookie/i } @{ $scope->{headers} }],
        [['x-two', 'a'], ['cookie', 'a=1; b=2; c=3'], ['x-two', 'b']],
        'headers are in order and lower case, and there is one cookie';
    is scalar @{ $scope->{client} }, 2,             'client';
    is $scope->{server}[1],          $server->port, 'server';
    like $scope->{pagi}{$_}, qr/\A0\.[0-9]+\z/, "$_ is a string" for qw(version spec_version);
    is ref $scope->{extensions}, 'HASH', 'extensions';
    is_deeply $scope->{'pagi.connection'}, \@methods, 'pagi.connection has all methods';
    is_deeply $scope->{'pagi.transport'},
        [qw(buffered_amount high_water_mark low_water_mark on_high_water on_drain)],
        'and so has pagi.transport';
    is !!$scope->{extensions}{tls},       !!over_tls(),  'tls is an extension where there is TLS';
    is scope_of('/scope/%C3%A4')->{path}, "/scope/\xe4", 'a path is decoded';
    is scope_of('/scope/%FF')->{path},    "/scope/\xff", 'what is not UTF-8 stays bytes';
    my $old = JSON::PP->new->decode($server->ask("GET /scope HTTP/1.0\r\n\r\n")->body);
    is $old->{http_version}, '1.0', 'HTTP/1.0';
    is ask_http($server, 'GET /state')->body, "as it began $_", 'state is a shallow copy' for 1, 2;
    my ($told, $wrong) = notes($server, 'lifespan', 2);
    like $told, qr/\Alifespan\.startup lifespan HASH 0\.\d 0\.\d\z/, 'the lifespan scope';
    is $wrong, 'failed', 'what it does not know';
}

sub check_request_body {
    is ask_http($server, 'GET /body')->body, 'http.request 1 ', 'none';
    is $server->ask("POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello")->body,
        'http.request 1 hello', 'with a length';
    my $chunked = "POST /body HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    is $server->ask("${chunked}3\r\nhel\r\n2\r\nlo\r\n0\r\n\r\n")->body, 'http.request 1 hello',
        'in chunks';
    my $client = $server->connect;
    $client->send(
        "PUT /body HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n");
    is $client->response(interim => 1)->status, 100, '100 Continue before it is read';
    $client->send('ok');
    is $client->response->body, 'http.request 1 ok', 'then it comes';
    is_deeply [notes($server, 'body', 4)], [('http.disconnect') x 4], 'what is received afterwards';
}

sub check_heads {
    my $unsafe = ask_http($server, 'GET /unsafe');
    is $unsafe->body, join(' ', ('failed') x 6, 0), 'unsafe headers fail, and change nothing';
    is $unsafe->header('X-Injected'), undef,        'and nothing of them gets out';
    my $client = $server->connect;
    $client->send(get('/owned'));
    my $owned = $client->response;
    is_deeply [$owned->header('Transfer-Encoding')], ['chunked'], 'framing is the server\'s';
    is join(',',
        map { $_ // '' } map { scalar $owned->header($_) } qw(Keep-Alive Proxy-Connection)),
        ',', 'the connection as well';
    unlike scalar($owned->header('Connection')) // '', qr/x-own/,
        'whatever the application says of it';
    is scalar($owned->header('Content-Encoding')), 'identity', 'content is the application\'s';
    ok scalar($owned->header('Date')), 'Date is added';
    $client->send(get('/value'));
    is $client->response->body, 'inert', 'the connection is kept, the value that is returned inert';
    my $upgrade = ask_http($server, 'GET /upgrade');
    is scalar($upgrade->header('Upgrade')), 'websocket', 'Upgrade is passed on';
    like scalar($upgrade->header('Connection')), qr/\bupgrade\b/i, 'with its option of Connection';
    is ask_http($server, 'GET /validation')->body, join(' ', ('failed') x 11),
        'each wrong event fails its future';
}

sub check_bodies {
    is ask_http($server, 'GET /kinds')->body, join(' ', ('failed') x 5, 'done', 'failed'),
        'body, file and fh exclude each other, also over the whole response';
    is ask_http($server, 'GET /file')->body, $file, 'a file ends the response';
    is ask_http($server, "GET /file?offset=10&length=20&fh=$_")->body, substr($file, 10, 20),
        'a part of it'
        for 0, 1;
    is ask_http($server, 'GET /file?offset=99999999')->body, '', 'behind its end there is nothing';
    is ask_http($server, 'GET /unreadable')->body, 'instead: failed',
        'a handle that cannot be read leaves room for another body';
    like raw_answer(get('/trailers', 'Connection: close')),
        qr/\r\n4\r\nbody\r\n0\r\nx-sum: 42\r\n\r\n\z/,
        'trailers stand behind the last chunk';
    is((grep { /\A(?:done|failed)/ } notes($server, 'trailers', 3))[0], 'done', 'they are sent');
    is ask_http($server, 'GET /trailers?none')->body, 'body', 'not announced';
    is((notes($server, 'trailers', 1))[0], 'failed', 'they are refused');
    my $length = raw_answer(get('/trailers?length', 'Connection: close'));
    unlike $length, qr/x-sum/i, 'with a length there is no place for them';
    is_deeply [grep { /\A(?:failed|disconnect 1|complete)/ } notes($server, 'trailers', 4)],
        ['failed', 'disconnect 1 server_error 0 server_error 1 0'],
        'so that the response stays incomplete';
}

sub check_head {
    for my $query ('', 'length', 'file', 'trailers') {
        my $path = $query eq 'trailers' ? '/trailers' : "/head?$query";
        my $all  = raw_answer("HEAD $path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        like $all,   qr/\AHTTP\/1\.1 200.*\r\n\r\n\z/s, "no body: $path";
        unlike $all, qr/\nTransfer-Encoding/i,          'no chunks';
        is scalar($all =~ /\nContent-Length: (\d+)/i ? $1 : undef), $query eq 'length' ? 5 : undef,
            'the length is as the application says';
    }
    is_deeply [sort { $a cmp $b } notes($server, 'head', 8)],
        ['HEAD', 'HEAD', map { ("complete $_") x 3 } 1, 2], 'each is complete';
    is((grep { /\A(?:done|failed)/ } notes($server, 'trailers', 3))[0],
        'done', 'trailers are dropped');
}

sub check_failures {
    like raw_answer(get($_)), qr/\AHTTP\/1\.1 500 .*\r\nConnection: close\r\n/s,
        "$_: 500, and it closes"
        for qw(/nothing /die);
    for my $query ('', 'length', 'die', 'trailers') {
        my $client = $server->connect;
        $client->send(get("/incomplete?$query") . get('/value'));
        my $all = $client->rest;
        like $all,   qr/\AHTTP\/1\.1 200/, "incomplete?$query";
        unlike $all, qr/\r\n0\r\n|inert/,  'looks incomplete, and nothing follows';
        is_deeply [grep { /\A(?:disconnect 1|complete)/ } notes($server, 'incomplete', 3)],
            ['disconnect 1 server_error 0 server_error 1 0'], 'and is told so';
    }
    is ask_http($server, 'GET /afterwards')->body, 'fine', 'an exception after the end';
    is_deeply [notes($server, 'afterwards', 2)], ['complete 1', 'complete 2'],
        'the request stays complete';
}

sub check_client {
    is ask_http($server, 'GET /progress')->status, 200, 'a response on its way';
    is_deeply [notes($server, 'progress', 4)], ['1 - 0 0', '1 - 1 0', '1 - 1 0', '0 - 1 1'],
        'started and complete';
    is ask_http($server, 'GET /later')->body, '0 - 1 1 complete pending',
        'callbacks that come late';
    my $client = $server->connect;
    $client->send(get('/wait'));
    eventually { $client->poll; $client->buffered =~ /waiting/ };
    $client->close;
    my @lines = notes($server, 'wait');
    my ($reason) = $lines[0] =~ /\Afuture (\S+)/;
    like $reason, qr/\A(?:client_closed|read_error)\z/, 'a reason of the list';
    is_deeply \@lines,
        [
        "future $reason 0 $reason 1 0",
        "disconnect 1 $reason 0 $reason 1 0",
        "disconnect 2 $reason 2",
        "received http.disconnect 0 $reason 1 0",
        'observer done',
        'send done',
        'wrong done',
        "late $reason",
        "future $reason",
        'end',
        ],
        'the order in which a client that leaves is told of, and what follows';
}

sub check_flow {
    my $client = $server->connect;
    $client->send(get('/flood'));
    select undef, undef, undef, 0.3;
    my %lines = map { $_ => 1 } notes($server, 'flood', 2);
    ok $lines{high} && $lines{pending}, 'a client that does not read: futures are pending';
    $client->close;
    my @lines = notes($server, 'flood', 2);
    is $lines[0], 'settled', 'its end settles them, and that can be seen by then';
    like $lines[1], qr/\Aover 0 (?:write_error|read_error|client_closed) 1 0\z/, 'with a reason';
}

sub check_abort {
    for my $query ('', 'early') {
        my $client = $server->connect;
        $client->send(get("/abort?$query"));
        unlike $client->rest, $query ? qr/HTTP/ : qr/\r\n0\r\n/,
            "abort?$query: the client is cut off";
        my $progress = $query ? '0 0' : '1 0';
        is_deeply [notes($server, 'abort')],
            [
            "future app_abort 0 app_abort $progress",
            "disconnect 1 app_abort 0 app_abort $progress",
            'disconnect 2 app_abort 2',
            "after 0 app_abort $progress",
            'detail the quota is used up',
            'send done',
            'received http.disconnect',
            'end',
            ],
            'and the application is told like of any other end';
    }
}

sub check_refusals {
    my %request = (
        400 => "GET / HTTP/1.1\r\nno colon\r\n\r\n",
        414 => 'GET /' . 'x' x 1_000_000 . " HTTP/1.1\r\n\r\n",
        431 => "GET / HTTP/1.1\r\nHost: a\r\nX: " . 'x' x 1_000_000 . "\r\n\r\n",
        501 => "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n",
    );
    for my $status (sort keys %request) {
        my $client = $server->connect;
        $client->send($request{$status});
        like $client->rest, qr/\AHTTP\/1\.1 $status .*\r\nContent-Type: text\/plain/is,
            "status $status";
    }
}

my @parts = (
    'the scope'                   => \&check_scope,
    'the body of a request'       => \&check_request_body,
    'heads'                       => \&check_heads,
    'bodies and trailers'         => \&check_bodies,
    'HEAD'                        => \&check_head,
    'applications that fail'      => \&check_failures,
    'the client'                  => \&check_client,
    'flow control'                => \&check_flow,
    'abort'                       => \&check_abort,
    'what the server itself says' => \&check_refusals,
);

for_each_loop(sub {
    ($server) = @_;
    my @rest = @parts;
    while (my ($name, $check) = splice @rest, 0, 2) {
        subtest $name => $check;
    }
    unlike $server->stderr, qr{/(?:abort|wait|flood): (?!a callback)},
        'nothing is reported of what is no fault';
});

done_testing;
