# USR2: the program is started anew with the sockets that are open, and the old master ends when the new
# one serves. TTIN and TTOU: one worker more or less.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Load;
use SprigTest::Workers;
use Test::More;
use Time::HiRes qw(time);

-d '/proc/self' or plan skip_all => 'no /proc';

# A master whose app loads lib/Changed.pm.
sub start_upgradable {
    my (%option) = @_;
    return start_workers(
        code    => app_text(module => 1),
        listen  => ['127.0.0.1:0', './app.sock'],
        flags   => ['--pid', 'pid', @{ $option{flags} || [] }],
        prepare => sub { spew('lib/Changed.pm', 'package Changed; our $VERSION = "m1"; 1') },
        %option{ grep { $_ ne 'flags' } keys %option },
    );
}

# Waits until the pid file names another master, and the old one is gone.
sub upgraded {
    my ($master) = @_;
    my $old      = $master->master;
    my $is_new   = eventually(sub { my ($pid) = $master->lines('pid'); $pid && $pid != $old });
    my $is_over  = eventually(sub { !is_running($old) },                                       15);
    diag $master->stderr if !$is_new || !$is_over;
    $master->learn_master;
    return $is_new && $is_over;
}

sub module_of {
    my ($master) = @_;
    return (split / /, $master->body_of('/about') || '')[3];
}

for my $by ('program', 'plackup', 'server') {
    subtest "by $by" => sub {
        my $master = start_upgradable(by => $by);
        my @old    = $master->serving(2);
        my $first  = $master->learn_master;
        is $first,             $master->pid, 'the pid file names the master';
        is module_of($master), 'm1',         'the module of now';
        my @loads = $master->loads;
        push @loads, SprigTest::Load->start(path => $master->path('app.sock'), keeps => 1)
            if $by eq 'program';
        my $inode = (stat $master->path('app.sock'))[1];

        for my $n (2, 3) {
            $master->put('lib/Changed.pm', qq{package Changed; our \$VERSION = "m$n"; 1});
            $master->signal('USR2');
            ok upgraded($master),   "USR2: the pid file names a new master, the old one is gone";
            ok $master->settles(2), 'two workers serve';
            is module_of($master), "m$n", 'the new module';
        }
        ok !grep({ is_running($_) } @old), 'no old worker is left';
        is join(' ', $first, (stat $master->path('app.sock'))[1] || 0), "$first $inode",
            'the unix socket is the same'
            if $by eq 'program';
        no_loss_ok('USR2 twice', @loads);
        $master->ends_ok;
    };
}

subtest 'with preload_app' => sub {
    my $master = start_upgradable(flags => ['--preload-app']);
    $master->serving(2);
    $master->learn_master;
    my @loads = $master->loads;
    $master->put('lib/Changed.pm', 'package Changed; our $VERSION = "m2"; 1');
    $master->signal('USR2');
    ok upgraded($master),   'a new master';
    ok $master->settles(2), 'two workers serve';
    is module_of($master), 'm2', 'the new module';
    no_loss_ok('USR2', @loads);
    $master->ends_ok;
};

subtest 'with a broken app' => sub {
    my $master = start_upgradable();
    my @old    = $master->serving(2);
    my $pid    = $master->learn_master;
    my @loads  = $master->loads;
    $master->put('lib/Changed.pm', qq{package Changed;\nour \$VERSION = ;\n1\n});
    $master->signal('USR2');
    ok $master->stderr_like(qr/Changed\.pm line 2/), 'is told with file and line'
        or diag $master->stderr;
    ok eventually(
        sub {
            3 == grep { is_running($_) } processes_in($master->dir);
        },
        10
        ),
        'the new one ends'
        or diag join ' ', processes_in($master->dir);
    is join(' ', $master->lines('pid')), $pid,                 'the pid file names the old one';
    is join(' ', $master->serving(2)),   "@old",               'the old ones serve';
    is join(' ', sort $master->workers), join(' ', sort @old), 'and are all there is';

    $master->put('lib/Changed.pm', 'package Changed; our $VERSION = "m9"; 1');
    $master->signal('USR2');
    ok upgraded($master), 'USR2 again, after a repair';
    is module_of($master), 'm9', 'the new module';
    no_loss_ok('USR2 with a broken app, and a right one', @loads);
    $master->ends_ok;
};

subtest 'USR2 while there is one' => sub {
    my $master = start_upgradable();
    $master->serving(2);
    $master->learn_master;
    my @loads = $master->loads;
    $master->signal('USR2');
    $master->signal('USR2');
    ok upgraded($master),   'is one upgrade';
    ok $master->settles(2), 'two workers serve';
    is scalar(processes_in($master->dir)), 3, 'of one master';
    no_loss_ok('USR2 twice at once', @loads);
    $master->ends_ok;
};

subtest 'TERM while the new one starts' => sub {
    my $master = start_upgradable();
    $master->serving(2);
    $master->rewrite(version => 2, dies => 'select undef, undef, undef, 20;');
    $master->signal('USR2');
    ok $master->await_lines('loads', qr/ 2$/), 'a new worker loads the app';
    my $start = time;
    $master->ends_ok(name => 'TERM ends both masters, and leaves nothing');
    cmp_ok time - $start, '<', 8, 'at once';
};

subtest 'the pid file was removed by somebody' => sub {
    my $master = start_upgradable();
    $master->serving(2);
    unlink $master->path('pid');
    $master->signal('USR2');
    ok eventually(sub { -s $master->path('pid') && !is_running($master->pid) }),
        'the new master writes it anew';
    $master->learn_master;
    ok $master->settles(2), 'two workers serve';
    $master->ends_ok;
};

subtest 'HUP after USR2' => sub {
    my $master = start_upgradable();
    $master->serving(2);
    $master->learn_master;
    $master->signal('USR2');
    ok upgraded($master), 'a new master';
    my @old = $master->serving(2);
    $master->rewrite(version => 2, module => 1);
    $master->signal('HUP');
    ok eventually(
        sub {
            !grep { is_running($_) } @old;
        },
        10
        ),
        'reloads';
    is $master->body_of('/'), 2, '... the app';
    $master->ends_ok;
};

subtest 'TTIN and TTOU' => sub {
    my $master = start_workers(workers => 2);
    is scalar $master->serving(2), 2, 'two workers';
    my @loads = $master->loads;
    $master->signal('TTIN');
    ok $master->settles(3), 'TTIN: three';
    $master->signal('TTOU');
    ok $master->settles(2), 'TTOU: two';
    $master->signal('TTOU');
    ok $master->settles(1), 'TTOU: one';
    $master->signal('TTOU');
    my @one = $master->workers;
    kill 'KILL', @one;
    ok eventually(sub {
        grep { $_ != $one[0] } $master->workers;
        }),
        'TTOU does not go below one: it is replaced when it dies';
    $_->stop for @loads;
    my @lost = grep { !/reset|closed|cut/ } map { $_->lost } @loads;
    is "@lost", '', 'nobody was turned away';
    $master->signal('HUP');
    ok $master->settles(1), 'HUP keeps the number';
    $master->ends_ok;
};

done_testing;
