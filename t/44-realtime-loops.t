# WebSockets, event streams and channels while another event loop runs, and in Coro's threads: the same
# answers, and what the app's own loop has to say comes in between.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Events;
use SprigTest::WebSocket;
use Test::More;

delete $ENV{PERL_ANYEVENT_MODEL};

# `later` is how an app waits that was written for this loop.
my %loops = (
    'our loop' => { model => 'Sprig' },
    'EV'       => {
        needs => ['EV'],
        env   => { PERL_ANYEVENT_MODEL => 'EV' },
        model => 'EV',
        later => 'my $t; my $cb = $_[0]; $t = EV::timer(0.02, 0, sub { undef $t; $cb->() })',
    },
    'IO::Async' => {
        needs => ['IO::Async::Loop'],
        env   => { PERL_ANYEVENT_MODEL => 'IOAsync' },
        model => 'IOAsync',
        later => 'IO::Async::Loop->new->watch_time(after => 0.02, code => $_[0])',
    },
    'pure Perl' => {
        env   => { PERL_ANYEVENT_MODEL => 'Perl' },
        model => 'Perl',
    },
    'Mojo' => {
        needs => ['Mojo::IOLoop'],
        env   => { MOJO_REACTOR => 'Mojo::Reactor::Poll' },
        first => 'use Mojo::IOLoop;',
        model => 'Sprig',
        later => 'Mojo::IOLoop->timer(0.02 => $_[0])',
    },
    'Coro' => {
        needs => ['Coro', 'Coro::AnyEvent'],
        env   => { SPRIG_TEST_KEEPS => 1 },         # Coro keeps a watcher
        first => 'use Coro; use Coro::AnyEvent;',
        model => 'Sprig',
        later => 'my $cb = $_[0]; async { Coro::AnyEvent::sleep 0.02; $cb->() }',
    },
);
$loops{$_}{later} = 'my $t; my $cb = $_[0]; $t = AE::timer 0.02, 0, sub { undef $t; $cb->() }'
    for 'our loop', 'pure Perl';

sub body_of {
    my ($server, $path) = @_;
    my $client = $server->connect;
    $client->send("GET $path HTTP/1.0\r\n\r\n");
    return $client->response->body;
}

sub app {
    my ($loop) = @_;
    return
          'use AnyEvent;'
        . ($loop->{first} || '')
        . "sub later { $loop->{later}; return }"
        . <<'APP';
use Sprig::Channel;
my $channel = Sprig::Channel->new('all', history => 10);
my %routes = (
    '/loop'    => sub { [200, [], [$AnyEvent::MODEL]] },
    '/publish' => sub { $channel->publish($_[0]{QUERY_STRING}); [200, [], ['published']] },
    '/events'  => sub {
        my ($env) = @_;
        return sub {
            my $writer = $_[0]->([200, ['Content-Type' => 'text/event-stream']]);
            later(sub { $channel->join($writer, since => 0); $writer->event(data => 'joined') });
        };
    },
    '/ws' => sub {
        $_[0]{'psgix.websocket'}->accept(
            on_open    => sub { $channel->join($_[0]) },
            on_message => sub {
                my ($ws, $text) = @_;
                $ws->send("at once $text");
                later(sub { $ws->send("later $text") });
            },
        );
    },
);
sub { $routes{ $_[0]{PATH_INFO} }->($_[0]) };
APP
}

for my $name (sort keys %loops) {
    my $loop = $loops{$name};
    my ($missing) =
        grep { system $^X, '-e', "eval { require $_; 1 } or exit 1" } @{ $loop->{needs} || [] };
    subtest $name => sub {
        plan skip_all => "$missing is not installed" if $missing;
        my $server = start_server(code => app($loop), by => 'plackup', env => $loop->{env} || {});
        like body_of($server, '/loop'), qr/::\Q$loop->{model}\E\z/, 'the loop';
        my $ws = SprigTest::WebSocket->open($server, '/ws');
        $ws->text('one');
        is join(' ', map { $ws->next } 1, 2), 'text(at once one) text(later one)', 'answers';
        my $stream = open_events($server->connect, '/events');
        is $stream->texts(1),                 'joined',          'an event';
        is body_of($server, "/publish?$_"),   'published',       'published' for 1, 2;
        is $stream->texts(3),                 'joined 1 2',      'the stream gets it';
        is join(' ', map { $ws->next } 1, 2), 'text(1) text(2)', '... and so does the socket';
        $ws->close(1000);
        is $ws->story, 'close(1000) eof', 'closed';
        $stream->client->close;
        $server->stop_ok;
    };
}

done_testing;
