package Sprig::Worker;

use strict;
use warnings;

use AnyEvent ();
use Carp     qw(croak);
use Socket   qw(AF_UNIX SOCK_STREAM);
use POSIX    ();
use Sprig    ();

our $VERSION = '0.001';

# How long a line to the master may take.
my $TELL_SECONDS = 5;

# How long the rest of the answer to a probe is read.
my $PROBE_SECONDS = 1;

my $current;

# This process as a worker, or nothing if it is none.
sub current {
    my ($class) = @_;
    my $info = _info() or return undef $current;
    return $current ||= bless $info, $class;
}

sub number     { return $_[0]{number} }
sub generation { return $_[0]{generation} }
sub is_daemon  { return $_[0]{is_daemon} }

# ---- hooks ----

my (@after_fork, @before_leave, @before_exit);
my $serving_pid = 0;

sub after_fork {
    my ($class, $cb) = @_;
    ref $cb or croak 'after_fork needs a code reference';
    push @after_fork, $cb;
    local ($@, $!);    # are the caller's
    start($class) if $serving_pid == $$;
    return;
}

sub before_leave {
    my ($class, $cb) = @_;
    ref $cb or croak 'before_leave needs a code reference';
    push @before_leave, $cb;
    return;
}

sub before_exit {
    my ($class, $cb) = @_;
    ref $cb or croak 'before_exit needs a code reference';
    push @before_exit, $cb;
    return;
}

sub _self { return current('Sprig::Worker') || bless { number => 1, generation => 1 } }

# This process is about to serve.
sub start {
    my $self = _self();
    while (my $cb = shift @after_fork) {
        $cb->($self);
    }
    $serving_pid = $$;
    return;
}

# It is told to end, and takes no more connections from now on.
sub leave {
    return if $serving_pid != $$;
    my $self = _self();
    local ($?, $@, $!);
    while (my $cb = shift @before_leave) {
        eval { $cb->($self); 1 } or warn "before_leave: $@";
    }
    return;
}

# It has served. A child of it that ends is no end of it.
sub finish {
    return if $serving_pid != $$;
    my $self = _self();
    local ($?, $@, $!);
    while (my $cb = shift @before_exit) {
        eval { $cb->($self); 1 } or warn "before_exit: $@";
    }
    return;
}

# Whoever serves without Sprig::Server->run.
END { finish() }

# ---- the line to the master ----

# Calls on_probe and on_end: the worker is to show that it works; there is no master any more.
sub attend {
    my ($self, %on) = @_;
    $self->{on}        = \%on;
    $self->{input}     = '';
    $self->{attention} = AE::io($self->_line, 0, sub { _hear($self) });
    $self->tell('loaded');
    return;
}

sub _hear {
    my ($self) = @_;
    my $on     = $self->{on};
    my $n      = sysread $self->_line, $self->{input}, 1024, length $self->{input};
    return if !defined $n && ($!{EAGAIN} || $!{EINTR});
    if (!$n) {
        delete $self->{attention};
        return $on->{on_end}->();
    }
    while ($self->{input} =~ s/\A([^\n]*)\n//) {
        my $line = $1;
        $on->{on_probe}->()       if $line eq 'probe';
        _look()                   if $line eq 'look';
        $self->{is_replaced} = 1 if $line eq 'replaced';
    }
    return;
}

# True if another worker takes over from this one. The master says so right before its signal.
sub is_replaced {
    my ($self) = @_;
    _hear($self) if $self->{attention} && !$self->{is_replaced};
    return !!$self->{is_replaced};
}

sub _line {
    my ($self) = @_;
    return $self->{line} if $self->{line};
    open my $line, '+<&=', $self->{control_fd} or die "cannot use the line to the master: $!\n";
    return $self->{line} = $line;
}

sub tell {
    my ($self, $words) = @_;
    my $text = "$words\n";
    my $line = $self->_line;
    local $SIG{PIPE} = 'IGNORE';
    while (length $text) {
        my $n = syswrite $line, $text;
        if (defined $n) {
            substr $text, 0, $n, '';
        } elsif ($!{EAGAIN}) {
            vec(my $writable = '', fileno $line, 1) = 1;
            select undef, $writable, undef, $TELL_SECONDS or return;
        } elsif (!$!{EINTR}) {
            return;    # the master is gone, which will be noticed elsewhere
        }
    }
    return;
}

# Why this worker cannot start.
sub report {
    my ($self, $error) = @_;
    my $text = _without_place("$error");
    utf8::encode($text) if utf8::is_utf8($text);
    _report($text);
    return;
}

# Places in the server's own files are of no use to the reader of a message.
sub _without_place {
    my ($text) = @_;
    my @own    = grep { m{\A(?:Plack/Handler/)?Sprig(?:/|\.pm\z)} } keys %INC;
    my %is_own = map  { $_ => 1 } grep { defined } @INC{@own};
    return $text =~ s{( at (\S+) line \d+\.?\n?)\z}{ $is_own{$2} ? '' : $1 }er;
}

# ---- the probe ----

