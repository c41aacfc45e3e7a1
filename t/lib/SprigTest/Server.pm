package SprigTest::Server;

# One server process: how it is started, what it prints, how it ends.

use strict;
use warnings;
use Fcntl qw(F_SETFD);
use IO::Socket::INET;
use POSIX                ();
use Socket               qw(inet_aton pack_sockaddr_in);
use SprigTest::Idle      ();
use SprigTest::OverHttp2 ();
use SprigTest::OverTls   ();
use Test::More           ();
use Time::HiRes          qw(time);

my $START_SECONDS = 60;
my $STOP_SECONDS  = 15;

my %command_for = (
    module  => \&_module_command,
    program => \&_program_command,
    plackup => \&_plackup_command,
);

sub start {
    my ($class, %option) = @_;
    my $over_tls   = SprigTest::OverTls::serve(\%option);
    my $over_http2 = SprigTest::OverHttp2::serve(\%option);
    my $over       = $over_tls ? 'OverTls' : $over_http2 ? 'OverHttp2' : 'Client';
    my $self       = bless {
        host        => '127.0.0.1',
        by          => $option{by},
        owner       => $$,
        over_http2  => $over_http2,
        client      => "SprigTest::$over",
        scheme      => $option{args} && $option{args}{tls_cert} ? 'https' : 'http',
        stderr_path => SprigTest::temp_path('stderr'),
    }, $class;
    my $make = $command_for{ $option{by} } or die "no way to start a server '$option{by}'";
    pipe my $ready, my $tell or die "pipe: $!";
    my @command = (@{ $option{under} || [] }, $make->($self, \%option, fileno $tell));
    $self->_spawn(\@command, $option{env} || {}, $tell);
    close $tell;
    $self->_wait_until_ready($ready);
    return $self;
}

sub host { return $_[0]{host} }
sub port { return $_[0]{port} }
sub pid  { return $_[0]{pid} }
sub by   { return $_[0]{by} }
sub url  { return "$_[0]{scheme}://$_[0]{host}:$_[0]{port}" . (defined $_[1] ? $_[1] : '/') }

# All that the server has written to its standard error so far, the program's banner left out.
sub stderr {
    my ($self) = @_;
    my $text = $self->_stderr;
    $text =~ s/^\Q$self->{banner}\E//m if defined $self->{banner};
    return $text;
}

sub _stderr { return SprigTest::without_origin($_[0]->raw_stderr) }

# With time and process in front of each message.
sub raw_stderr { return SprigTest::slurp($_[0]{stderr_path}) }

# Waits until the pattern stands in the standard error; false if it does not within 5 seconds.
# Option `from`: the offset to look from.
sub stderr_like {
    my ($self, $pattern, %option) = @_;
    return _until(30, sub { substr($self->stderr, $option{from} || 0) =~ $pattern });
}

sub connect {
    my ($self) = @_;
    return ($self->{client} || 'SprigTest::Client')->connect($self->{host}, $self->{port});
}

# One request on a connection of its own: the strict response (SprigTest::Response).
sub ask {
    my ($self, $bytes, %option) = @_;
    my $client = $self->connect;
    $client->send($bytes);
    return $client->response(%option);
}

# Resident set of the server in KiB.
sub rss_kib {
    my ($self) = @_;
    return SprigTest::slurp("/proc/$self->{pid}/status") =~ /^VmRSS:\s+([0-9]+) kB/m ? $1 : 0;
}

# The number of descriptors the server has open.
sub n_descriptors {
    my ($self) = @_;
    opendir my $dh, "/proc/$self->{pid}/fd" or die "cannot list descriptors: $!";
    return scalar grep { !/^\./ } readdir $dh;
}

# Their number once it is $max or less, or after two seconds: the server hears of a client's close a
# little later than the client.
sub n_descriptors_down_to {
    my ($self, $max) = @_;
    for (1 .. 100) {
        last if $self->n_descriptors <= $max;
        select undef, undef, undef, 0.02;
    }
    return $self->n_descriptors;
}

