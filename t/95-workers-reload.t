# HUP: new workers with new code take the place of the old ones, and no client notices; a new
# generation that cannot serve changes nothing.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Load;
use SprigTest::Workers;
use Test::More;

-d '/proc/self' or plan skip_all => 'no /proc';

# Waits until all workers are others than these.
sub replaced {
    my ($master, $n, @old) = @_;
    my $all_gone = eventually(
        sub {
            !grep { is_running($_) } @old;
        },
        15
    );
    diag $master->stderr if !$all_gone;
    return $all_gone && $master->settles($n);
}

subtest 'new code' => sub {
    my $master = start_workers(workers => 2, listen => ['127.0.0.1:0', './app.sock']);
    my @old    = $master->serving(2);
    my @loads =
        ($master->loads, SprigTest::Load->start(path => $master->path('app.sock'), keeps => 0));
    my $kept = $master->connect;
    $kept->send(get('/'));
    is $kept->response->body, 1, 'version 1';

    $master->rewrite(version => 2);
    $master->signal('HUP');
    ok replaced($master, 2, @old), 'all workers are replaced, by as many';
    is $master->body_of('/'), 2, 'version 2';
    ok $kept->is_closed, 'an idle connection to an old worker is closed in order';
    no_loss_ok('HUP', @loads);
    is_deeply [sort keys %{ $_->answers }], [1, 2], $_->name . ': both versions, and nothing else'
        for @loads;
    ok $master->is_alive, 'the master stays';
    $master->ends_ok;
};

subtest 'a syntax error' => sub {
    my $master = start_workers(workers => 2);
    my @old    = $master->serving(2);
    my @loads  = $master->loads;
    my $from   = length $master->stderr;
    $master->rewrite(code => "use strict;\nmy \$app = sub { [200, [], ['x']] ;\n\$app;\n");
    $master->signal('HUP');
    ok $master->stderr_like(
        qr/syntax error at \S*app\.psgi line 3|Missing right curly .*app\.psgi line 3/,
        from => $from
        ),
        'is told with file and line'
        or diag $master->stderr;
    ok $master->settles(2), 'two workers serve';
    is join(' ', $master->serving(2)), "@old", 'the same as before';
    is $master->body_of('/'),          1,      'the old code';

    $master->rewrite(version => 3);
    $master->signal('HUP');
    ok replaced($master, 2, @old), 'once it is repaired, HUP brings the new code';
    is $master->body_of('/'), 3, '... and all serve it';
    no_loss_ok('HUP with a syntax error, and without', @loads);
    $master->ends_ok;
};

subtest 'a probe' => sub {
    my $master = start_workers(workers => 2, flags => ['--probe', '/alive']);
    my @old    = $master->serving(2);
    my $from   = length $master->stderr;
    my @loads  = $master->loads;
    $master->rewrite(version => 2, alive => 500);
    $master->signal('HUP');
    ok $master->stderr_like(qr{/alive.*\b500\b}, from => $from), 'answered by 500: is told'
        or diag $master->stderr;
    ok eventually(sub { $master->workers == 2 }), 'two workers';
    is join(' ', $master->workers), "@old", '... the old ones';
    is $master->body_of('/'),       1,      '... with the old code';

    $master->rewrite(version => 3, alive => 404);
    $master->signal('HUP');
    ok eventually(
        sub {
            !grep { is_running($_) } @old;
        },
        10
        ),
        'answered by 404: is good enough';
    is $master->body_of('/'), 3, 'the new code serves';
    no_loss_ok('probes', @loads);
    $master->ends_ok;
};

subtest 'HUP twice, and more' => sub {
    my $master = start_workers(workers => 2);
    my @old    = $master->serving(2);
    my @loads  = $master->loads;
    $master->rewrite(version => 2);
    $master->signal('HUP');
    $master->signal('HUP');
    ok replaced($master, 2, @old),                     'two in a row';
    ok eventually(sub { $master->body_of('/') == 2 }), 'the new code serves';

    for my $version (3 .. 5) {
        my @before = $master->workers;
        $master->rewrite(version => $version);
        $master->signal('HUP');
        ok replaced($master, 2, @before), "and again: $version";
    }
    is $master->body_of('/'), 5, 'the last one serves';
    no_loss_ok('HUP again and again', @loads);
    $master->ends_ok;
};