# Sends a GET of this path to the server through a connection of its own; `done` gets undef, or what
# is wrong.
sub probe {
    my ($self, $service, $path, $done) = @_;
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, 0
        or return $done->("probe $path: $!");
    $service->adopt(POSIX::dup(fileno $theirs));
    close $theirs;
    $ours->blocking(0);
    syswrite $ours, "GET $path HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    my $answer = '';
    $self->{probe} = AE::io(
        $ours, 0,
        sub {
            my $n = sysread $ours, $answer, 16384, length $answer;
            return if !defined $n && ($!{EAGAIN} || $!{EINTR});
            my $status = _status_of($answer);
            return if !defined $status && $n;
            $self->_let_finish($ours);
            $done->(
                  !defined $status ? "probe $path got no answer"
                : $status < 500    ? undef
                :                    "probe $path answered $status"
            );
        }
    );
    return;
}

# Reads the rest of the answer, so that for the app this is a client like others; but one that does
# not wait for the end of a stream.
sub _let_finish {
    my ($self, $socket) = @_;
    my $rest;
    $self->{probe} = AE::io(
        $socket, 0,
        sub {
            my $n = sysread $socket, $rest, 16384;
            delete @$self{qw(probe probe_end)}
                if defined $n ? $n == 0 : !($!{EAGAIN} || $!{EINTR});
        }
    );
    $self->{probe_end} = AE::timer($PROBE_SECONDS, 0, sub { delete $self->{probe} });
    return;
}

# The status of an answer, interim ones left out, as soon as it is there.
sub _status_of {
    my ($answer) = @_;
    $answer =~ s/\A(?:HTTP\/1\.1 1[0-9][0-9] .*?\r\n\r\n)+//s;
    return $answer =~ m{\AHTTP/1\.1 ([2-9][0-9][0-9]) } ? $1 : undef;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Worker - code to run when a worker process starts and ends

=head1 SYNOPSIS

    # in app.psgi
    use DBI;
    use Sprig::Worker;

    my $dbh;
    Sprig::Worker->after_fork(sub { $dbh = DBI->connect($dsn, $user, $password) });
    Sprig::Worker->before_exit(sub { $dbh->disconnect });

    sub {
        my ($env) = @_;
        my ($n) = $dbh->selectrow_array('SELECT count(*) FROM visits');
        return [200, ['Content-Type' => 'text/plain'], ["$n\n"]];
    };

=head1 DESCRIPTION

With C<< sprig --workers N >> or C<< plackup -s Sprig --workers N >>, an application runs in several
processes. Use L</after_fork> to create whatever processes must not share, such as database connections, sockets, and
random generators. The hooks also run if there is only one process, so the application need not distinguish.

Without C<--preload-app>, the program C<sprig> compiles the application in each worker, so the code in
its file runs once in each. With C<--preload-app>, and with C<plackup> (unless you use C<-L Delayed>), the
application is compiled in the master and the workers are copies of that process. Then you need the hooks.

In each worker, C<rand> and the random generators of the C library get a new seed. Sprig does not know those of other
modules.

=head1 METHODS

=head2 after_fork

    Sprig::Worker->after_fork(sub { my ($worker) = @_; ... });

Calls the code once in each process that serves, after the application has been loaded and the event loop
chosen, and before the first request. You can register several hooks, at any time; in a process that already serves,
the code runs at once. If it dies, the worker cannot start, and the master logs the reason.

=head2 before_leave

    Sprig::Worker->before_leave(sub { my ($worker) = @_; ... });

Calls the code in each process that serves when it is told to end, before it stops listening and closes its
WebSockets, so that an application can say goodbye. C<< $worker->is_replaced >> is true if another
worker takes over. If the code dies, Sprig warns.

=head2 before_exit

    Sprig::Worker->before_exit(sub { my ($worker) = @_; ... });

Calls the code in each process that has served, after it has answered its last request or when the
application calls C<exit>, and before C<END> blocks run. If the code dies, Sprig warns.

A worker that is killed cannot run it.

=head2 current

    my $worker = Sprig::Worker->current;

Returns the worker object of this process, or undef if the process is not a worker but the master, a single process, or
a child of a worker.

=head2 number

The number of this worker, from 1 on. The worker that replaces it gets the same number. In a hook of a
single process it is 1.

=head2 generation

The generation of the worker, from 1 on. Each reload (C<HUP>) adds one.

=head2 is_replaced

True if the worker must end because another one takes over (C<HUP>, C<USR2>, C<max_requests>), and false if the whole
server ends.

=head2 start, leave, finish, attend, tell, report, probe, is_daemon

What L<Sprig::Server> does with a worker: runs the hooks, listens to the master, talks to it, and sends
itself a request.

=head1 THE END OF A WORKER

A worker that must leave (because of a reload, C<max_requests>, C<psgix.harakiri>, or the end of the server) accepts no
more connections, finishes its requests and ends, at the latest after C<graceful_timeout> seconds.
To keep it alive for work that continues after a response, use C<psgix.exit_guard>, a condition variable like that of
Twiggy::Prefork, which exists in workers:

    sub {
        my ($env) = @_;
        my $guard = $env->{'psgix.exit_guard'};
        $guard->begin if $guard;
        http_post $url, $body, sub {
            $guard->end if $guard;
        };
        return [202, [], []];
    };

C<psgix.harakiri> is true in workers: C<< $env->{'psgix.harakiri.commit'} = 1 >> ends the worker after this
response, and another worker takes its place.

=head1 SEE ALSO

L<sprig/WORKERS>, L<Sprig::Server>

=cut
