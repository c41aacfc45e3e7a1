package SprigTest::Workers;

# A master with its workers, in a folder of its own: started, asked, signalled, and what it leaves behind.
#
#   my $master = start_workers(workers => 2, flags => ['--max-requests', 5]);
#   my @pids   = $master->serving(2);          # once both answer
#   $master->rewrite(version => 2);
#   $master->signal('HUP');
#   $master->ends_ok;                          # status 0, and nothing is left
#
# The app is app_text(), that is t/lib/workers.psgi, unless `code` is given. All processes of a master have its folder as their
# working folder; that is how they are found.

use strict;
use warnings;
use Cwd      qw(realpath);
use Exporter qw(import);
use IO::Socket::UNIX;
use POSIX ();
use SprigTest;
use SprigTest::Client;
use SprigTest::Load;
use SprigTest::Probe qw(eventually get);
use SprigTest::Server;
use Test::More  ();
use Time::HiRes qw(time);

our @ISA = ('SprigTest::Server');
our @EXPORT =
    qw(start_workers app_text eventually get children_of process_of processes_in is_running);

my $START_SECONDS = 60;
my $STOP_SECONDS  = 45;
my %folder;    # of all masters, to end what a failed test has left

# ---- the app ----

# Its text. Options: version, dies (a line that is put in front), module (true: loads Changed.pm),
# alive (status of /alive).
sub app_text {
    my (%option) = @_;
    my $version  = defined $option{version} ? $option{version} : 1;
    my $alive    = $option{alive} || 200;
    my $first    = ($option{dies} || '') . ($option{module} ? ' require Changed;' : '');
    my $changed  = $option{module} ? '$Changed::VERSION' : '""';
    return <<"SETTINGS" . slurp(SprigTest::lib() . '/workers.psgi');
use strict; use warnings; use Cwd (); use Time::HiRes ();
my (\$version, \$dir);
BEGIN { \$version = '$version'; \$dir = Cwd::getcwd(); unshift \@INC, "\$dir/lib" }
sub note { open my \$to, '>>', "\$dir/\$_[0]" or die "\$_[0]: \$!"; syswrite \$to, "\$_[1]\\n" }
BEGIN { note('loads', Time::HiRes::time() . " \$\$ \$version") }
$first
my \$changed = $changed;
my \$alive = $alive;
SETTINGS
}

# ---- starting ----

# Starts a master and returns it when it has told that it serves. Options:
#   workers   2
#   is_dev    true: --dev in place of workers
#   code      text of the app
#   by        'program', 'plackup' or 'server' (t/lib/workers.pl)
#   flags     list of flags of the program or of plackup
#   listen    list of addresses ['127.0.0.1:0'] (program only); [] for none
#   env       hash of environment variables
#   under     list: a command that runs it
#   prepare   code that the new process runs before it becomes the server
#   waits     0: return at once
sub start_workers {
    my (%option) = @_;
    my $dir = realpath(SprigTest::temp_path('workers'));
    mkdir $dir or die "cannot make $dir: $!";
    my $self = bless {
        host        => '127.0.0.1',
        by          => $option{by} || 'program',
        owner       => $$,
        dir         => $dir,
        n           => $option{workers} || 2,
        stderr_path => "$dir/stderr",
        },
        __PACKAGE__;
    $folder{$dir} = 1;
    mkdir "$dir/lib";
    spew("$dir/app.psgi", defined $option{code} ? $option{code} : app_text());
    my @command = (@{ $option{under} || [] }, $self->_command(\%option));
    $self->{pid} = _spawn_in($dir, \@command, $option{env} || {}, $option{prepare});
    return $self if defined $option{waits} && !$option{waits};
    return $self if eventually(sub { $self->_is_ready }, $START_SECONDS);
    my $stderr = $self->stderr;
    $self->stop('KILL');
    die "the master did not start:\n$stderr";
}

