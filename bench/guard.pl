# Counts instructions for requests and compares them with those of instructions.txt; started by
# dev/guard. No clock is involved, so that a busy machine finds the same.

use strict;
use warnings;
use Config;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp   qw(tempdir);
use Getopt::Long qw(GetOptions);
use IO::Socket::INET;
use POSIX ();
use SprigBench::Callgrind;
use SprigBench::Scenarios;
use SprigBench::Servers;

# More than this is a step backwards.
use constant TOLERANCE => 0.02;

# Each scenario is asked for SHORT times in every run, and LONG times in the one that is about it: what
# the first requests and the start take cancels out.
use constant { SHORT => 256, LONG => 1280 };

# A run that takes so many seconds hangs.
use constant PATIENCE => 500;

my $FIGURES = "$FindBin::Bin/instructions.txt";

my %option;
GetOptions(\%option, 'renew', 'help') or usage(2);
usage(0) if $option{help};

sub usage {
    my ($status) = @_;
    print { $status ? \*STDERR : \*STDOUT } <<'END';
Usage: dev/guard [--renew]
Counts the instructions that requests take in user space, and fails if one takes 2 % more than
bench/instructions.txt says for this perl.
  --renew   writes what it finds there instead
END
    exit $status;
}

# ---- the load

# The handshake, and then so many messages of 100 bytes that come back.
sub echo {
    my ($port, $n) = @_;
    my $socket = IO::Socket::INET->new("127.0.0.1:$port") or die "connect: $!";
    my $head   = join "\r\n", 'GET /echo HTTP/1.1', 'Host: localhost', 'Upgrade: websocket',
        'Connection: Upgrade', 'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==', '', '';
    my $in = '';
    syswrite $socket, $head;
    until ($in =~ /\r\n\r\n\z/) {
        sysread $socket, $in, 65_536, length $in or die "no handshake: '$in'\n";
    }
    $in =~ m{\AHTTP/1.1 101 } or die "no WebSocket: '$in'\n";
    my $frame = pack 'C2 N a*', 0x81, 0x80 | 100, 0, 'x' x 100;
    for (1 .. $n) {
        syswrite $socket, $frame;
        my $got = 0;
        while ($got < 102) {
            $got += sysread $socket, $in, 102 or die "the server closed\n";
        }
    }
    close $socket;
    return;
}

my %scenario = map { $_->{name} => $_ } SprigBench::Scenarios->all;
my @names    = qw(hello browser delayed writer echo);

# What is asked for where one name is asked for LONG times; none: no name is.
sub load {
    my ($about) = @_;
    return sub {
        my ($port) = @_;
        for my $name (@names) {
            my $n = $name eq $about ? LONG : SHORT;
            if ($name eq 'echo') {
                echo($port, $n);
            } else {
                SprigBench::Callgrind->ask($port, $scenario{$name}, $n);
            }
        }
    };
}

# ---- counting

my $folder = tempdir('sprig-guard-XXXXXX', TMPDIR => 1, CLEANUP => 1);

sub count_one {
    my ($about) = @_;
    my $own = "$folder/$about";
    mkdir $own or die "$own: $!";
    alarm PATIENCE;
    my $total = SprigBench::Callgrind->count(
        'sprig', load($about),
        app    => "$FindBin::Bin/app.psgi",
        files  => $own,
        folder => $own,
        pin    => 0
    );
    open my $out, '>', "$own/total" or die "$own: $!";
    print {$out} $total;
    close $out or die "$own: $!";
    return;
}

# One process for each run, two at a time.
sub count_all {
    my @left = ('none', @names);
    my %running;
    while (@left || %running) {
        if (@left && keys %running < 2) {
            my $about = shift @left;
            my $pid   = fork;
            defined $pid or die "fork: $!";
            if (!$pid) {
                eval { count_one($about); 1 } or do { print STDERR $@; POSIX::_exit(1) };
                POSIX::_exit(0);
            }
            $running{$pid} = $about;
            next;
        }
        my $pid   = waitpid -1, 0;
        my $about = delete $running{$pid} or next;
        die "the run for $about failed\n" if $?;
    }
    return;
}

sub total {
    my ($about) = @_;
    open my $in, '<', "$folder/$about/total" or die "$about: $!";
    return readline $in;
}

# ---- figures

# They depend on the compiler, perl and the parser library.
sub system_name {
    my ($compiler) = qx($Config{cc} -dumpversion) =~ /\A(\d+)/;
    open my $in, '<', "$FindBin::Bin/../Makefile" or die "no Makefile\n";
    my ($parser) = map { /^SPRIG_PARSER = (\S+)/ ? $1 : () } <$in>;
    return "perl-$Config{version}/$Config{archname}/cc-$compiler/$parser";
}

# system => { name => instructions }
sub read_figures {
    my %figure;
    open my $in, '<', $FIGURES or return \%figure;
    while (defined(my $line = readline $in)) {
        $figure{$1}{$2} = $3 if $line =~ /\A([^#\s]\S*) (\S+) (\d+)\n/;
    }
    return \%figure;
}

sub write_figures {
    my ($figure) = @_;
    open my $out, '>', $FIGURES or die "$FIGURES: $!";
    print {$out}
        "# Instructions in user space for a request; see guard.pl. dev/guard --renew writes this.\n";
    for my $system (sort keys %$figure) {
        print {$out} "$system $_ $figure->{$system}{$_}\n" for sort keys %{ $figure->{$system} };
    }
    close $out or die "$FIGURES: $!";
    return;
}

# ---- all of it

my $system = system_name();
my $figure = read_figures();
my $wanted = $figure->{$system};
if (!$wanted && !$option{renew}) {
    print "dev/guard: there are no figures for $system: nothing to compare with. ",
        "dev/guard --renew adds them.\n";
    exit 0;
}

# The order of a hash would make a difference of its own.
$ENV{PERL_HASH_SEED}    = 0;
$ENV{PERL_PERTURB_KEYS} = 0;
count_all();
my %found = map { $_ => int((total($_) - total('none')) / (LONG - SHORT) + 0.5) } @names;
if ($option{renew}) {
    $figure->{$system} = \%found;
    write_figures($figure);
}

my $status = 0;
for my $name (@names) {
    my $old  = $wanted->{$name};
    my $more = $old ? $found{$name} / $old - 1 : 0;
    my $bad  = !$option{renew} && $more > TOLERANCE;
    printf "%-8s %6d  %s%s\n", $name, $found{$name},
        $old ? sprintf('%+.1f %%', 100 * $more) : 'new',
        $bad ? ': takes more than it did'       : '';
    $status = 1 if $bad;
}
exit $status;
