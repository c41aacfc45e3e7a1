# Channels over workers: all of them publish, one is killed, all are replaced, and each client gets each
# message once, in one order.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Events;
use SprigTest::Workers;
use Test::More;
use Time::HiRes qw(time sleep);

use constant { WORKERS => 4, CLIENTS => 400, MESSAGES => 50, INTERVAL => 0.2 };

-d '/proc/self' or plan skip_all => 'no /proc';

my $app = <<'APP';
use strict; use warnings; use AnyEvent; use Sprig::Channel; use Sprig::Worker;
my $channel = Sprig::Channel->new('all', history => 5000);
my $orders  = Sprig::Channel->new('orders');
my $timer;
Sprig::Worker->after_fork(sub {
    $orders->on_publish(sub {
        my ($n, $interval) = split / /, $_[0];
        my $i = 0;
        $timer = AE::timer 0, $interval, sub { $channel->publish("$$ " . ++$i); undef $timer if $i == $n };
    });
});
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [200, [], [$$]] if $path eq '/about';
    if ($path eq '/block') { select undef, undef, undef, $env->{QUERY_STRING}; return [200, [], [$$]] }
    if ($path eq '/order') { $orders->publish($env->{QUERY_STRING} =~ s/_/ /r); return [200, [], []] }
    if ($path eq '/publish') { $channel->publish($env->{QUERY_STRING}); return [200, [], []] }
    return [200, [], [$channel->members]] if $path eq '/members';
    return sub {
        my $w = $_[0]->([200, ['Content-Type' => 'text/event-stream', 'X-Worker' => $$]]);
        $w->comment('begun');
        $channel->join($w, since => $env->{HTTP_LAST_EVENT_ID} || $env->{QUERY_STRING});
        $w->on_disconnect(sub { $_[0]->comment('goodbye') }) if $path eq '/polite';
    };
};
APP

my $master = start_workers(workers => WORKERS, code => $app);
my @pids   = $master->serving(WORKERS);
is scalar(@pids), WORKERS, 'all workers serve';

my @clients = map { { id => $_, seen => [], worker => {} } } 1 .. CLIENTS;
enter($_) for @clients;
my %on;
$on{ (keys %{ $_->{worker} })[0] }++ for @clients;
cmp_ok scalar(keys %on), '>', 1, 'clients are on several workers: ' . join ' ', map { $on{$_} } sort keys %on;
ok eventually(sub { $master->body_of('/members') == CLIENTS }), 'members are those of all workers';

$master->body_of('/order?' . MESSAGES . '_' . INTERVAL);
listen_until(sub { @{ $clients[0]{seen} } > MESSAGES / 5 });
my ($victim) = sort { $on{$b} <=> $on{$a} } keys %on;
kill 'KILL', $victim or die "kill: $!";
listen_until(sub { @{ $clients[0]{seen} } > 1.5 * MESSAGES });
ok eventually(sub { $master->workers == WORKERS }), 'the one that was killed is replaced';
$master->signal('HUP');
my @replaced = grep { $_ != $victim } @pids;
my $looked = 0;
listen_until(sub { ++$looked % CLIENTS == 0 && !grep { is_running($_) } @replaced });
ok !(grep { is_running($_) } @replaced), 'all workers are replaced';
ok eventually(sub { $master->body_of('/publish?end') eq '' }), 'the last message';
listen_until(
    sub {
        !grep { !@{ $_->{seen} } || $_->{seen}[-1] ne 'end' } @clients[-1, 0 .. $#clients - 1];
    }
);

# What a client gets that asks for everything in the end.
my $late = open_events($master->connect, '/?0');
$late->await(qr/\Aend\z/);
my @order = map { $_->{data} } $late->events(1);
my %n;
my @gaps = grep { my ($pid, $i) = split / /; $_ ne 'end' && $i != ++$n{$pid} } @order;
is "@gaps", '', scalar(@order) . ' messages, in the order of each publisher';
is scalar(keys %n), WORKERS, 'of all workers';
cmp_ok $n{$victim}, '<', MESSAGES, 'one of which was killed in the middle';

my @wrong = grep { "@{ $_->{seen} }" ne "@order" } @clients;
my @there = grep { !$_->{worker}{$victim} } @wrong;
is scalar(@there), 0, 'each client has each of them once, in the same order';
is scalar(@wrong), 0, 'those of the killed worker as well, since they came back';
is scalar(grep { $_->{n_cut} } grep { !$_->{worker}{$victim} } @clients), 0, 'a reload cuts no stream';
is scalar(grep { keys %{ $_->{worker} } < 2 } @clients), 0, 'all came back';
ok eventually(sub { $master->body_of('/members') == CLIENTS + 1 }), 'the members count anew';

subtest 'a polite application' => sub {
    my $stream = open_events($master->connect, '/polite?0');
    $stream->await(qr/\Aend\z/);
    $master->signal('HUP');
    ok eventually(sub { $stream->is_over }), 'its streams end';
    ok $stream->is_complete, 'in order';
    like $stream->{raw}, qr/: goodbye\n\n\z/, 'after it has said goodbye';
};

$_->{stream}->client->close for @clients;
$master->ends_ok;

done_testing;

# Connects, and remembers the worker.
sub enter {
    my ($client) = @_;
    my @since    = defined $client->{last_id} ? "Last-Event-ID: $client->{last_id}" : ();
    my $stream = $client->{stream} = open_events($master->connect, '/', @since);
    my ($pid) = ($stream->head || '') =~ /^X-Worker: ([0-9]+)/m or return;
    $client->{worker}{$pid} = 1;
    return;
}

# Collects what the clients get, and lets those that have lost their stream come back, until the
# condition holds.
sub listen_until {
    my ($done) = @_;
    my $deadline = time + 30;
    my $is_done;
    until ($is_done ||= $done->()) {
        die "this takes too long\n" if time > $deadline;
        for my $client (@clients) {
            last if $is_done = $done->();
            my $stream = $client->{stream};
            my @events = $stream->events(0);
            $client->{last_id} = $stream->last_id if defined $stream->last_id;
            push @{ $client->{seen} }, map { $_->{data} } @events;
            @{ $stream->{events} } = ();
            next if !$stream->is_over;
            $client->{n_cut}++ if !$stream->is_complete;
            eval { enter($client); 1 } or die "client $client->{id}: $@";
        }
        sleep 0.05;
    }
    return;
}
