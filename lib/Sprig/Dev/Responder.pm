package Sprig::Dev::Responder;

use strict;
use warnings;

use AnyEvent     ();
use Scalar::Util qw(weaken);
use Time::HiRes  ();

our $VERSION = '0.001';

# `respond` is the server's.
sub new {
    my ($class, $dev, $env, $respond) = @_;
    return bless { dev => $dev, env => $env, respond => $respond, since => Time::HiRes::time() },
        $class;
}

# What the application gets. Its end is ours, unless it has answered.
sub code {
    my ($self) = @_;
    my $raise = $self->{env}{'psgix.raise'};
    weaken(my $weak = $self);
    $self->{env}{'psgix.raise'} = sub {
        return $weak && !$weak->{is_done} ? $weak->raise($_[0]) : $raise && $raise->($_[0]);
    };
    return bless sub { return $self->_answer(@_) }, 'Sprig::Dev::Responder::Code';
}

sub is_done { return $_[0]{is_done} }

sub raise {
    my ($self, $error) = @_;
    return $self->{respond}->raise($error) if $self->{is_done}++ && $self->{respond}->can('raise');
    return $self->{dev}->respond_with($error, $self->{env}, $self->{respond});
}

sub _answer {
    my ($self, $response, @more) = @_;
    return $self->raise(@more) if !ref $response && defined $response && $response eq 'raise';
    $self->{is_done} = 1;
    my ($respond, $live) = ($self->{respond}, $self->{dev}{live});
    return $respond->($response, @more) if !$live || ref $response ne 'ARRAY';
    return $respond->($live->into($self->{env}, $response), @more) if @$response > 2;
    my ($head, $wrap) = $live->into_stream($self->{env}, $response);
    my $writer = $respond->($head, @more);
    return $wrap && $writer ? $wrap->($writer) : $writer;
}

# Later: what made the application let go may be on its way to be told.
sub DESTROY {
    my ($self) = @_;
    return if $self->{is_done} || ${^GLOBAL_PHASE} eq 'DESTRUCT';
    my ($dev, $env, $respond, $since) = @$self{qw(dev env respond since)};
    AnyEvent::postpone { $dev->lost($env, $respond, $since) };
    return;
}

package Sprig::Dev::Responder::Code;

sub raise { return $_[0]->('raise', $_[1]) }

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Dev::Responder - stands between the server's responder and the application

=head1 DESCRIPTION

Used by L<Sprig::Dev>: so that pages that are answered later can be changed, and failures explained. There is
nothing here for applications; see L<Sprig::Responder>.

=head1 METHODS

=head2 new

    my $responder = Sprig::Dev::Responder->new($dev, $env, $respond);

=head2 code

The code reference for the application.

=head2 is_done

Whether it has been called.

=head2 raise

    $responder->raise($error);

Answers with the page of the failure.

=cut
