# USR2 with another configuration: addresses that are new are opened, those that are gone are closed,
# and the others stay open all the time.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use IO::Socket::UNIX;
use SprigTest;
use SprigTest::Load;
use SprigTest::Server;
use SprigTest::Workers;
use Test::More;

-d '/proc/self' or plan skip_all => 'no /proc';

my ($kept, $new) = map { SprigTest::Server::_free_port() } 1, 2;

# A master with a configuration file: these addresses.
sub start_listening {
    my (@addresses) = @_;
    my $master = start_workers(
        listen  => [],
        waits   => 0,
        flags   => ['--config', 'sprig.conf', '--pid', 'pid'],
        prepare => sub { configure('.', @addresses) },
    );
    $master->{port} = $kept;
    ok eventually(sub { port_answers($kept) }, 60), 'the server answers' or diag $master->stderr;
    $master->learn_master;
    return $master;
}

sub configure {
    my ($dir, @addresses) = @_;
    return spew("$dir/sprig.conf", join '',
        map { /=/ ? "$_\n" : "listen = $_\n" } 'error_log = stderr', @addresses);
}

sub port_answers {
    return answers(
        IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $_[0], Timeout => 10));
}

sub path_answers {
    return answers(IO::Socket::UNIX->new(Peer => $_[0]));
}

sub answers {
    my ($socket) = @_;
    $socket or return 0;
    local $SIG{PIPE} = 'IGNORE';
    print {$socket} "GET /alive HTTP/1.0\r\n\r\n";
    local $/;
    my $all = readline $socket;
    return defined $all && $all =~ m{^HTTP/1\.[01] 200 };
}

sub upgrade_ok {
    my ($master) = @_;
    my $old = $master->master;
    $master->signal('USR2');
    my $is_over = eventually(sub { !is_running($old) }, 60);
    $master->learn_master;
    return ok $is_over && $master->master != $old, 'USR2: another master serves'
        || diag $master->stderr;
}

subtest 'other addresses' => sub {
    my $master = start_listening("127.0.0.1:$kept", './old.sock');
    my $old    = $master->path('old.sock');
    ok path_answers($old),  'the unix socket answers';
    ok !port_answers($new), 'there is nobody at the other port';

    my @loads = $master->loads;
    configure($master->dir, "127.0.0.1:$kept", "127.0.0.1:$new", './new.sock');
    upgrade_ok($master);
    ok port_answers($new),                      'the new port answers';
    ok path_answers($master->path('new.sock')), 'and the new path';
    ok !path_answers($old) && !-e $old,         'the path that is gone is closed, and removed';
    ok $master->stderr_like(qr/no longer listening on unix:\S+old\.sock/), 'which the log says';
    no_loss_ok('USR2', @loads);
    $master->ends_ok;
};

subtest 'an upgrade that fails' => sub {
    my $master = start_listening("127.0.0.1:$kept", './old.sock');
    my $app    = slurp($master->path('app.psgi'));
    configure($master->dir, "127.0.0.1:$kept", './new.sock');
    $master->put('app.psgi', "die 'not today'\n");
    $master->signal('USR2');
    ok $master->stderr_like(qr/cannot upgrade/), 'is reported' or diag $master->stderr;
    ok path_answers($master->path('old.sock')),  'the old path answers as before';
    ok !-e $master->path('new.sock'),            'the new one is not left behind';

    $master->put('app.psgi', $app);
    upgrade_ok($master);
    ok path_answers($master->path('new.sock')) && !-e $master->path('old.sock'),
        'after the repair it is the other way round';
    $master->ends_ok;
};

subtest 'other options of an address' => sub {
    my $master = start_listening("127.0.0.1:$kept");
    configure($master->dir, "127.0.0.1:$kept,proxy_protocol");
    $master->signal('USR2');
    ok $master->stderr_like(qr/needs trusted_proxies.*cannot upgrade/s),
        'that cannot be had are refused'
        or diag $master->stderr;
    configure($master->dir, "127.0.0.1:$kept,proxy_protocol", 'trusted_proxies = 127.0.0.1');
    upgrade_ok($master);
    my $socket = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $kept, Timeout => 10);
    print {$socket} "PROXY TCP4 192.0.2.7 192.0.2.8 4711 80\r\nGET /alive HTTP/1.0\r\n\r\n";
    like join('', readline $socket), qr{^HTTP/1\.[01] 200 }, 'count from then on';
    ok !port_answers($kept), 'for everybody';
    $master->ends_ok;
};

subtest 'another address of the admin listener' => sub {
    my $master = start_listening("127.0.0.1:$kept", 'admin = unix:./ctl1');
    ok -S $master->path('ctl1'), 'there is a socket';
    configure($master->dir, "127.0.0.1:$kept", 'admin = unix:./ctl2');
    upgrade_ok($master);
    ok -S $master->path('ctl2') && !-e $master->path('ctl1'), 'and then the other in its place';
    upgrade_ok($master);
    ok -S $master->path('ctl2'), 'which stays with the next upgrade';
    $master->ends_ok;
};

done_testing;
