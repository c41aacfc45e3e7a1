package Sprig::PAGI::Future;

use strict;
use warnings;

use parent 'Future';
use AnyEvent ();
use Sprig    ();

our $VERSION = '0.001';

# Ready futures of the class Future are told apart from others without a call, if they look as they do now.
{
    my ($failed, $cancelled) = (Future->fail('told apart'), Future->new);
    $failed->failure;
    $cancelled->cancel;
    _learn(Future->new, Future->done, $failed, $cancelled);
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
