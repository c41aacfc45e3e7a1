# The benchmark; started by dev/bench.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp   qw(tempdir);
use Getopt::Long qw(GetOptions);
use SprigBench::Callgrind;
use SprigBench::Load;
use SprigBench::Report;
use SprigBench::Scenarios;
use SprigBench::Servers;

my %option = (log => 0, add => [], out => "$FindBin::Bin/reports");
GetOptions(
    \%option, 'servers=s', 'scenarios=s', 'seconds=i', 'rounds=i', 'out=s',
    'add=s@', 'log!',      'callgrind',   'realtime',  'quick',    'list',
    'help'
) or usage(2);
usage(0) if $option{help};

sub usage {
    my ($status) = @_;
    print { $status ? \*STDERR : \*STDOUT } <<'END';
Usage: dev/bench [options]
  --servers A,B     of sprig plackup nginx twiggy feersum starman starlet uwsgi hypnotoad mojo pagi;
                    all that are installed ("mojo" is hypnotoad's application on Sprig)
  --scenarios A,B   see --list; all
  --seconds N       for each measurement [3]
  --rounds N        measurements of each, the servers alternating; the median counts [3]
  --log             the program sprig writes an access log
  --out DIR         where the report goes [bench/reports]
  --add DIR         what an earlier run has found goes into the report as well; repeatable
  --quick           the scenarios that say most, one round of a second: less than five minutes
  --callgrind       counts instructions instead
  --realtime        WebSockets and event streams instead: echo, broadcast, idle sockets beside
                    Mojolicious, node's ws and python's websockets, events by channel and from Perl
  --list            names servers and scenarios
END
    exit $status;
}

sub chosen {
    my ($given, @all) = @_;
    return @all if !defined $given;
    my %known = map { $_ => 1 } @all;
    my @names = split /,/, $given;
    $known{$_} or die "there is no '$_', only: @all\n" for @names;
    return @names;
}

$SIG{PIPE} = 'IGNORE';    # servers close when they like

if ($option{quick}) {
    $option{seconds} ||= 1;
    $option{rounds}  ||= 1;
    $option{scenarios} = 'hello,browser,close,post,writer,delayed,file-64k,overload,slow,push'
        if !defined $option{scenarios};
}
$option{seconds} ||= 3;
$option{rounds}  ||= 3;

my %scenario = map { $_->{name} => $_ } SprigBench::Scenarios->all;
my @names    = chosen($option{scenarios}, map { $_->{name} } SprigBench::Scenarios->all);
my %version  = map  { $_ => scalar SprigBench::Servers->version($_) } SprigBench::Servers->names;
my @servers  = grep { $version{$_} } chosen($option{servers}, SprigBench::Servers->names);
if ($option{list}) {
    print "servers: @servers\nscenarios: @names\n";
    exit 0;
}
@servers or die "none of the servers is installed\n";

# Files to serve, and all that servers leave behind.
my $folder = tempdir('sprig-bench-XXXXXX', TMPDIR => 1, CLEANUP => 1);
chmod 0755, $folder;
my %size = ('64k' => 65_536, '32m' => 32 * 1024 * 1024);
for my $name (keys %size) {
    open my $out, '>', "$folder/$name" or die "$folder/$name: $!";
    print {$out} 'x' x $size{$name};
    close $out or die "$folder/$name: $!";
}

# Certificates with their keys.
my %kind = (ecdsa => [qw(ec -pkeyopt ec_paramgen_curve:P-256)], rsa => ['rsa:2048']);
for my $name (
    grep {
        my $kind = $_;
        grep { ($scenario{$_}{tls} || '') eq $kind } @names
    } sort keys %kind
    )
{
    my $path    = "$folder/$name.pem";
    my @command = (
        qw(openssl req -x509 -nodes -batch -subj /CN=localhost),
        '-newkey', @{ $kind{$name} },
        '-keyout', "$path.key", '-out', $path
    );
    system("@command 2>/dev/null && cat $path.key >>$path") == 0
        or die "openssl made no certificate\n";
}

my $n_cpus  = () = glob '/sys/devices/system/cpu/cpu[0-9]*';
my $can_pin = $n_cpus > 1 && !system 'taskset -c 0 true 2>/dev/null';
my %at      = (
    app     => "$FindBin::Bin/app.psgi",
    files   => $folder,
    folder  => $folder,
    log     => $option{log},
    pin     => $can_pin,
    cpu     => 0,
    seconds => $option{seconds},
);

# These have an application of their own, which says hello and nothing else.
my %only_hello = map { $_ => 1 } qw(hypnotoad mojo pagi);

sub can_do {
    my ($server, $scenario) = @_;
    return $scenario->{nginx} if $server eq 'nginx';
    return 0                  if $only_hello{$server} && $scenario->{path} ne '/';
    return !$scenario->{only} || grep { $_ eq $server } @{ $scenario->{only} };
}

# Loads that are no row of requests, and what only the kernel works for.
my %is_left_out = map { $_ => 1 } qw(file-64k file-32m unix idle push steady overload slow),
    grep { $scenario{$_}{tls} } keys %scenario;

sub callgrind {
    for my $name (grep { !$is_left_out{$_} } @names) {
        my $n = SprigBench::Callgrind->measure('sprig', $scenario{$name}, %at);
        printf "%-9s %8.0f instructions for a request\n", $name, $n;
    }
    return;
}

sub measure {
    my ($server, $scenario) = @_;
    my $process = eval { SprigBench::Servers->start($server, %at, tls => $scenario->{tls}) }
        or return { error => $@ =~ s/\n//r };
    my @pin    = $can_pin ? ('taskset', '-c', '1-' . ($n_cpus - 1)) : ();
    my $result = eval {
        my %short = (%at, pin => \@pin);
        SprigBench::Load->measure($process, $scenario, %short, seconds => 1)
            if !$scenario->{load} || $scenario->{load} =~ /\A(?:full|resumed|steady)\z/;    # warm
        SprigBench::Load->measure($process, $scenario, %short);
    } || { error => $@ =~ s/\n//r };
    $process->stop;
    return $result;
}

exec $^X, '-Mblib', "$FindBin::Bin/realtime.pl", '--seconds', $option{seconds} if $option{realtime};
if ($option{callgrind}) {
    callgrind();
    exit 0;
}

my $report = SprigBench::Report->new(
    servers    => \@servers,
    versions   => \%version,
    commands   => { map { $_ => SprigBench::Servers->shown_command($_, %at) } @servers },
    scenarios  => [SprigBench::Scenarios->all],
    conditions => sprintf(
        '%s of %d s; servers %s; %s.',
        $option{rounds} == 1 ? 'one round' : "medians of $option{rounds} rounds",
        $option{seconds},
        $can_pin     ? 'on processor 0, the load on the others' : 'not pinned',
        $option{log} ? 'sprig writes an access log'             : 'no access log'
    ),
);
$report->add_run($_) for @{ $option{add} };
for my $name (@names) {
    my @able    = grep { can_do($_, $scenario{$name}) } @servers;
    my $is_once = ($scenario{$name}{load} || '') =~ /\A(?:idle|push)\z/;
    $report->forget($name);
    for my $round (1 .. ($is_once ? 1 : $option{rounds})) {
        $report->add($name, $_, measure($_, $scenario{$name})) for @able;
    }
    print $report->table($scenario{$name}), "\n";
}
mkdir $option{out};
print 'report: ', $report->write_files($option{out}), "\n";