sub _command {
    my ($self, $option) = @_;
    my $root  = SprigTest::root();
    my @perl  = ($^X, "-I$root/blib/lib", "-I$root/blib/arch");
    my @flags = ($option->{is_dev} ? '--dev' : ('--workers', $self->{n}), @{ $option->{flags} || [] });
    if ($self->{by} eq 'program') {
        my $program = "$root/blib/script/sprig";
        -x $program or Test::More::plan(skip_all => 'the program is not built here');
        my @listen = map { ('-l', $_) } @{ $option->{listen} || ['127.0.0.1:0'] };
        return ($program, @listen, @flags, 'app.psgi');
    }
    $self->{port} = SprigTest::Server::_free_port();
    return (@perl, "$root/t/lib/workers.pl", $self->{port}, @flags) if $self->{by} eq 'server';
    my $plackup = tool_path('plackup') or Test::More::plan(skip_all => 'plackup is not installed');
    @flags = @{ $option->{flags} } if $option->{own_flags};
    return (
        @perl, $plackup,      '-s', 'Sprig',       '-E',   'deployment',
        '-o',  $self->{host}, '-p', $self->{port}, @flags, 'app.psgi'
    );
}

sub _spawn_in {
    my ($dir, $command, $env, $prepare) = @_;
    my $blib = SprigTest::root() . '/blib';
    spew("$dir/stderr", '');
    my $pid = fork;
    defined $pid or die "fork: $!";
    return $pid if $pid;
    delete @ENV{qw(PLACK_ENV PERL_ANYEVENT_MODEL)};
    %ENV = (%ENV, %$env, PERL5LIB => join ':', "$blib/lib", "$blib/arch", $ENV{PERL5LIB} || ());

    if (   chdir $dir
        && open(STDIN,  '<',  '/dev/null')
        && open(STDOUT, '>>', "$dir/stdout")
        && open(STDERR, '>>', "$dir/stderr"))
    {
        $prepare->() if $prepare;
        exec { $command->[0] } @$command;
    }
    POSIX::_exit(127);
}

sub _is_ready {
    my ($self) = @_;
    if (!$self->is_alive) {
        die "the master has ended (status $self->{status}):\n" . $self->stderr;
    }
    return $self->_accepts if $self->{by} ne 'program';
    return 0               if $self->stderr !~ /^sprig \S+: .*\)\n/m;
    $self->{port} = $1     if $self->stderr =~ m{^sprig \S+: https?://\S+:([0-9]+)/}m;
    return 1;
}

# ---- what there is ----

sub dir  { return $_[0]{dir} }
sub path { return "$_[0]{dir}/$_[1]" }

# Writes the app anew, in one step.
sub rewrite {
    my ($self, %option) = @_;
    $self->put('app.psgi', defined $option{code} ? $option{code} : app_text(%option));
    return;
}

sub put {
    my ($self, $name, $text) = @_;
    spew($self->path("$name.new"), $text);
    rename $self->path("$name.new"), $self->path($name) or die "cannot rename $name.new: $!";
    return;
}

# The lines of a file in the folder, none if it is not there.
sub lines {
    my ($self, $name) = @_;
    my @lines = -e $self->path($name) ? split /\n/, SprigTest::without_origin(slurp($self->path($name))) : ();
    return @lines;
}

# Waits until so many lines of a file match; those that do.
sub await_lines {
    my ($self, $name, $pattern, $n, $seconds) = @_;
    my @found;
    eventually(
        sub {
            @found = grep { /$pattern/ } $self->lines($name);
            @found >= ($n || 1);
        },
        $seconds || 10
    );
    return @found;
}

# The master: who was started, or after an upgrade whom the pid file names.
sub master { return $_[0]{master} || $_[0]{pid} }

sub learn_master {
    my ($self, $name) = @_;
    my ($pid) = $self->lines($name || 'pid');
    return $self->{master} = $pid;
}

sub signal {
    my ($self, $signal) = @_;
    kill $signal, $self->master or die "cannot send $signal: $!";
    return;
}

# Its children, serving or not.
sub workers { return children_of($_[0]->master) }

# One answer of some worker, by a connection of its own; undef if there is none.
sub body_of {
    my ($self, $path) = @_;
    my $response = eval { $self->ask(get($path, 'Connection: close')) };
    return $response && $response->is_complete ? $response->body : undef;
}

