# Who the server is: user, group, umask, mode and owner of unix sockets. As root only, but for the
# messages.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp qw(tempdir);
use IO::Socket::UNIX;
use SprigTest;
use SprigTest::Program;
use SprigTest::Client;
use Test::More;

my $program = SprigTest::root() . '/blib/script/sprig';
my $get     = "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
my $code =
    'sub { [200, [], [join "|", $<, $>, $(, $), sprintf("%03o", umask), eval { $> = 0; $> }]] }';

sub refused_ok {
    my ($args, $message) = @_;
    my $out = SprigTest::output_of($program, '-l', '127.0.0.1:0', '-e', $code, @$args);
    is($out, "sprig: $message\n", "@$args");
    return;
}

refused_ok(['--user',  'no such user'],  "user: there is no user 'no such user'");
refused_ok(['--group', 'no such group'], "group: there is no group 'no such group'");
refused_ok(["--$_->[0]=$_->[2]"], "$_->[1] must be an octal number from 0 to 777, got '$_->[2]'")
    for ['umask', 'umask', '9'], ['umask', 'umask', '1000'], ['socket-mode', 'socket_mode', 'rw'];
refused_ok(['--socket-user',  'no such user'],  "socket_user: there is no user 'no such user'");
refused_ok(['--socket-group', 'no such group'], "socket_group: there is no group 'no such group'");

SKIP: {
    skip 'not run by root', 1 if $>;
    my @user = getpwnam 'nobody' or skip 'no user nobody', 1;
    my ($uid, $gid) = @user[2, 3];
    skip 'others may not read this folder', 1 if !SprigTest::others_may_read();

    subtest 'user, umask and the socket' => sub {
        my $dir = tempdir(CLEANUP => 1);
        chmod 0755, $dir or die "$dir: $!";
        my $server = start_server(
            by    => 'program',
            code  => $code,
            flags =>
                [qw(--user nobody --umask 027 --socket-mode 660 -l 127.0.0.1:0 -l), "$dir/socket"]
        );
        is(
            $server->ask($get)->body,
            "$uid|$uid|$gid $gid|$gid $gid|027|$uid",
            'ids, groups and umask, and no way back'
        );
        my @stat = stat "$dir/socket";
        is(sprintf('%o', $stat[2] & 0777), '660',       'mode of the socket');
        is("$stat[4] $stat[5]",            "$uid $gid", 'its owner');
        my $client = SprigTest::Client->adopt(IO::Socket::UNIX->new(Peer => "$dir/socket"));
        $client->send($get);
        is($client->response->status, 200, 'it works');
        $server->stop_ok;
    };

    for (
        ['one process',   0,    []],
        ['--master',      $uid, ['--master']],
        ['--workers',     $uid, ['--workers', 2]],
        ['--preload-app', $uid, ['--workers', 2, '--preload-app']],
        )
    {
        my ($name, $loader, $flags) = @$_;
        my $server = start_program(qw(--user nobody -l 127.0.0.1:0),
            @$flags, '-e', 'my $loaded_by = $>; sub { [200, [], ["$loaded_by $>"]] }');
        is($server->ask($get)->body, "$loader $uid", "$name: who loads the application, who runs it");
        $server->stop_ok;
    }

    # Options, user and group of the socket.
    for (
        [[qw(--user nobody --socket-user 4711 --socket-group 4712)], 4711, 4712],
        [[qw(--user nobody --socket-group 4712)],                    $uid, 4712],
        [[qw(--user 12345 --group 54321 --socket-user nobody)],      $uid, $gid],
        [[qw(--group 54321)],                                        0,    54321],
        [[qw(--socket-user 4711 --socket-mode 600)],                 4711, 4711],
        )
    {
        my ($flags, @owner) = @$_;
        subtest "socket of @$flags" => sub {
            my $dir = tempdir(CLEANUP => 1);
            chmod 0755, $dir or die "$dir: $!";
            my $server = start_server(
                by    => 'program',
                code  => $code,
                flags => [@$flags, '-l', '127.0.0.1:0', '-l', "$dir/socket"]
            );
            is(join(' ', (stat "$dir/socket")[4, 5]), "@owner", 'its owner');
            $server->stop_ok;
        };
    }

    subtest 'group and numbers' => sub {
        my $server = start_server(
            by    => 'program',
            code  => $code,
            flags => [qw(--user 12345 --group 54321 -l 127.0.0.1:0)]
        );
        like($server->ask($get)->body, qr/\A12345\|12345\|54321 54321\|54321 54321\|/, 'are taken');
        $server->stop_ok;
    };

    subtest 'the log of root follows no link' => sub {
        my $dir    = tempdir(CLEANUP => 1);
        my $target = SprigTest::spew("$dir/target", 'before');
        symlink $target, "$dir/log" or die "symlink: $!";
        my $out = SprigTest::output_of($program, '-l', '127.0.0.1:0', '-e', $code, '--access-log',
            "$dir/log");
        like($out, qr/\Asprig: cannot write to \Q$dir\E\/log: /, 'refused');
        is(SprigTest::slurp($target), 'before', 'nothing is written');
    };
}

done_testing;
