# $ws->next: messages that are asked for, by condvars and by await; the client waits while nobody asks.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use SprigTest::WebSocket;
use Test::More;

my $server = start_probe(<<'APP', args => { websocket_deflate => 'off' });
my %socket;
my $is_async = eval { require Future::AsyncAwait; 1 };

sub accepting {
    my (@options) = @_;
    return sub { $_[0]{'psgix.websocket'}->accept(@options, on_close => sub { note_down("closed $_[1]") }) };
}

sub ask_again {
    my ($ws) = @_;
    $ws->next->cb(sub {
        my $message = $_[0]->recv;
        return note_down('no more') if !defined $message;
        $ws->send("got $message");
        ask_again($ws);
    });
}

routes(
    '/condvars' => accepting(on_open => sub { ask_again($_[0]) }),
    '/blocking' => accepting(on_open => sub { my ($ws) = @_; $ws->send('two, please');
        my ($one, $two) = map { $ws->next->recv } 1 .. 2; $ws->send("$one and $two"); $socket{blocking} = $ws }),
    '/keep'  => accepting(on_open => sub { $socket{keep} = $_[0]; $_[0]->send('kept') }),
    '/once' => accepting(
        websocket_ping_interval => 0.2,
        on_open                 => sub {
            my ($ws) = @_;
            push @{ $socket{once} }, $ws;
            $ws->next->cb(sub { note_down('heard ' . $_[0]->recv) });
        }
    ),
    '/unpinged' => accepting(
        websocket_ping_interval => 0,
        on_open                 => sub {
            my ($ws) = @_;
            push @{ $socket{once} }, $ws;
            $ws->next->cb(sub { note_down('heard ' . $_[0]->recv) });
        }
    ),
    '/ask'   => sub {
        return sub {
            my $respond = shift;
            $socket{keep}->next->cb(sub {
                my $m = $_[0]->recv;
                $respond->([200, [], [defined $m ? length $m : 'undef']]);
            });
        };
    },
    '/over'  => sub { my $m = $socket{keep}->next; [200, [], [$m->ready ? defined $m->recv ? 'value' : 'undef' : 'not ready']] },
    '/drop'  => sub { %socket = (); [200, [], ['ok']] },
    '/async' => sub { [200, [], [$is_async ? 'yes' : 'no']] },
    '/await' => accepting(on_open => $is_async ? eval q{
        use Future::AsyncAwait;
        async sub {
            my ($ws) = @_;
            $ws->send('Your name?');
            my $name = await $ws->next;
            $ws->send("Hello, $name");
            while (defined(my $line = await $ws->next)) {
                die "as told\n" if $line eq 'die';
                $ws->send("$name said $line");
            }
            note_down("$name left");
        }
    } || die : sub { }),
);
APP

sub socket_at { return SprigTest::WebSocket->open($server, @_) }
sub ask       { return $server->ask(get($_[0], 'Connection: close'))->body }

subtest 'condvars' => sub {
    my $ws = socket_at('/condvars');
    is($ws->text($_)->next, "text(got $_)", $_) for qw(one two);
    $ws->text('three')->text('four')->close(1000);
    is($ws->story, 'text(got three) text(got four) close(1000) eof',
        'several at once, and the end');
    is(
        join('|', sort(await_diary($server, 2))),
        'closed 1000|no more',
        'undef, since there will be none'
    );
};

subtest 'a blocking recv' => sub {
    skip_on_other_loop('AnyEvent lets no callback block in recv');
    my $ws = socket_at('/blocking');
    is($ws->next, 'text(two, please)', 'begun');
    is(
        $ws->text('bread')->text('butter')->next,
        'text(bread and butter)',
        'messages come while on_open waits'
    );
    $ws->close(1000)->story;
    await_diary($server, 1);
};

subtest 'nothing is read while nobody asks' => sub {
    my $ws = socket_at('/keep');
    $ws->next;
    $ws->send(ping => 'a')->next;
    $ws->text('first')->send(ping => 'b');
    my $piece  = SprigTest::WebSocket::bytes(binary => 'x' x 100_000);
    my $n      = 0;
    my $client = $ws->client;
    my $took   = eval {
        local $SprigTest::Client::SECONDS = 2;
        while ($n < 300) { $client->send($piece); $n++ }
        1;
    };
    ok(!$took, "the client has to wait, after $n pieces of 100 KB");
    $server->idle_ok if $server->can('idle_ok');
    is(ask('/ask'), 5, 'the first message comes when it is asked for');
    my $wrong = 0;
    $wrong += ask('/ask') != 100_000 for 1 .. $n;
    is($wrong, 0, 'and all others, in order');
    $client->close;
    is(join('|', await_diary($server, 1)), 'closed 1006', 'the end is noticed');
    is(ask('/over'),                       'undef', 'a socket that is over has no next message');
    ask('/drop');
};

subtest 'an end that nobody asks for' => sub {
    my $alive = socket_at('/once');
    $alive->text('one')->text('two');
    is($alive->next, 'ping(heartbeat)',
        'one that waits to be read from is asked whether it is there');
    is(join('|', await_diary($server, 1)), 'heard one', 'the application has asked once');
    my $left = socket_at('/once');
    $left->text('one')->text('two');
    is(join('|', await_diary($server, 1)), 'heard one', 'another one');
    $left->client->close;
    is(join('|', await_diary($server, 1)), 'closed 1006',     'that it has left is noticed');
    is($alive->next,                       'ping(heartbeat)', 'the first one goes on');
    $alive->client->close;
    is(join('|', await_diary($server, 1)), 'closed 1006', 'until it leaves');
    my $unpinged = socket_at('/unpinged');
    $unpinged->text('one')->text('two');
    is(join('|', await_diary($server, 1)), 'heard one', 'one that is not asked');
    $unpinged->client->close;
    is(join('|', await_diary($server, 1)), 'closed 1006', 'its end is noticed as well');
    ask('/drop');
};

subtest 'await' => sub {
    plan skip_all => 'needs Future::AsyncAwait' if ask('/async') ne 'yes';
    my $ws = socket_at('/await');
    is($ws->next,              'text(Your name?)',  'a question');
    is($ws->text('Ann')->next, 'text(Hello, Ann)',  'an answer');
    is($ws->text('hi')->next,  'text(Ann said hi)', 'and so on');
    $ws->close(1000)->story;
    is(join('|', sort(await_diary($server, 2))), 'Ann left|closed 1000', 'to the end');
    $ws = socket_at('/await');
    $ws->next;
    $ws->text('Bob')->next;
    is($ws->text('die')->next, 'close(1011 internal error)',
        'a future that fails closes with 1011');
    ok($server->stderr_like(qr/^as told$/m), 'and is reported');
    $ws->close(1011)->story;
    await_diary($server, 1);
};

comes_to_rest($server);
$server->stop_ok;
done_testing;
