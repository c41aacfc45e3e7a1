# The examples that wait for something, without keeping others waiting: uploads, proxies, databases, long
# polls, futures, coroutines; and applications of several frameworks in one process.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Host;
use SprigTest::WebSocket;
use Test::More;
use Time::HiRes qw(time);

my $eg = "$FindBin::Bin/../eg";

sub example {
    my ($name, @option) = @_;
    return start_server(by => 'program', app => "$eg/$name.psgi", @option);
}

sub request {
    my ($method, $path, $body) = @_;
    my $length = defined $body ? 'Content-Length: ' . length($body) . "\r\n" : '';
    return "$method $path HTTP/1.1\r\nHost: localhost\r\n$length\r\n"
        . (defined $body ? $body : '');
}

# Reads until the pattern is there.
sub comes {
    my ($client, $pattern) = @_;
    while ($client->buffered !~ $pattern) {
        return 0 if !$client->wait_for_bytes(1 + length $client->buffered);
    }
    return 1;
}

# Skips the subtest if a module is missing.
sub needs {
    my (@modules) = @_;
    my ($missing) = grep { !eval "require $_; 1" } @modules;
    plan skip_all => "$missing is not installed" if $missing;
    return;
}

subtest 'upload' => sub {
    my $server = example('upload', flags => ['--streaming-input', '/upload']);
    like $server->ask(request(GET => '/'))->body, qr/<progress/, 'there is a page';
    my $page = $server->connect;
    $page->send(request(GET => '/progress?id=x'));
    ok comes($page, qr/: watching/), 'that watches';
    my $client = $server->connect;
    $client->send(
        "POST /upload?id=x HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n" . 'a' x 500);
    ok comes($page, qr/"bytes":500,"percent":50/),
        'half of the body is seen when half of it was sent';
    $client->send('a' x 500);
    like $client->response->body, qr/"bytes":1000,"sha256":"41edece42d63e8d9/, 'and all of it';
    ok comes($page, qr/"percent":100/), '... in the page, too';
    is $server->ask(request(POST => '/upload?id=x'))->status, 411, 'without a body: 411';
    $page->close;
    is $server->stderr, '', 'nothing is complained of';
    $server->stop_ok;
};

subtest 'async-proxy' => sub {
    needs('AnyEvent::HTTP');
    my $clock  = example('time-server');
    my $form   = example('form');
    my $proxy  = example('async-proxy', env => { UPSTREAM => $clock->url('') });
    my $line   = qr/\d\d:\d\d:\d\d \d{4}\n/;
    my $client = $proxy->connect;
    $client->send(request(GET => '/'));
    ok comes($client, qr/$line.*$line/s), 'a stream is passed on line by line';
    $client->close;
    $proxy->stop_ok;
    $proxy = example('async-proxy', env => { UPSTREAM => $form->url('') });
    my $fields = 'name=Ann&colour=red';
    like $proxy->ask("POST /greet HTTP/1.1\r\nHost: a\r\nContent-Length: 19\r\n"
            . "Content-Type: application/x-www-form-urlencoded\r\n\r\n$fields")->body,
        qr/Hello, Ann!/, 'a form is posted';
    is $proxy->ask(request(GET => '/none'))->status, 404, 'a status is passed on';
    $_->stop_ok for $proxy, $form, $clock;
    $proxy = example('async-proxy', env => { UPSTREAM => $form->url('') });
    is $proxy->ask(request(GET => '/'))->status, 502, 'nobody there: 502';
    $proxy->stop_ok;
};

subtest 'async-database' => sub {
    needs('DBI', 'DBD::SQLite');
    my $server = example('async-database', env => { DATABASE => SprigTest::temp_path('visits') });
    my $slow   = $server->connect;
    $slow->send(request(GET => '/slow'));
    $server->ask(request(GET => '/')) for 1 .. 2;
    like $server->ask(request(GET => '/'))->body, qr/(?:<li>\d{4}-.*127\.0\.0\.1){3}/s,
        'three visits are remembered';
    ok !length $slow->buffered,              '... while a slow query runs';
    ok comes($slow, qr/counted to 3000000/), 'which is answered, too';
    is $server->stderr, '', 'nothing is complained of';
    $server->stop_ok;
};

