# The deadlines: who keeps within one is served, who is late gets 408, a close or a reset; nobody else
# notices, and a loop that was busy holds its own lateness against no client.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;
use Time::HiRes qw(time);

use constant LIMIT => 1;      # seconds, of the deadline under test
use constant SLACK => 2.5;    # what a busy machine may add

my $get  = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
my $post = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n";

my $app = <<'END';
sub {
    my ($env) = @_;
    return [200, [], ['x' x 8_000_000]] if $env->{PATH_INFO} eq '/large';
    return sub { my $w = $_[0]->([200, []]); $w->write('x' x 1_000_000) for 1 .. 8; $w->close }
        if $env->{PATH_INFO} eq '/stream';
    if ($env->{PATH_INFO} eq '/block') {
        print STDERR "blocks\n";
        select undef, undef, undef, $env->{QUERY_STRING} || 1.6;
    }
    my $body = do { local $/; readline $env->{'psgi.input'} };
    return [200, ['Content-Type' => 'text/plain'], [defined $body ? "<$body>" : '<>']];
}
END

# Sends the bytes one by one over so many seconds.
sub send_over {
    my ($client, $bytes, $seconds) = @_;
    for my $byte (split //, $bytes) {
        $client->send($byte) or return;
        $client->is_quiet($seconds / length $bytes);
    }
    return;
}

# How long until the server answers or closes.
sub seconds_of {
    my ($code) = @_;
    my $start = time;
    $code->();
    return time - $start;
}

