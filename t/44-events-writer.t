# Server-sent events: what the writer of a text/event-stream response has besides write.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;
use Time::HiRes qw(time);

my $server = start_probe(<<'APP');
my %kept;

{ package Text; use overload '""' => sub { "text of $_[0][0]" }, fallback => 1 }
{ package Frees; use overload '""' => sub { undef ${ $_[0][0] }; 'freed' }, fallback => 1 }

sub stream {
    my ($code, @headers) = @_;
    @headers = ('Content-Type' => 'text/event-stream') if !@headers;
    return sub {
        my ($env) = @_;
        return sub { my $w = $_[0]->([200, [@headers]]); $code->($w); $w->close };
    };
}

sub try_it {
    my ($code) = @_;
    my $result = eval { $code->() };
    note_down($@ ? "died: $@" : $result ? 'true' : defined $result ? 'false' : 'undef');
}

my $euro = chr 0x20ac;
routes(
    '/plain'  => stream(sub { $_[0]->event(data => 'one'); $_[0]->event(data => 2, id => 7, event => 'tick') }),
    '/fields' => stream(sub { $_[0]->event(retry => 1500, id => ''); $_[0]->event(data => undef, id => 'x') }),
    '/lines'  => stream(sub { $_[0]->event(data => "a\r\nb\rc\nd\n") }),
    '/text'   => stream(
        sub {
            my ($w) = @_;
            my $latin = "caf\xe9";
            $w->event(data => $latin);
            note_down(utf8::is_utf8($latin) ? 'changed' : 'as it was');
            $w->event(data => "$euro\x{ffff}", event => $euro, id => "\xe9");
            my $text = 'x' x 10;
            $w->event(data => $text, id => bless([\$text], 'Frees'));
            $w->event(data => bless(['object'], 'Text'));
            $w->event(data => join ',', 1 .. 3000);
        }
    ),
    '/comment' => stream(sub { $_[0]->comment("a\nb"); $_[0]->comment($euro) }),
    '/headers' => stream(
        sub { $_[0]->event(data => 1) },
        'cache-control' => 'no-store', 'Content-Type' => 'Text/Event-Stream; charset=utf-8'
    ),
    '/x-accel' => stream(sub { }, 'X-Accel-Buffering' => 'yes', 'Content-Type' => 'text/event-stream'),
    '/other'   => stream(sub { my ($w) = @_; try_it(sub { $w->event(data => 1) }) for 1; $w->write('plain') },
        'Content-Type' => 'text/event-streams'),
    '/misuse' => stream(
        sub {
            my ($w) = @_;
            for my $fields (
                ['data'], [date => 1], [id => "a\nb"], [id => "a\0"], [event => "a\r"],
                [retry => 1.5], [retry => ''], [data => "\x{d800}"], [data => "\x{110000}"]
                )
            {
                try_it(sub { $w->event(@$fields) });
            }
            try_it(sub { $w->heartbeat(-1) });
            try_it(sub { $w->heartbeat('x') });
            $w->event(data => 'fine');
            $w->close;
            { local $SIG{__WARN__} = sub { note_down("warned: $_[0]") }; try_it(sub { $w->event(data => 'late') }) }
        }
    ),
    '/beats' => sub {
        return sub {
            my $w = $kept{beats} = $_[0]->([200, ['Content-Type' => 'text/event-stream']]);
            $w->heartbeat(0.05);
        };
    },
    '/calm' => sub { $kept{beats}->heartbeat(0); $kept{beats}->event(data => 'calm'); [200, [], []] },
    '/keep' => sub {
        return sub {
            my $w = $kept{keep} = $_[0]->([200, ['Content-Type' => 'text/event-stream']]);
            $w->event(data => 'first');
            $w->on_disconnect(sub { note_down('left') });
        };
    },
    '/more'  => sub { $kept{keep}->event(data => 'more') ? [200, [], ['ok']] : [200, [], ['nobody']] },
    '/sleep' => sub {
        return sub {
            my $w = $_[0]->([200, ['Content-Type' => 'text/event-stream']]);
            $w->event(data => 'before');
            select undef, undef, undef, 1.5;
            $w->event(data => 'after');
            $w->close;
        };
    },
    '/end' => sub { $_->close for delete @kept{qw(beats keep)}; [200, [], []] },
);
APP

sub body_of { return $server->ask(get($_[0]))->body }

is body_of('/plain'),  "data: one\n\nid: 7\nevent: tick\ndata: 2\n\n", 'data, id and name';
is body_of('/fields'), "id: \nretry: 1500\n\nid: x\n\n",               'what is not given is not there';
is body_of('/lines'),  "data: a\ndata: b\ndata: c\ndata: d\ndata: \n\n", 'CR, LF and CRLF end lines';
is body_of('/comment'), ": a\n: b\n\n: \xe2\x82\xac\n\n", 'comments';

