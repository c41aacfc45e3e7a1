# Workers give root up: before the application is loaded, wherever that happens. As root only.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;
use SprigTest;

plan skip_all => 'not run by root' if $>;
my @user = getpwnam 'nobody' or plan skip_all => 'no user nobody';
plan skip_all => 'others may not read this folder' if !SprigTest::others_may_read();

my $code = <<'APP';
    my $loaded = $>;
    my $hook;
    Sprig::Worker->after_fork(sub { $hook = $> });
    sub {
        my $again = eval { $> = 0; $> };
        return [200, [], [join ' ', $$, $loaded, $hook, $<, $again]];
    };
APP

my $folder = tempdir(CLEANUP => 1);
chmod 0755, $folder or die "$folder: $!";
my $app = SprigTest::spew("$folder/app.psgi", $code);

for my $preload (0, 1) {
    my $dir = tempdir(CLEANUP => 1);
    chmod 0755, $dir or die "$dir: $!";
    my $server = start_server(
        by    => 'program',
        app   => $app,
        args  => { workers => 2, preload_app => $preload, user => 'nobody' },
        flags => ['-l', '127.0.0.1:0', '-l', "$dir/socket", '--pid', "$dir/pid"],
    );
    my ($pid, @ids) =
        split / /, $server->ask("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")->body;
    is "@ids", join(' ', ($user[2]) x 4), "preload_app $preload: nobody from the beginning";
    my ($master) = slurp('/proc/' . $server->pid . '/status') =~ /^Uid:\t([0-9]+)/m;
    is $master,           $preload ? $user[2] : 0, '... whoever runs the application is';
    is slurp("$dir/pid"), $server->pid . "\n",     '... the pid file is root\'s';
    is((stat "$dir/socket")[4], $user[2], '... the socket is the user\'s');
    $server->stop_ok;
}

done_testing;
