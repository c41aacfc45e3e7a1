package Sprig::Help;

use strict;
use warnings;

our $VERSION = '0.001';

# Prints what the manual says of an option; false if it cannot be found.
sub show {
    my ($class, $flag, $is_colourful) = @_;
    my $entry = $class->entry($flag);
    return 0 if !defined $entry;
    my $formatter = $is_colourful ? 'Pod::Text::Color' : 'Pod::Text';
    (my $file = "$formatter.pm") =~ s{::}{/}g;
    require $file;
    my $parser = $formatter->new(width => 78, indent => 0);
    $parser->output_fh(*STDOUT);
    $parser->parse_string_document("=encoding utf8\n\n=over\n\n$entry\n\n=back\n");
    return 1;
}

# Its =item in sprig.pod with all that belongs to it, or undef.
sub entry {
    my ($class, $flag) = @_;
    my ($pod) = grep { -f } map { "$_/sprig.pod" } grep { !ref } @INC;
    open my $in, '<:raw', defined $pod ? $pod : return or return;
    my ($depth, @lines) = (0);
    while (defined(my $line = readline $in)) {
        if (!@lines) {
            my $plain = $line =~ s/[BI]<([^<>]*)>/$1/gr =~ s/\[no-\]//r;
            push @lines, $line if $plain =~ /\A=item (?:-\w, )?\Q$flag\E(?: |$)/;
            next;
        }
        $depth++ if $line            =~ /\A=over/;
        last     if !$depth && $line =~ /\A=(?:item|back|head)/;
        $depth-- if $line            =~ /\A=back/;
        push @lines, $line;
    }
    return @lines ? join '', @lines : undef;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Help - what the manual says of an option

=head1 DESCRIPTION

What C<sprig --help OPTION> prints. There is nothing here for applications.

=head1 METHODS

=head2 show

    Sprig::Help->show('--workers', $is_colourful) or die;

Prints the entry of the option in L<sprig(1)>, formatted for a terminal. False if there is none.

=head2 entry

    my $pod = Sprig::Help->entry('--workers');

The entry as POD, from F<sprig.pod> in one of the folders of C<@INC>.

=cut
