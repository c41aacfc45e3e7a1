package Sprig::PAGI::Future;

use strict;
use warnings;

use parent 'Future';
use AnyEvent ();
use Sprig    ();

our $VERSION = '0.001';

# If futures are plain hashes, as they are without Future::XS, they are made and read in C. Each `return` of
# an async sub makes one, by AWAIT_NEW_DONE.
{
    my ($done,    $failed)    = (Future->new->done, Future->fail('told apart'));
    my ($pending, $cancelled) = map { Future->new } 1 .. 2;
    $failed->failure;
    $cancelled->cancel;
    if (_learn($pending, $done, $failed, $cancelled)) {
        *AWAIT_IS_READY = \&_is_ready;
        *AWAIT_GET      = \&_get;
        if (Future->can('AWAIT_NEW_DONE')) {
            my $name = 'Future::AWAIT_NEW_DONE';
            no strict 'refs';
            delete $Future::{AWAIT_NEW_DONE};    # its glob may be that of AWAIT_DONE, too
            *$name = \&_new_done;
        }
    }
    $pending->cancel;
}

# The one that is given wherever nothing has to be waited for.
sub _ready { return bless Sprig::PAGI::Future->done, 'Sprig::PAGI::Future::Ready' }

@Sprig::PAGI::Future::Ready::ISA = __PACKAGE__;

# What is made of it need not be ready.
sub Sprig::PAGI::Future::Ready::new { shift; return Sprig::PAGI::Future->new(@_) }

# Where somebody asks for the value of one that is not ready, the loop runs until it is.
sub await {
    my ($self) = @_;
    return $self if $self->is_ready;
    my $cv = AE::cv();
    $self->on_ready(sub { $cv->send });
    $cv->recv;
    return $self;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::PAGI::Future - the futures that PAGI applications get

=head1 DESCRIPTION

C<< $receive->() >> and C<< $send->(...) >> return ordinary L<Future> objects. If one is not ready yet,
C<await> and C<get> run the event loop until it is.

=head1 METHODS

=head2 await

    $future->await;

Waits until the future is ready, and returns it. Prefer the C<await> keyword of L<Future::AsyncAwait>, which
does not block other requests.

=cut
