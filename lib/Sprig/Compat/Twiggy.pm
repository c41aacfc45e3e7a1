package Sprig::Compat::Twiggy;

use strict;
use warnings;

use AnyEvent::Handle ();          # Twiggy loads it, so its users may have forgotten to
use Carp             qw(croak);

# Before Sprig reads it.
BEGIN { $ENV{SPRIG_DEBUG} = $ENV{TWIGGY_DEBUG} if !defined $ENV{SPRIG_DEBUG} && $ENV{TWIGGY_DEBUG} }

use Sprig::Loop;
use Plack::Handler::Sprig ();
use Sprig::Server         ();
use Sprig::Writer         ();

our $VERSION = '0.001';

# What Twiggy was when this was written; `use Twiggy 0.1020` is content with it.
my $TWIGGY_VERSION = '0.1026';

my %parent_of = (
    'Twiggy'                 => undef,
    'Twiggy::Server'         => 'Sprig::Server',
    'Twiggy::Server::SS'     => 'Twiggy::Server',
    'Twiggy::Writer'         => 'Sprig::Writer',
    'AnyEvent::Server::PSGI' => 'Twiggy::Server',
    'Plack::Handler::Twiggy' => 'Plack::Handler::Sprig',
);

_take_over($_) for sort keys %parent_of;
Sprig::Writer::set_class('Twiggy::Writer');

# Where `write` dies some programs learn that a client has left, and nowhere else.
$Sprig::Server::DEFAULTS{die_on_disconnect} = 1;

# Makes the name a class on top of ours, which `use` and `require` take for loaded.
sub _take_over {
    my ($class) = @_;
    my $file = ($class =~ s{::}{/}gr) . '.pm';
    croak "$class is loaded already: load " . __PACKAGE__ . ' first' if $INC{$file};
    no strict 'refs';
    @{"${class}::ISA"}     = grep { defined } $parent_of{$class};
    ${"${class}::VERSION"} = $TWIGGY_VERSION;
    $INC{$file} = __FILE__;
    return;
}

sub Twiggy::Server::DEBUG { return $ENV{TWIGGY_DEBUG} ? 1 : 0 }

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Compat::Twiggy - runs programs written for Twiggy on Sprig, unchanged

=head1 SYNOPSIS

    perl -MSprig::Compat::Twiggy my-server.pl
    PERL5OPT=-MSprig::Compat::Twiggy my-server.pl
    plackup -MSprig::Compat::Twiggy -s Twiggy app.psgi

    # or as the first line of the program
    use Sprig::Compat::Twiggy;

=head1 DESCRIPTION

Gives Sprig the names of Twiggy: after it is loaded,

    Twiggy::Server           is a  Sprig::Server
    AnyEvent::Server::PSGI   is a  Twiggy::Server
    Plack::Handler::Twiggy   is a  Plack::Handler::Sprig
    Twiggy::Writer           is a  Sprig::Writer

C<use> and C<require> of these find them loaded. Writers of streaming responses are of class
C<Twiggy::Writer>, so that C<ref> and C<isa> say what they said, and methods added to that class are
found. The event loop is Sprig's, unless the program has loaded another one before. C<TWIGGY_DEBUG>
means C<SPRIG_DEBUG>.

C<write> to a client that has left dies with C<Broken pipe>, as with Twiggy: the option
C<die_on_disconnect> is on, unless the constructor or C<SPRIG_DIE_ON_DISCONNECT=0> in the environment says
otherwise. So can all options be given: a program that makes its server itself gets a limit by
C<SPRIG_MAX_BODY_BYTES=1G my-server.pl>. See L<Sprig::Server/ENVIRONMENT>.

Load it before anything that loads Twiggy; else it dies. It is for the whole process: the names cannot
mean both servers.

What differs from Twiggy is listed in L<Sprig::Manual::Migration>.

=head1 FUNCTIONS

=head2 Twiggy::Server::DEBUG

True if the environment variable C<TWIGGY_DEBUG> is set.

=head1 SEE ALSO

L<Sprig::Server>, L<Sprig::Manual::Migration>

=cut
