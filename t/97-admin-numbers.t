# What the admin listener counts equals what clients have seen, whatever happened to the workers.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Admin;
use SprigTest::Workers;
use Test::More;
use Time::HiRes qw(sleep);

-d '/proc/self' or plan skip_all => 'no /proc';

my $APP = <<'END';
use strict; use warnings; use Time::HiRes ();
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [200, ['Content-Type' => 'text/plain'], [$$]] if $path eq '/about';
    if ($path =~ m{\A/block}) { Time::HiRes::sleep($env->{QUERY_STRING}); return [200, [], [$$]] }
    die "on purpose\n" if $path eq '/die';
    return [$1, ['Content-Type' => 'text/plain'], ["status $1"]] if $path =~ m{\A/(\d+)\z};
    return [200, ['Content-Type' => 'text/plain'], ['x' x 1000]];
};
END

# Statuses of so many requests, one connection each, by class.
sub load {
    my ($master, @paths) = @_;
    my %seen;
    for my $path (@paths) {
        my $response = $master->ask(get($path, 'Connection: close'));
        $seen{ substr($response->status, 0, 1) . 'xx' }++;
    }
    return \%seen;
}

sub totals { return numbers($_[0]->path('ctl'))->{totals} }

sub sum_of {
    my ($totals) = @_;
    my $sum = 0;
    $sum += $totals->{"answered_$_"} for 2 .. 5, 'other';
    return $sum + $totals->{cut} + $totals->{disconnects};
}

subtest 'four workers, reloads and one that is killed' => sub {
    my $master = start_workers(
        workers => 4,
        code    => $APP,
        flags   => ['--admin', 'unix:ctl', '--graceful-timeout', 5],
    );
    my %seen;
    my $count = sub {
        my $seen = load($master, @_);
        $seen{$_} += $seen->{$_} for keys %$seen;
    };
    my @mix = ((map { "/$_" } 200, 302, 404, 503, 'x', 'x'), '/die');
    $count->((@mix) x 20);
    my $before = totals($master);
    is $before->{started}, 140, 'as many requests as were sent have started';

    my @old = $master->workers;
    ok eventually(sub {
        4 == grep { $_->{state} eq 'serving' } @{ numbers($master->path('ctl'))->{workers} };
        }),
        'all workers of the first generation serve';
    $master->signal('HUP');
    $count->((@mix) x 10);
    ok eventually(sub { numbers($master->path('ctl'))->{restarts}{reload} == 4 }, 60)
        ,    # one by one, each loads the application
        'four workers were replaced by the reload';
    ok $master->settles(4) && !(grep { is_running($_) } @old), 'a new generation serves';
    my $asked = totals($master)->{started};
    cmp_ok $asked, '>=', 210, 'totals go on over a reload';
    my $others = $asked - 210;    # of settles

    my ($victim) = $master->workers;
    kill 'KILL', $victim;
    eventually(sub { numbers($master->path('ctl'))->{restarts}{killed} == 1 });
    cmp_ok totals($master)->{started}, '>=', $asked, 'totals do not go back where one is killed';
    $count->((@mix) x 10);

    my $end = totals($master);
    is $end->{started} - $others,    280,             'every request was counted once';
    is $end->{answered_2} - $others, $seen{'2xx'},    'as many 2xx as the clients have got';
    is $end->{answered_3},           $seen{'3xx'},    '3xx';
    is $end->{answered_4},           $seen{'4xx'},    '4xx';
    is $end->{answered_5},           $seen{'5xx'},    '5xx';
    is $end->{exceptions},           40,              'exceptions of the application';
    is sum_of($end),                 $end->{started}, 'what was started has an end';
    is $end->{active},               0,               'nothing is in progress';
    my $numbers = numbers($master->path('ctl'));
    is $numbers->{restarts}{reload}, 4, 'four workers were replaced by the reload, and no more';
    is $numbers->{durations}{request}{count}, $end->{started}, 'each has a duration';
    $master->ends_ok;
};

subtest 'a request in progress when its worker is killed' => sub {
    my $master = start_workers(workers => 2, code => $APP, flags => ['--admin', 'unix:ctl']);
    $master->serving(2);
    my $base   = totals($master);
    my $client = $master->connect;
    $client->send(get('/block?20'));
    ok eventually(sub { totals($master)->{active} == 1 }), 'one is in progress';
    my ($busy) = grep { $_->{numbers}{active} } @{ numbers($master->path('ctl'))->{workers} };
    is $busy->{request}, 'GET /block?20', 'and it is known which';
    kill 'KILL', $busy->{pid};
    ok eventually(sub { totals($master)->{active} == 0 }), 'it is in progress no longer';
    my $end = totals($master);
    is $end->{started} - $base->{started}, 1, 'it has started';
    is sum_of($end) - sum_of($base),       0, 'and has no end';
    $master->ends_ok;
};

subtest 'an upgrade' => sub {
    my $master = start_workers(
        workers => 2,
        code    => $APP,
        flags   => ['--admin', 'unix:ctl', '--pid', 'pid'],
    );
    load($master, ('/x') x 30);
    my $old = $master->learn_master;
    $master->signal('USR2');
    ok eventually(sub { ($master->lines('pid'))[0] != $old }), 'another master serves';
    $master->learn_master;
    ok eventually(sub { !is_running($old) }), 'the one before has ended';
    load($master, ('/x') x 12);
    my $numbers = numbers($master->path('ctl'));
    is $numbers->{totals}{started}, 42,              'totals go on';
    is $numbers->{pid},             $master->master, 'and the new master tells them';
    $master->ends_ok;
};

done_testing;
