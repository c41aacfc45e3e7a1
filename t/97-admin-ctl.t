# sprig ctl: what each verb says and does, how the server is found, and the exit status.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP ();
use SprigTest;
use SprigTest::Admin;
use SprigTest::Program;
use SprigTest::Workers;
use Test::More;

-d '/proc/self' or plan skip_all => 'no /proc';

my $APP = <<'END';
use AnyEvent;
use Time::HiRes ();
sub {
    my ($env) = @_;
    Time::HiRes::sleep($env->{QUERY_STRING}) if $env->{PATH_INFO} eq '/block';
    my $answer = [200, ['Content-Type' => 'text/plain'], ["$$"]];
    return $answer if $env->{PATH_INFO} ne '/keep';
    return sub {
        my ($respond) = @_;
        my $timer; $timer = AE::timer 0.1, 0.1, sub { $respond->($answer), undef $timer if -e 'let-go' };
    };
};
END

my $master = start_workers(
    code  => $APP,
    flags => [
        '--admin', 'unix:ctl', '--pid', 'pid', '--graceful-timeout', 5, '--trusted-proxies', '127.0.0.1'
    ],
);
$master->settles(2);

# Runs a verb at this master.
sub ctl { return run_program('ctl', '--admin', 'unix:' . $master->path('ctl'), @_) }

sub says_ok {
    my ($words, $pattern, $status) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $run = ctl(@$words);
    is $run->{status}, $status || 0, "@$words: status " . ($status || 0);
    like $run->{ $status && $status < 4 ? 'err' : 'out' }, $pattern, "@$words: what it says";
}

