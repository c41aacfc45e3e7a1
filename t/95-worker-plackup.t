# plackup -s Sprig with --workers, --pid and -D.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use IO::Socket::INET;
use Plack::Handler::Sprig;
use Test::More;
use SprigTest;
use SprigTest::Client;

my $plackup = tool_path('plackup') or plan skip_all => 'plackup is not installed';
my $dir     = tempdir(CLEANUP => 1);
my $hello   = 'sub { [200, [], ["$$ one"]] }';
my $serial  = 0;

sub get {
    my ($port) = @_;
    my $client = SprigTest::Client->connect('127.0.0.1', $port);
    $client->send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    return $client->response->body;
}

sub eventually {
    my ($condition) = @_;
    for (1 .. 500) {
        return 1 if $condition->();
        select undef, undef, undef, 0.02;
    }
    return 0;
}

# The words of a plackup that listens on a free port; the port.
sub command {
    my ($app, @flags) = @_;
    my $port = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1')->sockport;
    my $root = SprigTest::root();
    return ($port, $^X, "-I$root/blib/lib", "-I$root/blib/arch", $plackup, '-s', 'Sprig', '-E',
        'deployment', '-l', "127.0.0.1:$port", @flags, $app);
}

for my $workers (1, 2) {
    subtest "-D, workers $workers" => sub {
        my $app  = SprigTest::spew(SprigTest::temp_path('app') . '.psgi', $hello);
        my $file = "$dir/pid-" . ++$serial;
        my ($port, @command) = command($app, '-D', '--pid', $file, '--workers', $workers);
        is output_of(@command), '', 'the command returns, and says nothing';
        is $?,                  0,  'with status 0';
        my ($pid) = slurp($file) =~ /\A([0-9]+)\n\z/ or return fail 'a pid file';
        ok kill(0, $pid), 'the process of the pid file is there';
        my $tty = (split / /, slurp("/proc/$pid/stat"))[6];
        is $tty, 0, 'without a terminal';
        my ($served) = get($port) =~ /\A([0-9]+) one\z/ or return fail 'an answer';
        is $served == $pid ? 1 : 0, $workers == 1 ? 1 : 0, 'who answers';
        output_of(@command);
        isnt $?, 0, 'a second one is refused';
        like get($port), qr/one/, '... the first goes on';
        kill 'TERM', $pid;
        ok eventually(sub { !-e $file && !kill 0, $pid }), 'TERM ends it and removes the file';
    };
}

subtest '-D with an app that cannot be loaded' => sub {
    my $app = SprigTest::spew(SprigTest::temp_path('app') . '.psgi', 'die "no database\n"');
    for my $workers (1, 2) {
        my $file = "$dir/pid-" . ++$serial;
        my (undef, @command) =
            command($app, '-D', '-L', 'Delayed', '--pid', $file, '--workers', $workers);
        like output_of(@command), qr/no database/, "workers $workers: the reason is shown";
        isnt $?, 0, '... and the status says it, too';
        ok eventually(sub { !-e $file }), '... no pid file stays';
    }
};

subtest 'the pid file of one process' => sub {
    my $file   = "$dir/pid-" . ++$serial;
    my $server = start_server(
        by    => 'plackup',
        code  => 'sub { exit 5 if $_[0]{PATH_INFO} eq "/exit"; [200, [], []] }',
        flags => ['--pid', $file],
    );
    is slurp($file), $server->pid . "\n", 'is written';
    my $client = $server->connect;
    $client->send("GET /exit HTTP/1.1\r\nHost: a\r\n\r\n");
    $client->is_closed;
    is $server->stop, 5 << 8, 'the app exits';
    ok !-e $file, 'it is removed';
};

subtest 'HUP and USR2' => sub {
    my $app  = SprigTest::spew(SprigTest::temp_path('app') . '.psgi', $hello);
    my $file = "$dir/pid-" . ++$serial;
    my $server =
        start_server(by => 'plackup', app => $app, flags => [qw(--workers 2 --pid), $file]);
    like get($server->port), qr/one/, 'the app';
    SprigTest::spew($app, $hello =~ s/one/two/r);
    kill 'HUP', $server->pid;
    ok $server->stderr_like(qr/reloaded/), 'HUP';
    like get($server->port), qr/one/, 'does not compile what plackup has compiled';
    kill 'USR2', $server->pid;
    ok eventually(sub { get($server->port) =~ /two/ }),  'USR2 does';
    ok eventually(sub { slurp($file) != $server->pid }), 'and there is another master';
    chomp(my $pid = slurp($file));
    ok eventually(sub { !$server->is_alive }), 'in the place of the first';
    kill 'TERM', $pid;
    ok eventually(sub { !-e $file && !kill 0, $pid }), 'TERM ends it';
};

subtest 'HUP under -L Delayed' => sub {
    my $app    = SprigTest::spew(SprigTest::temp_path('app') . '.psgi', $hello);
    my $server = start_server(by => 'plackup', app => $app, flags => [qw(--workers 2 -L Delayed)]);
    like get($server->port), qr/one/, 'the app';
    SprigTest::spew($app, 'sub {' . "\n" . 'my x = 1; }');
    kill 'HUP', $server->pid;
    ok $server->stderr_like(qr/cannot reload.*No such class x at \S+ line 2|syntax error/),
        'a syntax error is told';
    like get($server->port), qr/one/, 'and nothing changes';
    SprigTest::spew($app, $hello =~ s/one/two/r);
    kill 'HUP', $server->pid;
    ok eventually(sub { get($server->port) =~ /two/ }), 'until it is corrected';
    $server->stop_ok;
};

subtest 'server_ready' => sub {
    my $sock = "$dir/sock";
    my ($port, @command) = command(SprigTest::spew(SprigTest::temp_path('app') . '.psgi', $hello),
        '--workers', 3, '-l', $sock, '-E', 'development');
    my $pid = open my $out, '-|';
    defined $pid or die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec 'timeout', 30, @command;
    }
    my @lines = map { scalar readline $out } 1 .. 2;
    is_deeply [sort @lines],
        [
        "Sprig: Accepting connections at http://127.0.0.1:$port/\n",
        "Sprig: Accepting connections at http://unix/:$sock/\n"
        ],
        'once for each listener';
    kill 'TERM', $pid;
    is_deeply [grep { /Accepting/ } readline $out], [], 'and no more';
    close $out;
    ok !-e $sock, 'the path is removed';
};

subtest 'names of Twiggy::Prefork' => sub {
    my $handler = Plack::Handler::Sprig->new(max_workers => 3, max_reqs_per_child => 7);
    is_deeply { %$handler }, { workers => 3, max_requests => 7 }, 'are taken';
    $handler = Plack::Handler::Sprig->new(max_workers => 3, workers => 4);
    is_deeply { %$handler }, { workers => 4 }, 'where ours are not given';
};

done_testing;
