# The backend for Redis: channels of several servers, while Redis is there, away and back.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Events;
use SprigTest::Workers;
use POSIX ();
use Test::More;
use Time::HiRes qw(time);

tool_path('redis-server') && tool_path('redis-cli') or plan skip_all => 'redis-server is not installed';
-d '/proc/self' or plan skip_all => 'no /proc';

my $dir  = SprigTest::temp_path('redis');
my $path = "$dir/socket";
mkdir $dir or die "$dir: $!";
my $redis;
END { local $?; kill 'KILL', $redis if $redis }

my $app = <<"APP";
use strict; use warnings; use Sprig::Channel; use Sprig::Channel::Redis;
my (\$news, \$plain);
my \$redis = Sprig::Channel::Redis->new(path => '$path', max_queue => 50,
    on_state => sub { \$plain->deliver(\$_[0] ? 'is back' : 'is away', event => 'state') });
\$news  = Sprig::Channel->new('news', history => 20, backend => \$redis);
\$plain = Sprig::Channel->new("pl\\x{e4}in", backend => \$redis);
sub {
    my (\$env) = \@_;
    my \$path = \$env->{PATH_INFO};
    my \$q = \$env->{QUERY_STRING};
    return [200, [], [\$\$]] if \$path eq '/about';
    if (\$path eq '/block') { select undef, undef, undef, \$q; return [200, [], [\$\$]] }
    return [200, [], [\$news->publish(split /&/, \$q) ? 'yes' : 'no']] if \$path eq '/publish';
    return [200, [], [\$plain->publish("\\x{20ac}", event => "\\x{e9}") ? 'yes' : 'no']] if \$path eq '/wide';
    return [200, [], [\$redis->is_connected]] if \$path eq '/is-connected';
    return sub {
        my \$w = \$_[0]->([200, ['Content-Type' => 'text/event-stream', 'X-Worker' => \$\$]]);
        \$w->event(data => 'hello');
        \$_->join(\$w, since => \$env->{HTTP_LAST_EVENT_ID} || \$q) for \$news, \$plain;
    };
};
APP

