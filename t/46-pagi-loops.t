# PAGI applications on the event loops that they may choose, and the futures of Future::IO on ours; the
# class that runners call.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Pagi;
use SprigTest::Probe qw(get await_diary eventually loop_of);
use Test::More;

needs_pagi();
delete $ENV{PERL_ANYEVENT_MODEL};    # each part has the loop that it names

my $APP = <<'APP';
paths(
    'lifespan' => async sub {
        my ($scope, $receive, $send) = @_;
        await $receive->();
        await wait_for(0.01);
        $scope->{state}{started} = 'started';
        await $send->({ type => 'lifespan.startup.complete' });
        await $receive->();
        await wait_for(0.01);
        await $send->({ type => 'lifespan.shutdown.complete' });
    },
    '/' => async sub {
        my ($scope, $receive, $send) = @_;
        await wait_for(0.01);
        my $event = await $receive->();
        await a_moment();
        await $send->({ type => 'http.response.start', status => 200 });
        await $send->({ type => 'http.response.body', body => "$scope->{state}{started} ", more => 1 });
        await wait_for(0.01);
        await $send->({ type => 'http.response.body', body => $event->{body} });
    },
    '/left' => async sub {
        my ($scope, $receive, $send) = @_;
        note_down('waits');
        await Future->wait_any(wait_for(20), $scope->{'pagi.connection'}->disconnect_future);
        note_down('left');
    },
);
APP

# How the app waits on each loop; the module has to be there.
my %on = (
    'our own, by Future::IO' => ['Future::IO', 'sub wait_for { return Future::IO->sleep($_[0]) }'],
    'IO::Async'              => ['IO::Async::Loop', <<'CODE'],
my $loop;
sub wait_for { $loop ||= IO::Async::Loop->new; return $loop->delay_future(after => $_[0]) }
CODE
    'EV' => ['EV', <<'CODE'],
sub wait_for {
    my $future = Future->new;
    my $timer; $timer = EV::timer($_[0], 0, sub { undef $timer; $future->done if !$future->is_ready });
    $future->on_cancel(sub { undef $timer });
    return $future;
}
CODE
);

for my $loop (sort keys %on) {
    subtest $loop => sub {
        my ($module, $code) = @{ $on{$loop} };
        eval "require $module; 1" or plan skip_all => "$module is not installed";
        my $server = start_pagi(
            "use $module; $code\n$APP",
            by  => 'program',
            env => { IO_ASYNC_LOOP => 'Poll' }
        );
        for my $i (1 .. 3) {
            my $body =
                $server->ask("POST / HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\nhi")->body;
            is $body, 'started hi', "request $i";
        }
        my $client = $server->connect;
        $client->send(get('/left'));
        is_deeply [await_diary($server, 1)], ['waits'], 'one that waits';
        $client->close;
        is_deeply [await_diary($server, 1)], ['left'], 'hears that its client left';
        ok eventually { scope_counters($server) == 0 }, 'no scope is left';
        $server->stop_ok;
    };
}

subtest 'Future::IO reads and writes' => sub {
    eval { require Future::IO; 1 } or plan skip_all => 'Future::IO is not installed';
    my $server = start_pagi(<<'APP', by => 'program');
use Future::IO;
paths('/' => async sub {
    my ($scope, $receive, $send) = @_;
    pipe my $in, my $out or die "pipe: $!";
    $_->blocking(0) for $in, $out;
    my $reading = Future::IO->sysread($in, 100);
    await Future::IO->sleep(0.01);
    await Future::IO->syswrite($out, 'through a pipe');
    my $text = await $reading;
    my $pid = fork // die "fork: $!";
    exec 'sh', '-c', 'exit 3' if !$pid;
    my $status = await Future::IO->waitpid($pid);
    my $lost = Future::IO->sysread($in, 1);
    $lost->cancel;
    await answer($send, "$text " . ($status >> 8));
});
APP
    is $server->ask(get('/'))->body, 'through a pipe 3', 'and waits for children';
    $server->idle_ok('what was cancelled is not waited for');
    $server->stop_ok;
};

subtest 'Sprig::PAGI::Server' => sub {
    my $log  = SprigTest::temp_path('access');
    my $file = spew(SprigTest::temp_path('runner') . '.pl', <<"RUNNER");
use strict; use warnings; use Future::AsyncAwait; use Sprig::PAGI::Server;
open my \$log, '>>', '$log' or die;
print STDERR eval { Sprig::PAGI::Server->new(app => sub {}, colour => 'red') } ? 'taken' : \$@;
print STDERR eval { Sprig::PAGI::Server->new(port => 1) } ? 'taken' : \$@;
my \$app = async sub {
    my (\$scope, \$receive, \$send) = \@_;
    die "only http\\n" if \$scope->{type} ne 'http';
    await \$send->({ type => 'http.response.start', status => 200 });
    await \$send->({ type => 'http.response.body', body => 'run' });
};
Sprig::PAGI::Server->new(app => \$app, host => '127.0.0.1', port => 0, access_log => \$log, quiet => 0,
    loop_type => 'EPoll', max_headers => 50)->run;
print STDERR "run has returned\\n";
RUNNER
    my $blib = SprigTest::root() . '/blib';
    my $pid  = open my $out, '-|';
    defined $pid or die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec $^X, "-I$blib/lib", "-I$blib/arch", $file or exit 127;
    }
    my ($text, $port) = ('');
    while (!$port && defined(my $line = readline $out)) {
        $text .= $line;
        $port = $1 if $line =~ m{http://127\.0\.0\.1:([0-9]+)/};
    }
    like $text, qr/there is no option 'colour'/, 'an option that does not exist';
    like $text, qr/app is missing/,              'no application';
    my $client = SprigTest::Client->connect('127.0.0.1', $port);
    $client->send(get('/'));
    is $client->response->body, 'run', 'it serves';
    kill TERM => $pid;
    $text .= do { local $/; readline $out };
    close $out;
    is $?, 0, 'it ends';
    like $text,       qr/run has returned/,      'run returns';
    like slurp($log), qr{"GET / HTTP/1\.1" 200}, 'the log is written to the handle';
};

done_testing;
