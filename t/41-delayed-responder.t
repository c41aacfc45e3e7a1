# Delayed responses: the responder called now, later, twice, never, with an error.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server = start_probe(<<'APP');
my (@kept, $timer, $late);

# Runs code in a later turn of the loop.
sub later {
    my ($seconds, $code) = @_;
    my $t;
    $t = AE::timer $seconds, 0, sub { undef $t; $code->() };
}

{
    package Callable;
    use overload '&{}' => sub { my $self = shift; sub { $self->{code}->(@_) } }, fallback => 1;
}

{
    package AtEnd;
    sub DESTROY { my $self = shift; $self->{code}->() }
}

routes(
    '/now'   => sub { sub { $_[0]->([200, [], ['now']]) } },
    '/later' => sub { sub { my $r = shift; later(0.05, sub { $r->([201, [], ['later']]) }) } },
    '/class' => sub { sub { my $r = shift; $r->([200, [], [join ' ', ref $r, ref $_[0]]]) } },
    '/file'  => sub { sub { open my $fh, '<', \"from a file\n"; $_[0]->([200, [], $fh]) } },
    '/none'  => sub { sub { my @got = $_[0]->([204, [], []]); note_down(scalar @got) } },
    '/object' => sub { bless { code => sub { $_[0]->([200, [], ['object']]) } }, 'Callable' },
    '/twice'  => sub { sub { $_[0]->([200, [], [$_]]) for 1, 2 } },
    '/twice-later' => sub {
        sub { my $r = shift; $r->([200, [], ['once']]); later(0, sub { $r->([200, [], ['again']]) }) }
    },
    '/twice-writer' => sub {
        sub {
            my $r = shift;
            $r->([200, [], ['once']]);
            my $w = $r->([200, []]);
            note_down($w->write('x') ? 'written' : 'not written');
            $w->close;
        }
    },
    '/inside-own-header' => sub {
        sub {
            my $r = shift;
            my @headers = ('X-A', '');
            tie $headers[1], 'Reentrant', sub { $r->([500, [], ['inner']]) };
            $r->([200, \@headers, ['outer']]);
        }
    },
    '/dropped'       => sub { sub { } },
    '/dropped-later' => sub { sub { my $r = shift; later(0.02, sub { undef $r }) } },
    '/dies'          => sub { sub { my $r = shift; push @kept, $r; die "no luck\n" } },
    '/late-after-death' => sub {
        (pop @kept)->([200, [], ['late']]);
        [200, [], ['done']];
    },
    '/dies-after-answer' => sub { sub { $_[0]->([200, [], ['fine']]); die "too late\n" } },
    '/dies-in-timer' => sub { sub { my $r = shift; later(0, sub { my $own = $r; die "timer\n" }) } },
    '/raise'         => sub { sub { my $r = shift; later(0, sub { $r->raise("raised\n") }) } },
    '/raise-object'  => sub { sub { $_[0]->raise({ code => 7 }) } },
    '/raise-late'    => sub { sub { $_[0]->([200, [], ['ok']]); $_[0]->raise("late\n") } },
    '/raise-writing' => sub {
        sub { my $r = shift; my $w = $r->([200, []]); $w->write('part'); $r->raise("halfway\n") }
    },
    '/bad'        => sub { sub { $_[0]->([200, ["X\nY" => 1], ['bad header']]) } },
    '/not-a-list' => sub { sub { $_[0]->('hello') } },
    '/no-args'    => sub { sub { eval { $_[0]->() }; note_down($@); $_[0]->([200, [], ['ok']]) } },
    '/from-destroy' => sub {
        sub {
            my $r = shift;
            my $guard = bless { code => sub { $r->([200, [], ['from DESTROY']]) } }, 'AtEnd';
            later(0, sub { undef $guard });
        }
    },
    '/keep'     => sub { sub { $late = shift; note_down('kept') } },
    '/use-kept' => sub {
        my $w = $late->([200, []]);
        note_down(ref $w, $w->write('x') ? 'true' : defined $w->write('x') ? 'false' : 'undef');
        $w->close;
        undef $late;
        [200, [], ['used']];
    },
    '/complete' => sub {
        sub { $_[0]->([200, [], ['x' x 100_000], sub { note_down('complete') }]) }
    },
    '/nested' => sub {
        sub { $_[0]->([200, [], ['outer']]) if 1; sub { die 'never called' } }
    },
);

package Reentrant;
sub TIESCALAR { bless $_[1], $_[0] }
sub FETCH { $_[0]->(); 'value' }

package main;
APP

sub ask {
    my ($path, @lines) = @_;
    return $server->ask(get($path, @lines));
}