# Asserts that it uses no processor while it has nothing to do: see SprigTest::Idle.
sub idle_ok {
    my ($self, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $ok = SprigTest::Idle::ok_idle($self->{pid}, $name);
    Test::More::diag($self->stderr) if !$ok;
    return $ok;
}

# True while the process runs.
sub is_alive {
    my ($self) = @_;
    return !defined $self->_reaped;
}

# Ends the process (TERM, later KILL) and returns its wait status; 'killed' if it had to be killed.
sub stop {
    my ($self, $signal) = @_;
    return $self->{status} if defined $self->_reaped;
    kill $signal || 'TERM', $self->{pid};
    return $self->{status} if _until($STOP_SECONDS, sub { defined $self->_reaped });
    kill 'KILL', $self->{pid};
    waitpid $self->{pid}, 0;
    return $self->{status} = 'killed';
}

# It was told to end already, and does: asserts that it leaves properly. Another signal might come when
# its perl is too far gone to have a handler.
sub ends_ok {
    my ($self, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    _until($STOP_SECONDS, sub { defined $self->_reaped });
    return $self->stop_ok($name);
}

# Ends it and asserts that it left properly.
sub stop_ok {
    my ($self, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $ok = Test::More::is($self->stop, 0, $name || 'the server ends with status 0');
    Test::More::diag($self->stderr) if !$ok;
    return $ok;
}

sub DESTROY {
    my ($self) = @_;
    return if !$self->{pid} || $self->{owner} != $$;
    local ($?, $!, $@);
    $self->stop;
    return;
}

# ---- starting ----

sub _module_command {
    my ($self, $option, $fd) = @_;
    my $args = $option->{args} || {};
    $args = { listen => "$self->{host}:0,h2c", %$args } if $self->{over_http2};
    return ($^X, _perl_switches($option),
        SprigTest::lib() . '/' . ($option->{script} || 'serve.pl'),
        $fd, $option->{app}, map { ($_, $args->{$_}) } sort keys %$args);
}

sub _plackup_command {
    my ($self, $option) = @_;
    $self->{port} = _free_port();
    my $plackup = SprigTest::tool_path('plackup') or die 'plackup is not installed';
    return ($^X, _perl_switches($option), $plackup, '-s', 'Sprig', '-E', 'deployment', '-o',
        $self->{host}, '-p', $self->{port}, _flags($option), $option->{app});
}

sub _program_command {
    my ($self, $option) = @_;
    my $program = SprigTest::root() . '/blib/script/sprig';
    -x $program or die "$program was not built\n";
    my @listen =
        $self->{over_http2} ? ('-l', "$self->{host}:0,h2c") : ('-o', $self->{host}, '-p', 0);
    return ($program, @listen, _flags($option), $option->{app});
}

sub _perl_switches {
    my ($option) = @_;
    my $blib = SprigTest::root() . '/blib';
    return ("-I$blib/lib", "-I$blib/arch", @{ $option->{perl} || [] });
}

# max_headers => 5 becomes --max-headers=5.
sub _flags {
    my ($option) = @_;
    my $args = $option->{args} || {};
    my @flags;
    for my $name (sort keys %$args) {
        (my $flag = $name) =~ tr/_/-/;
        push @flags, "--$flag=$args->{$name}";
    }
    return (@flags, @{ $option->{flags} || [] });
}

sub _free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1', Proto => 'tcp')
        or die "no free port: $!";
    return $socket->sockport;
}

sub _spawn {
    my ($self, $command, $env, $tell) = @_;
    my $blib = SprigTest::root() . '/blib';
    SprigTest::spew($self->{stderr_path}, '');
    my $pid = fork;
    defined $pid or die "fork: $!";
    if ($pid) {
        $self->{pid} = $pid;
        return;
    }
    eval {
        local %ENV = (%ENV, %$env);
        $ENV{PERL5LIB} = join ':', "$blib/lib", "$blib/arch",
            grep { defined && length } $ENV{PERL5LIB};
        fcntl $tell, F_SETFD, 0 or die "fcntl: $!";
        open STDIN,  '<', '/dev/null'          or die "stdin: $!";
        open STDOUT, '>', '/dev/null'          or die "stdout: $!";
        open STDERR, '>', $self->{stderr_path} or die "stderr: $!";
        exec { $command->[0] } @$command;
    };
    POSIX::_exit(127);
}

sub _wait_until_ready {
    my ($self, $ready) = @_;
    my $is_ready = _until(
        $START_SECONDS,
        sub {
            defined $self->_reaped and die "the server did not start:\n" . $self->stderr;
            $self->_learn_port($ready) if !$self->{port};
            return $self->{port} && $self->_accepts;
        }
    );
    return if $is_ready;
    $self->stop('KILL');
    die "the server was not ready in time:\n" . $self->stderr;
}

# The port comes through the pipe from serve.pl, or stands in the banner of the program.
sub _learn_port {
    my ($self, $ready) = @_;
    if ($self->{by} eq 'program') {
        @$self{qw(banner port)} = ($1, $2)
            if $self->_stderr =~ m{^(sprig .*https?://127\.0\.0\.1:([0-9]+)/ .*\n)}m;
        return;
    }
    my $readable = '';
    vec($readable, fileno $ready, 1) = 1;
    return if !select $readable, undef, undef, 0;
    sysread $ready, my $line, 100 or return;
    $self->{port} = $1 if $line =~ / ([0-9]+)$/;
    return;
}

sub _accepts {
    my ($self) = @_;
    socket my $socket, Socket::PF_INET, Socket::SOCK_STREAM, 0 or die "socket: $!";
    return CORE::connect $socket, pack_sockaddr_in($self->{port}, inet_aton($self->{host}));
}

# ---- ending ----

# The wait status as soon as the process has ended.
sub _reaped {
    my ($self) = @_;
    return $self->{status} if defined $self->{status};
    return                 if waitpid($self->{pid}, POSIX::WNOHANG()) != $self->{pid};
    return $self->{status} = $?;
}

# Asks a condition again and again, for at most that many seconds.
sub _until {
    my ($seconds, $condition) = @_;
    my $deadline = time + $seconds;
    while (1) {
        return 1 if $condition->();
        return 0 if time > $deadline;
        select undef, undef, undef, 0.01;
    }
}

1;
