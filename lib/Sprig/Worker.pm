package Sprig::Worker;

use strict;
use warnings;

use AnyEvent ();
use Carp     qw(croak);
use Socket   qw(AF_UNIX SOCK_STREAM);
use POSIX    ();
use Sprig    ();

our $VERSION = '0.001';

# What a master can be told of an error.
my $ERROR_BYTES = 4000;

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

my (@after_fork, @before_exit);
my $serving_pid = 0;

sub after_fork {
    my ($class, $cb) = @_;
    ref $cb or croak 'after_fork needs a code reference';
    push @after_fork, $cb;
    start($class) if $serving_pid == $$;
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

# It has served. A child of it that ends is no end of it.
sub finish {
    return if $serving_pid != $$;
    my $self = _self();
    while (my $cb = shift @before_exit) {
        eval { $cb->($self); 1 } or warn "before_exit: $@";
    }
    return;
}

# Whoever calls exit while it serves.
END { local ($?, $@, $!); finish() }

# ---- the line to the master ----

# Calls on_probe and on_end: the worker is to show that it works; there is no master any more.
sub attend {
    my ($self, %on) = @_;
    my $input = '';
    $self->{attention} = AE::io(
        $self->_line,
        0,
        sub {
            my $n = sysread $self->_line, $input, 1024, length $input;
            return if !defined $n && ($!{EAGAIN} || $!{EINTR});
            if (!$n) {
                delete $self->{attention};
                return $on{on_end}->();
            }
            while ($input =~ s/\A([^\n]*)\n//) {
                $on{on_probe}->() if $1 eq 'probe';
            }
        }
    );
    $self->tell('loaded');
    return;
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

# Why this worker cannot start, in one line.
sub report {
    my ($self, $error) = @_;
    my $text = "$error";
    utf8::encode($text) if utf8::is_utf8($text);
    $text =~ s/\s+\z//;
    $text = substr $text, 0, $ERROR_BYTES;
    $text =~ s/\n/\\n/g;
    $self->tell("error $text");
    return;
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
