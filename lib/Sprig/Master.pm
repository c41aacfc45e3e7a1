package Sprig::Master;

use strict;
use warnings;

use Config ();
use Sprig  ();

our $VERSION = '0.001';

# How the program was started, for the time when it is to be started anew.
my @command = _command();

# In the file of its arguments a program leaves traces: assigning to $0 writes over it. What stands
# there is believed if it ends with what the program was told; in the program sprig, which keeps
# perl from writing there, always.
sub _command {
    my @words = _words_of_process();
    return @words if $INC{'Sprig/Program.pm'} && @words;
    my @tail = ($0, @ARGV);
    return @words if @words > @tail && "@words[-@tail .. -1]" eq "@tail";
    return @words if $0 eq '-e'     && @words > @ARGV;
    my %is_usual = map { $_ => 1 } grep { defined && length } @Config::Config{
        qw(privlibexp archlibexp
            sitelibexp sitearchexp vendorlibexp vendorarchexp)
        },
        split /:/, $ENV{PERL5LIB} || '';
    return ($^X, (map { "-I$_" } grep { !ref && !$is_usual{$_} } @INC), @tail);
}

sub _words_of_process {
    open my $fh, '<:raw', '/proc/self/cmdline' or return;
    local $/;
    my $text = readline $fh;
    return defined $text ? split /\0/, $text : ();
}

my $pid = 0;    # of the master

# Opens the sockets, as far as the master before has not done it (USR2). The descriptors are the
# master's from now on.
sub open {
    my ($class, $options, $addresses, $descriptors, $is_all_tls) = @_;
    $pid = $$;
    _open($options, [@command]);
    delete @ENV{qw(SPRIG_UPGRADE SPRIG_UPGRADE_PID)};    # not in the environment any more, but in the hash
    _listen($_) for @$addresses;
    _adopt($_, !!$is_all_tls) for @$descriptors;
    _settle();
    return;
}

sub addresses { return @{ _addresses() } }

# Returns true in each worker, and false in the master when all is over.
sub run {
    my ($class, $on_ready) = @_;
    return _run($on_ready);
}

# Whoever leaves early leaves no file and no socket behind; a child that it has forked does not care.
END {
    _remove_pid();
    _close() if $pid == $$;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Master - the master of worker processes, in a perl

=head1 DESCRIPTION

Used by L<Sprig::Server/run> if the option C<workers> is 2 or more, or C<master> is on. The master itself is written in C;
it opens the sockets, starts the workers, watches and replaces them, and handles no request. There is
nothing here for applications: see L<Sprig::Worker>.

=head1 METHODS

=head2 open

    Sprig::Master->open(\%options, \@addresses, \@descriptors, $is_all_tls);

Opens the listening sockets, and takes over those that are open. After an upgrade (USR2), those are the sockets of
the master before, where this one is to listen as well. Dies if one cannot be had.

=head2 addresses

    my @infos = Sprig::Master->addresses;

C<host>, C<port> and C<unix> of each of them.

=head2 is_successor

    my $is_successor = Sprig::Master::is_successor();

Whether another master has started this process to take its place.

=head2 drop_privileges

    Sprig::Master::drop_privileges(\%options);

Becomes the user and group of the options.

=head2 run

    Sprig::Master->run($on_ready) or return;

Starts the workers, and stays until all is over. Like C<fork> it returns in several processes: true in
each worker, where L<Sprig::Worker/current> tells which one it is, and false in the master at the end.
C<$on_ready> is called in the master when the first worker serves.

=cut
