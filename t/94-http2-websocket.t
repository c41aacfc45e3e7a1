# HTTP/2: WebSockets on a stream (RFC 8441), as they are offered, opened and refused; the rest is in
# t/44-websocket.t, which SPRIG_TEST_HTTP2 runs over HTTP/2.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Http2;
use SprigTest::WebSocket;
use Test::More;

need_http2();

my $app = <<'END';
my @seen;
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [200, [], [join ', ', splice @seen]] if $path eq '/seen';
    return [403, [], ['no']] if $path eq '/no';
    return [200, [], ['hello']] if $path eq '/plain' || !$env->{'psgix.websocket'};
    push @seen, join ' ', map { defined $env->{$_} ? $env->{$_} : '-' }
        qw(SERVER_PROTOCOL REQUEST_METHOD HTTP_UPGRADE HTTP_CONNECTION HTTP_HOST HTTP_SEC_WEBSOCKET_KEY);
    return $env->{'psgix.websocket'}->accept(
        protocols  => ['chat'],
        on_message => sub { $_[0]->send("<$_[1]>") },
        on_close   => sub { push @seen, "closed $_[1]" },
    );
}
END

sub start {
    my (%args) = @_;
    return start_server(
        by    => 'program',
        code  => $app,
        flags => ['--listen', '127.0.0.1:0,h2c'],
        args  => \%args
    );
}

my @opening = (
    ':method'               => 'CONNECT',
    ':protocol'             => 'websocket',
    'sec-websocket-version' => '13'
);

# Whether a new connection is offered them.
sub is_offered {
    my ($server)   = @_;
    my $h2         = SprigTest::Http2->connect($server);
    my ($settings) = $h2->until('SETTINGS');
    my %value      = unpack '(nN)*', $settings->{payload};
    return $value{8};
}

sub client {
    my ($server) = @_;
    my $h2 = SprigTest::Http2->connect($server);
    $h2->until(sub { $_[0]{type} eq 'SETTINGS' && $_[0]{flags} });
    return $h2;
}

# The data of the stream until it matches, or the stream ends.
sub data_until {
    my ($h2, $id, $pattern) = @_;
    my $r = $h2->_response_of($id);
    while (!$r->{over} && $r->{body} !~ $pattern) {
        $h2->_collect($h2->next_frame || last);
    }
    return $r->{body};
}

subtest 'one' => sub {
    my $server = start(http2_websocket => 'on');
    my $h2     = client($server);
    my $id     = $h2->request(
        '/',
        open   => 1,
        fields => [@opening, 'sec-websocket-protocol' => 'x, chat', 'x-a' => 'b']
    );
    my ($head) = grep { $_->{type} eq 'HEADERS' } $h2->until('HEADERS');
    my %fields = @{ $head->{fields} };
    is_deeply(
        [sort grep { $_ ne 'date' } keys %fields],
        [':status', 'sec-websocket-protocol'],
        'is opened by'
    );
    is("@fields{':status', 'sec-websocket-protocol'}", '200 chat', 'status 200');
    $h2->data($id, SprigTest::WebSocket::bytes(text => 'abc'));
    is(data_until($h2, $id, qr/>/), "\x81\5<abc>",             'takes messages and sends some');
    is($h2->response($h2->request('/plain'))->{body}, 'hello', 'beside other requests');
    my @bytes = split //, SprigTest::WebSocket::bytes(text => 'again');
    $h2->data($id, $_) for @bytes;
    like(data_until($h2, $id, qr/again>/), qr/<again>\z/, 'in pieces');
    $h2->data($id, SprigTest::WebSocket::bytes(close => pack 'n', 1000));
    like($h2->response($id)->{body}, qr/\x88\x02\x03\xe8\z/, 'is closed, which ends the stream');
    is(
        $h2->response($h2->request('/seen'))->{body},
        'HTTP/2 GET websocket Upgrade localhost -, closed 1000',
        'the application sees what it sees over HTTP/1.1'
    );
    $id = $h2->request('/', open => 1, fields => \@opening);
    $h2->until('HEADERS');
    $h2->reset($id);
    is($h2->response($h2->request('/seen'))->{body} =~ /closed (\d+)/ && $1,
        1006, 'a stream that is reset is a connection that is lost');
    $id = $h2->request('/', open => 1, fields => \@opening);
    $h2->until('HEADERS');
    $h2->data($id, '', end => 1);
    is($h2->response($id)->{reset}, 8, 'one that ends without a close frame is cancelled');
    $h2->close;
    $server->stop_ok;
};

subtest 'refused' => sub {
    my $server = start(http2_websocket => 'on');
    my $h2     = client($server);
    my $status = sub {
        my ($path, @more) = @_;
        my %is = (@opening, @more);
        my $r  = $h2->response(
            $h2->request($path, open => 1, fields => [map { ($_, $is{$_}) } sort keys %is]));
        return $r->{status} || "reset $r->{reset}";
    };
    is($status->('/no'),                      403, 'by the application');
    is($status->('/plain'),                   405, 'by one that knows nothing of it: not 200');
    is($status->('/', ':protocol' => 'x'),    400, 'another protocol');
    is($status->('/', 'content-length' => 5), 400, 'a length');
    is($status->('/', 'sec-websocket-version' => 8), 405, 'another version is no WebSocket');
    my $r = $h2->response($h2->request('/', fields => \@opening));
    is($r->{status},                                  400,     'a stream that has ended');
    is($h2->response($h2->request('/plain'))->{body}, 'hello', 'the connection goes on');
    $h2->close;
    $server->stop_ok;
};

subtest 'http2_websocket' => sub {
    my $server = start(http2_websocket => 'off');
    ok(!is_offered($server), 'off');
    my $h2 = client($server);
    my $r  = $h2->response($h2->request('/', open => 1, fields => \@opening), seconds => 2);
    ok(!$r->{status}, 'then none is opened');
    $h2->close;
    $server->stop_ok;
    $server = start();
    ok(!is_offered($server), 'auto: not at first');
    my $ws = SprigTest::WebSocket->open($server, '/');
    is($ws->text('x')->next, 'text(<x>)', 'the application has one by HTTP/1.1');
    ok(is_offered($server), 'then they are offered');
    $ws->close(1000);
    $server->stop_ok;
};

subtest 'a server that ends' => sub {
    my $server = start(http2_websocket => 'on');
    my $h2     = client($server);
    my $id     = $h2->request('/', open => 1, fields => \@opening);
    $h2->until('HEADERS');
    kill 'QUIT', $server->pid;
    is(data_until($h2, $id, qr/away/), "\x88\x0c\x03\xe9going away", 'closes it with 1001');
    $h2->data($id, SprigTest::WebSocket::bytes(close => pack 'n', 1001));
    ok($h2->is_closed, 'and the connection');
    $h2->close;
    $server->ends_ok;
};

done_testing;
