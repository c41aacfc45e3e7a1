package Sprig::Dev;

use strict;
use warnings;

use AnyEvent          ();
use Sprig::Dev::Files ();
use Sprig::Worker     ();

our $VERSION = '0.001';

# How often modules are looked for that something else than a request has loaded.
my $LOOK_SECONDS = 2;

# Longer ones do not fit into a line to the master.
my $MAX_PATH = 1000;

# `app` is the file of the application, or undef.
sub new {
    my ($class, %option) = @_;
    return bless { worker => Sprig::Worker->current, files => Sprig::Dev::Files->new($option{app}) },
        $class;
}

# The application that the code returns; one that explains why there is none, if it dies or the worker
# before this one did.
sub load {
    my ($self, $code) = @_;
    my $failure = $self->{worker} && $self->{worker}{failure};
    my $app     = defined $failure ? undef : eval { $code->() };
    $failure = "$@" if !defined $failure && !$app;
    $self->tell_files($failure);
    $self->{look} = AE::timer($LOOK_SECONDS, $LOOK_SECONDS, sub { $self->tell_files });
    return $self->_wrap($app) if $app;
    print STDERR "sprig: $failure" =~ s/\n*\z/\n/r;
    return sub { [500, ['Content-Type' => 'text/plain'], [$failure]] };
}

sub _wrap {
    my ($self, $app) = @_;
    return sub {
        my $response = $app->($_[0]);
        $self->tell_files;
        return $response;
    };
}

# The master watches them.
sub tell_files {
    my ($self, $error) = @_;
    my $worker = $self->{worker} or return;
    return if !defined $error && $self->{files}{n_known} && !$self->{files}->has_more;
    my @paths = grep { !/\n/ && length() < $MAX_PATH } $self->{files}->fresh($error);
    $worker->tell(join "\n", map { "watch $_" } @paths) if @paths;
    return;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Dev - the Perl part of sprig --dev

=head1 DESCRIPTION

Used by L<sprig(1)> with the option C<--dev>: it loads the application in a worker, explains what went wrong, and
tells the master which files to watch. There is nothing here for applications; see
L<Sprig::Manual::Development>.

=head1 METHODS

=head2 new

    my $dev = Sprig::Dev->new(app => $file);

=head2 load

    my $app = $dev->load(sub { ... });

The application that the code returns, or one that explains why there is none. Does not die.

=head2 tell_files

    $dev->tell_files($error);

Tells the master of modules that have been loaded since the last time; C<$error> may name one that is missing.

=cut
