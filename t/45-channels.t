# Channels in one process: what is published reaches all members, once, in order.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Events;
use SprigTest::Probe;
use Test::More;

my $server = start_probe(<<'APP', args => { channel_bytes => '256K', channel_queue_bytes => '64K' });
use Sprig::Channel;
my %channel = (plain => Sprig::Channel->new('plain'), news => Sprig::Channel->new('news', history => 3));
my (%writer, %heard);
my $n = 0;

sub query {
    my ($env) = @_;
    return map { my $v = $_; $v =~ s/%([0-9a-f]{2})/chr hex $1/ge; $v } map { split /=/, $_, 2 } split /&/, $env->{QUERY_STRING};
}

sub try_it {
    my ($code) = @_;
    my $result = eval { $code->() };
    my $said   = $@ ? "died: $@" : $result ? 'true' : defined $result ? 'false' : 'undef';
    return [200, [], [$said]];
}

routes(
    '/join' => sub {
        my ($env) = @_;
        my %query = query($env);
        my ($in, $name) = delete @query{qw(in name)};
        return sub {
            my $w = $_[0]->([200, ['Content-Type' => 'text/event-stream']]);
            $w->event(data => 'joined');
            $writer{$name} = $w if defined $name;
            $query{since} = $env->{HTTP_LAST_EVENT_ID} if defined $env->{HTTP_LAST_EVENT_ID};
            $channel{$in}->join($w, %query) or note_down('not joined');
        };
    },
    '/publish' => sub {
        my ($env) = @_;
        my %query = query($env);
        my ($in, $text) = delete @query{qw(in text)};
        return try_it(sub { $channel{$in}->publish($text, %query) });
    },
    '/fill' => sub {
        my ($env) = @_;
        my %query = query($env);
        $channel{ $query{in} }->publish("$_ " . 'x' x $query{bytes}, event => $query{event}) for 1 .. $query{n};
        return [200, [], []];
    },
    '/binary'  => sub { try_it(sub { $channel{plain}->publish_binary("\xff") }) },
    '/leave'   => sub { my %q = query($_[0]); try_it(sub { $channel{ $q{in} }->leave($writer{ $q{name} }) }) },
    '/again'   => sub { my %q = query($_[0]); try_it(sub { $channel{ $q{in} }->join($writer{ $q{name} }) }) },
    '/close'   => sub { my %q = query($_[0]); (delete $writer{ $q{name} })->close; [200, [], []] },
    '/members' => sub { my %q = query($_[0]); [200, [], [$channel{ $q{in} }->members]] },
    '/forget'  => sub { %writer = (); %channel = (); [200, [], []] },
    '/misuse'  => sub {
        my $w;
        my @tries = (
            sub { Sprig::Channel->new },
            sub { Sprig::Channel->new('') },
            sub { Sprig::Channel->new('x' x 201) },
            sub { Sprig::Channel->new('x', memory => 1) },
            sub { Sprig::Channel->new('x', history => 'all') },
            sub { $channel{plain}->publish('x', date => 1) },
            sub { $channel{plain}->publish('x', id => "a\nb") },
            sub { $channel{plain}->publish("\x{d800}") },
            sub { $channel{plain}->publish_binary("\x{100}") },
            sub { $channel{plain}->publish('x' x 40_000) },
            sub { $channel{plain}->join(undef) },
            sub { $channel{plain}->join({}) },
            sub { $channel{plain}->on_publish('x') },
        );
        return [200, [], [join '', map { try_it($_)->[2][0] } @tries]];
    },
    '/slow' => sub {
        return sub {
            my $w = $writer{misuse} = $_[0]->([200, ['Content-Type' => 'text/event-stream']]);
            my @said = map { my @how = @$_; try_it(sub { $channel{plain}->join($w, @how) })->[2][0] }
                [slow => 'later'], [queue_bytes => -1], [since => 1, when => 2];
            $w->event(data => join '', @said);
            $w->close;
        };
    },
    '/other' => sub {
        return sub {
            my $w = $_[0]->([200, ['Content-Type' => 'text/plain']]);
            $w->write(try_it(sub { $channel{plain}->join($w) })->[2][0]);
            $w->close;
        };
    },
    '/listen' => sub {
        my $ch = $channel{listener} = Sprig::Channel->new('plain');
        $ch->on_publish(
            sub {
                note_down(join '|', map { defined $_ ? $_ : 'undef' } @_[0 .. 2]);
                $channel{listener}->on_publish(undef) if $_[0] eq 'stop';
            }
        );
        return [200, [], []];
    },
    '/unlisten' => sub { $channel{listener}->on_publish(undef); delete $channel{listener}; [200, [], []] },
    '/from-listener' => sub {
        my $ch = $channel{relay} = Sprig::Channel->new('news');
        my $plain = $channel{plain};
        $ch->on_publish(sub { $plain->publish("again: $_[0]"); die "no more\n" });
        return [200, [], []];
    },
    '/deliver' => sub {
        my $ch = $channel{fed} = Sprig::Channel->new('fed', history => 10);
        $ch->deliver('one', id => '1700000000000-1', number => (1700000000000 << 20) + 1);
        $ch->deliver('three', id => '1700000000000-3', number => (1700000000000 << 20) + 3);
        $ch->deliver('two', id => '1700000000000-2', number => (1700000000000 << 20) + 2);
        return [200, [], []];
    },
);
APP

