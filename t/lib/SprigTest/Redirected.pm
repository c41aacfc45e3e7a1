package SprigTest::Redirected;

# The program with standard descriptors of the test's choice.
#
#   my $server = start_redirected({ 1 => $pipe, 0 => undef }, '--workers', 2, ...);
#
# A handle becomes that descriptor of the program, undef closes it. Standard error is a file otherwise.

use strict;
use warnings;
use Exporter qw(import);
use POSIX    ();
use SprigTest;
use SprigTest::Program ();
use SprigTest::Server;

our @ISA    = ('SprigTest::Program');
our @EXPORT = qw(start_redirected run_redirected);

sub start_redirected {
    my ($redirected, @arguments) = @_;
    my $port = SprigTest::Server::_free_port();
    s/\A127\.0\.0\.1:0\z/127.0.0.1:$port/ for @arguments;
    my $self = bless {
        host        => '127.0.0.1',
        port        => $port,
        by          => 'program',
        owner       => $$,
        stderr_path => spew(SprigTest::temp_path('stderr'), ''),
    };
    my $program = SprigTest::Program::program();
    defined(my $pid = fork) or die "fork: $!";
    _become($self, $redirected, $program, @arguments) if !$pid;
    $self->{pid} = $pid;
    $self->eventually(sub { !$self->is_alive || $self->_accepts }, 20);
    return $self if $self->is_alive && $self->_accepts;
    $self->stop('KILL');
    die "the program did not start:\n" . $self->stderr;
}

# Runs it to its end; the exit status, or undef.
sub run_redirected {
    my ($redirected, @arguments) = @_;
    my $self    = bless { stderr_path => spew(SprigTest::temp_path('stderr'), ''), owner => 0 };
    my $program = SprigTest::Program::program();
    defined(my $pid = fork) or die "fork: $!";
    _become($self, $redirected, $program, @arguments) if !$pid;
    SprigTest::Server::_until(20, sub { waitpid($pid, POSIX::WNOHANG()) == $pid })
        and return $? >> 8;
    kill 'KILL', $pid;
    waitpid $pid, 0;
    return;
}

sub eventually {
    my ($self, $code, $seconds) = @_;
    return SprigTest::Server::_until($seconds || 30, $code);
}

sub _become {
    my ($self, $redirected, @command) = @_;
    my $blib = SprigTest::root() . '/blib';
    $ENV{PERL5LIB} = join ':', "$blib/lib", "$blib/arch", grep { length } $ENV{PERL5LIB} || '';
    delete @ENV{qw(PLACK_ENV PERL_ANYEVENT_MODEL)};
    my $error = POSIX::open($self->{stderr_path}, POSIX::O_WRONLY() | POSIX::O_APPEND());
    my $null  = POSIX::open('/dev/null',          POSIX::O_RDWR());
    my %fd    = (0 => $null, 1 => $null, 2 => $error);
    $fd{$_} = defined $redirected->{$_} ? fileno $redirected->{$_} : undef for keys %$redirected;
    defined $fd{$_} ? POSIX::dup2($fd{$_}, $_) : POSIX::close($_) for 0 .. 2;
    exec { $command[0] } @command or POSIX::_exit(127);
}

1;
