# Clients that leave while a response is on its way: noticed at once, told once.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $app = <<'APP';
my (%writer, $timer);

{
    package Body;
    sub getline { 'x' x 100_000 }
    sub close { $_[0]{close}->() }
}

sub stream (&) {
    my ($code) = @_;
    return sub {
        my ($env) = @_;
        return sub {
            my $r = shift;
            my $w = $r->([200, []]);
            $w->write('begun');
            $code->($w, $env);
        };
    };
}

sub write_to {
    my ($name, @data) = @_;
    my $result = eval { $writer{$name}->write(@data) };
    return $@ ? "died: $@" : $result ? 'true' : defined $result ? 'false' : 'undef';
}

# Keeps the writer; notes down when the client leaves.
sub watch {
    my ($name) = @_;
    return stream {
        my $w = $writer{$name} = shift;
        $w->on_disconnect(sub { note_down("$name gone " . ($_[0] == $w ? 'with its writer' : 'alone')) });
    };
}

routes(
    '/idle'   => watch('idle'),
    '/writes' => stream {
        my $w = shift;
        my $t;

        # Both, since AnyEvent::Impl::IOAsync never frees the callback of a timer that is cancelled.
        $w->on_disconnect(sub { undef $t; undef $w; note_down('writes gone') });
        $t = AE::timer 0, 0.01, sub { $w->write('x' x 1000) };
    },
    '/late' => stream { $writer{late} = shift; note_down('late begun') },
    '/ask-late' => sub {
        $writer{late}->on_disconnect(sub { note_down('told late') });
        note_down('asked');
        [200, [], ['ok']];
    },
    '/write-late' => sub { [200, [], [write_to('late', 'more')]] },
    '/write-idle' => sub { [200, [], [write_to('idle', 'more')]] },
    '/close-idle' => sub { $writer{idle}->close; $writer{idle}->close; [200, [], [write_to('idle', 'x')]] },
    '/forget'     => sub { %writer = (); [200, [], ['ok']] },
    '/complete'   => stream {
        my $w = shift;
        $w->on_disconnect(sub { note_down('told although complete') });
        $w->close;
    },
    '/dies' => stream { $writer{dies} = shift; $writer{dies}->on_disconnect(sub { die "at the door\n" }) },
    '/half' => stream {
        my $w = shift;
        $w->on_disconnect(sub {
            note_down('half');
            $timer = AE::timer 0.05, 0, sub { undef $timer; $w->write(' and ended'); $w->close };
        });
    },
    '/reset-queue' => stream {
        my $w = $writer{queue} = shift;
        $w->on_disconnect(sub { note_down('queue gone') });
        $w->write('x' x 1_000_000) for 1 .. 20;
    },
    '/body' => sub {
        my $n = 0;
        [200, [], bless { close => sub { note_down('body closed') } }, 'Body'];
    },
    '/two-watchers' => stream {
        my $w = $writer{two} = shift;
        $w->on_disconnect(sub { note_down('first') });
        $w->on_disconnect(sub { note_down('second') });
    },
);
APP

my $server = start_probe($app);

sub client_for {
    my ($path) = @_;
    my $client = $server->connect;
    $client->send(get($path));
    $client->wait_for_bytes(10);
    return $client;
}

sub ask { return $server->ask(get($_[0]))->body }

subtest 'while nothing is written' => sub {
    for my $how (qw(close reset)) {
        my $client = client_for('/idle');
        $client->$how;
        is_deeply([await_diary($server, 1)], ['idle gone with its writer'], "by $how");
    }
    ask('/forget');
};

subtest 'writes go nowhere' => sub {
    client_for('/idle')->reset;
    await_diary($server, 1);
    is(ask('/write-idle'), 'false', 'write returns false');
    is(ask('/write-idle'), 'false', 'each time');
    is(ask('/close-idle'), 'false', 'close is harmless');
    is_deeply([diary($server)], [], 'nobody is told twice');
    ask('/forget');
};

subtest 'a producer is told' => sub {
    client_for('/writes')->close;
    is_deeply([await_diary($server, 1)], ['writes gone'], 'once');
    my $client = client_for('/reset-queue');
    $client->reset;
    is_deeply([await_diary($server, 1)], ['queue gone'], 'with megabytes waiting');
    ask('/forget');
};

subtest 'asked after the fact' => sub {
    my $client = client_for('/late');
    is_deeply([await_diary($server, 1)], ['late begun'], 'nobody watches');
    $client->reset;
    ok(eventually { counters($server)->{exchanges} == 0 }, 'the client is gone');
    is(ask('/write-late'), 'false', 'so is the writer');
    ask('/ask-late');
    is_deeply([sort(await_diary($server, 2))], ['asked', 'told late'], 'told when asked');
    ask('/forget');
};

subtest 'told only if the response is not complete' => sub {
    my $client = client_for('/complete');
    is($client->response->body, 'begun', 'complete');
    $client->close;
    ok(comes_to_rest($server), 'gone');
    is_deeply([diary($server)], [], 'nobody is told');
};

subtest 'a client that ends only its own side' => sub {
    not_over_http2('the end of its connection is the end of all streams');
    my $client = client_for('/half');
    $client->half_close;
    is($client->response->body, 'begun and ended', 'still gets what is written');
    is_deeply([diary($server)], ['half'], 'but the app was told');
};

subtest 'odds' => sub {
    client_for('/dies')->close;
    ok($server->stderr_like(qr{^GET /\S*: at the door$}m), 'a callback that dies is logged');
    ask('/forget');
    client_for('/two-watchers')->close;
    is_deeply([await_diary($server, 1)], ['second'], 'the last callback set is called');
    ask('/forget');
    client_for('/body')->reset;
    is_deeply([await_diary($server, 1)], ['body closed'], 'an iterator is closed');
};

ok(comes_to_rest($server), 'nothing is left over');
$server->stop_ok;

subtest 'die_on_disconnect' => sub {
    $server = start_probe($app, args => { die_on_disconnect => 1 });
    client_for('/idle')->reset;
    await_diary($server, 1);
    like(ask('/write-idle'), qr/^died: Broken pipe/, 'write dies');
    is(ask('/forget'), 'ok', 'and the server goes on');
    $server->stop_ok;
};

done_testing;
