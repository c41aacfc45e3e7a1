# From the banner to the exit status.

use strict;
use warnings;
use File::Temp;
use FindBin;
use IO::Socket::INET;
use IO::Socket::UNIX;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Client;
use SprigTest::Program;
use Test::More;

# True as soon as nobody accepts at its port.
sub refuses_soon {
    my ($server) = @_;
    return SprigTest::Server::_until(30, sub { !$server->_accepts });
}

my $dir   = File::Temp->newdir;
my $hello = app_file('sub { [200, ["Content-Type" => "text/plain"], ["hello"]] }');
my $get   = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

subtest 'the banner' => sub {
    my $server = start_program('-o', '127.0.0.1', '-p', 0, $hello);
    like $server->stderr,
        qr{\Asprig 0\.\d{3}: http://127\.0\.0\.1:(\d+)/ \(1 worker, deployment\)\n\z},
        'names address, number of workers and environment';
    is $server->ask($get)->body, 'hello', 'and is true';
    $server->stop_ok;

    my $encoded = app_file('binmode STDERR, ":encoding(UTF-8)"; sub { }');
    like start_program('-o', '127.0.0.1', '-p', 0, $encoded)->stderr, qr/1 worker/,
        'is not kept in a buffer';

    my $two = start_program('-l', '127.0.0.1:0', '-l', "$dir/two.sock", '-E', 'test', $hello);
    ok $two->stderr_like(qr{: unix:\Q$dir\E/two\.sock \(1 worker, test\)\n}),
        'a line for each address';
    $two->stop_ok;
};

subtest 'IPv6' => sub {
    my $probe = eval {
        require IO::Socket::IP;
        IO::Socket::IP->new(LocalHost => '::1', Listen => 1);
    } or plan skip_all => 'there is no ::1 here';
    my $server = start_program('-o', '::1', '-p', 0, $hello);
    my ($port) = $server->stderr =~ m{: http://\[::1\]:(\d+)/ } or diag $server->stderr;
    my $client = SprigTest::Client->adopt(
        IO::Socket::IP->new(PeerHost => '::1', PeerPort => $port, Type => SOCK_STREAM));
    $client->send($get);
    is $client->response->body, 'hello', '-o ::1';
    $server->stop_ok;
};

for my $signal (qw(TERM INT QUIT)) {
    subtest "$signal ends it" => sub {
        my $server = start_program('-S', "$dir/$signal.sock", $hello);
        my $client = SprigTest::Client->adopt(IO::Socket::UNIX->new("$dir/$signal.sock"));
        $client->send($get);
        is $client->response->body, 'hello', 'serves on a unix socket';
        is $server->stop($signal),  0,       'status 0' or diag $server->stderr;
        ok !-e "$dir/$signal.sock", 'the path of the socket is gone';
        ok $client->is_closed,      'the idle connection is closed';
    };
}

subtest 'a request in progress is answered before the end' => sub {
    my $app = app_file(<<'APP');
use AnyEvent;
sub {
    my ($env) = @_;
    sub {
        my ($respond) = @_;
        $env->{'psgi.errors'}->print("in progress\n");
        my $t; $t = AE::timer 0.3, 0, sub { undef $t; $respond->([200, [], ["late"]]) };
    };
};
APP
    my $server = start_program('-o', '127.0.0.1', '-p', 0, $app);
    my $client = $server->connect;
    $client->send($get);
    ok $server->stderr_like(qr/in progress/), 'the app has begun';
    kill 'TERM', $server->pid;
    my $response = $client->response;
    is $response->body,                 'late',  'answered';
    is $response->header('Connection'), 'close', 'for the last time';
    ok $client->is_closed, 'the connection ends';
    $server->stop_ok;
};

subtest 'INT and a second signal that comes later do not wait' => sub {
    my $app = app_file('my @kept; sub { my $env = shift; sub { push @kept, @_; '
            . '$env->{"psgi.errors"}->print("in progress\n") } }');
    for my $signals (['INT'], ['TERM', 'TERM'], ['QUIT', 'INT']) {
        my $server = start_program('-o', '127.0.0.1', '-p', 0, $app);
        my $client = $server->connect;
        $client->send($get);
        $server->stderr_like(qr/in progress/) or diag $server->stderr;
        my ($last, @first) = reverse @$signals;
        for my $signal (@first) {
            kill $signal, $server->pid;
            ok refuses_soon($server), "$signal: listens no more";
            ok $server->is_alive,     '... but goes on';
            select undef, undef, undef, 1.1 if $last ne 'INT';
        }
        is $server->stop($last), 0,  "@$signals: ends with status 0";
        is $client->rest,        '', '... and the client gets nothing';
    }
};

subtest 'graceful_timeout' => sub {
    my $app = app_file('my @kept; sub { my $env = shift; sub { push @kept, @_; '
            . '$env->{"psgi.errors"}->print("in progress\n") } }');
    my $server = start_program('-o', '127.0.0.1', '-p', 0, '--graceful-timeout', '0.2', $app);
    my $client = $server->connect;
    $client->send($get);
    ok $server->stderr_like(qr/in progress/), 'a request that is never answered';
    is $server->stop, 0,  'does not keep it from ending';
    is $client->rest, '', 'and got nothing';

    my $stream = app_file('my %kept; sub { sub { my $w = $_[0]->([200, []]); $kept{$w} = $w;'
            . '$w->write("begun"); $w->on_disconnect(sub { print STDERR "told\n" }) } }');
    $server = start_program('-o', '127.0.0.1', '-p', 0, '--graceful-timeout', '0.2', $stream);
    $client = $server->connect;
    $client->send($get);
    $client->wait_for_bytes(1);
    is $server->stop, 0, 'nor does a stream that is never closed';
    like $server->stderr, qr/^told$/m,   'which is told by on_disconnect';
    unlike $client->rest, qr/\r\n0\r\n/, 'and does not look complete';
};

subtest 'an address that is taken' => sub {
    my $taken = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die $!;
    my $port  = $taken->sockport;
    my $run   = run_program('-l', "127.0.0.1:$port", $hello);
    is $run->{status}, 1, 'exit status 1';
    is $run->{err}, "sprig: cannot listen on 127.0.0.1:$port: Address already in use\n", 'one line';

    my $nowhere = run_program('-S', '/nonexistent/folder/sock', $hello);
    is $nowhere->{status}, 1, 'a unix path in no folder';
    like $nowhere->{err}, qr{\Asprig: cannot listen on \S*/nonexistent/folder/sock: .*\n\z},
        'one line';
};

subtest 'exit in the application' => sub {
    my $app =
        app_file('END { print STDERR "END\n" } package G; sub DESTROY { print STDERR "DESTROY\n" }'
            . 'my $g = bless []; sub { $g; exit 3 }');
    my $server = start_program('-o', '127.0.0.1', '-p', 0, $app);
    $server->connect->send($get);
    is $server->stop('CONT') >> 8, 3, 'is the status of the program' or diag $server->stderr;
    like $server->stderr, qr/^END$/m,     'END blocks run';
    like $server->stderr, qr/^DESTROY$/m, 'objects are destroyed';
};

subtest '$0 and the command line' => sub {
    -r "/proc/$$/cmdline" or plan skip_all => 'no /proc';
    my $app    = app_file('$0 = "renamed by the application"; sub { [200, [], [$0]] }');
    my $server = start_program('-o', '127.0.0.1', '-p', 0, $app, 'argument');
    is $server->ask($get)->body, 'renamed by the application', '$0 can be set';
    like slurp('/proc/' . $server->pid . '/cmdline'),
        qr{sprig\x{0}-o\x{0}127\.0\.0\.1\x{0}-p\x{0}0\x{0}.*\x{0}argument\x{0}\z}s,
        'and the arguments of the process stay readable';
    $server->stop_ok;
};

done_testing;