subtest 'streams and long polls that are open' => sub {
    my $master = start_workers(workers => 2);
    my @old    = $master->serving(2);
    my %client = map { ($_ => $master->connect) } qw(/gated /poll?1.2);
    $client{$_}->send(get($_)) for keys %client;
    $master->await_lines('notes', qr/^(?:gated|poll)/, 2);
    $master->rewrite(version => 2);
    $master->signal('HUP');
    ok eventually(sub { ($master->body_of('/') || 0) == 2 && $master->serving(2, 1) == 2 }),
        'the new code serves meanwhile';
    $master->await_lines('notes', qr/^leaves/, 1);
    $client{'/gated'}->send(get('/'));
    spew($master->path('open'), '');
    my $stream = $client{'/gated'}->response;
    like $stream->body, qr/\A(?:piece\n)+\z/, 'the stream is whole';
    is $stream->header('Connection'), undef, '... and had promised that the connection goes on';
    my $next = $client{'/gated'}->response;
    is $next->body,                 1,       '... so the next request on it is answered';
    is $next->header('Connection'), 'close', '... for the last time';
    my $poll = $client{'/poll?1.2'}->response;
    like $poll->body, qr/^polled (?:$old[0]|$old[1])$/, 'the long poll is answered by who took it';
    ok eventually(sub {
        !grep { is_running($_) } @old;
        }),
        'then the old ones are gone';
    $master->ends_ok;
};

subtest 'a client that never reads to the end' => sub {
    my $master = start_workers(workers => 2, flags => ['--graceful-timeout', '0.5']);
    my @old    = $master->serving(2);
    my $client = $master->connect;
    $client->send(get('/held'));
    $master->await_lines('notes', qr/^held/);
    $master->signal('HUP');
    ok eventually(sub {
        !grep { is_running($_) } @old;
        }),
        'holds an old worker no longer than that';
    is scalar(() = $master->await_lines('notes', qr/^told/)), 1, 'the app is told';
    $client->rest;
    ok $client->eof, 'the client as well';
    $master->ends_ok;
};

subtest 'a socket that the app has taken' => sub {
    my $master = start_workers(workers => 2);
    my @old    = $master->serving(2);
    my $client = $master->connect;
    $client->send(get('/taken'));
    $client->wait_for_bytes(7);
    $master->rewrite(version => 2);
    $master->signal('HUP');
    ok eventually(sub {
        1 == grep { is_running($_) } @old;
        }),
        'keeps its worker';
    my ($holder) = grep { is_running($_) } @old;
    $client->send('hello');
    ok $client->wait_for_bytes(length "taken $holder\necho hello"), 'goes on working';
    ok eventually(sub { $master->workers == 3 && ($master->body_of('/') || 0) == 2 }),
        'while the new code serves';
    $client->close;
    ok eventually(sub { !is_running($holder) }), 'the worker ends with it';
    $master->ends_ok;
};

subtest 'preload_app' => sub {
    my $master = start_workers(workers => 2, flags => ['--preload-app']);
    my @old    = $master->serving(2);
    $master->rewrite(version => 2);
    $master->signal('HUP');
    ok replaced($master, 2, @old), 'the workers are replaced';
    is $master->body_of('/'), 1, 'the code is that of the master';
    $master->ends_ok;
};

subtest 'plackup' => sub {
    my $master = start_workers(by => 'plackup', flags => ['-L', 'Delayed']);
    my @old    = $master->serving(2);
    my @loads  = $master->loads;
    $master->rewrite(version => 2);
    $master->signal('HUP');
    ok replaced($master, 2, @old), '-L Delayed: the workers are replaced';
    is $master->body_of('/'), 2, 'and bring new code';
    no_loss_ok('HUP', @loads);
    $master->ends_ok;
};

done_testing;