subtest 'the responder answers' => sub {
    is(ask('/now')->body,     'now',           'within the callback');
    is(ask('/later')->body,   'later',         'from a timer');
    is(ask('/later')->status, 201,             'with its status');
    is(ask('/file')->body,    "from a file\n", 'with a file handle');
    is(ask('/object')->body,  'object', 'an object that can be called is a delayed response');
    like(
        ask('/class')->body,
        over_http2() ? qr/\ASprig::Responder \z/ : qr/\ASprig::Responder IO::Socket::(?:INET|UNIX)\z/,
        'it is an object, and the socket comes with it'
    );
    is(ask('/none')->status, 204, 'without a body');
    is_deeply([diary($server)], [0], 'a complete response returns nothing');
    is(ask('/from-destroy')->body, 'from DESTROY', 'from within a destructor');
};

subtest 'HTTP/1.0 and keep-alive' => sub {
    my $client = $server->connect;
    for my $path (qw(/later /now /file)) {
        $client->send(get($path));
        ok($client->response->is_complete, "$path keeps the connection usable");
    }
    like($server->ask("GET /later HTTP/1.0\r\n\r\n")->head, qr{^HTTP/1\.0 201}, 'HTTP/1.0');
    $client = $server->connect;
    $client->send(get('/later') . get('/now') . get('/later'));
    is(join(' ', map { $client->response->body } 1 .. 3), 'later now later', 'pipelined: in order');
};

subtest 'only the first response counts' => sub {
    is(ask('/twice')->body, '1', 'called twice at once');
    ok($server->stderr_like(qr/responder called twice/), 'there is a warning');
    is(ask('/twice-later')->body,  'once', 'called again later');
    is(ask('/twice-writer')->body, 'once', 'called again for a writer');
    is_deeply([diary($server)], ['not written'], 'which leads nowhere');
    is(ask('/inside-own-header')->body, 'outer', 'called from within its own call');
};

subtest 'dropped without a call' => sub {
    for my $path (qw(/dropped /dropped-later)) {
        my $response = ask($path);
        is($response->status, 500,                     "$path is a 500 at once");
        is($response->body,   'Internal Server Error', 'which tells nothing');
    }
    ok($server->stderr_like(qr/responder dropped without a response/), 'but the log does');
};

subtest 'errors' => sub {
    is(ask('/dies')->status, 500, 'died before the response');
    ok($server->stderr_like(qr{^GET /\S*: no luck$}m), 'the message is in the log');
    is(ask('/late-after-death')->body,  'done', 'a responder that outlived this is harmless');
    is(ask('/dies-after-answer')->body, 'fine', 'died behind the response');
    ok($server->stderr_like(qr{^GET /\S*: too late$}m), 'that is logged, too');
    is(ask('/dies-in-timer')->status, 500, 'died in a callback that held the responder');
    ok($server->stderr_like(qr/timer$/m), 'logged');
    is(ask('/raise')->status, 500, 'raise from a callback');
    ok($server->stderr_like(qr{^GET /\S*: raised$}m), 'has its message logged');
    is(ask('/raise-object')->status, 500,  'raise with an object');
    is(ask('/raise-late')->body,     'ok', 'raise behind the response changes nothing');
    my $cut = ask('/raise-writing');
    ok(!$cut->is_complete, 'raise while a writer is at work cuts the response');
    ok($server->stderr_like(qr{^GET /\S*: halfway$}m), 'logged');
    is(ask('/bad')->status,        500,  'a response that is not acceptable');
    is(ask('/not-a-list')->status, 500,  'something else than a response');
    is(ask('/no-args')->body,      'ok', 'a call without a response');
    like((diary($server))[0], qr/^Usage: /, 'dies, and can be made good');
};

subtest 'the client leaves first' => sub {
    my $client = $server->connect;
    $client->send(get('/keep'));
    is_deeply([await_diary($server, 1)], ['kept'], 'the responder is kept');
    $client->reset;
    ok(eventually { counters($server)->{exchanges} == 0 }, 'the exchange is over');
    is(counters($server)->{responders}, 1, 'the responder still exists');
    my $before = $server->stderr;
    is(ask('/use-kept')->body, 'used', 'and can be called');
    is_deeply([diary($server)], ['Sprig::Writer', 'false'], 'its writer writes nothing');
    is($server->stderr, $before, 'silently');
};

subtest 'the completion callback' => sub {
    is(length ask('/complete')->body, 100_000, 'the response');
    is_deeply([await_diary($server, 1)], ['complete'], 'is followed by the callback');
};

ok(comes_to_rest($server), 'nothing is left over');
$server->stop_ok;
done_testing;