subtest 'text is characters, and UTF-8 for the client' => sub {
    my @events = split /\n\n/, body_of('/text');
    is $events[0], "data: caf\xc3\xa9", 'of Latin 1';
    is_deeply [diary($server)], ['as it was'], 'which stays what it was';
    is $events[1], "id: \xc3\xa9\nevent: \xe2\x82\xac\ndata: \xe2\x82\xac\xef\xbf\xbf", 'all of Unicode';
    is $events[2], 'id: freed', 'a value that another one undefines';
    is $events[3], 'data: text of object', 'an object';
    is $events[4], 'data: ' . join(',', 1 .. 3000), 'a long one';
};

subtest 'nobody on the way is to keep events' => sub {
    my $response = $server->ask(get('/plain'));
    is $response->header('Cache-Control'),     'no-cache', 'Cache-Control';
    is $response->header('X-Accel-Buffering'), 'no',       'X-Accel-Buffering';
    $response = $server->ask(get('/headers'));
    is $response->header('Cache-Control'),     'no-store', 'what the app says of caches stands';
    is $response->header('X-Accel-Buffering'), 'no',       'the other is added';
    $response = $server->ask(get('/x-accel'));
    is $response->header('X-Accel-Buffering'), 'yes', 'what it says of buffers as well';
    $response = $server->ask(get('/other'));
    is $response->header('Cache-Control'), undef,   'other responses get neither';
    is $response->body,                    'plain', 'and go on';
    like +(diary($server))[0], qr{^died: Sprig::Writer::event: the Content-Type .* not text/event-stream at},
        'they have no events';
};

subtest 'HTTP/1.0' => sub {
    my $response = $server->ask("GET /plain HTTP/1.0\r\n\r\n");
    is $response->body, "data: one\n\nid: 7\nevent: tick\ndata: 2\n\n", 'without chunks';
    is $response->header('Transfer-Encoding'), undef, 'to the end of the connection';
};

subtest 'misuse dies, and nothing is sent' => sub {
    is body_of('/misuse'), "data: fine\n\n", 'what is right arrives';
    my @diary = diary($server);
    like shift @diary, qr/^died: $_/, $_ for
        'Sprig::Writer::event: give names and values',
        q(Sprig::Writer::event: unknown field 'date': it takes data, event, id and retry),
        'Sprig::Writer::event: id has a line end or NUL in it',
        'Sprig::Writer::event: id has a line end or NUL in it',
        'Sprig::Writer::event: event has a line end or NUL in it',
        'Sprig::Writer::event: retry must be a whole number of milliseconds',
        'Sprig::Writer::event: retry must be a whole number of milliseconds',
        'Sprig::Writer::event: data has a character outside Unicode',
        'Sprig::Writer::event: data has a character outside Unicode',
        ('Sprig::Writer::heartbeat: seconds must be a number from 0') x 2;
    like shift @diary, qr/^warned: Sprig::Writer::event: the writer is closed/, 'a closed writer warns';
    is shift @diary, 'false', 'and says that nothing was sent';
};

subtest 'heartbeats' => sub {
    my $client = $server->connect;
    $client->send(get('/beats'));
    ok $client->wait_for_bytes(300), 'the client hears something all the while';
    like $client->buffered, qr/\r\n\r\n(?:3\r\n:\n\n\r\n){3}/, 'comments without text';
    body_of('/calm');
    eventually { $client->poll; $client->buffered =~ /calm/ };
    like $client->buffered, qr/data: calm/, 'events come between them';
    my $n = length $client->buffered;
    select undef, undef, undef, 0.3;
    $client->poll;
    is length $client->buffered, $n, '0 ends them';
};

subtest 'events leave at once' => sub {
    my $client  = $server->connect;
    my $started = time;
    $client->send(get('/sleep'));
    eventually { $client->poll; $client->buffered =~ /before/ };
    cmp_ok time - $started, '<', 1.2, 'while the app sleeps';
    unlike $client->buffered, qr/after/, 'the next one is not there yet';
    is $client->response->body, "data: before\n\ndata: after\n\n", 'it comes';
};

subtest 'a client that leaves' => sub {
    my $client = $server->connect;
    $client->send(get('/keep'));
    eventually { $client->poll; $client->buffered =~ /first/ };
    is body_of('/more'), 'ok', 'is written to';
    $client->close;
    is_deeply [await_diary($server, 1)], ['left'], 'is noticed without a write';
    eventually { body_of('/more') eq 'nobody' };
    is body_of('/more'), 'nobody', 'and not written to any more';
};

body_of('/end');
ok comes_to_rest($server), 'nothing is left';
$server->stop_ok;

done_testing;
