# Apps that return a Future, a condvar or a promise; async subs.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $code = <<'APP';
my (%kept, $timer);

sub later {
    my ($seconds, $code) = @_;
    my $t;
    $t = AE::timer $seconds, 0, sub { undef $t; $code->() };
}

# A condvar that is sent soon.
sub soon {
    my (@values) = @_;
    my $cv = AE::cv;
    later(0.03, sub { $cv->send(@values) });
    return $cv;
}

# Duck-typed: only what is needed.
{
    package Thenable;
    sub new { bless { then => [] }, shift }
    sub then { my $self = shift; push @{ $self->{then} }, [@_]; return $self }
    sub resolve { $_->[0]->($_[1]) for @{ $_[0]{then} } }
    sub reject  { $_->[1]->($_[1]) for @{ $_[0]{then} } }
}
{
    package DeadlyThenable;
    sub then { die "no then\n" }
}

my %route = (
    '/cv-later' => sub { soon([200, [], ['condvar']]) },
    '/cv-now'   => sub { my $cv = AE::cv; $cv->send([200, [], ['sent before']]); $cv },
    '/cv-croak' => sub { my $cv = AE::cv; later(0.02, sub { $cv->croak('croaked') }); $cv },
    '/cv-empty' => sub { soon() },
    '/cv-code'  => sub { soon(sub { $_[0]->([200, [], ['delayed behind a condvar']]) }) },
    '/cv-cv'    => sub { soon(soon([200, [], ['condvar in a condvar']])) },
    '/cv-circle' => sub { my $cv = AE::cv; $cv->send($cv); later(0.1, sub { %$cv = () }); $cv },
    '/cv-bad'   => sub { soon('nonsense') },
    '/cv-begin' => sub {
        my $cv = AE::cv;
        my @parts;
        $cv->begin(sub { $_[0]->send([200, [], [join ' ', sort @parts]]) });
        for my $part (qw(a b c)) {
            $cv->begin;
            later(0.01, sub { push @parts, $part; $cv->end });
        }
        $cv->end;
        return $cv;
    },
    '/cv-kept'  => sub { note_down('kept'); $kept{cv} = AE::cv },
    '/send-kept' => sub { (delete $kept{cv})->send([200, [], ['late']]); [200, [], ['sent']] },
    '/then' => sub { my $p = Thenable->new; later(0.02, sub { $p->resolve([200, [], ['then']]) }); $p },
    '/then-twice' => sub {
        my $p = Thenable->new;
        later(0.02, sub { $p->resolve([200, [], ['first']]); $p->resolve([200, [], ['second']]); $p->reject('x') });
        $p;
    },
    '/then-reject' => sub { my $p = Thenable->new; later(0.02, sub { $p->reject("rejected\n") }); $p },
    '/then-dies'   => sub { bless {}, 'DeadlyThenable' },
    '/then-now' => sub { my $p = Thenable->new; later(0, sub { $p->resolve(soon([200, [], ['chain']])) }); $p },
);

if (eval { require Future; 1 }) {
    %route = (%route,
        '/future-now'   => sub { Future->done([200, [], ['ready']]) },
        '/future-later' => sub { my $f = Future->new; later(0.02, sub { $f->done([200, [], ['future']]) }); $f },
        '/future-fail'  => sub { my $f = Future->new; later(0.02, sub { $f->fail("failed\n", 'kind') }); $f },
        '/future-failed' => sub { Future->fail("failed before\n") },
        '/future-cancelled' => sub { my $f = Future->new; later(0.02, sub { $f->cancel }); $f },
        '/future-chain' => sub {
            my $f = Future->new;
            later(0.02, sub { $f->done('x') });
            $f->then(sub { Future->done([200, [], ["chained $_[0]"]]) });
        },
        '/future-dies' => sub {
            my $f = Future->new;
            later(0.02, sub { $f->done });
            $f->then(sub { die "in a chain\n" });
        },
        '/future-wait' => sub {
            note_down('waiting');
            my $f = $kept{future} = Future->new;
            $f->on_cancel(sub { note_down('cancelled') });
            $f;
        },
        '/future-state' => sub { [200, [], [$kept{future}->state]] },
        '/forget'       => sub { %kept = (); [200, [], ['ok']] },
    );
}

if (eval { require Future::AsyncAwait; Future::AsyncAwait->VERSION(0.40); 1 }) {
    my %async = eval <<'ASYNC';
use Future::AsyncAwait;
sub pause {
    my ($seconds) = @_;
    my $f = Future->new;
    my $t = AE::timer $seconds, 0, sub { $f->done };
    return $f->on_ready(sub { undef $t });
}
(
    '/async' => async sub {
        my ($env) = @_;
        await pause(0.02);
        my $first = 'one';
        await pause(0.02);
        return [200, [], ["$first two"]];
    },
    '/async-now'  => async sub { return [200, [], ['at once']] },
    '/async-dies' => async sub { await pause(0.02); die "behind an await\n" },
    '/async-code' => async sub { await pause(0.02); return sub { $_[0]->([200, [], ['code']]) } },
    '/async-wait' => async sub {
        my $mark = bless [], 'Mark';
        await pause(30);
        return [200, [], ['never']];
    },
    '/async-stream' => sub {
        return async sub {
            my ($respond) = @_;
            my $writer = $respond->([200, []]);
            for my $n (1 .. 3) { $writer->write($n); await pause(0.01) }
            $writer->close;
        };
    },
    '/async-stream-dies' => sub {
        return async sub {
            my ($respond) = @_;
            my $writer = $respond->([200, []]);
            $writer->write('part');
            await pause(0.02);
            die "within a stream\n";
        };
    },
    '/async-delayed-dies' => sub { async sub { my ($respond) = @_; await pause(0.02); die "no answer\n" } },
    '/async-delayed-silent' => sub { async sub { my ($respond) = @_; await pause(0.02); return } },
)
ASYNC
    die $@ if $@;
    %route = (%route, %async);
}

