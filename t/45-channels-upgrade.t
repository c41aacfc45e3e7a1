# Channels over an upgrade (USR2): the new program finds what they remember, and for as long as both serve,
# the clients of either hear what is published in the other.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Events;
use SprigTest::Workers;
use Test::More;

-d '/proc/self' or plan skip_all => 'no /proc';

my $app = <<'APP';
use strict; use warnings; use Sprig::Channel; use Sprig::Worker;
my $channel = Sprig::Channel->new('all', history => 100);
Sprig::Worker->before_leave(sub { $channel->publish("leaving $$") });
sub {
    my ($env) = @_;
    my ($path, $query) = @$env{qw(PATH_INFO QUERY_STRING)};
    return [200, [], [$$]]                 if $path eq '/about';
    return [200, [], [$channel->members]]  if $path eq '/members';
    if ($path eq '/block') { select undef, undef, undef, $query; return [200, [], [$$]] }
    if ($path eq '/publish') { $channel->publish($query); return [200, [], []] }
    return sub {
        my $w = $_[0]->([200, ['Content-Type' => 'text/event-stream', 'X-Worker' => $$]]);
        $w->comment('begun');
        $channel->join($w, since => $env->{HTTP_LAST_EVENT_ID} || $query);
    };
};
APP

my $master = start_workers(
    workers => 2,
    code    => $app,
    flags   => ['--pid', 'pid', '--config', 'options'],
    prepare => sub { spew('options', "channel-bytes = 1M\n") },
);
$master->serving(2);
$master->learn_master;

sub upgrade {
    my $old = $master->master;
    $master->signal('USR2');
    ok eventually(sub { my ($pid) = $master->lines('pid'); $pid && $pid != $old }, 15), 'USR2: a new master';
    ok eventually(sub { !is_running($old) }, 15), 'the old one ends';
    $master->learn_master;
    ok $master->settles(2), 'two workers serve';
    return;
}

# What a client gets that has seen nothing, or the events behind one.
sub remembered {
    my (@since) = @_;
    $master->body_of('/publish?end');
    my $stream = open_events($master->connect, @since ? '/' : '/?0', map { "Last-Event-ID: $_" } @since);
    $stream->await(qr/\Aend\z/);
    my @events = $stream->events(1);
    $stream->client->close;
    return @events;
}

sub texts { return join ' ', map { $_->{data} } grep { $_->{data} !~ /^(?:end|leaving)/ } @_ }

my $stream = open_events($master->connect, '/');
$master->body_of("/publish?$_") for 1 .. 3;
my @seen = $stream->events(3);
is texts(@seen), '1 2 3', 'what is published';

upgrade();
ok eventually(sub { $stream->is_over }), 'the stream ends with its worker';
ok $stream->is_complete, 'in order';
is scalar(grep { $_->{data} =~ /leaving/ } $stream->events(0)) > 0, 1,
    'its client has heard what the old workers said last';
$master->body_of("/publish?$_") for 4 .. 5;
is texts(remembered()), '1 2 3 4 5', 'a client of the new workers gets what was published before';
is texts(remembered($seen[1]{id})), '3 4 5', 'or what it has missed';
ok eventually(sub { $master->body_of('/members') == 0 }), 'members of before do not count';

upgrade();
$master->body_of('/publish?6');
is texts(remembered($seen[1]{id})), '3 4 5 6', 'and once more';

$master->put('options', "channel-bytes = 2M\n");
upgrade();
$master->body_of('/publish?7');
my @late = remembered();
is texts(@late), '7', 'with another channel_bytes it begins anew';
cmp_ok $late[0]{id}, '>', $seen[-1]{id}, 'with higher numbers';
is texts(remembered($seen[1]{id})), '7', 'so that who comes back gets all of it';
unlike $master->stderr, qr/is not an option/, 'what is passed on is not taken for an option';
$master->ends_ok;

done_testing;
