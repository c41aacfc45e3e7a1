# A producer that is faster than its client: the high-water mark, on_drain, poll_cb.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Socket qw(SOL_SOCKET SO_RCVBUF);
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server =
    start_probe(<<'APP', args => { high_water_bytes => 100_000, low_water_bytes => 20_000 });
my $block = 'x' x 10_000;
my $timer;

sub stream (&) {
    my ($code) = @_;
    return sub {
        return sub { my $r = shift; my $w = $r->([200, []]); $code->($w) };
    };
}

routes(
    # Writes until it is told to stop, without looking at the client.
    '/until-false' => stream {
        my $w = shift;
        my $n = 0;
        $n++ while $n < 10_000 && $w->write($block);
        note_down($n < 10_000 ? 'stopped' : 'never stopped', $w->buffered > 100_000 ? 'above' : 'below');
        $w->on_drain(sub {
            note_down($_[0]->buffered <= 20_000 ? 'drained' : 'not drained');
            $_[0]->close;
        });
    },
    # Two hundred blocks, one for each drain.
    '/pull' => stream {
        my $w = shift;
        my $left = 200;
        $w->on_drain(sub { $left-- > 0 ? $_[0]->write($block) : undef });
    },
    '/poll' => stream {
        my $w = shift;
        my ($left, $highest) = (500, 0);
        $w->poll_cb(sub {
            my $writer = shift;
            $highest = $writer->buffered if $writer->buffered > $highest;
            return $writer->write($block) if $left-- > 0;
            note_down($highest <= 20_000 ? 'called below the mark' : "called at $highest");
            $writer->close;
        });
    },
    # A source that has nothing for a while.
    '/poll-starving' => stream {
        my $w = shift;
        my ($calls, $start) = (0, AE::time);
        $w->poll_cb(sub {
            $calls++;
            return if AE::time - $start < 0.3;
            note_down($calls < 50 ? 'few calls' : "$calls calls");
            $w->write('at last');
            $w->close;
        });
    },
    '/poll-again' => stream {
        my $w = shift;
        $w->poll_cb(sub {
            $w->write('one ');
            $w->poll_cb(sub { $w->write('two'); $w->poll_cb(undef); $timer = AE::timer 0.05, 0, sub { $w->close } });
        });
    },
    '/poll-only' => stream {
        my $left = 3;
        $_[0]->poll_cb(sub { $left-- ? $_[0]->write('x') : $_[0]->close });
    },
    '/drain-once' => stream {
        my $w = shift;
        my $n = 0;
        $w->on_drain(sub { note_down('drain ' . ++$n) });
        $timer = AE::timer 0.15, 0, sub { $w->close };
    },
    '/close-in-drain' => stream {
        my $w = shift;
        $w->write('x');
        $w->on_drain(sub { $w->close; $w->close });
    },
    '/dies-in-drain'  => stream { my $w = shift; $w->write('x'); $w->on_drain(sub { die "drained dry\n"; $w }) },
    '/dies-in-poll'   => stream { my $w = shift; $w->poll_cb(sub { $w->write('x'); die "polled dry\n" }) },
    '/last-in-poll'   => stream { my $w = shift; $w->poll_cb(sub { $w; no warnings; last }) },
    '/recv-in-drain' => stream {
        my $w = shift;
        $w->on_drain(sub {
            my $cv = AE::cv;
            my $t = AE::timer 0.05, 0, $cv;
            $cv->recv;
            $w->write('waited');
            $w->close;
        });
    },
    '/cycle' => stream {
        my $w = shift;
        my $token = bless [], 'Token';
        $w->on_drain(sub { $token, $w });
        $w->on_disconnect(sub { $token, $w });
        $w->poll_cb(sub { $w->write('x'); undef $token; $w->close });
    },
    # What a producer that never looks costs: nothing is lost.
    '/deaf' => stream {
        my $w = shift;
        $w->write($block) for 1 .. 2000;
        $w->close;
    },
    '/many-turns' => stream {
        my $w = shift;
        my $left = 2000;
        $timer = AE::timer 0, 0.0001, sub {
            $w->write($block);
            return if --$left;
            undef $timer;
            $w->close;
        };
    },
);
sub Token::DESTROY { SprigTest::Probe::note_down('released') }
APP

# A client that does not read, with a small window.
sub lazy_client {
    my ($path) = @_;
    my $client = $server->connect;
    setsockopt $client->socket, SOL_SOCKET, SO_RCVBUF, 100_000;
    $client->send(get($path));
    return $client;
}

subtest 'write tells when to stop' => sub {
    my $client = lazy_client('/until-false');
    is_deeply([await_diary($server, 2)], [qw(stopped above)], 'above the high-water mark');
    is(scalar(diary($server)), 0, 'on_drain waits for the client');
    ok($client->response->is_complete, 'which gets all when it reads');
    is_deeply([await_diary($server, 1)], ['drained'], 'on_drain comes below the low-water mark');
};

subtest 'pulled by on_drain' => sub {
    is(length $server->ask(get('/pull'))->body, 2_000_000, 'every byte');
    $server->ask(get('/drain-once'));
    is_deeply([diary($server)], ['drain 1'], 'not called again while nothing is written');
    is($server->ask(get('/close-in-drain'))->body, 'x', 'close within the callback');
SKIP: {
        skip 'other loops refuse a nested recv', 1 if loop_of($server) ne 'AnyEvent::Impl::Sprig';
        is($server->ask(get('/recv-in-drain'))->body, 'waited', 'a blocking recv in the callback');
    }
};

subtest 'pulled by poll_cb' => sub {
    is(length $server->ask(get('/poll'))->body, 5_000_000, 'every byte');
    is_deeply([diary($server)], ['called below the mark'], 'only below the low-water mark');
    is($server->ask(get('/poll-starving'))->body, 'at last', 'a source without data');
    is_deeply([diary($server)], ['few calls'], 'is not asked all the time');
    is($server->ask(get('/poll-again'))->body, 'one two', 'the callback replaces itself');
    is($server->ask(get('/poll-only'))->body,  'xxx',     'nobody else holds the writer');
};

subtest 'a client that does not read' => sub {
    my $client = lazy_client('/poll');
    ok($client->wait_for_bytes(10), 'has begun');
    is(scalar(diary($server)),         0,         'poll_cb waits');
    is(length $client->response->body, 5_000_000, 'and goes on');
    is(scalar(diary($server)),         1,         'to the end');
};

subtest 'a producer that never looks' => sub {
    for my $path (qw(/deaf /many-turns)) {
        is(length lazy_client($path)->response->body, 20_000_000, "$path loses nothing");
    }
};

subtest 'callbacks that die' => sub {
    ok(!$server->ask(get('/dies-in-drain'))->is_complete, 'on_drain: the response is cut');
    ok($server->stderr_like(qr{^GET /\S*: drained dry$}m),          'and it is logged');
    ok(!$server->ask(get('/dies-in-poll'))->is_complete,  'poll_cb: the response is cut');
    ok($server->stderr_like(qr{^GET /\S*: polled dry$}m),           'and it is logged');
    ok(!$server->ask(get('/last-in-poll'))->is_complete,  'leaving by last is an error');
    ok($server->stderr_like(qr/Can't "last" outside a loop block/), 'and it is logged');
};

diary($server);
is($server->ask(get('/cycle'))->body, 'x', 'a writer in its own callbacks');
is_deeply([await_diary($server, 1)], ['released'], 'is released with the response');

ok(comes_to_rest($server), 'nothing is left over');
$server->idle_ok;
$server->stop_ok;
done_testing;