subtest 'async-pg' => sub {
    needs('DBI', 'DBD::Pg');
    my $database = $ENV{SPRIG_TEST_DATABASE};
    plan skip_all => 'SPRIG_TEST_DATABASE names no PostgreSQL (dbname=...;host=...)'
        if !defined $database;
    my $server = example('async-pg', env => { DATABASE => $database });
    like $server->ask(request(GET => '/'))->body, qr/^\d{4}-/, 'an answer';
    my @client = map { $server->connect } 1 .. 8;
    my $start  = time;
    $_->send(request(GET => '/slow')) for @client;
    is scalar(grep { $_->response->body =~ /^\d{4}-/ } @client), 8, 'eight of two seconds each';
    cmp_ok time - $start, '<', 12, '... at the same time, not 16 seconds';
    $server->stop_ok;
};

subtest 'long-poll' => sub {
    my $server = example('long-poll', flags => [qw(--workers 2)]);
    my @client = map { $server->connect } 1 .. 6;
    $_->send(request(GET => '/wait')) for @client;
    is $server->ask(request(GET  => '/wait?seconds=0.2'))->status,   204, 'no news: ask again';
    is $server->ask(request(POST => '/say', "caf\xc3\xa9"))->status, 204, 'there is news';
    is join('', map { $_->response->body } @client), "caf\xc3\xa9\n" x 6, 'all who wait hear of it';
    $server->stop_ok;
};

subtest 'async-await' => sub {
    needs('Future::AsyncAwait');
    my $server = example('async-await');
    my $start  = time;
    my @client = map { $server->connect } 1 .. 50;
    $_->send(request(GET => '/')) for @client;
    my @answer = map { $_->response->body } @client;
    is scalar(grep { $_ eq "weather took 1 s\nnews took 0.7 s\nmail took 0.4 s\n" } @answer), 50,
        'fifty answers of three services each';
    cmp_ok time - $start, '<', 30, '... at the same time, not 105 seconds';
    is $server->ask(request(GET => '/chain'))->body,
        "user took 0.3 s\norders took 0.3 s\ninvoice took 0.3 s\n", 'one after the other';
    $server->stop_ok;
};

subtest 'coro' => sub {
    needs('Coro');
    my $server = example('coro');
    my @client = map { $server->connect } 1 .. 10;
    $_->send(request(GET => '/count')) for @client;
    is $server->ask(request(GET => '/relay'))->body, "one two three\n",
        'coroutines talk to each other';
    is scalar(
        grep {
            $_->response->body eq join '',
                map { "$_\n" }
                1 .. 10
        } @client
        ),
        10,
        'ten count at a time';
    is $server->stderr, '', 'nothing is complained of';
    $server->stop_ok;
};

subtest 'mounted' => sub {
    needs(qw(Catalyst Dancer2 Mojolicious));
    my $server = example('mounted');
    my $links  = $server->ask(request(GET => '/'))->body;
    for my $name (qw(catalyst dancer2 mojolicious)) {
        like $links, qr{href="/$name/"}, "a link to $name";
        my $response = $server->ask(request(GET => "/$name/"));
        is $response->status, 200, '... that leads somewhere';
        like $response->body, qr/^Hello from $name/i, '... and is answered by it';
    }
    is $server->ask(request(GET => '/catalyst/stream'))->body, "1\n2\n3\n", 'Catalyst streams';
    for my $path ('/echo', '/catalyst/echo') {
        my $ws = SprigTest::WebSocket->open($server, $path);
        $ws->text('hi');
        like $ws->next, qr/^text\((?:Catalyst heard )?hi\)$/, "a WebSocket at $path";
        $ws->client->close;
    }
    is $server->stderr, '', 'nothing is complained of';
    $server->stop_ok;
};

done_testing;
