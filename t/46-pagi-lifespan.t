# PAGI applications: startup before anything is accepted, shutdown when the last connection is gone, and
# the state that requests share.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Pagi;
use SprigTest::Probe qw(get eventually);
use SprigTest::Program;
use Test::More;

needs_pagi();

# Lines go to a file: the process is over when they are looked at.
my $log = SprigTest::temp_path('log');

my $APP = <<'APP';
sub note {
    open my $fh, '>>', $ENV{TEST_LOG} or die "open: $!";
    print {$fh} "@_\n";
    close $fh;
}

paths(
    'lifespan' => async sub {
        my ($scope, $receive, $send) = @_;
        my $event = await $receive->();
        my $pagi = $scope->{pagi};
        note(join ' ', $event->{type}, $scope->{type}, @$pagi{qw(version spec_version is_worker)},
            $pagi->{worker_num} // 'undef');
        await a_moment();
        return                   if $ENV{TEST_HOW} eq 'returns';
        die "on purpose\n"       if $ENV{TEST_HOW} eq 'dies';
        await Future->new        if $ENV{TEST_HOW} eq 'hangs';
        return await $send->({ type => 'lifespan.startup.failed', message => 'no database' }) if $ENV{TEST_HOW} eq 'fails';
        note(wrong($send->($_))) for { type => 'http.response.start' }, 'none', { type => 'lifespan.shutdown.complete' };
        $scope->{state}{shared} = { n => 0 };
        $scope->{state}{plain}  = 'at startup';
        await $send->({ type => 'lifespan.startup.complete' });
        note(wrong($send->({ type => 'lifespan.startup.complete' })));
        die "later\n" if $ENV{TEST_HOW} eq 'dies later';
        $event = await $receive->();
        note($event->{type});
        await a_moment();
        return await $send->({ type => 'lifespan.shutdown.failed', message => 'the pool is stuck' })
            if $ENV{TEST_HOW} eq 'fails late';
        await Future->new if $ENV{TEST_HOW} eq 'hangs late';
        note('cleaned up');
        await $send->({ type => 'lifespan.shutdown.complete' });
    },
    '/state' => async sub {
        my ($scope, $receive, $send) = @_;
        my $state = $scope->{state};
        my $text  = join ' ', ++$state->{shared}{n}, $state->{plain} // 'none';
        $state->{plain} = 'changed';
        await answer($send, $text);
    },
    '/slow' => async sub {
        my ($scope, $receive, $send) = @_;
        note('request begins');
        await a_moment();
        await answer($send, 'slow');
        note('request ends');
    },
);
APP

sub serve {
    my ($how, %option) = @_;
    unlink $log;
    return start_pagi($APP, %option, env => { TEST_LOG => $log, TEST_HOW => $how });
}

sub lines { return -e $log ? split /\n/, slurp($log) : () }

subtest 'startup, requests, shutdown' => sub {
    my $server = serve('');
    my @lines  = lines();
    is shift @lines, 'lifespan.startup lifespan 0.5 0.3 0 undef', 'before the first connection';
    like shift @lines, qr/http\.response\.start: there is no such event for a lifespan scope/,
        'a wrong event';
    like shift @lines, qr/an event is a hash reference/,                       'none at all';
    like shift @lines, qr/lifespan\.shutdown\.complete: this is not the time/, 'one too early';
    like shift @lines, qr/lifespan\.startup\.complete: this is not the time/,  'and one too late';
    is $server->ask(get('/state'))->body, '1 at startup', 'requests get the state';
    is $server->ask(get('/state'))->body, '2 at startup',
        'its values are shared, its keys are their own';
    my $client = $server->connect;
    $client->send(get('/slow'));
    ok eventually {
        grep { /begins/ } lines()
    }, 'a request is in progress';
    kill TERM => $server->pid;
    is $client->response->body, 'slow', 'it is answered';
    $server->ends_ok;
    is_deeply [grep { /request|shutdown$|cleaned/ } lines()],
        ['request begins', 'request ends', 'lifespan.shutdown', 'cleaned up'], 'then it cleans up';
};

subtest 'an application without a lifespan' => sub {
    for my $how ('returns', 'dies') {
        my $server = serve($how);
        is $server->ask(get('/state'))->body, '1 none', "$how: it is served";
        like $server->stderr, qr/the application does not use lifespan \(optional\)/, 'which is said';
        $server->stop_ok;
        ok !(grep { /shutdown/ } lines()), 'it hears no more of it';
    }
};

subtest 'an application that cannot start' => sub {
    for my $flags ([], ['--workers', 2]) {
        my $file = spew(
            SprigTest::temp_path('app') . '.pagi',
            "use strict; use warnings; use AnyEvent; use Future::AsyncAwait; use SprigTest::Pagi;\n$APP"
        );
        local $ENV{TEST_LOG} = $log;
        local $ENV{TEST_HOW} = 'fails';
        local $ENV{PERL5LIB} = join ':', SprigTest::lib(), grep { defined } $ENV{PERL5LIB};
        my $run = run_program('-l', '127.0.0.1:0', @$flags, $file);
        is $run->{status}, 1, "the server does not start, @$flags";
        like $run->{err},   qr/the application cannot start: no database$/m, 'and says why';
        unlike $run->{err}, qr{http://},                                     'it has not listened';
    }
    my $server = eval { serve('hangs', args => { start_timeout => 0.3 }) };
    ok !$server, 'one that says nothing is not waited for for ever';
    like $@, qr/start_timeout: the application has not started within 0\.3 seconds/,
        'start_timeout';
};

subtest 'an application that fails later' => sub {
    my $server = serve('dies later');
    is $server->ask(get('/state'))->body, '1 at startup', 'it is served on';
    ok $server->stderr_like(qr/^lifespan of the PAGI application: later$/m), 'the error is told';
    $server->stop_ok;
    $server = serve('fails late');
    $server->stop_ok;
    like $server->stderr, qr/^the PAGI application could not clean up: the pool is stuck$/m,
        'what it could not do';
    $server = serve('hangs late', args => { graceful_timeout => 1 });
    $server->stop_ok('graceful_timeout ends one that never comes to an end');
};

subtest 'each worker has its own' => sub {
    my $server = serve('', by => 'program', args => { workers => 2 });
    ok eventually {
        2 == grep { /\Alifespan\.startup lifespan/ } lines()
    }, 'both start';
    is_deeply [sort map { /startup lifespan \S+ \S+ (.*)/ ? $1 : () } lines()], ['1 1', '1 2'],
        'and know their numbers';
    $server->stop_ok;
    is scalar(grep { /cleaned/ } lines()), 2, 'both clean up';
};

done_testing;
