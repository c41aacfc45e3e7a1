# max_requests, psgix.harakiri and psgix.exit_guard: how a worker comes to its end by itself.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest;
use SprigTest::Worker;
use Time::HiRes qw(time);

sub retires_after {
    my ($n) = @_;
    my $worker = SprigTest::Worker->start_ready(
        code => 'sub { [200, [], ["x"]] }',
        args => { max_requests => $n },
    );
    my $client = $worker->connect;
    my $asked  = 0;
    while ($asked < 2 * $n) {
        $client->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
        $client->response->body eq 'x' or die 'no answer';
        $asked++;
        last if $worker->line(0.02) ne 'nothing';
    }
    $client->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") for 1 .. $n;
    is $client->response->body, 'x', 'it serves on' for 1;
    is $worker->line(0.1), 'nothing', 'and says so once';
    kill 'QUIT', $worker->pid;
    is $worker->ended, 0, 'until it is told to leave';
    return $asked;
}

subtest 'max_requests' => sub {
    is retires_after(5), 5, 'a small number is exact';
    my @n = map { retires_after(40) } 1 .. 3;
    cmp_ok $_, '>=', 40, "$_: not before the number"           for @n;
    cmp_ok $_, '<=', 44, "$_: not later than a tenth above it" for @n;
};

subtest 'harakiri' => sub {
    my $worker = SprigTest::Worker->start_ready(code => <<'APP');
        sub {
            my ($env) = @_;
            $env->{'psgix.harakiri.commit'} = 1 if $env->{PATH_INFO} eq '/die';
            return [200, [], ['last words']];
        }
APP
    is $worker->get('/'),    'last words',       'a request';
    is $worker->line(0.1),   'nothing',          'of no consequence';
    is $worker->get('/die'), 'last words',       'the request is answered';
    is $worker->line,        'leaving harakiri', 'the master is told';
    is $worker->ended,       0,                  'the worker ends';
};

my $guarded = <<'APP';
    use AnyEvent;
    my @timers;
    sub {
        my ($env) = @_;
        my $guard = $env->{'psgix.exit_guard'};
        if ($env->{PATH_INFO} =~ m{^/hold/([0-9.]+)}) {
            $guard->begin;
            push @timers, AE::timer $1, 0, sub { print STDERR "done\n"; $guard->end };
        }
        return [200, [], ["$guard"]];
    }
APP

subtest 'exit_guard' => sub {
    my $worker = SprigTest::Worker->start_ready(code => $guarded);
    my $guard  = $worker->get('/hold/0.6');
    is $worker->get('/'), $guard, 'the same for each request';
    my $began = time;
    kill 'QUIT', $worker->pid;
    is $worker->ended, 0, 'it ends';
    cmp_ok time - $began, '>', 0.3, 'not before the app lets it';
    like $worker->stderr, qr/^done$/m, 'when its work is done';
};

subtest 'exit_guard that is never let go' => sub {
    my $worker =
        SprigTest::Worker->start_ready(code => $guarded, args => { graceful_timeout => 1 });
    $worker->get('/hold/60');
    my $began = time;
    kill 'QUIT', $worker->pid;
    is $worker->ended, 0, 'it ends all the same';
    my $took = time - $began;
    cmp_ok $took, '>', 0.8, 'after graceful_timeout';
    cmp_ok $took, '<', 5,   'and no later';
    unlike $worker->stderr, qr/^done$/m, 'the work was not done';
};

subtest 'no exit_guard in a single process' => sub {
    my $server =
        start_server(code => 'sub { [200, [], [exists $_[0]{"psgix.exit_guard"} ? 1 : 0]] }');
    is $server->ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")->body, 0, 'none'
        for 1 .. 2;
    $server->stop_ok;
};

done_testing;
