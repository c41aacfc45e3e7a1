# The streaming writer: write, close, and all that may happen to it on its way.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server = start_probe(<<'APP');
my (@kept, %kept);

sub later {
    my ($seconds, $code) = @_;
    my $t;
    $t = AE::timer $seconds, 0, sub { undef $t; $code->() };
}

# An app that streams: the code gets the writer.
sub stream (&) {
    my ($code) = @_;
    return sub {
        my ($env) = @_;
        return sub { my $r = shift; $code->($r->([200, ['Content-Type' => 'text/plain']])) };
    };
}

# The same with a length that is announced.
sub announce {
    my ($length, $data) = @_;
    return sub {
        return sub { my $w = $_[0]->([200, ['Content-Length' => $length]]); $w->write($data); $w->close };
    };
}

sub try_write {
    my ($writer, @data) = @_;
    my $result = eval { $writer->write(@data) };
    note_down($@ ? "died: $@" : $result ? 'true' : defined $result ? 'false' : 'undef');
}

{ package Text; use overload '""' => sub { "text of $_[0][0]" }, fallback => 1 }
{ package Deadly; use overload '""' => sub { die "no text\n" }, fallback => 1 }
{ package Tied; sub TIESCALAR { my $v = $_[1]; bless \$v } sub FETCH { ${ $_[0] } } }
{
    package ClosesWriter;
    sub TIESCALAR { bless [$_[1]] }
    sub FETCH { $_[0][0]->close; 'late' }
}

