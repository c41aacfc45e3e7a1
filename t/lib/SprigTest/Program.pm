package SprigTest::Program;

# The program sprig as a process: run to its end, or started and talked to.
#
#   my $run    = run_program('--foo');                    # { status, signal, out, err }
#   my $server = start_program('-o', '127.0.0.1', ...);   # as soon as its banner is there

use strict;
use warnings;
use Exporter qw(import);
use POSIX    ();
use SprigTest;
use SprigTest::Server;
use Test::More ();

our @ISA    = ('SprigTest::Server');
our @EXPORT = qw(run_program start_program app_file);

my $MAX_SECONDS = 20;

sub program {
    my $path = SprigTest::root() . '/blib/script/sprig';
    -x $path or Test::More::plan(skip_all => 'the program is not built here');
    return $path;
}

# An app file with this text; its path.
sub app_file { return spew(SprigTest::temp_path('app') . '.psgi', $_[0]) }

# Runs the program to its end. A hash in front has environment variables to set.
sub run_program {
    my $env = ref $_[0] ? shift : {};
    my $out = SprigTest::temp_path('out');
    my $err = SprigTest::temp_path('err');
    my $pid = _spawn_program([program(), @_], $env, $out, $err);
    if (!SprigTest::Server::_until($MAX_SECONDS, sub { waitpid($pid, POSIX::WNOHANG()) == $pid })) {
        kill 'KILL', $pid;
        waitpid $pid, 0;
    }
    return { status => $? >> 8, signal => $? & 127, out => slurp($out),
        err => SprigTest::without_origin(slurp($err)) };
}

# Starts it and waits until it has told where it listens. The host is for `connect`.
sub start_program {
    my $env  = ref $_[0] ? shift : {};
    my $self = bless {
        host        => '127.0.0.1',
        by          => 'program',
        owner       => $$,
        stderr_path => SprigTest::temp_path('stderr'),
    };
    $self->{pid} = _spawn_program([program(), @_], $env, '/dev/null', $self->{stderr_path});
    my $n_lines  = (grep { $_ eq '-l' } @_) || 1;    # one for each address
    my $is_ready = SprigTest::Server::_until($MAX_SECONDS,
        sub { !$self->is_alive || $n_lines <= (() = $self->stderr =~ /^sprig \S+: .*\)\n/mg) });
    return $self if $is_ready && $self->is_alive && $self->_learn_port;
    $self->stop('KILL');
    die "the program did not start:\n" . $self->stderr;
}

sub _learn_port {
    my ($self) = @_;
    $self->{port} = $1 if $self->stderr =~ m{http://\S+:([0-9]+)/};
    return 1;
}

sub _spawn_program {
    my ($command, $env, $out, $err) = @_;
    my $blib = SprigTest::root() . '/blib';
    spew($err, '');    # there to be read from the start
    my $pid = fork;
    defined $pid or die "fork: $!";
    return $pid if $pid;
    delete @ENV{qw(PLACK_ENV PERL_ANYEVENT_MODEL)};
    $ENV{$_}       = $env->{$_} for keys %$env;
    $ENV{PERL5LIB} = join ':', "$blib/lib", "$blib/arch", grep { length } $ENV{PERL5LIB} || '';

    if (   open(STDIN, '<', '/dev/null')
        && open(STDOUT, '>', $out)
        && open(STDERR, '>', $err))
    {
        exec { $command->[0] } @$command;
    }
    POSIX::_exit(127);
}

1;