sub took_ok {
    my ($seconds, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok($seconds >= LIMIT * 0.95 && $seconds < LIMIT + SLACK, "$name: in time")
        or diag "after $seconds s";
    return;
}

# The deadline may begin to run as soon as the first byte is out: sending is part of what is measured.
sub late_ok {
    my ($client, $name, $send) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $response;
    took_ok(seconds_of(sub { $send->(); $response = $client->response }), $name);
    is($response->status,               408,     "$name: 408");
    is($response->header('Connection'), 'close', "$name: Connection: close");
    $client->half_close;
    ok($client->is_closed, "$name: closed without a reset");
    return;
}

subtest 'header_timeout is for the whole head' => sub {
    my $server = start_server(code => $app, args => { header_timeout => LIMIT });
    my $client = $server->connect;
    send_over($client, $get, LIMIT * 0.6);
    is($client->response->status, 200, 'a slow head within it');
    $client->is_quiet(LIMIT * 1.5);
    $client->send($get);
    is($client->response->status, 200, 'it does not run between requests');

    late_ok($client, 'half a head on a used connection', sub { $client->send(substr $get, 0, 5) });

    $client = $server->connect;
    late_ok(
        $client,
        'the beginning of a head behind a whole one',
        sub {
            send_over($client, $get . 'x' x 100, LIMIT * 0.3);
            is($client->response->status, 200, 'which is answered');
        }
    );

    $client = $server->connect;
    my $took = seconds_of(sub {
        for (1 .. 60) {
            $client->send('G')     or last;
            $client->is_quiet(0.1) or last;
        }
    });
    took_ok($took, 'a byte now and then does not extend it');
    is($client->response->status, 408, 'and is answered');

    $took = seconds_of(sub { ok($server->connect->is_closed, 'a client that never says a word') });
    took_ok($took, 'is closed without one');
    ok($server->stderr_like(qr/^sprig: 408 for 127\.0\.0\.1: header_timeout/m), 'logged');
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'body_timeout is for silence' => sub {
    my $server = start_server(code => $app, args => { body_timeout => LIMIT });
    my $client = $server->connect;
    $client->send($post);
    for my $byte (split //, '0123456789') {
        $client->is_quiet(LIMIT * 0.2);
        $client->send($byte);
    }
    is($client->response->body, '<0123456789>', 'a body that takes twice as long, but goes on');

    my $chunked = "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    late_ok($client, 'half a body', sub { $client->send($post . '01234') });
    for (
        ['half a chunk',      $chunked . "5\r\n012"],
        ['half a trailer',    $chunked . "0\r\nX: "],
        ['no byte of a body', $post]
        )
    {
        my ($name, $bytes) = @$_;
        $client = $server->connect;
        late_ok($client, $name, sub { $client->send($bytes) });
    }
    ok($server->stderr_like(qr/^sprig: 408 for 127\.0\.0\.1: body_timeout/m), 'logged');
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'of a client behind a trusted proxy the log has its own address' => sub {
    my $proxied = sub {
        return "GET $_[0] HTTP/1.1\r\nHost: a\r\nX-Forwarded-For: 192.0.2.$_[1]\r\n\r\n";
    };
    my $server = start_server(
        code => $app,
        args => { write_timeout => LIMIT, trusted_proxies => '127.0.0.1' }
    );
    my $client = $server->connect;
    $client->send($proxied->('/large', 7));
    ok($server->stderr_like(qr/^sprig: reset for 192\.0\.2\.7: write_timeout/m), 'write_timeout')
        or diag $server->stderr;
    $server->stop_ok;
    $server = start_server(
        code => $app,
        args => { max_output_bytes => '1M', trusted_proxies => '127.0.0.1' }
    );
    $client = $server->connect;
    $client->send($proxied->('/stream', 8));
    ok($server->stderr_like(qr/^sprig: reset for 192\.0\.2\.8: max_output_bytes/m),
        'max_output_bytes')
        or diag $server->stderr;
    $server->stop_ok;
};

subtest 'write_timeout is for no progress' => sub {
    my $server = start_server(code => $app, args => { write_timeout => LIMIT });
    my $client = $server->connect;
    $client->send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    ok($server->stderr_like(qr/^sprig: reset for 127\.0\.0\.1: write_timeout: the client took no bytes/m), 'logged');
    my $rest = $client->rest;
    cmp_ok(length $rest, '<', 8_000_000, 'a client that reads nothing does not get it all');
    ok(defined $client->error, 'and sees a reset');

    $client = $server->connect;
    my $all = 0;
    $client->send("GET /large HTTP/1.1\r\nHost: a\r\n\r\n");
    my $took = seconds_of(sub {
        while (!$client->eof && $all < 8_000_000) {
            select undef, undef, undef, 0.25;    # slower than it must be, but never still
            my $n = sysread $client->socket, my $piece, 1_000_000;
            $all += $n if $n;
            last       if defined $n && !$n;
        }
    });
    cmp_ok($all,  '>', 8_000_000, 'a slow reader gets all of it');
    cmp_ok($took, '>', LIMIT,     'also when that takes longer');
    $client->close;
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'keepalive_timeout is for the next request' => sub {
    my $server = start_server(code => $app, args => { keepalive_timeout => LIMIT });
    my $client = $server->connect;
    for (1 .. 3) {
        $client->send($get);
        is($client->response->status, 200, "request $_");
        $client->is_quiet(LIMIT * 0.5);
    }
    my $took = seconds_of(sub {
        $client->send($get);
        $client->response;
        ok($client->is_closed, 'closed without a word');
    });
    took_ok($took, 'after it');
    is($server->stderr, '', 'and without a line in the log');
    $server->idle_ok;
    $server->stop_ok;
};

subtest '0 is none' => sub {
    my %none    = map { $_ => 0 } qw(header_timeout body_timeout write_timeout keepalive_timeout);
    my $server  = start_server(code => $app, args => \%none);
    my @clients = map { $server->connect } 1 .. 4;
    $clients[1]->send(substr $get, 0, 10);
    $clients[2]->send($post);
    $clients[3]->send($get);
    is($clients[3]->response->status, 200, 'a request');
    $clients[0]->is_quiet(LIMIT);
    ok($_->is_quiet(0.01), 'still there') for @clients;
    $clients[1]->send(substr $get, 10);
    $clients[2]->send('0123456789');
    $_->send($get)                          for @clients[0, 3];
    is($_->response->status, 200, 'served') for @clients;
    $_->close                               for @clients;
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'a loop that was busy does not punish its clients' => sub {
    my $server = start_server(
        code => $app,
        args => { header_timeout => LIMIT, body_timeout => LIMIT, keepalive_timeout => LIMIT }
    );
    my ($head, $body, $idle, $block) = map { $server->connect } 1 .. 4;
    $idle->send($get);
    is($idle->response->status, 200, 'a request before');
    $head->send(substr $get, 0, 10);
    $body->send($post . '01234');
    $body->is_quiet(0.2);
    $block->send("GET /block HTTP/1.1\r\nHost: a\r\n\r\n");
    $block->is_quiet(0.2);
    $head->send(substr $get, 10);
    $body->send('56789');
    $idle->send($get);
    is($block->response->status, 200,            'an app that blocks longer than all deadlines');
    is($head->response->status,  200,            'the head that came meanwhile is taken');
    is($body->response->body,    '<0123456789>', 'and the body');
    is($idle->response->status,  200,            'and the next request of an idle connection');
    $_->close for $head, $body, $idle, $block;
    $server->idle_ok;
    $server->stop_ok;
};

# libevent tells of some at a time, when all their deadlines have passed.
subtest 'nor do many, who have asked meanwhile' => sub {
    my $server =
        start_server(code => $app, args => { keepalive_timeout => 3, header_timeout => 3 });
    my @clients = map { $server->connect } 1 .. 50;
    my $n       = 0;
    for my $client (@clients) {    # one after the other: it must not have seen many at once before
        $client->send($get);
        $n++ if $client->response->status == 200;
    }
    is($n, 50, '50 have been answered');
    my ($block, @new) = map { $server->connect } 1 .. 51;
    $block->send("GET /block?3.6 HTTP/1.1\r\nHost: a\r\n\r\n");
    $server->stderr_like(qr/^blocks/m);
    $_->send($get) for @clients, @new;
    is($block->response->status, 200, 'an app blocks longer than they may be idle');
    my @answered = grep {
        my $r = eval { $_->response };
        $r && $r->status == 200
    } @clients, @new;
    is(scalar @answered, 100, 'and all who asked meanwhile are answered');
    $_->close for $block, @clients, @new;
    $server->idle_ok;
    $server->stop_ok;
};

done_testing;
