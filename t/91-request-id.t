# The id of a request: made or a trusted proxy's, and where it shows.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP;
use SprigTest;
use SprigTest::Program;
use SprigTest::Redirected;
use Test::More;

my $app = app_file(<<'END');
sub {
    my ($env) = @_;
    $env->{'psgi.errors'}->print("said for $env->{PATH_INFO}\n") if $env->{PATH_INFO} =~ /say/;
    my $name = $env->{QUERY_STRING};
    return sub { my ($respond) = @_; my ($t, $n);
        $t = AE::timer 0.01, 0.01, sub {
            warn "$name in a timer\n";
            undef $t if $n++;
            $respond->([200, [], ["$name"]]) if !$t;
        };
    } if $env->{PATH_INFO} eq '/later';
    return sub { my $writer = $_[0]->([200, ['Content-Type' => 'text/plain']]);
        $writer->poll_cb(sub { warn "$name drained\n"; $_[0]->write('x'); $_[0]->close });
    } if $env->{PATH_INFO} eq '/drain';
    return [99, [], []] if $env->{PATH_INFO} eq '/bad';
    my @own = $env->{PATH_INFO} eq '/own' ? ('x-request-id' => 'mine') : ();
    return [200, [@own], [exists $env->{'psgix.request_id'} ? $env->{'psgix.request_id'} : 'none']];
}
END

my $made = qr/\A[0-9a-f]{32}\z/;

sub start { return start_redirected({}, '-l', '127.0.0.1:0', @_, $app) }

sub id_of {
    my ($server, @lines) = @_;
    return $server->ask(join "\r\n", 'GET / HTTP/1.0', @lines, '', '')->body;
}

subtest 'off' => sub {
    my $server = start(qw(--trusted-proxies 127.0.0.1 --request-id-header X-Request-Id));
    is id_of($server, 'X-Request-Id: a'),                              'none', 'there is no key';
    is $server->ask("GET / HTTP/1.0\r\n\r\n")->header('X-Request-Id'), undef,  'and no field';
    $server->stop_ok;
};

subtest 'make' => sub {
    my $server = start(qw(--request-id make --trusted-proxies 127.0.0.1 --workers 2));
    my %seen   = map { id_of($server, 'X-Request-Id: a') => 1 } 1 .. 50;
    is keys %seen,                              50, 'each has another one';
    is scalar(grep { $_ !~ $made } keys %seen), 0,  'of 32 digits';
    $server->stop_ok;
};

subtest 'trust' => sub {
    my $server = start(qw(--request-id trust --trusted-proxies 127.0.0.1));
    my $trace  = '4bf92f3577b34da6a3ce929d0e0e4736';
    is id_of($server, 'X-Request-Id: a-Z_0.:=+/@'), 'a-Z_0.:=+/@', 'that of the proxy';
    is id_of($server, 'X-Request-Id: ' . 'x' x 64), 'x' x 64,      'at the limit';
    like id_of($server, 'X-Request-Id: ' . 'x' x 65), $made, 'one past it';
    is id_of($server, "traceparent: 00-$trace-00f067aa0ba902b7-01"), $trace, 'that of a trace';
    like id_of($server, $_), $made, "none: $_"
        for 'X-Request-Id: a b', 'X-Request-Id: a"b', 'X-Request-Id:', "traceparent: 00-$trace",
        'traceparent: 00-' . '0' x 32 . '-00f067aa0ba902b7-01', 'X-Other: a';
    $server->stop_ok;
    $server = start(qw(--request-id trust --trusted-proxies 192.0.2.1));
    like id_of($server, 'X-Request-Id: a'), $made, 'nobody else is believed';
    $server->stop_ok;
};

subtest 'the response and both logs' => sub {
    my ($access, $error) = map { SprigTest::temp_path($_) } qw(access error);
    my $server =
        start(qw(--request-id trust --trusted-proxies 127.0.0.1 --request-id-header X-Request-Id),
        '--access-log', $access, '--access-log-format', 'json',
        '--error-log',  $error,  '--error-log-format',  'json',);
    my $client = $server->connect;
    for my $id (qw(one two three)) {
        $client->send("GET /say HTTP/1.1\r\nHost: x\r\nX-Request-Id: $id\r\n\r\n");
        my $response = $client->response;
        is $response->body,                   $id, "$id: the application";
        is $response->header('X-Request-Id'), $id, 'the response';
    }
    is $server->ask("GET /own HTTP/1.0\r\nX-Request-Id: x\r\n\r\n")->header('X-Request-Id'), 'mine',
        'what the application sets stays';
    ok $server->eventually(sub { (() = slurp($access) =~ /\n/g) == 4 }), 'four lines';
    is_deeply [map { decode_json($_)->{'sprig.request_id'} } split /\n/, slurp($access)],
        [qw(one two three x)],
        'the access log';
    is_deeply [
        map { $_->{'sprig.request_id'} }
            grep { $_->{body} =~ /said/ } map { decode_json($_) } split /\n/,
        slurp($error)
        ],
        [qw(one two three)], 'the error log';
    $server->stop_ok;
};

# Messages with the id of their request, as the error log has them.
sub told {
    my ($log, $text) = @_;
    return join ' ', map { $_->{'sprig.request_id'} // 'none' }
        grep { $_->{body} =~ /$text/ } map { decode_json($_) } split /\n/, slurp($log);
}

subtest 'what happens later' => sub {
    my $error  = SprigTest::temp_path('error');
    my $server = start(qw(--request-id trust --trusted-proxies 127.0.0.1 --max-body-bytes 10),
        '--error-log', $error, '--error-log-format', 'json');
    my @clients = map { $server->connect } 1 .. 3;
    $clients[$_]->send("GET /later?n$_ HTTP/1.1\r\nHost: x\r\nX-Request-Id: id-$_\r\n\r\n")
        for 0 .. 2;
    $_->response for @clients;
    is told($error, "^n$_ in a timer"), "id-$_ id-$_", "a timer of request $_" for 0 .. 2;
    $clients[0]->send("GET /drain?d HTTP/1.1\r\nHost: x\r\nX-Request-Id: drain\r\n\r\n");
    $clients[0]->response;
    is told($error, '^d drained'), 'drain', 'the callback of a writer';
    $clients[0]->send("GET /bad HTTP/1.1\r\nHost: x\r\nX-Request-Id: bad\r\n\r\n");
    $clients[0]->response;
    like told($error, 'GET /bad'), qr/\Abad\b/, 'a response that is none';
    $clients[1]
        ->send("POST / HTTP/1.1\r\nHost: x\r\nX-Request-Id: large\r\nContent-Length: 11\r\n\r\n");
    $clients[1]->response;
    ok $server->eventually(sub { told($error, '^413 for') eq 'large' }), 'a request that is refused'
        or diag slurp($error);
    $server->stop_ok;

    $server = start(qw(--request-id trust --trusted-proxies 127.0.0.1));
    $server->ask("GET /bad HTTP/1.0\r\nX-Request-Id: my-id\r\n\r\n");
    like $server->stderr, qr{^GET /bad \[my-id\]: PSGI response has status}m, 'in text, too';
    $server->stop_ok;
};

done_testing;
