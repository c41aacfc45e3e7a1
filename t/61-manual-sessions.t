# The terminal sessions of the manual, typed again: what is said to come out does.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use POSIX qw(:sys_wait_h);
use SprigTest;
use SprigTest::Manual;
use Test::More;
use Time::HiRes qw(sleep time);

my $root = SprigTest::root();
my $bash = tool_path('bash') or plan skip_all => 'there is no bash';
tool_path('curl')            or plan skip_all => 'there is no curl';
-x "$root/blib/script/sprig" or plan skip_all => 'the program sprig was not built';

for my $page (pages()) {
    my @blocks = grep { defined $_->{test} && $_->{test} =~ /^(?:session|file)\b/ } blocks($page);
    next if !grep { $_->{test} =~ /^session/ } @blocks;
SKIP: {
        my ($missing) = map { missing_module($_) } @blocks;
        skip "$page: $missing is not installed", 1 if $missing;
        subtest $page => sub { replay(@blocks) };
    }
}
done_testing;

sub replay {
    my (@blocks) = @_;
    my $folder = SprigTest::temp_path('session');
    mkdir $folder or die "$folder: $!";
    my $shell = open_shell($folder);
    for my $block (@blocks) {
        if ($block->{test} =~ /^file (\S+)/) {
            spew("$folder/$1", with_ports($shell, $block->{code}));
            next;
        }
        for my $step (split /^(?=\$ )/m, $block->{code}) {
            my ($command, $expected) = $step =~ /\A\$ ((?:[^\n]*\\\n)*[^\n]*)\n?(.*)\z/s
                or fail("line $block->{line}: no command"), next;
            type($shell, $command, $expected, "line $block->{line}");
        }
    }
    close_shell($shell);
    return;
}

# A shell in a group of its own, with the sprig that was built, and ports that are free.
sub open_shell {
    my ($folder) = @_;
    pipe my $read, my $write or die "pipe: $!";
    spew("$folder.out",     '');
    spew("$folder/.curlrc", "silent\nshow-error\n");
    my %port = map { $_ => free_port() } 5000, 8080, 8443;
    my $pid  = fork;
    defined $pid or die "fork: $!";
    if (!$pid) {
        POSIX::setsid();
        chdir $folder or POSIX::_exit(126);
        $ENV{PATH}      = "$root/blib/script:$ENV{PATH}";
        $ENV{PERL5LIB} = join ":", "$root/blib/lib", "$root/blib/arch", $ENV{PERL5LIB} || ();
        $ENV{PORT}      = $port{5000};
        $ENV{CURL_HOME} = $folder;    # its .curlrc turns the progress meter off
        open STDIN,  '<&', $read         or POSIX::_exit(126);
        open STDOUT, '>>', "$folder.out" or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT      or POSIX::_exit(126);
        close $write;
        exec($bash, '--norc') or POSIX::_exit(127);
    }
    $write->autoflush(1);
    return { pid => $pid, in => $write, out => "$folder.out", port => \%port, at => 0, n => 0 };
}

sub with_ports { return $_[1] =~ s/\b(5000|8080|8443)\b/$_[0]{port}{$1}/gr }

sub free_port {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "listen: $!";
    return $socket->sockport;
}

# Waits until the command has ended and what was expected is there; in the background that may be later.
sub type {
    my ($shell, $command, $expected, $where) = @_;
    my $typed = with_ports($shell, $command);
    my $mark  = sprintf '[done %d]', ++$shell->{n};
    print { $shell->{in} } "$typed\necho '$mark'\n";
    my ($deadline, $out, $pattern) = (time + 20, '', pattern($expected));
    while (time < $deadline) {
        $out = substr slurp($shell->{out}), $shell->{at};
        my $ended = $out =~ s/^\Q$mark\E\n//m;
        last if $ended && comparable($out) =~ $pattern;
        sleep 0.05;
    }
    like comparable($out), $pattern, "$where: $command" or diag $typed, "\n", $out;
    $shell->{at} = length slurp($shell->{out});
    return;
}

# Numbers and blank space differ from day to day, and on a terminal messages have no origin.
sub comparable {
    my ($text) = @_;
    return SprigTest::without_origin($text) =~ s/\d+/0/gr =~ s/\r//gr =~ s/[ \t]+/ /gr =~
        s/ ?\n+/\n/gr =~ s/\A\n//r;
}

sub pattern {
    my ($expected) = @_;
    my $text = quotemeta comparable($expected =~ s/\s+\z/\n/r);
    $text =~ s/(?:\\\.){3}(?:\\\n)?/.*/g;
    return qr/\A$text\s*\z/s;
}

sub close_shell {
    my ($shell) = @_;
    close $shell->{in};
    kill TERM => -$shell->{pid};
    my $deadline = time + 10;
    while (time < $deadline && waitpid($shell->{pid}, WNOHANG) == 0) { sleep 0.05 }
    kill KILL => -$shell->{pid};
    return;
}