sub body_of { return $server->ask(get($_[0], @_[1 .. $#_]))->body }

# A client that has joined.
sub joined {
    my ($query, @lines) = @_;
    my $stream = open_events($server->connect, "/join?$query", @lines);
    $stream->await(qr/joined/);
    shift @{ $stream->{events} };
    return $stream;
}

sub fields { return [@{ $_[0] }{qw(id event data)}] }

subtest 'what is published' => sub {
    my @clients = map { joined('in=plain') } 1 .. 3;
    is body_of('/members?in=plain'), 3, 'three members';
    is body_of('/publish?in=plain&text=one'), 'true', 'published';
    body_of('/publish?in=plain&text=two&event=tick&id=7');
    body_of('/publish?in=news&text=elsewhere');
    body_of('/publish?in=plain&text=a%0ab');
    for my $client (@clients) {
        is_deeply [map { fields($_) } $client->events(3)], [[undef, undef, 'one'], [7, 'tick', 'two'], [undef, undef, "a\nb"]],
            'reaches each of them';
    }
    is body_of('/binary'), 'true', 'bytes are published';
    body_of('/publish?in=plain&text=last');
    is $clients[0]->texts(4), "one two a\nb last", 'but not sent as an event';
    $_->client->close for @clients;
    ok eventually(sub { body_of('/members?in=plain') == 0 }), 'who leaves is no member any more';
};

subtest 'a client of HTTP/1.0' => sub {
    my $client = $server->connect;
    $client->send("GET /join?in=plain HTTP/1.0\r\n\r\n");
    ok eventually(sub { $client->poll; $client->buffered =~ /joined/ }), 'joins';
    body_of("/publish?in=plain&text=$_") for 1, 2;
    ok eventually(sub { $client->poll; $client->buffered =~ /2\n\n\z/ }), 'hears';
    like $client->buffered, qr/\r\n\r\ndata: joined\n\ndata: 1\n\ndata: 2\n\n\z/, 'events without chunks';
    $client->close;
    ok eventually(sub { body_of('/members?in=plain') == 0 }), 'leaves';
};

subtest 'leaving' => sub {
    my $client = joined('in=plain&name=leaver');
    is body_of('/leave?in=plain&name=leaver'), 'true',  'a member leaves';
    is body_of('/leave?in=plain&name=leaver'), 'false', 'once';
    is body_of('/members?in=plain'), 0, 'it does not count';
    body_of('/publish?in=plain&text=unheard');
    body_of('/close?name=leaver');
    ok eventually(sub { $client->is_over }) && $client->is_complete, 'its response ends';
    is $client->texts(0), '', 'and had nothing more';
    $client = joined('in=plain&name=closer');
    body_of('/close?name=closer');
    is body_of('/members?in=plain'), 0, 'closing is leaving';
};

subtest 'history' => sub {
    body_of("/publish?in=news&text=$_") for 1 .. 5;
    my @all = joined('in=news&since=0')->events(3);
    is join(' ', map { $_->{data} } @all), '3 4 5', 'the last three';
    my ($first, $second, $third) = map { $_->{id} } @all;
    ok $first =~ /^[0-9]+$/ && $first < $second && $second < $third, 'with ids that grow';
    is joined('in=news', "Last-Event-ID: $second")->texts(1), '5',     'from where the client was';
    is joined('in=news', "Last-Event-ID: @{[$first - 1]}")->texts(3), '3 4 5', 'from what is forgotten';
    is joined('in=news', "Last-Event-ID: unknown")->texts(3), '3 4 5', 'from what never was';
    is joined('in=news', "Last-Event-ID: 9$third")->texts(3), '3 4 5', 'or is not yet';
    my $client = joined('in=news', "Last-Event-ID: $third");
    my $other  = joined('in=news');
    body_of('/publish?in=news&text=6&id=six');
    body_of('/publish?in=news&text=7');
    is $client->texts(2), '6 7', 'from the last one on';
    is $other->texts(2), '6 7', 'without since nothing is repeated';
    is joined('in=news', 'Last-Event-ID: six')->texts(1), '7', 'an id of the app is found';
};

subtest 'history of what comes from elsewhere' => sub {
    body_of('/deliver');
    is joined('in=fed&since=0')->texts(3), 'one two three', 'in the order of its numbers';
    is joined('in=fed&since=1700000000000-2')->texts(1), 'three', 'an id that is there';
    is joined('in=fed&since=1699999999999-9')->texts(3), 'one two three', 'one before all';
    my $ahead = joined('in=fed&since=1700000000000-5');
    is $ahead->texts(0), '', 'one behind all: another process was faster';
};

subtest 'twice in one channel' => sub {
    my $client = joined('in=plain&name=twice');
    my $before = body_of('/members?in=plain');
    is body_of('/again?in=plain&name=twice'), 'true', 'joining again';
    is body_of('/members?in=plain'), $before, 'makes no second member';
    body_of('/publish?in=plain&text=once');
    body_of('/publish?in=plain&text=last');
    is $client->texts(2), 'once last', 'each message comes once';
    body_of('/close?name=twice');
};

subtest 'Perl listens' => sub {
    body_of('/listen');
    body_of('/publish?in=plain&text=heard&event=e&id=i');
    is_deeply [await_diary($server, 1)], ['heard|e|i'], 'text, event and id';
    body_of('/publish?in=plain&text=stop');
    body_of('/publish?in=plain&text=deaf');
    is_deeply [await_diary($server, 1)], ['stop|undef|undef'], 'until it does not';
    body_of('/unlisten');
    body_of('/from-listener');
    my $client = joined('in=plain');
    body_of('/publish?in=news&text=x');
    is $client->texts(1), 'again: x', 'a listener may publish';
    ok $server->stderr_like(qr/no more/), 'and die: that is reported';
};

subtest 'members that do not read' => sub {
    my %client = map { $_ => joined("in=plain&slow=$_" . ($_ eq 'drop' ? '&queue_bytes=1000' : '')) } qw(close drop spill);
    my $reader = joined('in=plain');
    my $n      = 0;
    while ($n < 16_000 && body_of('/members?in=plain') == 4) {
        body_of('/fill?in=plain&n=200&bytes=1000');
        $reader->events($n += 200);
    }
    is body_of('/members?in=plain'), 3, 'one is cut off in the end';
    my @got = $reader->events($n);
    is scalar(@got), $n, "who reads gets all $n";
    is scalar(grep { $got[$_]{data} !~ /^@{[$_ % 200 + 1]} / } 0 .. $#got), 0, 'in order';
    body_of('/publish?in=plain&text=end');
    ok $client{spill}->await(qr/\Aend/), 'spill: it comes later';
    is scalar($client{spill}->events(0)), $n + 1, 'and all of it';
    my $is_back = sub {
        body_of('/publish?in=plain&text=after');
        return grep { $_->{data} eq 'after' } $client{drop}->events(0);
    };
    ok eventually(sub { $is_back->() }), 'drop: it goes on when it has read';
    my $m = () = $client{drop}->events(0);
    cmp_ok $m, '<', $n, "but got only $m of them";
    eventually(sub { $client{close}->is_over });
    ok !$client{close}->is_complete, 'close: its response is cut';
};

subtest 'misuse dies' => sub {
    my @said = split /\n/, body_of('/misuse');
    like shift @said, qr/^died: .*$_/, $_ for 'a name is missing', 'the name must have 1 to 200 bytes',
        'the name must have 1 to 200 bytes', q(there is no option 'memory'), 'history must be a whole number',
        q(publish: unknown option 'date'), 'publish: id has a line end or NUL in it',
        'a character outside Unicode', 'publish_binary: wide character', 'longer than [0-9]+ bytes, an eighth of channel_bytes',
        'give a writer or a WebSocket', 'not a writer', 'not a code reference';
    my $text = body_of('/slow');
    like $text, qr/slow must be close, drop or spill, not 'later'.*queue_bytes must be a whole number.*unknown option 'when'/s,
        'how a member is treated';
    like body_of('/other'), qr{Content-Type of the response is not text/event-stream}, 'a response that is no stream';
};

body_of('/forget');
ok comes_to_rest($server), 'nothing is left';
$server->stop_ok;

done_testing;