subtest 'looking' => sub {
    says_ok(['status'], qr/\Asprig [\d.]+, pid \d+, up .*, ready, generation 1, 2 workers\n/);
    my $json = JSON::PP::decode_json(ctl('status', '--json')->{out});
    is $json->{workers_wanted}, 2, 'status --json is stats.json';
    my $row = qr/ +\d+ +\d+ +1 serving .*\n/;
    says_ok(['workers'], qr/\AWORKER +PID .*\n$row$row\z/);
    my $client = $master->connect;
    $client->send(get('/'));
    $client->response;
    says_ok(['connections'], qr/\AWORKER +CLIENT.*\n\d +127\.0\.0\.1 \d+ +idle /);
    my $proxy = $master->connect;
    $proxy->send(get('/keep', 'X-Forwarded-For: 192.0.2.7'));
    ok eventually(sub { ctl('connections')->{out} =~ m{^\d +192\.0\.2\.7 +app .* GET /keep$}m }),
        'connections: behind a proxy, the client of the request';
    spew($master->path('let-go'), '');
    is $proxy->response->status, 200, '... which is answered';
    $proxy->close;
    says_ok(['stuck'],       qr/\A(?:worker \d \(pid \d+\): not blocked\n){2}\z/);
    says_ok(['config'],      qr/^workers = 2 +# command line$/m);
    like ctl('config')->{out}, qr/^max_headers = 100 +# default$/m, 'defaults are called so';
    my $open = qr/^connections 1 open of at most [1-9]\d+, \d+ accepted$/m;
    ok eventually(sub { ctl('status')->{out} =~ $open }), 'max_connections 0 has a number';
    says_ok(['top', 1],
        qr/\Asprig +ready .*^requests +[\d.]+\/s .*^durations   -\n.*^WORKER +PID(?:.*\n +\d.*){2}\n\z/ms);
    my ($widest) = sort { $b <=> $a } map {
        map { length } split /\n/, ctl($_)->{out}
    } qw(status workers);
    cmp_ok $widest, '<=', 80, 'tables fit into 80 columns';
};

subtest 'a blocked worker' => sub {
    my $client = $master->connect;
    $client->send(get('/block?4', 'Connection: close'));
    ok eventually(sub { ctl('stuck')->{status} == 4 }), 'stuck has status 4';
    like ctl('stuck')->{out}, qr/blocked for [\d.]+ s by GET \/block\?4\n/, 'and says by what';
    $client->response;
};

subtest 'a worker that was stopped while it was idle' => sub {
    my ($pid) = ctl('stuck')->{out} =~ /worker 1 \(pid (\d+)\): not blocked/;
    kill STOP => $pid;
    ok eventually(sub { ctl('stuck')->{status} == 4 }), 'stuck has status 4';
    like ctl('stuck')->{out}, qr/^worker 1 \(pid $pid\): blocked: .*; kill -CONT $pid lets it go on$/m,
        'and says what helps';
    like ctl('workers')->{out}, qr/^ +1 +$pid +1 blocked /m, 'it counts as blocked';
    like ctl('status')->{out}, qr/^trouble .*, 1 blocked now$/m, '... in the summary, too';
    kill CONT => $pid;
    ok eventually(sub { ctl('stuck')->{status} == 0 }), 'and no longer when it goes on';
};

subtest 'workers' => sub {
    says_ok(['worker', 'add'], qr/\A3 workers\n\z/);
    ok $master->settles(3), 'there are three';
    says_ok(['worker', 'remove'], qr/\A2 workers\n\z/);
    ok $master->settles(2), 'there are two';
    says_ok(['worker', 'kill', 2], qr/\Aworker 2 \(pid \d+\) was killed\n\z/);
    ok $master->settles(2), 'and two again';
    says_ok(['worker', 'kill', 7], qr/no worker 7 serves/, 1);
    says_ok(['worker', 'add'], qr/workers\n\z/) for 3 .. 8;
    says_ok(['worker', 'add'], qr/the most that workers_limit allows/, 1);
    ctl('worker', 'remove') for 3 .. 8;
    says_ok(['worker', 'remove'], qr/\A1 workers?\n\z/);
    says_ok(['worker', 'remove'], qr/the last worker stays/, 1);
    ctl('worker', 'add');
    ok $master->settles(2), 'two in the end';
};

subtest 'orders' => sub {
    says_ok(['drain'],   qr/\Adraining/);
    says_ok(['status'],  qr/, not ready, /, 4);
    says_ok(['undrain'], qr/\Aready again\n/);
    says_ok(['reload'],  qr/\Areloading; reload --wait /);
    ok eventually(sub { $master->stderr =~ /reloaded: all workers are of generation 2/ }),
        'it does';
    says_ok(['reopen'], qr/\Alogs are reopened\n/);
    my $old = $master->learn_master;
    says_ok(['upgrade'], qr/\Aupgrading\n/);
    ok eventually(sub { (($master->lines('pid'))[0] || $old) != $old && !is_running($old) }), 'it does';
    $master->learn_master;
    ok $master->settles(2), 'the new one serves';
    says_ok(['workers'], qr/serving/);
};

subtest 'reload --wait' => sub {
    my $dir  = SprigTest::temp_path('release');
    my $good = "sub { [200, [], ['new']] };\n";
    mkdir $dir or die "$dir: $!";
    my $app  = spew("$dir/app.psgi", "sub { [200, [], ['old']] };\n");
    my $conf = spew("$dir/conf", my $options = "app = $app\nworkers = 2\nadmin = unix:$dir/ctl\n");
    my $server = start_workers(flags => ['--config', $conf]);
    my $wait   = sub { run_program('ctl', '--admin', "unix:$dir/ctl", 'reload', '--wait') };

    spew($app, $good);
    my $run = $wait->();
    is_deeply [@$run{qw(status out)}], [0, "reloaded: all workers are of generation 2\n"],
        'returns when it is done';
    is $server->body_of('/'), 'new', '... and the new code answers' for 1 .. 4;

    spew($app, "die 'broken';\n");
    $run = $wait->();
    is $run->{status}, 1, 'code that cannot be loaded is a failure';
    like $run->{err}, qr/\Asprig ctl: the reload failed and the old workers keep serving: .*broken at \Q$app\E line 1/,
        '... with the reason';

    spew($app,  $good);
    spew($conf, "$options\nworkers = none\n");
    $run = $wait->();
    is $run->{status}, 1, 'and so is a configuration file with a mistake';
    like $run->{err}, qr/\Asprig ctl: cannot reload: \Q$conf\E line \d+: workers must be .*\n\z/,
        '... with the reason';
    spew($conf, "$options\nuser = root\n");
    $run = $wait->();
    is $run->{status}, 5, 'an option that needs a restart has a status of its own';
    like $run->{out}, qr/\Areloaded: /, '... since the rest is done';
    like $run->{err}, qr/\Asprig ctl: reload: a change of user needs a restart or an upgrade/,
        '... and is named';
    spew($conf, $options);
    is $wait->()->{status}, 0, 'once it is mended, the next one succeeds';
    $server->ends_ok;
};

subtest 'reload --wait of a single process' => sub {
    my $dir    = SprigTest::temp_path('alone');
    mkdir $dir or die "$dir: $!";
    my $conf   = spew("$dir/conf", my $options = "admin = unix:$dir/ctl\n");
    my $server = start_program('--config', $conf, '-l', '127.0.0.1:0', app_file($APP));
    my $wait   = sub { run_program('ctl', '--admin', "unix:$dir/ctl", 'reload', '--wait') };
    my $done   = 'reloaded: the options were read again; new code needs a master (--master or --workers)';
    my $client = $server->connect;
    $client->send(get('/block?1', 'Connection: close'));
    ok eventually(sub {
        run_program('ctl', '--admin', "unix:$dir/ctl", 'status', '--json')->{out} =~ /"active":1\b/;
        }),
        'it is at work';
    spew($conf, "${options}max_headers = 7\n");
    my $run = $wait->();
    is "$run->{status} $run->{out}", "0 $done\n", 'returns when the process has read its options';
    my $head = "GET / HTTP/1.1\r\nHost: x\r\n" . join '', map { "X-$_: x\r\n" } 1 .. 7;
    is $server->ask("$head\r\n")->status, 431, '... which then count';

    spew($conf, "${options}backlog = 7\n");
    $run = $wait->();
    is "$run->{status} $run->{out}", "5 $done\n", 'what needs a restart gives a status of its own';
    is $run->{err}, "sprig ctl: a change of backlog needs a restart\n", '... and is named';

    spew($conf, "${options}max_headers = many\n");
    $run = $wait->();
    is "$run->{status} $run->{out}", '1 ', 'a wrong file is a failure';
    like $run->{err}, qr/\Asprig ctl: nothing has changed: .*max_headers/, '... with the reason';
    $server->stop_ok;
};

subtest 'which server' => sub {
    my $found = sub { run_program(@_)->{out} =~ /, ready,/ };
    ok $found->('ctl', '--admin=unix:' . $master->path('ctl'),            'status'), '--admin=';
    ok $found->({ SPRIG_ADMIN => 'unix:' . $master->path('ctl') }, 'ctl', 'status'), 'SPRIG_ADMIN';
    my $conf = spew(SprigTest::temp_path('conf'), 'admin = unix:' . $master->path('ctl') . "\n");
    ok $found->('ctl', '--config', $conf, 'status'), '--config';
    ok $found->('ctl', '--pid', $master->path('pid'), 'status'),
        '--pid, a relative path in its command line';
    my $other = start_workers(
        flags   => ['--pid', 'pid', '--config', 'conf'],
        prepare => sub { spew('conf', "admin = 127.0.0.1:0\nmaster = 1\n") }
    );
    ok $found->('ctl', '--pid', $other->path('pid'), 'status'),
        '--pid, any free port by a configuration file';
    $other->ends_ok;
    my $run = run_program('ctl', 'status');
    is $run->{status}, 2, 'none at all is wrong usage';
    like $run->{err}, qr/which server\? Give --admin ADDRESS, --config FILE or --pid FILE/,
        'and says what to give';
    $run = run_program('ctl', '--admin', 'unix:' . $master->path('none'), 'status');
    is $run->{status}, 3, 'nobody there is 3';
    like $run->{err}, qr/no server answers at unix:\S*none: No such file or directory/,
        'with the reason';
};

subtest 'usage' => sub {
    my $help = run_program('ctl', 'help');
    is $help->{status}, 0, 'help';
    for my $verb (qw(status top workers worker connections stuck config reload upgrade reopen drain
        undrain stop quit))
    {
        like $help->{out}, qr/^  $verb\b/m, "names $verb";
    }
    is run_program('ctl', $_)->{out}, $help->{out}, "$_ is the same" for '--help', '-h';
    for my $words (
        [],
        ['dance'],
        ['status',  'x'],
        ['workers', 'x'],
        ['worker'],
        ['worker', 'kill'],
        ['worker', 'kill', '0'],
        ['reload', '--now'],
        ['worker', 'kill', '1x'],
        ['worker', 'kill', '-1'],
        ['worker', 'kill', '+1'],
        ['top',    'x'],
        ['top',    '-1'],
        ['--loud', 'status']
        )
    {
        my $run = ctl(@$words);
        is $run->{status}, 2, "'@$words' is wrong usage";
        like $run->{err}, qr/\Asprig ctl: .*; see sprig ctl help\n\z/, 'and says so in a line';
    }
    is run_program('ctl', '--admin')->{status}, 2, '--admin needs a value';
    is ctl('--pid', 'x', 'status')->{status},   2, '--admin and --pid do not go together';
};

subtest 'a token' => sub {
    my $port  = SprigTest::Server::_free_port();
    my $file  = spew(SprigTest::temp_path('token'), "0123456789abcdef\n");
    my $other = start_workers(
        code  => $APP,
        flags => ['--admin', "127.0.0.1:$port", '--admin-token-file', $file, '--pid', 'pid'],
    );
    my $run = run_program('ctl', '--admin', "127.0.0.1:$port", 'status');
    is $run->{status}, 1, 'without it the server says no';
    like $run->{err}, qr/the token of admin_token_file is needed/, 'and what is missing';
    is run_program('ctl', '--admin', "127.0.0.1:$port", '--token-file', $file, 'status')->{status},
        0,
        '--token-file';
    is run_program('ctl', '--pid', $other->path('pid'), 'status')->{status}, 0, 'found by --pid';
    is run_program('ctl', '--pid', $other->path('pid'), 'quit')->{status},   0, 'quit';
    ok eventually(sub { !$other->is_alive }), 'ends it';
};

subtest 'an application that is called ctl' => sub {
    my $dir = SprigTest::temp_path('dir');
    mkdir $dir or die $!;
    my $app    = spew("$dir/ctl", $APP);
    my $server = start_program('-o', '127.0.0.1', '-p', 0, $app);
    ok $server->is_alive, 'is served by its path';
    $server->stop;
};

subtest 'stop' => sub {
    says_ok(['stop'], qr/\Aending when the requests in progress are answered\n/);
    ok eventually(sub { !is_running($master->master) }), 'it does';
    ok !-e $master->path('ctl'),                         'and its socket is gone';
};

done_testing;