if (eval { require Mojo::Promise; 1 }) {
    %route = (%route,
        '/mojo-resolve' => sub { Mojo::Promise->resolve([200, [], ['mojo']]) },
        '/mojo-reject'  => sub { Mojo::Promise->reject("mojo says no\n") },
        '/mojo-later'   => sub { my $p = Mojo::Promise->new; later(0.02, sub { $p->resolve([200, [], ['mojo later']]) }); $p },
    );
}

sub Mark::DESTROY { note_down('async sub is gone') }
routes(%route);
APP

my $server = start_probe($code);

sub ask { return $server->ask(get($_[0])) }

sub answers {
    my ($path, $body) = @_;
    return is(ask($path)->body, $body, $path);
}

sub fails {
    my ($path, $message) = @_;
    is(ask($path)->status, 500, "$path is a 500");
    return ok($server->stderr_like($message), 'and it is logged');
}

subtest 'condvars' => sub {
    answers('/cv-later', 'condvar');
    answers('/cv-now',   'sent before');
    answers('/cv-code',  'delayed behind a condvar');
    answers('/cv-cv',    'condvar in a condvar');
    answers('/cv-begin', 'a b c');
    fails('/cv-croak',  qr{^GET /cv-croak: croaked at app under test}m);
    fails('/cv-empty',  qr/returned undef, expected/);
    fails('/cv-bad',    qr/returned the string 'nonsense', expected/);
    fails('/cv-circle', qr/a promise yielded a promise/);
};

subtest 'thenables' => sub {
    answers('/then',       'then');
    answers('/then-now',   'chain');
    answers('/then-twice', 'first');
    fails('/then-reject', qr{^GET /then-reject: rejected$}m);
    fails('/then-dies',   qr{^GET /then-dies: no then$}m);
};

sub has_module {
    my ($module) = @_;
    return eval "require $module; 1";
}

subtest 'Future' => sub {
    plan skip_all => 'is not installed' if !has_module('Future');
    answers('/future-now',   'ready');
    answers('/future-later', 'future');
    answers('/future-chain', 'chained x');
    fails('/future-fail',      qr{^GET /future-fail: failed$}m);
    fails('/future-failed',    qr{^GET /future-failed: failed before$}m);
    fails('/future-cancelled', qr/cancelled/);
    fails('/future-dies',      qr{^GET /future-dies: in a chain$}m);
};

subtest 'a client that leaves cancels the future' => sub {
    plan skip_all => 'Future is not installed' if !has_module('Future');
    for my $how (qw(close reset)) {
        my $client = $server->connect;
        $client->send(get('/future-wait'));
        is_deeply([await_diary($server, 1)], ['waiting'], 'waiting');
        $client->$how;
        is_deeply([await_diary($server, 1)], ['cancelled'], "cancelled by $how");
        answers('/future-state', 'cancelled');
    }
    ask('/forget');
    my $client = $server->connect;
    $client->send(get('/cv-kept'));
    await_diary($server, 1);
    $client->reset;
    ok(eventually { counters($server)->{exchanges} == 0 }, 'a condvar cannot be cancelled');
    answers('/send-kept', 'sent');
};

subtest 'async subs' => sub {
    plan skip_all => 'Future::AsyncAwait is not installed' if !has_module('Future::AsyncAwait');
    answers('/async',        'one two');
    answers('/async-now',    'at once');
    answers('/async-code',   'code');
    answers('/async-stream', '123');
    fails('/async-dies', qr{^GET /async-dies: behind an await$}m);
    ok(!ask('/async-stream-dies')->is_complete,      'died in a stream: cut');
    ok($server->stderr_like(qr{^GET /async-stream-dies: within a stream$}m), 'and it is logged');
    fails('/async-delayed-dies',   qr{^GET /async-delayed-dies: no answer$}m);
    fails('/async-delayed-silent', qr/responder dropped without a response/);
    my $client = $server->connect;
    $client->send(get('/async-wait'));
    ok(eventually { counters($server)->{exchanges} == 1 }, 'waiting');
    $client->close;
    is_deeply([await_diary($server, 1)],
        ['async sub is gone'], 'the client leaves: it is cancelled');
};

subtest 'Mojo::Promise' => sub {
    plan skip_all => 'is not installed' if !has_module('Mojo::Promise');
    answers('/mojo-resolve', 'mojo');
    answers('/mojo-later',   'mojo later');
    fails('/mojo-reject', qr{^GET /mojo-reject: mojo says no$}m);
};

subtest 'a hundred at once' => sub {
    my @clients = map { $server->connect } 1 .. 100;
    $_->send(get('/cv-later')) for @clients;
    is(scalar(grep { $_->response->body eq 'condvar' } @clients), 100, 'all answered');
};

unlike($server->stderr, qr/lost its returning future|unhandled/i, 'nothing is lost on the way');
ok(comes_to_rest($server), 'nothing is left over');
$server->stop_ok;
done_testing;
