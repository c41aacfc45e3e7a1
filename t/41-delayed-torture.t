# Responders and writers in places where they were never meant to be.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $code = <<'APP';
my (%kept, @kept, $timer);

sub later {
    my ($seconds, $code) = @_;
    my $t;
    $t = AE::timer $seconds, 0, sub { undef $t; $code->() };
}

sub delayed (&) {
    my ($code) = @_;
    return sub { return $code };
}

{
    package AtEnd;
    sub new { my ($class, $code) = @_; bless { code => $code }, $class }
    sub DESTROY { $_[0]{code}->() }
}

routes(
    '/ok'   => sub { [200, [], ['ok']] },
    '/last' => delayed { no warnings 'exiting'; last },
    '/next-in-loop' => delayed { my $r = shift; for (1) { no warnings 'exiting'; later(0, sub { my $own = $r; next }) } },
    '/goto'   => delayed { no warnings; goto NOWHERE },
    '/return' => delayed { my $r = shift; $r->([200, [], ['returned']]); return (1) x 1000 },
    '/deep'   => delayed {
        my $r = shift;
        my $dive;
        $dive = sub { my $n = shift; no warnings 'recursion'; $n ? $dive->($n - 1) : $r->([200, [], ['deep']]) };
        $dive->(5000);
        undef $dive;
    },
    '/sig-die' => delayed {
        my $r = shift;
        local $SIG{__DIE__} = sub { note_down('hook') };
        $r->([200, [], [eval { die "inside\n" } || 'survived']]);
    },
    '/sig-die-kept' => sub { $SIG{__DIE__} = sub { die "hook: $_[0]" }; delayed { die "plain\n" }->() },
    '/sig-die-off'  => sub { delete $SIG{__DIE__}; [200, [], ['off']] },
    '/sig-warn' => delayed {
        local $SIG{__WARN__} = sub { note_down('warned'); die "in the warning\n" };
        my $r = shift;
        $r->([200, [], ['once']]);
        eval { $r->([200, [], ['twice']]) };
        note_down($@);
    },
    '/write-in-destroy' => delayed {
        my $w = $_[0]->([200, []]);
        my $guard = AtEnd->new(sub { $w->write('parting words') });
        die "on the way out\n";
    },
    '/respond-in-destroy' => delayed {
        my $r = shift;
        my $guard = AtEnd->new(sub { $r->([200, [], ['from a guard']]) });
        die "guarded\n";
    },
    '/writer-in-env' => sub {
        my $env = shift;
        sub { my $w = $env->{'my.writer'} = $_[0]->([200, []]); $w->write('part'); later(0.02, sub { $w->close; undef $w }) };
    },
    '/writer-in-itself' => delayed {
        my $w = $_[0]->([200, []]);
        $w->{self} = $w;
        $w->write('circle');
        later(0.02, sub { $w->close; delete $w->{self} });
    },
    '/close-in-write' => delayed {
        my $w = $_[0]->([200, []]);
        my $guard = AtEnd->new(sub { $w->close });
        $w->write(do { my $g = $guard; undef $guard; 'one' }, 'two');
    },
    '/nested-recv' => delayed {
        my $r = shift;
        my $cv = AE::cv;
        later(0.05, sub { $cv->send('waited') });
        $r->([200, [], [$cv->recv]]);
    },
    '/nested-recv-writer' => delayed {
        my $w = $_[0]->([200, []]);
        for my $n (1 .. 3) {
            my $cv = AE::cv;
            later(0.01, $cv);
            $cv->recv;
            $w->write($n);
        }
        $w->close;
    },
    '/nested-client-leaves' => delayed {
        my $r = shift;
        note_down('blocking');
        my $cv = AE::cv;
        later(0.2, $cv);
        $cv->recv;
        my $w = $r->([200, []]);
        my $one = $w->write('x');
        note_down('not blocking');
        $w->close;
    },
    '/fork' => delayed {
        my $r = shift;
        my $pid = fork;
        defined $pid or die "fork: $!";
        if (!$pid) {
            undef $r;    # must neither answer nor wake the parent
            require POSIX;
            POSIX::_exit(0);
        }
        waitpid $pid, 0;
        $r->([200, [], ['from the parent']]);
    },
    '/fork-exit' => delayed {
        my $r = shift;
        my $w = $r->([200, []]);
        $w->write('before ');
        my $pid = fork;
        defined $pid or die "fork: $!";
        exit 0 if !$pid;    # global destruction in the child
        waitpid $pid, 0;
        $w->write("child $?");
        $w->close;
    },
    '/system' => delayed {
        my $r = shift;
        my $w = $r->([200, []]);
        $w->write('before ');
        my $text = qx{echo from the shell};
        $w->write($text);
        $w->close;
    },
    '/alarm' => delayed {
        my $r = shift;
        my $got = eval {
            local $SIG{ALRM} = sub { die "alarm\n" };
            require Time::HiRes;
            Time::HiRes::alarm(0.05);
            select undef, undef, undef, 5;
            1;
        };
        $r->([200, [], [$got ? 'slept' : $@]]);
    },
    '/keep' => delayed { push @kept, shift; note_down('kept') },
    '/answer-kept' => sub { my @all = splice @kept; $_->([200, [], ['late']]) for @all; [200, [], [scalar @all . '']] },
    '/keep-writer' => delayed { my $w = $_[0]->([200, []]); $w->write('x'); push @kept, $w; note_down('kept') },
    '/close-kept'  => sub { my @all = splice @kept; $_->close for @all; [200, [], [scalar @all . '']] },
    '/keep-for-ever' => delayed { $kept{responder} = shift; $kept{writer} = $_[0]; note_down('kept') },
    '/keep-writer-for-ever' => delayed {
        our $global = $_[0]->([200, []]);
        $global->on_disconnect(sub { $global });
        our $guard = AtEnd->new(sub { $global and $global->write('at the end of the world') });
        note_down('kept');
    },
    '/exit' => delayed { my $r = shift; exit 7 },
    '/exit-later' => delayed { my $r = shift; my $w = $r->([200, []]); later(0.01, sub { my $own = $w; exit 8 }) },
    '/many' => delayed { my $r = shift; later(0, sub { $r->([200, [], ['many']]) }) },
    '/swap' => do {
        my $other;
        delayed {
            my $r = shift;
            ($other, my $previous) = ($r, $other);
            $previous->([200, [], ['swapped']]) if $previous;
        };
    },
    '/reblessed' => delayed { my $r = shift; bless $r, 'Else'; $r->([200, [], ['reblessed']]) },
    '/weak' => delayed {
        my $r = shift;
        require Scalar::Util;
        Scalar::Util::weaken(my $weak = $r);
        undef $r;
        later(0.02, sub { note_down($weak ? 'still there' : 'gone') });
    },
);
APP

