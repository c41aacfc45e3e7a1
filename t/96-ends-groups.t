# TERM to all processes at once, or more than once: by supervisors that tell a whole group, and by those that repeat
# themselves. Requests in progress stay whole.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Workers;
use Test::More;
use Time::HiRes qw(time sleep);

-d '/proc/self' or plan skip_all => 'no /proc';

# A server in a group of its own, with requests in progress in each of its processes.
sub start_group {
    my (%option) = @_;
    my $master = start_workers(%option, prepare => sub { setpgrp 0, 0 });
    $master->serving($option{workers});
    my $path    = '/stream?8x0.1';
    my @clients = map { my $client = $master->connect; $client->send(get($path)); $client } 1 .. 8;
    $master->await_lines('notes', qr/^stream/, scalar @clients);
    return ($master, @clients);
}

sub are_whole {
    my ($name, @clients) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @bodies = map {
        eval { $_->response->body }
            || "none: $@"
    } @clients;
    is join('', @bodies), "piece\n" x (8 * @clients), $name;
    return;
}

# What it has printed, its banner left out.
sub said {
    my ($master) = @_;
    return join '', map { "$_\n" } grep { /sprig: / } $master->lines('stderr');
}

my %kinds = (
    'one process'          => [workers => 1],
    'one process, plackup' => [workers => 1, by => 'plackup'],
    '2 workers'            => [workers => 2],
    '4 workers'            => [workers => 4],
    '2 workers, preload'   => [workers => 2, flags => ['--preload-app']],
    '2 workers, plackup'   => [workers => 2, by    => 'plackup'],
    '2 workers, module'    => [workers => 2, by    => 'server'],
);

for my $name (sort keys %kinds) {
    next if $name =~ /plackup/ && !tool_path('plackup');
    for my $signal ('TERM', 'QUIT') {
        subtest "$name: $signal to the group" => sub {
            my ($master, @clients) = start_group(@{ $kinds{$name} });
            kill $signal, -$master->pid;
            are_whole('requests in progress stay whole', @clients);
            $master->ends_ok(signal => 'CONT');
            is said($master), '', 'nothing is told of workers that are gone';
        };
    }
    subtest "$name: TERM three times within a second" => sub {
        my ($master, @clients) = start_group(@{ $kinds{$name} });
        for (1 .. 3) {
            kill 'TERM', $master->pid;
            sleep 0.05;
        }
        are_whole('requests in progress stay whole', @clients);
        $master->ends_ok(signal => 'CONT');
    };
}

# A signal that comes a second after the first is meant seriously: then it was not this that was tried.
sub ask_twice {
    my $master = start_workers(
        workers => 1,
        code    => 'END { print STDERR "END begins\n"; select undef, undef, undef, 0.5; '
            . 'print STDERR "END is over\n" } sub { [200, [], ["hello"]] }'
    );
    my $begun = time;
    $master->signal('TERM');
    $master->stderr_like(qr/END begins/);
    $master->signal('TERM');
    my $took   = time - $begun;
    my $status = $master->stop('CONT');
    return $took < 1 ? ($status, $master->stderr) : ();
}

subtest 'TERM, and once more when it is over' => sub {
    my ($status, $said);
    eventually { ($status, $said) = ask_twice() };
    is $status, 0, 'status 0';
    like $said, qr/END is over/, 'END blocks are left to run';
};

for my $signal ('TERM', 'QUIT') {
    subtest "a worker that is told $signal three times" => sub {
        my $master = start_workers(workers => 2);
        my $client = $master->connect;
        $client->send(get('/stream?8x0.1'));
        my ($pid) = map { /(\d+)/ } $master->await_lines('notes', qr/^stream/);
        for (1 .. 3) {
            kill $signal, $pid;
            sleep 1.05 if $_ == 1;
        }
        is $client->response->body, "piece\n" x 8, 'answers what it has begun';
        ok eventually(sub { !is_running($pid) }), 'and ends';
        $master->ends_ok;
    };
}

subtest 'a worker that is told INT' => sub {
    my $master = start_workers();
    my $client = $master->connect;
    $client->send(get('/held'));
    my ($pid) = map { /(\d+)/ } $master->await_lines('notes', qr/^held/);
    kill 'INT', $pid;
    ok eventually(sub { !is_running($pid) }), 'ends at once';
    $client->rest;
    ok $client->eof, 'the client is told';
    $master->ends_ok;
};

subtest 'someone who is tired of waiting' => sub {
    for my $n (1, 2) {
        my $master = start_workers(workers => $n);
        my $client = $master->connect;
        $client->send(get('/held'));
        $master->await_lines('notes', qr/^held/);
        my $start = time;
        $master->signal('TERM');
        sleep 0.1;
        $master->signal('TERM');

        if (time - $start > 0.9) {    # on a machine that is busy with other things
            $master->stop;
            redo;
        }
        sleep 0.5;
        ok $master->is_alive, "workers $n: a second TERM within a second hurries nobody";
        sleep 0.6;
        $master->ends_ok(name => '... one that comes later does');
        cmp_ok time - $start, '<', 10, 'at once';
    }
};

done_testing;
