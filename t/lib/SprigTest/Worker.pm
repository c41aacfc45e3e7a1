package SprigTest::Worker;

# A worker process whose master is the test.
#
#   my $worker = SprigTest::Worker->start(code => 'sub {...}', args => { probe => '/' });
#   is $worker->line, 'loaded';
#   $worker->say('probe');

use strict;
use warnings;
use parent -norequire, 'SprigTest::Server';
use Fcntl qw(F_GETFL F_SETFD F_SETFL O_NONBLOCK);
use IO::Socket::INET;
use SprigTest;
use Socket      qw(AF_UNIX SOCK_STREAM);
use Time::HiRes qw(time);

my $LINE_SECONDS = 20;

# `code` or `app`, `args`; the worker is number 3.
sub start {
    my ($class, %option) = @_;
    my $app    = $option{app};
    my $listen = IO::Socket::INET->new(Listen => 16, LocalAddr => '127.0.0.1') or die "listen: $!";
    $app = SprigTest::spew(SprigTest::temp_path('app') . '.psgi', $option{code}) if !defined $app;
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0 or die "socketpair: $!";
    my $self = bless {
        host        => '127.0.0.1',
        port        => $listen->sockport,
        by          => 'module',
        owner       => $$,
        stderr_path => SprigTest::temp_path('stderr'),
        line        => $ours,
        input       => '',
    }, $class;
    my $args = $option{args} || {};
    fcntl $theirs, F_SETFL, fcntl($theirs, F_GETFL, 0) | O_NONBLOCK;
    fcntl $listen, F_SETFD, 0;
    my @command = (
        $^X,
        SprigTest::lib() . '/worker.pl',
        fileno $theirs,
        fileno $listen,
        $app, map { ($_, $args->{$_}) } sort keys %$args
    );
    $self->_spawn(\@command, $option{env} || {}, $theirs);
    return $self;
}

# The same, and it serves.
sub start_ready {
    my ($class, %option) = @_;
    my $self = $class->start(%option);
    my @said = ($self->line);
    $self->say('probe');
    push @said, $self->line;
    "@said" eq 'loaded ready' or die "the worker said: @said\n" . $self->stderr;
    return $self;
}

# The next line from the worker, without its newline; undef at the end of file.
sub line {
    my ($self, $seconds) = @_;
    my $deadline = time + ($seconds || $LINE_SECONDS);
    while ($self->{input} !~ /\n/) {
        vec(my $readable = '', fileno $self->{line}, 1) = 1;
        my $left = $deadline - time;
        return 'nothing' if $left <= 0 || !select $readable, undef, undef, $left;
        sysread $self->{line}, $self->{input}, 8192, length $self->{input} or return undef;
    }
    $self->{input} =~ s/\A(.*?)\n//s;
    return $1;
}

sub say {
    my ($self, $word) = @_;
    return syswrite $self->{line}, "$word\n";
}

# The end of file.
sub hang_up { close $_[0]{line} }

# The body of the answer to a GET on a connection of its own.
sub get {
    my ($self, $path) = @_;
    return $self->ask("GET $path HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")->body;
}

# Its wait status, once it has ended by itself; 'alive' if it does not within that time.
sub ended {
    my ($self, $seconds) = @_;
    SprigTest::Server::_until($seconds || $LINE_SECONDS, sub { defined $self->_reaped });
    return defined $self->{status} ? $self->{status} : 'alive';
}

1;
