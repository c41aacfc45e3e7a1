# A worker as its master sees it: what it says, when it listens, how it ends. The test is the master.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest;
use SprigTest::Worker;

my $hello = 'sub { [200, ["Content-Type", "text/plain"], ["hello"]] }';

subtest 'start' => sub {
    my $worker = SprigTest::Worker->start(code => $hello);
    is $worker->line, 'loaded', 'the app is there';
    my $client = $worker->connect;
    $client->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    ok $client->is_quiet(0.3), 'but nobody is served';
    $worker->say('probe');
    is $worker->line,           'ready', 'when it was asked to show itself, it listens';
    is $client->response->body, 'hello', 'and serves those that have waited';
    kill 'QUIT', $worker->pid;
    is $worker->line,   undef, 'told to leave, it leaves';
    is $worker->ended,  0,     'with status 0';
    is $worker->stderr, '',    'and nothing to say';
};

subtest 'what the app is told' => sub {
    my $worker = SprigTest::Worker->start_ready(code => <<'APP');
        my $number;
        Sprig::Worker->after_fork(sub { $number = join '/', $_[0]->number, $_[0]->generation });
        sub {
            my ($env) = @_;
            my @values = map { $env->{$_} ? 1 : 0 } qw(psgi.multiprocess psgix.harakiri);
            return [200, [], [join ' ', $number, @values, ref $env->{'psgix.exit_guard'}]];
        }
APP
    is $worker->get('/'), '3/1 1 1 AnyEvent::CondVar', 'number, multiprocess, harakiri, exit_guard';
    is $worker->get('/'), '3/1 1 1 AnyEvent::CondVar', 'each time';
    $worker->hang_up;
    is $worker->ended, 0, 'ends when its master is gone';
};

subtest 'the master goes, a request is in progress' => sub {
    my $worker = SprigTest::Worker->start_ready(code => <<'APP');
        use AnyEvent;
        sub {
            return sub {
                my ($respond) = @_;
                print STDERR "begun\n";
                my $timer; $timer = AE::timer 0.5, 0, sub {
                    undef $timer;
                    $respond->([200, [], ['done']]);
                };
            };
        }
APP
    my $client = $worker->connect;
    $client->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    ok $worker->stderr_like(qr/begun/), 'a request is in progress';
    $worker->hang_up;
    is $client->response->body, 'done', 'it is answered';
    is $worker->ended,          0,      'then the worker ends';
};

subtest 'the master goes before the worker was asked for anything' => sub {
    my $worker = SprigTest::Worker->start(code => $hello);
    is $worker->line, 'loaded', 'it is loaded';
    $worker->hang_up;
    is $worker->ended, 0, 'and ends';
};

subtest 'INT' => sub {
    my $worker = SprigTest::Worker->start_ready(code => 'sub { sub { $main::r = $_[0] } }');
    my $client = $worker->connect;
    $client->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    ok $client->is_quiet(0.2), 'a request that is never answered';
    kill 'INT', $worker->pid;
    is $worker->ended, 0, 'does not keep it';
};

# What cannot be started is said in one line, to the master alone.
sub cannot_start {
    my ($name, $code, $pattern, %args) = @_;
    my $worker = SprigTest::Worker->start(code => $code, args => \%args);
    like $worker->line, $pattern, $name;
    is $worker->line,   undef, '... that is all';
    is $worker->ended,  256,   '... and the end, with status 1';
    is $worker->stderr, '',    '... nothing is printed';
    return;
}

subtest 'an app that cannot be loaded' => sub {
    cannot_start(
        'a syntax error',
        "sub {\n  1 + }\n}\n",
        qr/\Aerror cannot load \S+\.psgi: syntax error at \S+ line 2, near .*\\n/
    );
    cannot_start('a die', 'die "no database\n"', qr/\Aerror cannot load \S+: no database\z/);
    cannot_start(
        'a wide one',
        'use utf8; die "caf\x{e9} \x{263a}\n"',
        qr/\Aerror .*: caf\xc3\xa9 \xe2\x98\xba\z/
    );
    cannot_start(
        'a die in after_fork',
        'Sprig::Worker->after_fork(sub { die "no handle\n" });' . $hello,
        qr/\Aerror no handle\z/
    );
    cannot_start('a very long one', 'die "x" x 1e6, "\n"', qr/\Aerror .{3990,4000}\z/);
};

subtest 'the modules of the program cannot be loaded' => sub {
    my $dir = SprigTest::temp_path('lib');
    mkdir $_ or die "$_: $!" for $dir, "$dir/Sprig";
    SprigTest::spew("$dir/Sprig/Program.pm", "die qq(broken\\n);\n");
    my $program = SprigTest::root() . '/blib/script/sprig';
    for my $workers (1, 2) {
        my $said = output_of(
            $program, '-D',          '-I', $dir, '--workers', $workers,
            '-l',     '127.0.0.1:0', '-e', 'sub { }'
        );
        isnt $?,                                   0, "workers $workers: it does not start";
        is scalar(my @times = $said =~ /broken/g), 1, '... and says why, once' or diag $said;
    }
};

done_testing;