routes(
    '/pieces' => stream { my $w = shift; $w->write('a'); $w->write('b', 'c'); $w->close },
    '/empty'  => stream {
        my $w = shift;
        my $nothing;
        try_write($w, @$_) for [], [''], [undef], ['', $nothing, ''];
        $w->write('x');
        $w->close;
    },
    '/nothing' => stream { $_[0]->close },
    '/zero'    => stream { $_[0]->write('0'); $_[0]->close },
    '/kinds'   => stream {
        my $w = shift;
        my $text = 'substr is fine';
        tie my $tied, 'Tied', 'tied';
        'match' =~ /(mat)/;
        $w->write(42, ' ', 1.5, ' ', bless(['x'], 'Text'), ' ', $tied, ' ', $1, ' ', substr $text, 0, 6);
        $w->close;
    },
    '/latin1' => stream {
        my $w = shift;
        my $text = "caf\x{e9}";
        utf8::upgrade($text);
        $w->write($text);
        note_down(utf8::is_utf8($text) ? 'as it was' : 'changed');
        $w->close;
    },
    '/wide' => stream {
        my $w = shift;
        try_write($w, 'first', "\x{263a}", 'third');
        try_write($w, 'good');
        $w->close;
    },
    '/deadly' => stream {
        my $w = shift;
        try_write($w, 'first', bless [], 'Deadly');
        try_write($w, 'good');
        $w->close;
    },
    '/closed-by-value' => stream {
        my $w = shift;
        tie my $value, 'ClosesWriter', $w;
        try_write($w, $value);
    },
    '/after-close' => stream {
        my $w = shift;
        $w->write('whole');
        $w->close;
        try_write($w, 'more');
        $w->close;
    },
    '/slow' => stream {
        my $w = shift;
        my $n = 0;
        my $t;
        $t = AE::timer 0, 0.02, sub { $w->write($n++); if ($n == 5) { undef $t; $w->close } };
    },
    '/dropped'       => stream { my $w = shift; $w->write('all of it') },
    '/dropped-later' => stream { my $w = shift; $w->write('a'); later(0.02, sub { $w->write('b'); undef $w }) },
    '/ignored'       => sub { sub { $_[0]->([200, ['X-A' => 1]]); return } },
    '/undef-body'    => sub { sub { my $w = $_[0]->([200, [], undef]); $w->write('body'); $w->close } },
    '/dies'          => stream { my $w = shift; $w->write('part'); die "in the middle\n" },
    '/dies-later'    => stream { my $w = shift; $w->write('part'); later(0.02, sub { my $own = $w; undef $w; die "later\n" }) },
    '/dies-inside' => sub {
        sub {
            my $r = shift;
            eval { my $w = $r->([200, []]); $w->write('part'); die "caught\n" };
            note_down("went on after $@");
        }
    },
    '/dies-kept' => stream { push @kept, $_[0]; $_[0]->write('part'); die "kept\n" },
    '/use-kept'  => sub { my $w = pop @kept; try_write($w, 'more'); $w->close; [200, [], ['ok']] },
    '/exact' => announce(5, '12345'),
    '/short' => announce(5, '123'),
    '/long'  => announce(5, '1234567'),
    '/methods'   => stream {
        my $w = shift;
        note_down(ref $w, Scalar::Util::reftype($w));
        $w->write('x' x 1000);
        note_down($w->buffered >= 1000 ? 'buffered' : 'not buffered');
        $w->flush;
        note_down($w->buffered);
        $w->close;
    },
    '/misuse' => sub {
        for my $call (
            sub { Sprig::Writer::write({}, 'x') },
            sub { Sprig::Writer::close(bless {}, 'Sprig::Writer') },
            sub { Sprig::Writer->write('x') },
            )
        {
            eval { $call->(); 1 } ? note_down('lived') : note_down($@ =~ /^(.*?) at /);
        }
        [200, [], ['ok']];
    },
    '/bad-callback' => stream {
        my $w = shift;
        for my $method (qw(on_drain on_disconnect poll_cb)) {
            eval { $w->$method('no code') };
            note_down($@ =~ /^(.*?) at /);
            $w->$method(undef);
        }
        $w->write('ok');
        $w->close;
    },
    '/destroy' => stream {
        my $w = shift;
        my $guard = bless { code => sub { $w->write('from DESTROY'); $w->close } }, 'AtEnd';
        later(0, sub { undef $guard });
    },
    '/hash' => stream { my $w = shift; $w->{mine} = 1; $w->write(join ',', grep { $_ ne 'handle' } keys %$w); $w->close },
    '/middleware' => do {
        require Plack::Middleware::ContentLength;
        require Plack::Middleware::SimpleContentFilter;
        my $app = stream { my $w = shift; $w->write('tick ') for 1 .. 3; $w->write; $w->close };
        Plack::Middleware::SimpleContentFilter->wrap($app, filter => sub { s/tick/tock/ });
    },
    '/response-cb' => sub {
        require Plack::Util;
        my $res = stream { my $w = shift; $w->write($_) for qw(a b c); $w->close }->(@_);
        return Plack::Util::response_cb($res, sub {
            my $n = 0;
            return sub { my $chunk = shift; return defined $chunk ? "<$chunk>" : $n++ ? undef : '.' };
        });
    },
    '/chunked-middleware' => do {
        require Plack::Middleware::Chunked;
        Plack::Middleware::Chunked->wrap(stream { my $w = shift; $w->write("part $_ ") for 1 .. 3; $w->close });
    },
    '/big' => stream { my $w = shift; $w->write('0123456789' x 100_000) for 1 .. 5; $w->close },
);

package AtEnd;
sub DESTROY { my $self = shift; $self->{code}->() }

package main;
use Scalar::Util ();
use Plack::Util ();
APP

sub ask {
    my ($path, %option) = @_;
    return $server->ask(get($path), %option);
}

subtest 'what is written arrives' => sub {
    my $response = ask('/pieces');
    is($response->body,       'abc',                              'all pieces');
    is($response->framing,    'chunked',                          'in chunks');
    is(ask('/zero')->body,    '0',                                'a zero is data');
    is(ask('/nothing')->body, '',                                 'nothing is a body, too');
    is(ask('/slow')->body,    '01234',                            'piece by piece from a timer');
    is(ask('/kinds')->body,   '42 1.5 text of x tied mat substr', 'values of all kinds');
    is(ask('/latin1')->body,  "caf\xe9",                          'characters that are bytes');
    is_deeply([diary($server)], ['as it was'], 'the string of the app is left alone');
    is(ask('/hash')->body,       'mine',    'the writer is a hash for the app to use');
    is(length ask('/big')->body, 5_000_000, 'megabytes');
    is(ask('/undef-body')->body, 'body',    'an undefined body asks for a writer');
};

subtest 'empty writes are nothing' => sub {
    my $response = ask('/empty');
    is($response->body, 'x', 'and end nothing');
    is_deeply([diary($server)], [('true') x 4], 'they succeed');
};