start_redis();
my @servers = map { start_workers(workers => 2, code => $app) } 1, 2;
ok are_connected(1), 'all of them connect';
my @streams = map { my $s = $_; map { joined($s) } 1 .. 4 } @servers;
$servers[ $_ % 2 ]->body_of("/publish?$_") for 1 .. 10;
my @order = split / /, $streams[0]->texts(11);
is join(' ', sort { $a <=> $b } @order[1 .. $#order]), join(' ', 1 .. 10), 'all messages come';
is $_->texts(11), "@order", 'in one order for all' for @streams;
$servers[0]->body_of('/wide');
ok $_->await(qr/\A\xe2\x82\xac\z/), 'characters' for @streams;
is +($streams[0]->events(12))[11]{event}, "\xc3\xa9", 'of events, too';

subtest 'a client that comes back' => sub {
    my $id = ($streams[0]->events(5))[4]{id};
    like $id, qr/\A[0-9]+-[0-9]+\z/, "ids are those of the stream: $id";
    is joined($servers[1], '', "Last-Event-ID: $id")->texts(7), join(' ', 'hello', @order[5 .. 10]), 'to another server';
};

subtest 'without Redis' => sub {
    kill 'KILL', $redis or die "kill: $!";
    waitpid $redis, 0;
    ok $_->await(qr/\Ais away\z/), 'clients are told' for @streams;
    my $start = time;
    is $servers[0]->body_of("/publish?$_"), 'yes', 'publishing is taken' for 11 .. 15;
    cmp_ok time - $start, '<', 10, 'and waits for nothing';
    my @said = map { $servers[1]->body_of('/publish?more') } 1 .. 102;
    is $said[0], 'yes', 'up to max_queue';
    cmp_ok scalar(grep { $_ eq 'yes' } @said), '<=', 100, 'of each of two workers';
    start_redis();
    ok $_->await(qr/\Ais back\z/), 'clients are told' for @streams;
    ok are_connected(1), 'all of them come back';
    ok eventually(sub { $servers[0]->body_of('/publish?end') eq 'yes' }), 'publishing goes on';
    for my $stream (@streams) {
        $stream->await(qr/\Aend\z/);
        my @numbers = grep { /\A[0-9]+\z/ } map { $_->{data} } $stream->events(0);
        my %n;
        $n{$_}++ for @numbers;
        is join(' ', sort { $a <=> $b } keys %n), join(' ', 1 .. 15), 'what was taken is there';
        is scalar(grep { $_ > 1 } values %n), 0, 'once';
    }
};

subtest 'a server that starts later' => sub {
    $servers[0]->body_of('/publish?latest');
    my $late = start_workers(workers => 1, code => $app);
    ok eventually(sub { $late->body_of('/is-connected') }), 'connects';
    my @texts;
    ok eventually(sub { @texts = map { $_->{data} } joined($late, '0')->events(10); @texts > 20 }), 'finds the history';
    is scalar(grep { $_ eq 'latest' } @texts), 1, 'in the stream';
    $late->ends_ok;
};

subtest 'a reload' => sub {
    my ($stream) = joined($servers[0]);
    $servers[0]->signal('HUP');
    ok eventually(sub { $stream->is_over }), 'ends streams';
    my $id = ($streams[4]->events(1))[-1]{id};
    $servers[1]->body_of('/publish?after');
    my $again = joined($servers[0], '', "Last-Event-ID: $id");
    ok $again->await(qr/\Aafter\z/), 'and what was published meanwhile is there';
};

$_->client->close for @streams;
$_->ends_ok for @servers;

subtest 'a long backlog' => sub {
    my $n      = 4000;
    my $server = start_workers(
        workers => 1,
        code    => $app =~ s/max_queue => 50/max_queue => $n, maxlen => 1000/r
            =~ s{(return .* if \$path eq '/wide';)}{\$news->publish(\$_) for 1 .. (\$path eq '/fill' ? \$q : 0);\n$1}r
    );
    @servers = ($server, $server);
    ok are_connected(1), 'it connects';
    my $stream = joined($server);
    kill 'KILL', $redis or die "kill: $!";
    waitpid $redis, 0;
    ok $stream->await(qr/\Ais away\z/), 'Redis is away';
    $server->body_of("/fill?$n");
    start_redis();
    ok $stream->await(qr/\A$n\z/), "all of $n messages are sent when it is back, four times what it keeps";
    my @numbers = grep { /\A[0-9]+\z/ } map { $_->{data} } $stream->events(0);
    is "@numbers", join(' ', 1 .. $n), 'none of them is trimmed before it was read';
    unlike $server->stderr, qr/were lost/, 'nor said to be';
    redis_cli(qw(XADD sprig:news * u other:7:0 t seven));
    redis_cli(qw(XADD sprig:news * u other:9:8 t nine));
    ok $stream->await(qr/\Anine\z/), 'somebody has published what this process never heard';
    ok eventually(sub { $server->stderr =~ /messages of the channel 'news' were lost: .*raise maxlen \(1000\)/ }),
        'it says so';
    $stream->client->close;
    $server->ends_ok;
    unlike $server->stderr, qr/destroy/, 'and has no complaint at its end';
};

done_testing;

sub redis_cli { return output_of('redis-cli', '-s', $path, @_) }

sub start_redis {
    $redis = fork;
    defined $redis or die "fork: $!";
    if (!$redis) {
        open STDOUT, '>', "$dir/log";
        exec qw(redis-server --port 0 --appendonly yes --appendfsync always --save), '', '--dir', $dir, '--unixsocket', $path
            or POSIX::_exit(127);
    }
    eventually(sub { `redis-cli -s $path ping 2>/dev/null` =~ /PONG/ }) or die 'redis-server does not start';
    return;
}

sub are_connected {
    my ($expected) = @_;
    return eventually(
        sub {
            !grep { ($servers[$_ % 2]->body_of('/is-connected') || 0) ne $expected } 0 .. 15;
        },
        10
    );
}

sub joined {
    my ($server, $since, @lines) = @_;
    my $stream = open_events($server->connect, '/?' . (defined $since ? $since : ''), @lines);
    $stream->await(qr/\Ahello\z/);
    return $stream;
}
