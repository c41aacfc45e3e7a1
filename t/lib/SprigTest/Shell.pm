package SprigTest::Shell;

# A shell into which sessions of the manual are typed, and what has to come out.
#
#   my $shell = SprigTest::Shell->open(folder => $folder, command => ['bash', '--norc'], in_child => sub { ... });
#   $shell->type($command, $expected, $name);
#   $shell->close;
#
# In what is expected "..." stands for anything, and any number for any other.

use strict;
use warnings;
use POSIX qw(:sys_wait_h);
use SprigTest;
use Test::More  ();
use Time::HiRes qw(sleep time);

# Options: command (list), out (file for what it prints), seconds (for one command, 20), in_child (code that the new
# process runs first), port (hash: instead of this port another one is typed).
sub open {
    my ($class, %option) = @_;
    pipe my $read, my $write or die "pipe: $!";
    spew($option{out}, '');
    my $pid = fork;
    defined $pid or die "fork: $!";
    if (!$pid) {
        POSIX::setsid();
        close $write;
        $option{in_child}->() if $option{in_child};
        open STDIN,  '<&', $read        or POSIX::_exit(126);
        open STDOUT, '>>', $option{out} or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT     or POSIX::_exit(126);
        exec { $option{command}[0] } @{ $option{command} } or POSIX::_exit(127);
    }
    $write->autoflush(1);
    return bless { seconds => 20, port => {}, %option, pid => $pid, in => $write, at => 0, n => 0 },
        $class;
}

sub with_ports {
    my ($self, $text) = @_;
    my ($any) = map { qr/\b($_)\b/ } join('|', sort keys %{ $self->{port} }) || '(?!)';
    return $text =~ s/$any/$self->{port}{$1}/gr;
}

# Waits until the command has ended and what was expected is there; in the background that may be later.
# Without $expected it only has to end well.
sub type {
    my ($self, $command, $expected, $name) = @_;
    my $typed = $self->with_ports($command);
    my $mark  = sprintf '[done %d', ++$self->{n};
    print { $self->{in} } "$typed\necho '$mark' \$?]\n";
    my ($deadline, $out, $status) = (time + $self->{seconds}, '');
    my $pattern = defined $expected ? pattern($expected) : qr//;
    while (time < $deadline) {
        $out    = substr slurp($self->{out}), $self->{at};
        $status = $1 if $out =~ s/^\Q$mark\E (\d+)\]\n//m;
        last if defined $status && comparable($out) =~ $pattern;
        sleep 0.05;
    }
    $self->{at} = length slurp($self->{out});
    return Test::More::like(comparable($out), $pattern, $name)
        || Test::More::diag($typed, "\n", $out)
        if defined $expected;
    return Test::More::is($status, 0, $name) || Test::More::diag($typed, "\n", $out);
}

sub close {
    my ($self) = @_;
    close $self->{in};
    kill TERM => -$self->{pid};
    my $deadline = time + 10;
    while (time < $deadline && waitpid($self->{pid}, WNOHANG) == 0) { sleep 0.05 }
    kill KILL => -$self->{pid};
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

# The commands of a session, each with what is below it.
sub steps {
    my ($session) = @_;
    return map { [/\A\$ ((?:[^\n]*\\\n)*[^\n]*)\n?(.*)\z/s] } split /^(?=\$ )/m, $session;
}

1;