subtest 'values that cannot be written' => sub {
    is(ask('/wide')->body, 'good', 'a wide character: nothing of this call is written');
    my @lines = diary($server);
    like(
        $lines[0],
        qr/^died: Sprig::Writer::write: wide character in argument 2: .* at app under test/,
        'it dies in the app'
    );
    is($lines[1],            'true', 'and the next write is fine');
    is(ask('/deadly')->body, 'good', 'a value that dies');
    @lines = diary($server);
    is($lines[0], 'died: no text', 'dies in the app');
    my $response = ask('/closed-by-value');
    ok($response->is_complete, 'a value that closes the writer');
    is_deeply([diary($server)], ['false'], 'is not written');
};

subtest 'framing' => sub {
    is($server->ask("GET /pieces HTTP/1.0\r\n\r\n")->body, 'abc',   'HTTP/1.0: until the end');
    is(ask('/exact')->body,                                '12345', 'a Content-Length of the app');
    ok(!ask('/short')->is_complete, 'too few bytes do not look complete');
    is(ask('/long')->body, over_http2() ? '' : '12345', 'too many are cut');
    my $head = $server->ask("HEAD /pieces HTTP/1.1\r\nHost: a\r\n\r\n", method => 'HEAD');
    is($head->body, '', 'HEAD has no body');
    my $client = $server->connect;
    $client->send(get('/pieces') . get('/slow') . get('/pieces'));
    is(join(' ', map { $client->response->body } 1 .. 3), 'abc 01234 abc', 'pipelined');
};

subtest 'close' => sub {
    is(ask('/after-close')->body, 'whole', 'ends the body');
    is_deeply([diary($server)], ['false'], 'a later write is refused');
    ok($server->stderr_like(qr/the writer is closed at app under test/), 'with a warning');
};

subtest 'a writer that is dropped ends the response' => sub {
    is(ask('/dropped')->body,       'all of it', 'at the end of the callback');
    is(ask('/dropped-later')->body, 'ab',        'from a timer');
    my $response = ask('/ignored');
    ok($response->is_complete, 'never looked at');
    is($response->header('X-A'), 1,              'with its head');
    is(ask('/destroy')->body,    'from DESTROY', 'used in a destructor');
};

subtest 'a response that dies does not look complete' => sub {
    for my $path (qw(/dies /dies-later /dies-inside)) {
        my $response = ask($path);
        is($response->status, 200, "$path had begun");
        ok(!$response->is_complete, 'and is cut');
    }
    ok($server->stderr_like(qr{^GET /\S*: in the middle$}m), 'logged');
    like(join(' ', diary($server)), qr/went on after caught/, 'an exception that the app catches');
    ok(!ask('/dies-kept')->is_complete, 'a writer that outlives the exception');
    is(ask('/use-kept')->body, 'ok', 'can be used');
    is_deeply([diary($server)], ['false'], 'in vain');
    my $client = $server->connect;
    $client->send("GET /dies HTTP/1.0\r\n\r\n");
    $client->rest;
    isnt($client->error, undef, 'HTTP/1.0, where only a reset can tell');
};

subtest 'methods' => sub {
    ask('/methods');
    is_deeply([diary($server)], ['Sprig::Writer', 'HASH', 'buffered', 0], 'buffered and flush');
    ask('/misuse');
    is_deeply(
        [diary($server)],
        [
            'Sprig::Writer::write: not a writer',
            'Sprig::Writer::close: not a writer',
            'Sprig::Writer::write: not a writer',
        ],
        'called on something else'
    );
    is(ask('/bad-callback')->body, 'ok', 'a callback that is none');
    is_deeply(
        [diary($server)],
        [map { "Sprig::Writer::$_: not a code reference" } qw(on_drain on_disconnect poll_cb)],
        'dies in the app'
    );
};

subtest 'middleware around a writer' => sub {
    is(ask('/middleware')->body,         'tock tock tock ', 'a content filter');
    is(ask('/response-cb')->body,        '<a><b><c>.',      'response_cb with data at the end');
    is(ask('/chunked-middleware')->body, 'part 1 part 2 part 3 ', 'Chunked');
};

ok(comes_to_rest($server), 'nothing is left over');
$server->stop_ok;
done_testing;
