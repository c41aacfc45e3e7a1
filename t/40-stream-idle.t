# A process that has written and waits sleeps: no thread of it wakes up again and again.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

plan skip_all => 'needs /proc' if !-r '/proc/self/status';

my $server = start_probe(<<'APP');
my @writers;
routes(
    '/stream' => sub { sub { push @writers, $_[0]->([200, []]); $writers[-1]->write('begun') } },
    '/write'  => sub { $_->write('more') for @writers; [200, [], ['written']] },
    '/close'  => sub { $_->close for splice @writers; [200, [], []] },
);
APP

# How often the threads of the process have gone to sleep so far.
sub n_sleeps {
    my $n = 0;
    for my $path (glob '/proc/' . $server->pid . '/task/*/status') {
        open my $in, '<', $path or next;
        /\Avoluntary_ctxt_switches:\s+(\d+)/ and $n += $1 while <$in>;
    }
    return $n;
}

# In half a second, the quietest of some: the start of the thread and the watchdog may take a while.
sub fewest_sleeps {
    my $fewest;
    for (1 .. 6) {
        my $before = n_sleeps();
        select undef, undef, undef, 0.5;
        my $n = n_sleeps() - $before;
        $fewest = $n if !defined $fewest || $n < $fewest;
        last if $fewest < 10;
    }
    return $fewest;
}

my $client = $server->connect;
$client->send(get('/stream'));
$client->wait_for_bytes(20);
cmp_ok fewest_sleeps(), '<', 10, 'after the first write to a stream';
$server->ask(get('/write', 'Connection: close')) for 1 .. 5;
cmp_ok fewest_sleeps(), '<', 10, 'after more of them';
$server->ask(get('/close', 'Connection: close'));
$server->stop_ok;
done_testing;
