# Sprig::Manual::Tutorial from its first line to its last, typed as it stands into a system that has nothing but
# Debian's base, README's packages and Sprig. BARE_SYSTEM names the folder of such a system, as debootstrap
# makes it; it is copied, and apt inside has to work:
#
#   debootstrap --variant=minbase bookworm /var/tmp/bookworm
#   BARE_SYSTEM=/var/tmp/bookworm prove -b -It/lib xt/tutorial.t
#
# The copy has a network and processes of its own, so that port 80 is free. There is no systemd in it: xt/lib/bare/
# has a systemctl that starts what the units start, and a certbot that makes a certificate by itself.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t/lib";
use File::Temp ();
use POSIX      ();
use SprigTest;
use SprigTest::Manual;
use SprigTest::Shell;
use Test::More;

my $bare = $ENV{BARE_SYSTEM} or plan skip_all => 'BARE_SYSTEM names no system';
-x "$bare/usr/bin/apt-get"   or plan skip_all => "$bare is no system of Debian";
$> == 0                      or plan skip_all => 'only root can go into another system';
for my $tool (qw(unshare ip)) {
    SprigTest::tool_path($tool) || -x "/usr/sbin/$tool" or plan skip_all => "there is no $tool";
}

my $ROOT   = SprigTest::root();
my $PAGE   = 'lib/Sprig/Manual/Tutorial.pod';
my @INSIDE = (
    qw(env -i PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LC_ALL=C),
    'DEBIAN_FRONTEND=noninteractive'
);

my $scratch = File::Temp->newdir;
my $system  = "$scratch/root";
prepare_system();
my $shell = open_shell();
$shell->type('cd /root/sprig', undef, 'in the folder of Sprig');
for my $block (blocks($PAGE)) {
    my $kind = $block->{test} || 'commands';
    if    ($kind =~ /^file (\S+)/) { spew("$system/root/$1", $block->{code}) }
    elsif ($kind =~ /^session/)    { type_session($block) }
    else                           { type_commands($block) }
}
after_it();
$shell->close;
done_testing;

END { umount_system() if $system }

# ---- the system

sub prepare_system {
    run('cp', '-ax', $bare, $system);    # not what is mounted there
    mkdir "$system/root/sprig";
    run('sh', '-c',
        "cd '$ROOT' && tar cf - --files-from MANIFEST | tar xf - -C '$system/root/sprig'");
    run('install', '-m', '0755', $_, "$system/usr/local/bin") for glob "$FindBin::Bin/lib/bare/*";
    spew("$system/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n");    # packages start nothing
    chmod 0755, "$system/usr/sbin/policy-rc.d";
    run('mount', '--bind', '/dev', "$system/dev");
    run('mount', '-t', 'proc', 'proc', "$system/proc");
    return run('chroot', $system, @INSIDE, 'apt-get', '-q', 'update');
}

sub umount_system {
    system "umount -l '$system/proc' '$system/dev' 2>/dev/null";
    undef $system;
    return;
}

sub run {
    my (@command) = @_;
    open my $log, '>>', "$scratch/log" or die "$scratch/log: $!";
    my $pid = fork;
    defined $pid or die "fork: $!";
    if (!$pid) {
        open STDIN,  '<',  '/dev/null';
        open STDOUT, '>&', $log;
        open STDERR, '>&', $log;
        exec @command or POSIX::_exit(127);
    }
    waitpid $pid, 0;
    return if !$?;
    diag slurp("$scratch/log");
    BAIL_OUT("@command: status $?");
}

# With a network, a host name and processes of its own, which end with it.
sub open_shell {
    my $up = 'ip link set lo up && mount -t proc proc "$0/proc" && exec chroot "$0" "$@"';
    return SprigTest::Shell->open(
        command => [
            qw(unshare --net --mount --pid --fork --kill-child sh -c),
            $up, $system, @INSIDE, 'bash', '--norc'
        ],
        out     => "$scratch/out",
        seconds => 900,
    );
}

# ---- what is typed

sub type_session {
    my ($block) = @_;
    $shell->type('cd', undef, 'at home') if $block->{heading} =~ /^HELLO/;
    spew("$system/root/.curlrc", "silent\nshow-error\n");
    for my $step (SprigTest::Shell::steps($block->{code})) {
        my ($command, $expected) = @$step;
        $shell->{seconds} = 60;
        $shell->type($command, $expected, "line $block->{line}: $command");
    }
    return;
}

# Lines without an answer: each has to end well. Packages come by the network of this machine; those of
# certbot, whose place is taken, only have to exist. What goes on until somebody stops it is stopped.
sub type_commands {
    my ($block) = @_;
    my $code = $block->{code} =~ s/\\\n\s*//gr;
    for my $command (grep { /\S/ } split /\n/, $code) {
        my $name = "line $block->{line}: $command";
        if (my ($packages) = $command =~ /^apt-get install (.*)/) {
            my $how = $packages =~ /certbot/ ? '-s' : '-y';
            run('chroot', $system, @INSIDE, 'apt-get', '-q', $how, 'install', split ' ', $packages);
            pass $name;
            next;
        }
        my ($plain) = $command =~ /^(.*?)\s*(?:#.*)?$/;
        $plain = "timeout 2 $plain >/dev/null; test \$? = 0 -o \$? = 124"
            if $plain =~ /\btop$|^tail -f/;
        $shell->{seconds} = 900;
        $shell->type($plain, undef, $name);
    }
    return;
}

# What the tutorial promises at its end: the chat over HTTPS, WebSockets from its own page only.
sub after_it {
    my $url  = 'https://chat.example.org';
    my $curl = "curl --max-time 3 -k --http1.1 --resolve chat.example.org:443:127.0.0.1";
    my @ask  = map { "-H '$_'" } 'Connection: Upgrade', 'Upgrade: websocket',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';
    my $status = "-o /dev/null -w '%{http_code}\\n'";
    spew("$system/root/after.sh", <<"END");
$curl $status $url/
$curl $status @ask -H 'Origin: $url' $url/socket
$curl $status @ask -H 'Origin: https://elsewhere.example' $url/socket
END
    $shell->{seconds} = 30;
    my $out = "$system/root/after.out";
    $shell->type('cd; sh after.sh >after.out 2>/dev/null; true', undef, 'asking the chat');
    is slurp($out) =~ s/\n/ /gr, '200 101 403 ',
        'the page, its socket, and not that of another page';
    return;
}
