# Sprig::Manual::Migration as it stands: each command in its list of commands is run, with the server that people
# come from and with Sprig, and both answer; the options that its tables put side by side exist on both sides. The
# servers have a network of their own, so that they can listen where the manual says. A server that is not installed
# is skipped, and named.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t/lib";
use IO::Socket::INET ();
use POSIX            ();
use SprigTest;
use SprigTest::Manual;
use SprigTest::Probe qw(eventually);
use SprigTest::Program;
use Test::More;

$> == 0 or plan skip_all => 'only root can make a network';
for my $tool (qw(unshare ip curl)) {
    SprigTest::tool_path($tool) || -x "/usr/sbin/$tool" or plan skip_all => "there is no $tool";
}

my $ROOT    = SprigTest::root();
my $PAGE    = 'lib/Sprig/Manual/Migration.pod';
my $SECONDS = 30;

my %blocks;
push @{ $blocks{ $_->{heading} } }, $_->{code} for blocks($PAGE);

# What has the options of another server: files, or a command that prints them.
my %others = (
    'FROM STARMAN AND STARLET' => {
        Starman => [files('starman',                  'Starman/Server.pm', 'Plack/Runner.pm')],
        Starlet => [files('Plack/Handler/Starlet.pm', 'Starlet/Server.pm', 'Plack/Runner.pm')],
    },
    'FROM FEERSUM'   => { Feersum => [files('feersum', 'Feersum/Runner.pm')] },
    'FROM UWSGI'     => { uWSGI   => ['uwsgi', '--plugins', 'psgi,http', '--help'] },
    'FROM HYPNOTOAD' => {
        hypnotoad => [files('hypnotoad', map { "Mojo/Server/$_.pm" } qw(Daemon Prefork Hypnotoad))]
    },
);

# ---- the commands

my $folder = SprigTest::temp_path('migration');
mkdir $folder or die "$folder: $!";
spew("$folder/app.psgi", "sub { [200, ['Content-Type' => 'text/plain'], ['here I am']] };\n");
spew("$folder/myapp.pl",
    "use Mojolicious::Lite;\nget '/' => sub { shift->render(text => 'here I am') };\napp->start;\n"
);

for my $line (grep { /\S/ } split /\n/, $blocks{DESCRIPTION}[0]) {
    my ($from, $to) = $line =~ /\A\s*(\S.*?\S)\s{2,}(\S.*)\z/;
    serves($from, needs_of($from));
    serves($to,   sprig => 1, processes => $to =~ /workers[ =](\d+)/ ? $1 + 1 : 1);
}

# What a command needs beside itself: { module => ..., tool => ... }.
sub needs_of {
    my ($command) = @_;
    my ($tool)    = split / /, $command;
    my ($class)   = $command =~ /-s (\w+)/;
    return (tool => $tool, module => $class && "Plack::Handler::$class");
}

sub serves {
    my ($command, %option) = @_;
    subtest $command => sub {
        my ($tool, $module) = @option{qw(tool module)};
        plan skip_all => "$tool is not installed" if $tool && !tool_path($tool);
        plan skip_all => "$module is not installed"
            if $module && !eval "require $module; 1";
        my $pid = start($command);
        my $got = '';
        eventually(sub { ($got = ask($pid)) eq 'here I am' }, $SECONDS);
        is $got, 'here I am', 'it answers' or diag slurp("$folder/out");
        is processes(), $option{processes}, 'with as many processes as it says'
            if $option{processes}
            && !eventually(sub { processes() == $option{processes} }, $SECONDS);
        end_all();
    };
    return;
}