# What all workers answer to a path: asks until so many different ones have answered, and keeps each
# busy meanwhile so that the others get their turn. A hash of bodies by pid; fewer than n if it takes
# too long.
sub bodies_of {
    my ($self, $path, $n, $seconds) = @_;
    my %body;
    eventually(
        sub {
            my @clients = map {
                eval { $self->connect }
                    || ()
            } 1 .. 2 * $n;
            $_->send(get('/block?0.05') . get($path, 'Connection: close')) for @clients;
            for my $client (@clients) {
                my ($pid, $answer) = eval {
                    map { $_->body } $client->response, $client->response;
                };
                $body{$pid} = $answer if defined $answer;
            }
            return keys %body >= $n;
        },
        $seconds || 10
    );
    return \%body;
}

# The pids of those that serve.
sub serving {
    my ($self, $n, $seconds) = @_;
    my @pids = sort { $a <=> $b } keys %{ $self->bodies_of('/about', $n, $seconds) };
    return @pids;
}

# Waits until exactly these many children are there and all of them serve.
sub settles {
    my ($self, $n, $seconds) = @_;
    my $deadline = time + ($seconds || 10);
    while (1) {
        eventually(sub { $self->workers == $n }, $deadline - time);
        my @before = sort { $a <=> $b } $self->workers;
        my @answer = $self->serving($n, 2);
        my @after  = sort { $a <=> $b } $self->workers;
        return 1 if "@before" eq "@answer" && "@after" eq "@answer" && @after == $n;
        return 0 if time > $deadline;
    }
}

sub unix_client {
    my ($self, $path) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => $path) or die "cannot connect to $path: $!";
    return SprigTest::Client->adopt($socket);
}

# Clients that ask without a pause until they are told to stop: see SprigTest::Load.
sub loads {
    my ($self) = @_;
    return map { SprigTest::Load->start(port => $self->port, keeps => $_) } 1, 0;
}

# ---- ending ----

# Signals the master and waits until it and all others of its folder are gone. Its wait status if it
# was the process that was started, else 0.
sub stop {
    my ($self, $signal) = @_;
    kill $signal || 'TERM', $self->master if $self->master != $self->{pid} || $self->is_alive;
    my $is_over = eventually(sub { $self->_is_over }, $STOP_SECONDS);
    kill 'KILL', processes_in($self->{dir}) if !$is_over;
    eventually(sub { $self->_is_over }, 5);
    delete $folder{ $self->{dir} };
    $self->{status} = 'killed' if !$is_over;
    return $self->{status};
}

# An event loop of the test may have reaped it; then its status is not known.
sub is_alive {
    my ($self) = @_;
    return $self->SUPER::is_alive && -e "/proc/$self->{pid}";
}

sub _is_over {
    my ($self) = @_;
    return !$self->is_alive && !processes_in($self->{dir});
}

# Ends it and asserts that it left properly and leaves nothing. Files of the folder named in `keeps`
# may stay.
sub ends_ok {
    my ($self, %option) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $status = $self->stop($option{signal});
    my @left   = grep { -S || /pid/ } glob "$self->{dir}/*";
    my $ok     = Test::More::is("$status @left",
        '0 ',
        $option{name} || 'the master ends with status 0; no process, pid file or socket is left');
    Test::More::diag($self->stderr) if !$ok;
    return $ok;
}

END {
    local $?;
    kill 'KILL', processes_in($_) for keys %folder;
}

# ---- processes ----

# Its state, parent, group and session, as a hash; nothing if there is no such process, or a dead one.
sub process_of {
    my ($pid) = @_;
    my $text = eval { slurp("/proc/$pid/stat") } or return;
    my %process;
    @process{qw(state parent group session)} = $text =~ /.*\) (\S) (\S+) (\S+) (\S+)/s or return;
    return if $process{state} =~ /[ZX]/;
    return \%process;
}

sub is_running { return defined process_of($_[0]) }

sub _pids {
    opendir my $dh, '/proc' or die "cannot list processes: $!";
    return grep { /^[0-9]+$/ } readdir $dh;
}

# Living children, sorted.
sub children_of {
    my ($parent) = @_;
    my @pids     = sort { $a <=> $b }
        grep { my $process = process_of($_); $process && $process->{parent} == $parent } _pids();
    return @pids;
}

# All that live in this folder.
sub processes_in {
    my ($dir) = @_;
    return
        grep { my $cwd = readlink "/proc/$_/cwd"; defined $cwd && $cwd eq $dir && $_ != $$ }
        _pids();
}

1;
