# Where the program listens: the forms of an address, and what is none.

use strict;
use warnings;
use FindBin;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Client;
use SprigTest::Program;
use Test::More;

my $get   = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
my $app   = app_file('sub { [200, [], ["hi"]] }');
my $forms = 'an address is PORT, *:PORT, HOST:PORT, [IPV6]:PORT, unix:PATH, a path with a slash '
    . 'or @NAME, and ",tls", ",redirect", ",h2c" or ",proxy_protocol" may follow';

sub unix_answer {
    my ($path) = @_;
    my $socket = IO::Socket::UNIX->new($path) or return "$path: $!";
    my $client = SprigTest::Client->adopt($socket);
    $client->send($get);
    return $client->response->body;
}

subtest 'a port alone means all addresses' => sub {
    for my $workers (1, 2) {
        my $server = start_program('-l', '0', '--workers', $workers, $app);
        like $server->stderr, qr{: http://0\.0\.0\.0:[1-9]\d*/ }, 'the banner';
        is $server->ask($get)->body, 'hi', "a request, $workers workers";
        $server->stop_ok;
    }
    my $port   = SprigTest::Server::_free_port();
    my $server = start_program('-l', $port, $app);
    is $server->port, $port, 'the port is that';
    $server->stop_ok;
};

subtest '*:PORT means all addresses of both families' => sub {
    my $has_v6 = eval {
        require IO::Socket::IP;
        IO::Socket::IP->new(LocalHost => '::', V6Only => 1, Listen => 1);
    };
    for my $flags ([], ['--workers', 2], ['--workers', 2, '--preload-app'], ['--reuseport']) {
        my $server = start_program('-l', '*:0', @$flags, $app);
        my %port   = $server->stderr =~ m{http://(\S+):([1-9]\d*)/}g;
        is_deeply [sort keys %port], [$has_v6 ? ('0.0.0.0', '[::]') : '0.0.0.0'],
            "@$flags: the banner";
        is $server->ask($get)->body, 'hi', 'a request over IPv4';
        next if !$has_v6;
        is $port{'[::]'}, $port{'0.0.0.0'}, 'the port is the same';
        my $client = SprigTest::Client->adopt(
            IO::Socket::IP->new(PeerHost => '::1', PeerPort => $port{'[::]'}) || die "connect: $@");
        $client->send($get);
        is $client->response->body, 'hi', 'a request over IPv6';
        $server->stop_ok;
    }
};

subtest ':PORT and [::]:PORT leave room for each other' => sub {
    my $has_v6
        = eval { require IO::Socket::IP; IO::Socket::IP->new(LocalHost => '::', Listen => 1) };
    plan skip_all => 'there is no IPv6 here' if !$has_v6;
    my $port   = SprigTest::Server::_free_port();
    my $server = start_program('-l', ":$port", '-l', "[::]:$port", $app);
    is $server->ask($get)->body, 'hi', 'the server answers';
    $server->stop_ok;
};

subtest 'each address of a name' => sub {
    my $probe = eval {
        require IO::Socket::IP;
        IO::Socket::IP->new(LocalHost => '::1', Listen => 1);
    };
    my %is_there = map { $_ => 1 } map { (split)[0] } split /\n/,
        output_of('getent', 'ahosts', 'localhost');
    my $server = start_program('-l', 'localhost:0', $app);
    my @urls   = $server->stderr =~ m{http://(\S+):(\d+)/}g;
    my %port   = @urls;
    is join(' ', sort keys %port),
        join(' ',
        sort grep { defined } $is_there{'127.0.0.1'} && '127.0.0.1',
        $probe && $is_there{'::1'} && '[::1]'),
        'localhost: a line for each';
    is scalar(keys %{ { reverse %port } }), 1, 'they have the same port';
    $server->stop_ok;
};

subtest 'unix:PATH and a path with a slash' => sub {
    my $path = SprigTest::temp_path('sock');
    for my $workers (1, 2) {
        for my $address ("unix:$path", $path) {
            my $server = start_program('-l', $address, '--workers', $workers, $app);
            like $server->stderr, qr{ unix:\Q$path\E }, 'the banner';
            is unix_answer($path), 'hi', "$address, $workers workers";
            $server->stop_ok;
            ok !-e $path, 'the path is removed';
        }
    }
};

subtest 'an abstract socket' => sub {
    plan skip_all => 'only Linux has them' if $^O ne 'linux';
    for my $workers (1, 2) {
        my $name   = "sprig-test-$$-$workers";
        my $server = start_program('-l', "\@$name", '--workers', $workers, $app);
        like $server->stderr, qr{ unix:\@$name }, 'the banner';
        is unix_answer("\0$name"), 'hi', "a request, $workers workers";
        $server->stop_ok;
        ok !-e "\@$name", 'there is no file';
    }
};

subtest 'what is no address' => sub {
    my %reason = (
        'app.sock'                      => "that is not a port, and a path needs a slash; $forms",
        '127.0.0.1:8080,proxy-protocol' => "'proxy-protocol' is not an option of an address; $forms",
        '127.0.0.1:8080:ssl'            => "that is not a host and a port; $forms",
        'http://127.0.0.1:80'           => "that is a URL; $forms",
        'tcp://127.0.0.1:80'            => "that is a URL; $forms",
        '127.0.0.1:65536'               => 'the port must be 0..65535',
    );
    for my $address (sort keys %reason) {
        for my $workers (1, 2) {
            my $run = run_program('-l', $address, '--workers', $workers, $app);
            is $run->{err},    "sprig: cannot listen on $address: $reason{$address}\n", $address;
            is $run->{status}, 2, 'the status says so';
        }
        ok !-e $address, 'and there is no socket of that name';
    }
};

subtest 'the application changes the folder' => sub {
    my $dir = SprigTest::temp_path('folder');
    mkdir $dir or die "mkdir: $!";
    my $before = SprigTest::root();
    for my $flags (
        ['-S', 'app.sock'],
        ['-l', './app.sock'],
        ['-S', 'app.sock', '--workers', 2],
        ['-S', 'app.sock', '--workers', 2, '--preload-app']
        )
    {
        chdir $dir or die "chdir: $!";
        my $server = start_program(@$flags, '--access-log', 'log', '--pid', 'pid', '-e',
            'chdir "/"; sub { chdir "/usr"; [200, [], ["hi"]] }');
        chdir $before or die "chdir: $!";
        my $socket = IO::Socket::UNIX->new("$dir/app.sock")
            or return fail "@$flags: it listens: $!";
        my $client = SprigTest::Client->adopt($socket);
        $client->send($get);
        is $client->response->body, 'hi', "@$flags: the socket is where it was asked for";
        ok -e "$dir/$_", "and $_" for qw(log pid);
        $server->stop_ok;
        ok !-e "$dir/$_", "$_ is removed" for qw(app.sock pid);
        unlink "$dir/log";
    }
};

subtest 'Sprig::Server and plackup' => sub {
    require Sprig::Server;
    for my $address ('app.sock', 'http://127.0.0.1:80') {
        eval { Sprig::Server->new(listen => [$address]) };
        like $@, qr/\ASprig::Server->new: cannot listen on \Q$address\E: .*; \Q$forms\E at /,
            $address;
    }
    my $server = eval { Sprig::Server->new(listen => ['[::1]:0'], host => '[', port => ':1]:0') };
    ok $server, 'what plackup makes of an IPv6 address does not matter' or diag $@;
    eval { Sprig::Server->new(port => 'http') };
    like $@, qr/port must be 0\.\.65535, got 'http'/, 'a port without an address does';
};

subtest "plackup -s Sprig -l '[::1]:PORT'" => sub {
    my $plackup = tool_path('plackup') or plan skip_all => 'plackup is not installed';
    eval { require IO::Socket::IP; IO::Socket::IP->new(LocalHost => '::1', Listen => 1) }
        or plan skip_all => 'there is no ::1 here';
    my $port = SprigTest::Server::_free_port();
    my $blib = SprigTest::root() . '/blib';
    my $err  = SprigTest::temp_path('err');
    defined(my $pid = fork) or die "fork: $!";
    if (!$pid) {
        open STDERR, '>', $err or die "stderr: $!";
        exec $^X, "-I$blib/lib", "-I$blib/arch", $plackup, '-s', 'Sprig', '-l', "[::1]:$port", $app
            or POSIX::_exit(127);
    }
    my $socket;
    my $is_there = SprigTest::Server::_until(30,
        sub { $socket = IO::Socket::IP->new(PeerHost => '::1', PeerPort => $port) });
    ok $is_there, 'it listens' or diag slurp($err);
    if ($is_there) {
        my $client = SprigTest::Client->adopt($socket);
        $client->send($get);
        is $client->response->body, 'hi', 'and answers';
    }
    kill 'TERM', $pid;
    waitpid $pid, 0;
};

done_testing;
