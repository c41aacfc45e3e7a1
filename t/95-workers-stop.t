# The end of a master and its workers: in order, at once, by force, and when nobody is there to tell them.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Workers;
use Test::More;
use Time::HiRes qw(time);

-d '/proc/self' or plan skip_all => 'no /proc';

# A client in the middle of each of these paths.
sub clients_in {
    my ($master, @paths) = @_;
    my @clients = map  { my $client = $master->connect; $client->send(get($_)); $client } @paths;
    my $n       = grep { $_ ne '/taken' } @paths;
    $master->await_lines('notes', qr/^(?:stream|poll|held|loop)/, $n) if $n;
    $clients[$_]->wait_for_bytes(5) for grep { $paths[$_] eq '/taken' } 0 .. $#paths;
    return @clients;
}

for my $signal (qw(TERM QUIT)) {
    subtest "$signal: requests in progress are answered" => sub {
        my $master = start_workers(listen => ['127.0.0.1:0', './app.sock']);
        $master->serving(2);
        my ($stream, $poll) = clients_in($master, '/stream?6x0.1', '/poll?0.7');
        my $idle = $master->connect;
        $idle->send(get('/'));
        $idle->response;
        $master->signal($signal);
        ok eventually(sub { !$master->_accepts }), 'nobody listens any more';
        ok $idle->is_closed,                       'an idle connection is closed';
        is $stream->response->body, "piece\n" x 6, 'a stream is whole';
        my $polled = $poll->response;
        like $polled->body, qr/^polled/, 'a long poll is answered';
        is $polled->header('Connection'), 'close', '... for the last time';
        $master->ends_ok;
    };
}

subtest 'what does not end by itself' => sub {
    my $master = start_workers(flags => ['--graceful-timeout', '0.7']);
    $master->serving(2);
    my ($held, $taken) = clients_in($master, '/held', '/taken');
    my $start = time;
    $master->signal('TERM');
    $taken->send('hello');
    ok $taken->wait_for_bytes(18), 'a taken socket works until then';
    like $taken->buffered, qr/echo hello/, '... both ways';
    is $master->stop('CONT'), 0, 'the master ends';
    cmp_ok time - $start, '<', 4,   'in time';
    cmp_ok time - $start, '>', 0.6, 'and not before';
    is scalar($master->lines('notes')), 2, 'the app was told' or diag $master->lines('notes');
    ok scalar(grep { /^told/ } $master->lines('notes')), '... of the held response';
    $held->rest;
    $taken->rest;
    ok $held->eof && $taken->eof, 'the clients are told';
};

subtest 'a socket that the app has taken' => sub {
    for my $n (1, 2) {
        my $master  = start_workers(workers => $n);
        my ($taken) = clients_in($master, '/taken');
        my $start   = time;
        $master->signal('TERM');
        ok eventually(sub { !$master->_accepts }), "workers $n, TERM: nobody listens any more";
        $taken->send('hello');
        ok $taken->wait_for_bytes(18), 'the socket goes on working';
        like $taken->buffered, qr/echo hello\z/, '... both ways';
        ok $master->is_alive, 'the server waits for it';
        $taken->close;
        $master->ends_ok(signal => 'CONT');
        cmp_ok time - $start, '<', 5, '... not for longer than it is open';
    }
};

for my $signals (['TERM', 'TERM'], ['QUIT', 'TERM'], ['TERM', 'INT'], ['INT']) {
    subtest "@$signals" => sub {
        my $master = start_workers(workers => 2);
        $master->serving(2);
        my ($held) = clients_in($master, '/held');
        my ($last, @first) = reverse @$signals;
        for my $signal (@first) {
            $master->signal($signal);
            ok eventually(sub { !$master->_accepts }), "$signal: nobody listens any more";
            ok $master->is_alive,                      '... but the request in progress is waited for';
            select undef, undef, undef, 1.1 if $last ne 'INT';
        }
        my $start = time;
        $master->ends_ok(signal => $last, name => "$last: all is over");
        cmp_ok time - $start, '<', 3, 'at once';
        $held->rest;
        ok $held->eof, 'the client is told';
    };
}

