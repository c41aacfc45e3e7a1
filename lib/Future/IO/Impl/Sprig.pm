package Future::IO::Impl::Sprig;

use strict;
use warnings;

use parent 'Future::IO::ImplBase';
use AnyEvent            ();
use Sprig::PAGI::Future ();

our $VERSION = '0.001';

__PACKAGE__->APPLY;

# A future that is done as soon as the watcher, which `start` makes, calls back. What is cancelled is not
# watched any more.
sub _watch {
    my ($start) = @_;
    my $future = Sprig::PAGI::Future->new;
    my $watcher;
    my $done = sub {
        undef $watcher;
        $future->done(@_) if !$future->is_ready;
    };
    $watcher = $start->($done);
    $future->on_cancel(sub { undef $watcher });
    return $future;
}

sub sleep {
    my ($class, $seconds) = @_;
    return _watch(sub {
        my ($done) = @_;
        AE::timer($seconds > 0 ? $seconds : 0, 0, sub { $done->() });
    });
}

sub ready_for_read {
    my ($class, $fh) = @_;
    return _watch(sub {
        my ($done) = @_;
        AE::io($fh, 0, sub { $done->() });
    });
}

sub ready_for_write {
    my ($class, $fh) = @_;
    return _watch(sub {
        my ($done) = @_;
        AE::io($fh, 1, sub { $done->() });
    });
}

sub waitpid {
    my ($class, $pid) = @_;
    return _watch(sub {
        my ($done) = @_;
        AE::child($pid, sub { $done->($_[1]) });
    });
}

1;

__END__

=encoding utf8

=head1 NAME

Future::IO::Impl::Sprig - Future::IO on Sprig's event loop

=head1 SYNOPSIS

    use Future::AsyncAwait;
    use Future::IO;

    await Future::IO->sleep(0.5);

=head1 DESCRIPTION

If L<Future::IO> is installed, C<sprig --pagi> loads this module before the application. From then on
C<sleep>, C<sysread>, C<syswrite>, C<accept>, C<connect>, C<waitpid> and the other functions of Future::IO
wait in the event loop that serves the requests. That is Sprig's own loop, or the one the application has
chosen (EV, IO::Async), as detected by L<AnyEvent>. A cancelled future no longer waits.

In a program of your own:

    use Future::IO;
    use Future::IO::Impl::Sprig;

=head1 METHODS

=head2 sleep, ready_for_read, ready_for_write, waitpid

Future::IO calls these; see L<Future::IO>.

=cut
