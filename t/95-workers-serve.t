# Several processes on one port: who listens, what the app sees, what is told, and how it is started.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Workers;
use Test::More;

-d '/proc/self' or plan skip_all => 'no /proc';

# The pid of the loader, by pid of the worker.
sub loaders_of {
    my ($master, $n) = @_;
    my $abouts = $master->bodies_of('/about', $n);
    return { map { ($_ => (split / /, $abouts->{$_})[1]) } keys %$abouts };
}

subtest 'the program' => sub {
    my $master  = start_workers(workers => 3, listen => ['127.0.0.1:0', './app.sock']);
    my @workers = $master->serving(3);
    is "@workers", join(' ', $master->workers), 'three processes serve, all children of one'
        or diag $master->stderr;
    ok !grep({ $_ == $master->pid } @workers), 'which does not serve';
    is_deeply loaders_of($master, 3), { map { ($_ => $_) } @workers }, 'each loaded the app itself';
    like $master->stderr, qr{\A(?:sprig .*\n){2}\z}, 'two lines are told, one for each address';
    like $master->stderr,
        qr{^sprig 0\.\d{3}: http://127\.0\.0\.1:[1-9]\d*/ \(3 workers, deployment\)\n}m,
        'with the port that the system chose and the number of workers';
    like $master->stderr, qr{: unix:\S*app\.sock \(3 workers, deployment\)\n},
        'and the unix socket';

    my $client = $master->unix_client($master->path('app.sock'));
    $client->send(get('/env'));
    is $client->response->body, '1 0 0', 'psgi.multiprocess is true; multithread, run_once are not';
    $master->ends_ok;
};

subtest 'the memory of the master' => sub {
    my $master = start_workers(workers => 4);
    is scalar $master->serving(4), 4, 'four workers';
    my ($anon) = slurp('/proc/' . $master->pid . '/status') =~ /^RssAnon:\s+([0-9]+) kB/m;
    cmp_ok $anon, '<', 1024, 'the master has less than 1 MB of its own: no interpreter';
    is scalar(() = slurp('/proc/' . $master->pid . '/maps') =~ m{/auto/.*\.so$}mg), 0,
        'and no module is loaded';
    $master->ends_ok;
};

subtest 'random numbers' => sub {
    for my $preloads (0, 1) {
        my $master =
            start_workers(workers => 2, flags => $preloads ? ['--preload-app'] : []);
        my $random = $master->bodies_of('/rand', 2);
        is keys %$random, 2, 'two workers answer';
        isnt(
            (values %$random)[0],
            (values %$random)[1],
            'and not by the same numbers, preload_app ' . ($preloads ? 'on' : 'off')
        );
        $master->ends_ok;
    }
};

subtest 'reuseport' => sub {
    my $master = start_workers(workers => 2, flags => ['--reuseport']);
    is scalar $master->serving(2),                           2, 'two workers serve one port';
    is scalar($master->stderr =~ s/^sprig //gmr =~ tr/\n//), 1, 'which is told once';
    my $hex = sprintf ':%04X', $master->port;
    my @sockets =
        grep { (split)[1] =~ /\Q$hex\E$/ && (split)[3] eq '0A' } split /\n/,
        slurp('/proc/net/tcp');
    is scalar @sockets, 2, 'by two sockets';
    $master->ends_ok;
};

subtest 'one socket' => sub {
    my $master = start_workers(workers => 2);
    is scalar $master->serving(2), 2, 'two workers serve one port';
    my $hex = sprintf ':%04X', $master->port;
    my @sockets =
        grep { (split)[1] =~ /\Q$hex\E$/ && (split)[3] eq '0A' } split /\n/,
        slurp('/proc/net/tcp');
    is scalar @sockets, 1, 'by one socket, if nothing else is asked for';
    $master->ends_ok;
};

subtest 'preload_app' => sub {
    my $master  = start_workers(workers => 2, flags => ['--preload-app']);
    my $loaders = loaders_of($master, 2);
    is_deeply $loaders, { map { ($_ => $master->pid) } $master->workers },
        'the app was loaded by the master';
    my @loads = $master->lines('loads');
    is scalar @loads, 1, 'and once';
    is scalar(grep { $_ eq '1 0 0' } values %{ $master->bodies_of('/env', 2) }), 2,
        'psgi.multiprocess is true';
    like $master->stderr, qr{ \(2 workers, deployment\)\n\z}, 'the banner';
    $master->ends_ok;
};

subtest 'an address that is taken' => sub {
    my $first = start_workers(workers => 2);
    my $out   = output_of(
        SprigTest::root() . '/blib/script/sprig',
        '--workers', 2, '-l', '127.0.0.1:' . $first->port,
        '-e',        'sub { }'
    );
    is $out, 'sprig: cannot listen on 127.0.0.1:' . $first->port . ": Address already in use\n",
        'ends the master with one line';
    $first->ends_ok;
};

subtest 'max_requests without workers' => sub {
    my $out = output_of(SprigTest::root() . '/blib/script/sprig',
        '--max-requests', 5, '-l', '127.0.0.1:0', '-e', 'sub { }');
    my $why = 'needs master, or workers of 2 or more: only a master replaces processes';
    is $out, "sprig: max_requests $why\n", 'is refused';
};

for my $flags (['--workers', 2], ['--max-workers', 2]) {
    subtest "plackup -s Sprig @$flags" => sub {
        my $master = start_workers(by => 'plackup', own_flags => 1, flags => $flags);
        is join(' ', $master->serving(2)), join(' ', $master->workers), 'two processes serve';
        is $master->body_of('/env'),       '1 0 0',                     'psgi.multiprocess is true';
        $master->ends_ok;
    };
}

subtest 'plackup -L Delayed' => sub {
    my $master = start_workers(by => 'plackup', flags => ['-L', 'Delayed']);
    is_deeply [sort values %{ loaders_of($master, 2) }], [$master->workers],
        'each worker loads the app';
    $master->ends_ok;
};

subtest 'Sprig::Server' => sub {
    my $master  = start_workers(by => 'server');
    my @workers = $master->serving(2);
    is "@workers", join(' ', $master->workers), 'two processes serve';
    my ($port, $pid) = ($master->port, $master->pid);
    is $master->stderr, "ready 127.0.0.1 $port by $pid\n",
        'server_ready is called once, by the master';
    is_deeply loaders_of($master, 2), { map { ($_ => $master->pid) } @workers },
        'the app is that of the caller';
    isnt(
        (values %{ $master->bodies_of('/rand', 2) })[0],
        (values %{ $master->bodies_of('/rand', 2) })[1],
        'random numbers differ'
    );
    $master->ends_ok;
    is scalar(grep { /^run has returned$/ } $master->lines('stderr')), 1,
        'run returns in the master, and only there';
};

done_testing;