my $server = start_probe($code);

sub ask  { return $server->ask(get($_[0])) }
sub body { return ask($_[0])->body }

subtest 'leaving a callback the wrong way' => sub {
    for my $path (qw(/last /next-in-loop /goto)) {
        is(ask($path)->status, 500, $path);
    }
    is(body('/return'), 'returned', 'a thousand return values');
    is(body('/deep'),   'deep',     'from deep down');
    is(body('/ok'),     'ok',       'and the server goes on');
};

subtest 'handlers of die and warn' => sub {
    is(body('/sig-die'),             'survived', 'die within eval');
    is(ask('/sig-die-kept')->status, 500,        'a __DIE__ handler that dies');
    ok($server->stderr_like(qr{^GET /\S*: hook: plain$}m), 'has its say');
    is(body('/sig-die-off'), 'off',  'and is taken off');
    is(body('/sig-warn'),    'once', 'a __WARN__ handler that dies');
    is_deeply([(diary($server))[1, 2]], ['warned', 'in the warning'], 'in the caller');
};

subtest 'destructors' => sub {
    my $response = ask('/write-in-destroy');
    ok(!$response->is_complete, 'a writer used while an exception passes');
    is(body('/respond-in-destroy'),
        'from a guard', 'a guard that answers before the exception does');
    is(body('/writer-in-env'),    'part',      'a writer that the env owns');
    is(body('/writer-in-itself'), 'circle',    'a writer that owns itself');
    is(body('/reblessed'),        'reblessed', 'a responder of another class');
    is(ask('/weak')->status,      500,         'a weak reference keeps nothing');
    is_deeply([await_diary($server, 1)], ['gone'], 'and is undefined');
};