subtest 'a worker that hears nothing' => sub {
    my $master = start_workers(flags => ['--graceful-timeout', '0.3']);
    $master->serving(2);
    my ($stuck) = clients_in($master, '/loop');
    my $start = time;
    $master->ends_ok(name => 'an endless loop is killed');
    cmp_ok time - $start, '<', 8, 'graceful_timeout and five seconds later';
    like $master->stderr, qr/kill/i, 'which is told';
    is $stuck->rest, '', 'the client gets nothing';
};

subtest 'a worker that hears nothing, and INT' => sub {
    my $master = start_workers();
    $master->serving(2);
    clients_in($master, '/loop');
    my $start = time;
    $master->ends_ok(signal => 'INT');
    cmp_ok time - $start, '<', 8, 'ends within five seconds';
};

subtest 'the master is killed' => sub {
    my $master   = start_workers(workers => 2);
    my @workers  = $master->serving(2);
    my ($stream) = clients_in($master, '/stream?8x0.1');
    kill 'KILL', $master->pid;
    is $stream->response->body, "piece\n" x 8, 'a request in progress is answered';
    ok eventually(sub {
        !grep { is_running($_) } @workers;
        }),
        'the workers end by themselves';
    ok !$master->_accepts,                              'nobody listens any more';
    ok eventually(sub { !processes_in($master->dir) }), 'no process is left';
    is $master->stop, 9, 'that is how the master ended';
};

subtest 'the master is killed while workers start' => sub {
    my $master = start_workers(
        code  => app_text(dies => 'select undef, undef, undef, 1;'),
        waits => 0
    );
    $master->await_lines('loads', qr/./, 2);
    kill 'KILL', $master->pid;
    ok eventually(sub { !processes_in($master->dir) }), 'they end when they have loaded the app';
};

subtest 'the master is killed, and SIGPIPE is what the system makes of it' => sub {
    my $prepare = q{END { note('notes', "END $$") }};
    my $code    = app_text(dies => $prepare) =~ s{^my %app_for = \(}{<<'PATH'}mre;
my %app_for = (
    '/kill' => sub {
        $SIG{PIPE} = 'DEFAULT';
        kill 'KILL', getppid;
        select undef, undef, undef, 0.3;
        $_[0]{'psgix.harakiri.commit'} = 1;    # which is told to a master that is gone
        return [200, [], ['killed']];
    },
PATH
    my $master = start_workers(code => $code);
    $master->serving(2);
    is $master->body_of('/kill'), 'killed', 'a request in progress is answered';
    ok eventually(sub { !processes_in($master->dir) }), 'the workers end';
    is scalar(grep { /^END/ } $master->lines('notes')), 2, 'as they always do';
};

subtest 'TERM while workers start' => sub {
    my $master = start_workers(
        code  => app_text(dies => 'select undef, undef, undef, 20;'),
        waits => 0
    );
    $master->await_lines('loads', qr/./, 2);
    my $start = time;
    is $master->stop, 0, 'the master ends';
    cmp_ok time - $start, '<', 8, 'without waiting for them';
};

subtest 'TERM while workers are being replaced' => sub {
    my $master = start_workers(workers => 2);
    my @old    = $master->serving(2);
    $master->rewrite(code => app_text(version => 2, dies => 'select undef, undef, undef, 20;'));
    $master->signal('HUP');
    $master->await_lines('loads', qr/ 2$/);
    my $start = time;
    $master->ends_ok;
    cmp_ok time - $start, '<', 8, 'at once';
};

subtest 'a signal to all of the terminal' => sub {
    my $master = start_workers(workers => 2, prepare => sub { setpgrp 0, 0 });
    $master->serving(2);
    kill 'INT', -$master->pid;
    $master->ends_ok(signal => 'CONT', name => 'INT to the whole group (Ctrl-C) ends it in order');
    is scalar(grep { !/^sprig \S+: http/ } $master->lines('stderr')), 0, 'and quietly'
        or diag $master->stderr;
};

done_testing;
