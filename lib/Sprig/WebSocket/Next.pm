package Sprig::WebSocket::Next;

use strict;
use warnings;

use AnyEvent ();

our $VERSION = '0.001';
our @ISA     = ('AnyEvent::CondVar');

sub new { return bless AnyEvent->condvar, $_[0] }

# ---- what makes a future of it, so that one which an async sub has returned is waited for ----

sub is_ready { return $_[0]->ready }
sub get      { return $_[0]->recv }
sub failure  { return $_[0]{_ae_croak} }

sub on_ready {
    my ($self, $code) = @_;
    $self->cb($code);
    return $self;
}

# ---- what Future::AsyncAwait asks for (Future::AsyncAwait::Awaitable) ----

sub AWAIT_CLONE { return ref($_[0])->new }

sub AWAIT_NEW_DONE {
    my ($class, @values) = @_;
    my $new = $class->new;
    $new->send(@values);
    return $new;
}

sub AWAIT_NEW_FAIL {
    my ($class, $error) = @_;
    my $new = $class->new;
    $new->croak($error);
    return $new;
}

sub AWAIT_DONE         { my ($self, @values) = @_; $self->send(@values); return }
sub AWAIT_FAIL         { my ($self, $error) = @_; $self->croak($error); return }
sub AWAIT_IS_READY     { return $_[0]->ready }
sub AWAIT_IS_CANCELLED { return 0 }
sub AWAIT_GET          { return $_[0]->recv }
sub AWAIT_ON_READY     { my ($self, $code) = @_; $self->cb($code); return }
sub AWAIT_ON_CANCEL    { return }
sub AWAIT_CHAIN_CANCEL { return }
sub AWAIT_WAIT         { return $_[0]->recv }

1;

__END__

=encoding utf8

=head1 NAME

Sprig::WebSocket::Next - the next message of a WebSocket, which is yet to come

=head1 DESCRIPTION

What L<Sprig::WebSocket/"$ws-E<gt>next"> returns: an L<AnyEvent|AnyEvent/"CONDITION VARIABLES"> condition
variable that L<Future::AsyncAwait> can wait for, too.

=head1 METHODS

C<recv>, C<ready>, C<cb>, C<send> and C<croak> are those of a condition variable; what begins with C<AWAIT_>
is for L<Future::AsyncAwait>.

=head2 is_ready, get, failure, on_ready

The same, as L<Future> calls it. There is one callback: that of C<cb> or of C<on_ready>.

=head2 new

One that nobody has sent anything to yet.

=cut
