# HTTP/2: the limits of requests hold for streams - how many are in flight, how long they wait, how long
# their responses may stand still, when a process has served enough.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Http2;
use SprigTest::Probe;
use Test::More;
use Time::HiRes qw(time);

need_http2();

my $app = <<'APP';
my ($n, $most, @waiting) = (0, 0);
sub begin { $n++; $most = $n if $n > $most }
routes(
    '/' => sub { [200, [], ['hello']] },
    '/later' => sub {
        begin();
        return sub {
            my ($respond) = @_;
            my $timer;
            $timer = AE::timer 0.05, 0, sub { undef $timer; $n--; $respond->([200, [], ['later']]) };
        };
    },
    '/most' => sub { [200, [], [$most]] },
    '/wait' => sub {
        note_down('waits');
        return sub {
            my $writer = $_[0]->([200, []]);
            $writer->write('begun');
            $writer->on_disconnect(sub { note_down('left'); undef $writer });
        };
    },
    '/noted' => sub { note_down('ran'); [200, [], ['ran']] },
    '/block' => sub { select undef, undef, undef, 0.7; [200, [], ['blocked']] },
    '/large' => sub { [200, [], ['x' x 300_000]] },
    '/last'  => sub {
        my ($env) = @_;
        $env->{'psgix.harakiri.commit'} = 1;
        [200, [], [$env->{'psgix.harakiri'} ? 'last' : 'not supported']];
    },
);
APP

subtest 'max_requests_in_flight' => sub {
    my $server = start_http2($app, max_requests_in_flight => 2);
    my @h2     = map { SprigTest::Http2->connect($server) } 1 .. 2;
    my @asked  = map {
        my $h2 = $_;
        map { [$h2, $h2->request('/later')] } 1 .. 6
    } @h2;
    my %body;
    $body{ $_->[0]->response($_->[1])->{body} }++ for @asked;
    is_deeply(\%body, { later => 12 }, 'all streams of both connections are served');
    is($h2[0]->response($h2[0]->request('/most'))->{body}, 2, 'two at a time');

    my @held = map { $h2[0]->request('/wait') } 1 .. 2;
    $h2[0]->until('DATA') for @held;
    my $noted = $h2[0]->request('/noted');
    my $other = $h2[1]->request('/');
    $h2[0]->reset($noted);
    $h2[0]->reset($held[0]);
    is($h2[1]->response($other)->{body},
        'hello', 'a stream that is reset gives its place to another');
    $h2[0]->reset($held[1]);
    is_deeply(
        [sort(await_diary($server, 4))],
        [qw(left left waits waits)],
        'one that was reset while it waited is not run'
    );
    over_ok($server, @h2);
};

subtest 'queue_timeout' => sub {
    my $server = start_http2($app, max_requests_in_flight => 1, queue_timeout => 0.5);
    my $h2     = SprigTest::Http2->connect($server);
    my $held   = $h2->request('/wait');
    $h2->until('DATA');
    my $start = time;
    my $r     = $h2->response($h2->request('/noted'));
    is($r->{status}, 503, 'one that waits for too long');
    cmp_ok($r->{headers}{'retry-after'} || 0, '>=', 1,    'is told when to come again');
    cmp_ok(time - $start,                     '>',  0.45, 'not before its time');
    ok($server->stderr_like(qr/^sprig: 503 for 127\.0\.0\.1: queue_timeout/m), 'logged');
    my $next = $h2->request('/');
    $h2->reset($held);
    is($h2->response($next)->{body}, 'hello', 'one that waited less is served, on this connection');
    is_deeply([await_diary($server, 2)], [qw(waits left)], 'the first was never run');
    over_ok($server, $h2);
};

subtest 'queue_timeout where the app keeps the process busy' => sub {
    my $server = start_http2($app, queue_timeout => 0.5);
    my @h2     = map { SprigTest::Http2->connect($server) } 0 .. 3;
    my @ids    = $h2[0]->request('/block');
    $h2[1]->is_closed(0.2);
    push @ids, map { $h2[$_]->request('/block') } 1 .. 3;
    my @status = map { $h2[$_]->response($ids[$_])->{status} } 0 .. 3;
    is("@status", '200 200 503 503', 'those that waited too long are not run');
    over_ok($server, @h2);
};

subtest 'write_timeout is that of a stream' => sub {
    my $server = start_http2($app, write_timeout => 1);
    my $h2     = SprigTest::Http2->connect($server, settings => [4, 50_000]);
    my $shut   = $h2->request('/large');
    my $slow   = $h2->request('/large');
    my $body   = '';
    for my $at (1 .. 5) {
        while (length $body < 50_000 * $at) {
            my $frame = $h2->next_frame or last;
            $h2->_collect($frame);
            $body .= $frame->{payload} if $frame->{type} eq 'DATA' && $frame->{id} == $slow;
        }
        select undef, undef, undef, 0.4;
        $h2->window($slow, 50_000);
    }
    is(length $h2->response($slow)->{body}, 300_000, 'one whose window is opened in time goes on');
    is($h2->response($shut)->{reset},       8,       'one whose window stays shut is reset');
    ok($server->stderr_like(qr/write_timeout: the client took no bytes/), 'logged');
    is($h2->response($h2->request('/'))->{body}, 'hello', 'the connection goes on');

    my $closed = SprigTest::Http2->connect($server, settings => [4, 0]);
    my $r      = $closed->response($closed->request('/', fields => [':scheme' => 'other']));
    is("$r->{status} " . ($r->{reset} || 'no end'), '400 8', 'the same holds for a bad request');
    over_ok($server, $h2, $closed);
};

subtest 'harakiri' => sub {
    my $server = start_http2($app, harakiri => 1);
    my $h2     = SprigTest::Http2->connect($server);
    my $slow   = $h2->request('/', open => 1, fields => [':method' => 'POST']);
    is($h2->response($h2->request('/last'))->{body}, 'last', 'the request is answered');
    $h2->until('GOAWAY') if !$h2->{goaway};
    $h2->send(SprigTest::Http2::frame('PING', $FLAG{ACK}, 0, "goaway\0\0"));
    $h2->data($slow, 'body', end => 1);
    is($h2->response($slow)->{body}, 'hello', 'and one beside it');
    ok($h2->is_closed, 'then the connection is closed');
    $server->ends_ok;
};

done_testing;
