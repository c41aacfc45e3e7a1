package Sprig::Application;

use strict;
use warnings;

use overload     ();
use Scalar::Util ();

our $VERSION = '0.001';

sub is_one {
    my ($app) = @_;
    return 0 if !ref $app;
    return 1 if Scalar::Util::reftype($app) eq 'CODE';
    return Scalar::Util::blessed($app) && overload::Method($app, '&{}') ? 1 : 0;
}

sub wrong {
    my ($app) = @_;
    return if is_one($app);
    my $what =
         !defined $app ? 'undef'
        : ref $app     ? 'a reference to ' . ref $app
        :                "'$app'";
    return "an application (a code reference), not $what";
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Application - what is an application, and what is not

=head1 DESCRIPTION

Used by L<sprig> and L<Sprig::Server>. There is nothing here for applications.

=head1 FUNCTIONS

=head2 is_one

    my $is_one = Sprig::Application::is_one($app);

Whether it can be called: a code reference, or an object that overloads C<&{}>.

=head2 wrong

    my $wrong = Sprig::Application::wrong($app);

Undef for an application, else the end of a sentence: C<an application (a code reference), not undef>.

=cut