subtest 'nested loops' => sub {
    plan skip_all => 'other loops refuse a nested recv'
        if loop_of($server) ne 'AnyEvent::Impl::Sprig';
    is(body('/nested-recv'),        'waited', 'a blocking recv before the response');
    is(body('/nested-recv-writer'), '123',    'between writes');
    my $client = $server->connect;
    $client->send(get('/nested-client-leaves'));
    $client->reset;
    is_deeply(
        [await_diary($server, 2)],
        ['blocking', 'not blocking'],
        'the client leaves meanwhile'
    );
};

subtest 'processes and signals' => sub {
    is(body('/fork'),      'from the parent', 'fork, and the responder dropped in the child');
    is(body('/fork-exit'), 'before child 0',  'fork and exit while a writer is at work');
    is(body('/system'),    "before from the shell\n", 'a command');
    is(body('/alarm'),     "alarm\n",                 'an alarm');
    my $client = $server->connect;
    $client->send(get('/fork-exit') . get('/ok'));
    is($client->response->body, 'before child 0', 'on a connection that persists');
    is($client->response->body, 'ok',             'also for the next request');
};

subtest 'kept and used much later' => sub {
    my @clients = map { $server->connect } 1 .. 10;
    $_->send(get('/keep')) for @clients;
    is(scalar(await_diary($server, 10)), 10, 'ten responders');
    $clients[$_]->reset for 0 .. 4;
    ok(eventually { counters($server)->{exchanges} == 5 }, 'five clients leave');
    is(counters($server)->{responders}, 10, 'the responders stay');
    is(body('/answer-kept'),            10, 'all are called');
    is(
        join(' ', map { $clients[$_]->response->body } 5 .. 9),
        'late late late late late',
        'five are read'
    );
    @clients = map { $server->connect } 1 .. 10;
    $_->send(get('/keep-writer')) for @clients;
    await_diary($server, 10);
    $clients[$_]->reset for 0 .. 4;
    ok(eventually { counters($server)->{exchanges} == 5 }, 'writers: five clients leave');
    is(body('/close-kept'),                                    10,          'all are closed');
    is(join(' ', map { $clients[$_]->response->body } 5 .. 9), 'x x x x x', 'five are read');
    my $first = $server->connect;
    $first->send(get('/swap'));
    my $second = $server->connect;
    $second->send(get('/swap'));
    is($first->response->body, 'swapped', 'a responder called by the next request');
    $second->reset;
    ok(eventually { counters($server)->{exchanges} == 0 }, 'all clients are gone');
};

subtest 'a thousand requests that are answered later' => sub {
    for my $round (1 .. 10) {
        my $client = $server->connect;
        $client->send(get('/many') x 100);
        my $n = grep { $client->response->body eq 'many' } 1 .. 100;
        is($n, 100, "round $round");
    }
};

my $n = counters($server);
is($n->{exchanges}, 0, 'no exchange is left');
cmp_ok($n->{responders}, '<=', 1, 'no responder but the swapped one');
is($n->{writers}, 0, 'no writer is left');
$server->stop_ok;

subtest 'the end of the process' => sub {
    for my $path (qw(/keep-for-ever /keep-writer-for-ever)) {
        my $server = start_probe($code, env => { SPRIG_TEST_KEEPS => 1 });
        my $client = $server->connect;
        $client->send(get($path));
        is_deeply([await_diary($server, 1)], ['kept'], "$path: alive at the end") or next;
        $server->stop('INT');
        is($server->{status}, 0,  'global destruction is survived');
        is($server->stderr,   '', 'silently');
    }
    for my $case (['/exit', 7], ['/exit-later', 8]) {
        my $server = start_probe($code);
        my $client = $server->connect;
        $client->send(get($case->[0]));
        $client->rest;
        ok(eventually { !$server->is_alive }, "$case->[0] ends the process");
        is($server->stop >> 8, $case->[1], 'with its status');
    }
};

done_testing;
