# The same server from plackup: Plack::Handler::Sprig.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Plack::Handler::Sprig;
use SprigTest;
use Test::More;

my $get = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

sub start {
    my ($code, %option) = @_;
    return start_server(code => $code, by => 'plackup', %option);
}

subtest 'new opens nothing' => sub {
    my @before  = glob '/proc/self/fd/*';
    my $handler = Plack::Handler::Sprig->new(listen => [':0'], unknown_option => 1);
    is_deeply [glob '/proc/self/fd/*'], \@before, 'no descriptors';
    is $handler->{unknown_option}, 1, 'it is a hash of its options';
    ok !$INC{'AnyEvent.pm'}, 'and chooses no event loop';
};

subtest 'options' => sub {
    my $server = start(
        'sub { [200, [], ["x" x 10]] }',
        args  => { 'server_header' => 'Plack' },
        flags => ['--disable-keepalive']
    );
    my $response = $server->ask($get);
    is $response->header('Server'),     'Plack', '--name=value';
    is $response->header('Connection'), 'close', '--disable-name';
    $server->stop_ok;
};

subtest 'a wrong option' => sub {
    my $server = eval { start('sub { }', args => { max_headers => 'many' }) };
    like $@, qr/max_headers must be a whole number from 0 to 100000, got 'many'/,
        'ends it with a message';
};

subtest '-L Delayed' => sub {
    my $server = start(<<'APP', flags => ['-L', 'Delayed']);
my $pid = $$;
warn "compiled\n";
sub { [200, [], [$pid == $$ ? 'in the server' : 'elsewhere']] };
APP
    ok $server->stderr_like(qr/^compiled$/m), 'is compiled before the first request';
    is $server->ask($get)->body, 'in the server', 'in the process that serves';
    $server->stop_ok;
};

subtest '-L Shotgun' => sub {
    my $server = start('my $pid = $$; sub { [200, [], [$pid]] }', flags => ['-L', 'Shotgun']);
    my @pids   = map { $server->ask($get)->body } 1 .. 2;
    isnt $pids[0], $pids[1], 'every request has a process of its own';
    $server->stop_ok;
};

subtest 'a switch that takes the file of the application for its value' => sub {
    my $app    = spew(SprigTest::temp_path('app') . '.psgi', 'sub { }');
    my @server = (by => 'plackup', app => $app);
    ok !eval { start_server(@server, flags => ['--no-keepalive', $app]) }, 'does not start';
    like $@, qr/value of --no-keepalive, here '\Q$app\E': write --disable-keepalive$/m, 'and says why';
    my $server = start_server(@server, flags => ['--no-keepalive=1']);
    like $server->ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n", until_eof => 1)->header('Connection'),
        qr/close/, 'with a value of its own it is what it says';
    $server->stop_ok;
    $server = start_server(@server, flags => ['--no-delay=0']);
    pass 'no_delay is an option';
    $server->stop_ok;
};

done_testing;
