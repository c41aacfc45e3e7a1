# A client of an event stream that vanishes without a word, as when its network does: the heartbeat
# finds out. In a network of its own, whose only device is taken down.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;
use Time::HiRes qw(time);

use constant BEAT_SECONDS => 3;

plan skip_all => 'needs ip (iproute2) and unshare' if grep { !tool_path($_) } qw(ip unshare);
if (!$ENV{SPRIG_TEST_OWN_NETWORK}) {
    plan skip_all => 'may not make a network of its own' if system 'unshare -n ip link set lo up >/dev/null 2>&1';
    local $ENV{SPRIG_TEST_OWN_NETWORK} = 1;
    exec 'unshare', '-n', $^X, (map {"-I$_"} @INC), $0 or die "unshare: $!";
}
system(qw(ip link set lo up)) == 0 or die 'ip: cannot take lo up';

my $seen   = SprigTest::temp_path('seen');
my $server = start_probe(<<"APP");
use Time::HiRes;
my (\@kept, \$timer);
routes(
    '/stream' => sub {
        return sub {
            my \$w = \$_[0]->([200, ['Content-Type' => 'text/event-stream']]);
            \$w->heartbeat(@{[BEAT_SECONDS]});
            \$w->event(data => 'begun');
            push \@kept, \$w;
            \$w->on_disconnect(
                sub {
                    open my \$out, '>', '$seen';
                    print {\$out} Time::HiRes::time();
                    close \$out;
                    \@kept = ();
                }
            );
        };
    }
);
APP
my $client = $server->connect;
$client->send(get('/stream'));
eventually { $client->poll; $client->buffered =~ /begun/ };
ok !eventually(sub { -s $seen }, 1.5 * BEAT_SECONDS), 'one that is there, and silent, counts as there';
system(qw(ip link set lo down)) == 0 or die 'ip: cannot take lo down';
my $started = time;
ok eventually(sub { -s $seen }, 4 * BEAT_SECONDS), 'one that has vanished is noticed';
cmp_ok slurp($seen) - $started, '<', 2 * BEAT_SECONDS + 0.5, 'within two heartbeats';
system qw(ip link set lo up);
$server->stop_ok;

done_testing;
