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

Sprig::Compat::Twiggy - run programs written for Twiggy on Sprig, unchanged

=head1 SYNOPSIS

    perl -MSprig::Compat::Twiggy my-server.pl
    PERL5OPT=-MSprig::Compat::Twiggy my-server.pl
    plackup -MSprig::Compat::Twiggy -s Twiggy app.psgi

    # or as the first line of the program
    use Sprig::Compat::Twiggy;

=head1 DESCRIPTION

This module gives Sprig the names of Twiggy. Once it is loaded,

    Twiggy::Server           is a  Sprig::Server
    AnyEvent::Server::PSGI   is a  Twiggy::Server
    Plack::Handler::Twiggy   is a  Plack::Handler::Sprig
    Twiggy::Writer           is a  Sprig::Writer

C<use> and C<require> treat these modules as loaded. The writers of streaming responses belong to the class
C<Twiggy::Writer>, so C<ref> and C<isa> return what they did before, and methods you have added to that
class still work. The program runs on Sprig's event loop unless it has loaded another one first.
C<TWIGGY_DEBUG> acts as C<SPRIG_DEBUG>.

As with Twiggy, C<write> dies with C<Broken pipe> once the client has left: this module turns on the option
C<die_on_disconnect>. To turn it off, pass C<< die_on_disconnect => 0 >> to the constructor or set
C<SPRIG_DIE_ON_DISCONNECT=0> in the environment. The environment works for every option, which helps with a
program that creates its server itself: C<SPRIG_MAX_BODY_BYTES=1G my-server.pl>. See
L<Sprig::Server/ENVIRONMENT>.

Load this module before anything that loads Twiggy, or it dies. It applies to the whole process: the names
cannot stand for both servers.

L<Sprig::Manual::Migration> lists the differences from Twiggy.

=head1 FUNCTIONS

=head2 Twiggy::Server::DEBUG

True if the environment variable C<TWIGGY_DEBUG> is set.

=head1 SEE ALSO

L<Sprig::Server>, L<Sprig::Manual::Migration>

=cut
