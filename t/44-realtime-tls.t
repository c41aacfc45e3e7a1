# WebSockets, event streams and channels over TLS: what is short comes at once, what is long comes whole,
# and the end is an orderly one.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";

BEGIN { $ENV{SPRIG_TEST_TLS} = 1 }
use SprigTest;
use SprigTest::Events;
use SprigTest::Tls;
use SprigTest::WebSocket;
use Test::More;

need_tls();
eval { require Net::SSLeay } or plan skip_all => 'Net::SSLeay is not installed';

my $app = <<'APP';
use Sprig::Channel;
my $channel = Sprig::Channel->new('all', history => 10);
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    if (my $ws = $env->{'psgix.websocket'}) {
        return $ws->accept(
            on_open    => sub { $channel->join($_[0]); $_[0]->send($env->{'psgi.url_scheme'}) },
            on_message => sub { my ($ws, $m, $b) = @_; $b ? $ws->send_binary($m) : $ws->send($m) },
        );
    }
    return sub { $channel->join($_[0]->([200, ['Content-Type' => 'text/event-stream']]), since => 0) }
        if $path eq '/events';
    $channel->publish($env->{QUERY_STRING});
    return [200, [], ['published']];
};
APP

my $server = start_server(code => $app, args => { websocket_deflate => 'off' });

sub publish {
    my ($text) = @_;
    my $client = $server->connect;
    $client->send("GET /?$text HTTP/1.0\r\n\r\n");
    return $client->response->body;
}

my $ws = SprigTest::WebSocket->open($server, '/');
is $ws->response->status, 101, 'a WebSocket over TLS';
is $ws->next, 'text(https)', 'its request was one of https';
is $ws->text("m$_")->next, "text(m$_)", 'a message and its echo' for 1, 2;

my $long = join '', map { chr($_ * 7 % 251) } 1 .. 300_000;
is $ws->binary($long)->next, "binary($long)", 'a long one, in many records';

my $stream = open_events($server->connect, '/events');
is publish('one'), 'published', 'published';
is $stream->texts(1), 'one', 'an event stream over TLS has it';
is $ws->next, 'text(one)', '... and so has the WebSocket';

my $late = open_events($server->connect, '/events');
is $late->texts(1), 'one', 'the history comes over TLS';
$_->client->close for $stream, $late;

$ws->close(1000, 'bye');
is $ws->story, 'close(1000) eof', 'the end is told within TLS';
$server->stop_ok;

done_testing;
