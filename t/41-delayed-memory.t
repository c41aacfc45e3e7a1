# Tens of thousands of delayed and streamed responses leave nothing behind.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

plan skip_all => 'needs /proc' if !-r '/proc/self/status';

my $server = start_probe(<<'APP');
use Data::Dumper;
sub later {
    my ($code) = @_;
    my $t;
    $t = AE::timer 0, 0, sub { undef $t; $code->() };
}
my @apps = (
    sub { sub { $_[0]->([200, [], ['delayed']]) } },
    sub { sub { my $r = shift; later(sub { $r->([200, [], ['later']]) }) } },
    sub { sub { my $w = $_[0]->([200, []]); $w->write('x') for 1 .. 10; $w->close } },
    sub { sub { my $w = $_[0]->([200, []]); $w->on_drain(sub { $_[0]->write('drained'); $w->close }) } },
    sub { sub { my $w = $_[0]->([200, []]); $w->on_disconnect(sub { $w }); later(sub { $w->write('y' x 5000); $w->close }) } },
    sub { my $cv = AE::cv; later(sub { $cv->send([200, [], ['condvar']]) }); $cv },
    sub { sub { $_[0]->raise('on purpose') } },
    sub { sub { } },
    sub { my ($env) = @_; my $io = $env->{'psgix.io'}; [200, [], [Dumper($env)]] },
    sub {
        sub {
            my $w = $_[0]->([200, []]);
            $w->{handle}->push_write('handle');
            $w->{handle}->on_error(sub { $w });
            $w->close;
        }
    },
    sub { my ($env) = @_; sub { my ($r, $io) = @_; $r->([200, [], ["$env$io"]]) } },
);
my $n = 0;
routes('/' => sub { $apps[$n++ % @apps]->(@_) });
APP

# So many requests, a hundred of them at a time.
sub ask_many {
    my ($n)        = @_;
    my $n_complete = 0;
    my $client     = $server->connect;
    for (1 .. $n / 100) {
        $client->send(get('/') x 100);
        $client->response->is_complete and $n_complete++ for 1 .. 100;
    }
    return $n_complete;
}

# Connections that end in the app's hands, or in the middle of it all.
sub leave_many {
    my ($n) = @_;
    for (1 .. $n) {
        my $client = $server->connect;
        $client->send(get('/') x 11);
        $client->response;
        $client->reset;
    }
    return;
}

my $n_requests = $ENV{SPRIG_TEST_REQUESTS} || 22_000;
ask_many(5500);
leave_many(100);
my $before = $server->rss_kib;
is(ask_many($n_requests), $n_requests, "$n_requests responses");
leave_many(200);
ok(comes_to_rest($server), 'nothing is alive');
cmp_ok($server->rss_kib, '<', $before * 1.03 + 300, "memory stays at $before KiB");
$server->stop_ok;
done_testing;