# In a network of its own; hypnotoad leaves the foreground.
sub start {
    my ($command) = @_;
    $command =~ s/\Auwsgi\b/uwsgi --plugins psgi,http/;
    my $pid = fork;
    defined $pid or die "fork: $!";
    return $pid if $pid;
    chdir $folder;
    delete @ENV{qw(PLACK_ENV PERL_ANYEVENT_MODEL SPRIG_DEV)};
    $ENV{PERL5LIB} = "$ROOT/blib/lib:$ROOT/blib/arch";
    $ENV{PATH}     = "$ROOT/blib/script:$ENV{PATH}";
    open STDIN,  '<',  '/dev/null';
    open STDOUT, '>',  'out';
    open STDERR, '>&', \*STDOUT;
    exec 'unshare', '--net', 'sh', '-c', "ip link set lo up; exec $command; sleep 60"
        or POSIX::_exit(127);
}

# From within its network; the port is the one that it was told, or the usual one.
sub ask {
    my ($pid) = @_;
    for my $process (processes_here()) {
        for my $port (5000, 8080) {
            my $body =
                `nsenter --net=/proc/$process/ns/net curl -s --max-time 5 http://127.0.0.1:$port/ 2>&1`;
            return $body if $body =~ /\S/;
        }
    }
    return '';
}

sub processes_here {
    return
        grep { (readlink("/proc/$_/cwd") || '') eq $folder } map { m{(\d+)} } glob '/proc/[0-9]*';
}

sub processes { return scalar processes_here() }

sub end_all {
    kill TERM => processes_here();
    eventually(sub { 1 while waitpid(-1, POSIX::WNOHANG()) > 0; !processes() }, 10)
        or kill KILL => processes_here();
    1 while waitpid(-1, POSIX::WNOHANG()) > 0;
    unlink glob "$folder/*.pid";
    return;
}

END {
    local $?;
    end_all() if $folder;
}

# ---- the tables

my $defaults = run_program('--print-config')->{out};
my $known    = run_program('--help-all')->{out} =~ s/\[no-\]//gr;
for my $heading (sort keys %others) {
    subtest $heading => sub {
        my ($head, @rows) = split /\n/, $blocks{$heading}[0];
        my @at;
        push @at, $-[0] while $head =~ /\S+/g;
        my @name = split ' ', $head;
        for my $n (0 .. $#at) {
            my $width  = $n < $#at ? $at[$n + 1] - $at[$n] : 200;
            my $column = join "\n",
                map { length > $at[$n] ? substr $_, $at[$n], $width : '' } @rows;
            my @options = names($column);
            if ($name[$n] eq 'Sprig') {
                for my $option (@options) {
                    my $long = $option =~ tr/_/-/r =~ s/\Ano-//r;    # plackup's have "_"
                    like $known, qr/--\Q$long\E\b/, "Sprig has $option";
                }
                while ($column =~ /--([-a-z]+) N \[(\d+)/g) {
                    my ($name, $default) = ($1 =~ tr/-/_/r, $2);
                    like $defaults, qr/^$name = $default\s/m, "... and $name is $default";
                }
                next;
            }
            my $text = text_of(@{ $others{$heading}{ $name[$n] } });
            next if !$text && diag("$name[$n] is not installed");
            like $text, pattern($_), "$name[$n] has $_" for @options;
        }
    };
}

# Options, and the settings of hypnotoad.
sub names {
    my ($column) = @_;
    my %seen;
    return grep { !$seen{$_}++ } $column =~ /--([a-z][-\w]*)/g,
        $column =~ /^(\w+)(?= =>|_timeout|_file)/mg;
}

sub pattern {
    my ($name) = @_;
    my $any    = join '[-_]', map { quotemeta } split /[-_]/, $name =~ s/\Adisable-//r;
    return qr/(?<![a-z])$any(?![a-z])/;
}

# Paths of these that are installed.
sub files {
    return grep { defined } map {
        my $name = $_;
        $name =~ /\.pm\z/ ? (grep { -e } map { "$_/$name" } @INC)[0] : tool_path($name)
    } @_;
}

sub text_of {
    my (@what) = @_;
    return join '', map { slurp($_) } grep { -e } @what if !grep { /\A--/ } @what;
    return tool_path($what[0]) ? `@what 2>&1` : '';
}

done_testing;
