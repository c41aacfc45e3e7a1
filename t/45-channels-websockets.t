# WebSockets as members of channels, beside event streams.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Events;
use SprigTest::Probe;
use SprigTest::WebSocket;
use Test::More;

my $server = start_probe(<<'APP');
use Sprig::Channel;
my $channel = Sprig::Channel->new('mixed', history => 3);
my %socket;
routes(
    '/socket' => sub {
        my ($env) = @_;
        my ($name, @since) = split /&/, $env->{QUERY_STRING};
        my $ws = $env->{'psgix.websocket'} or return [426, [], []];
        $socket{$name} = $ws if $name =~ /keep/;
        return $ws->accept(
            on_open    => sub { note_down($channel->join($_[0], map { (since => $_) } @since) ? 'joined' : 'not joined') },
            on_message => sub { $channel->publish($_[1]) },
            on_close   => sub { note_down("$name closed $_[1]") },
        );
    },
    '/early' => sub {
        my ($env) = @_;
        my $ws = $env->{'psgix.websocket'};
        my $code = $ws->accept(on_message => sub { });
        $channel->join($ws, since => 0);
        return $code;
    },
    '/stream' => sub {
        return sub {
            my $w = $_[0]->([200, ['Content-Type' => 'text/event-stream']]);
            $w->comment('');
            $channel->join($w);
        };
    },
    '/publish' => sub { $channel->publish("\x{20ac}$_[0]{QUERY_STRING}"); [200, [], []] },
    '/binary'  => sub { $channel->publish_binary("\xff\0"); [200, [], []] },
    '/members' => sub { [200, [], [$channel->members]] },
    '/leave'   => sub { [200, [], [$channel->leave($socket{keep}) ? 'left' : 'no member']] },
    '/again'   => sub { [200, [], [$channel->join($socket{keep}) ? 'joined' : 'over']] },
    '/misuse'  => sub { [200, [], [eval { $channel->join($socket{keep}, slow => 'drop'); 1 } ? 'taken' : $@]] },
    '/forget'  => sub { %socket = (); undef $channel; [200, [], []] },
);
APP

sub body_of { return $server->ask(get($_[0]))->body }

sub payload {
    my $frame = $_[0]->frame;
    return $frame ? $frame->{payload} : 'nothing';
}

my @sockets = map { SprigTest::WebSocket->open($server, "/socket?$_") } qw(a b keep);
await_diary($server, 3);
my $stream = open_events($server->connect, '/stream');
is body_of('/members'), 4, 'members of both kinds';
$sockets[0]->text('hello');
is payload($_), 'hello', 'a text reaches sockets' for @sockets;
is $stream->texts(1), 'hello', 'and streams';
body_of('/publish?1');
is payload($_), "\xe2\x82\xac1", 'characters' for @sockets;
body_of('/binary');
my @frames = map { $_->frame } @sockets;
is_deeply [map { @$_{qw(opcode payload)} } @frames], [map { ('binary', "\xff\0") } @sockets], 'bytes reach sockets only';
body_of('/publish?2');
is $stream->texts(3), "hello \xe2\x82\xac1 \xe2\x82\xac2", 'streams get texts only';
is payload($_), "\xe2\x82\xac2", 'sockets get both' for @sockets;

subtest 'leaving' => sub {
    is body_of('/again'), 'joined', 'joining twice';
    is body_of('/members'), 4, 'is joining once';
    is body_of('/leave'), 'left',      'a socket leaves';
    is body_of('/leave'), 'no member', 'once';
    body_of('/publish?3');
    $sockets[2]->send(ping => 'x');
    is $sockets[2]->frame->{opcode}, 'pong', 'it hears nothing more, but lives';
    payload($_) for @sockets[0, 1];
    $sockets[1]->close(1000, 'bye');
    ok eventually(sub { body_of('/members') == 2 }), 'closing is leaving';
    $sockets[1]->client->close;
    like body_of('/misuse'), qr/join: unknown option 'slow'/, 'how slow sockets are treated is told to accept';
};

subtest 'history' => sub {
    my $late = SprigTest::WebSocket->open($server, '/socket?late&0');
    is join('|', map { payload($late) } 1 .. 3), "\xff\0|\xe2\x82\xac2|\xe2\x82\xac3", 'what the channel remembers';
    my $early = SprigTest::WebSocket->open($server, '/early');
    is join('|', map { payload($early) } 1 .. 3), "\xff\0|\xe2\x82\xac2|\xe2\x82\xac3", 'also before the 101 is out';
    $_->client->close for $late, $early;
};

subtest 'one that is gone' => sub {
    $sockets[2]->client->close;
    ok eventually(sub { grep { /keep closed/ } diary($server) }), 'its end is told';
    is body_of('/again'), 'over', 'it cannot join';
};

$sockets[0]->client->close;
$stream->client->close;
ok eventually(sub { body_of('/members') == 0 }), 'nobody is left';
body_of('/forget');
ok comes_to_rest($server), 'nothing is left';
$server->stop_ok;

done_testing;
