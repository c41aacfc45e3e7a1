# The manual, --help and the table of options say the same.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Program;
use Test::More;

my $help = run_program('--help-all')->{out};
my $pod  = slurp(SprigTest::root() . '/bin/sprig.pod');

# "-p, --port PORT" => "5000"
my %in_help = map { entry($_) } help_entries($help);
my %in_pod  = map { entry($_) } pod_entries($pod);

cmp_ok keys %in_help, '>', 30, 'there are options';
is_deeply [sort keys %in_pod], [sort keys %in_help], 'the same options in both';
is $in_pod{$_}, $in_help{$_}, "default of $_" for sort keys %in_help;

subtest 'every option of the server is one of the program' => sub {
    my $table    = slurp(SprigTest::root() . '/csrc/base/config.h');
    my ($struct) = $table =~ /struct sprig_config \{(.*?)^\};/ms;
    $struct =~ s{^.*/\* no option: .*$}{}m;
    $struct =~ s{/\*.*?\*/}{}gs;
    for my $field ($struct =~ /(\w+);/g) {
        (my $flag = $field) =~ tr/_/-/;
        ok + (grep { /--(?:\[no-\])?\Q$flag\E\b/ } keys %in_help), "--$flag";
    }
};

done_testing;

# Text of an option's flags and, in brackets, its default.
sub entry {
    my ($text) = @_;
    $text =~ s/\s+/ /g;
    my $initial = $text =~ s/ \[([^\]]*)\]\z// ? $1 : '';
    return ($text => $initial);
}

# Flags and default of each option, the sentence between them left out.
sub help_entries {
    my ($text) = @_;
    my @entries;
    for my $line (split /\n/, $text) {
        if ($line =~ /^ {2,6}(-.*?)(?: {2,}|$)(.*)/) {
            push @entries, [$1, $2];
        } elsif (@entries && $line =~ /^ {30,}(\S.*)/) {
            $entries[-1][1] .= " $1";
        }
    }
    return map { $_->[1] =~ /(\[[^\]]*\])\z/ ? "$_->[0] $1" : $_->[0] } @entries;
}

sub pod_entries {
    my ($text) = @_;
    my @entries = $text =~ /^=item (B<-.*)$/mg;
    s/[BI]<([^>]*)>/$1/g for @entries;
    return @entries;
}
