# The measures of the house: how long lines, functions and files may be, and words that do not
# stay. (Perl's lines are broken at 100 columns by perltidy, which leaves long strings alone.)
use strict;
use warnings;
use Test::More;

use constant { MAX_FUNCTION_LINES => 80, MAX_FILE_LINES => 700 };

my @c    = grep { $_ ne 'xs/Sprig.c' } sort glob '{csrc,csrc/*,xs,bin,t/core}/*.[ch]';
my @perl = sort glob 'Makefile.PL {t,xt}/*.t {lib,t/lib}/*.pm {lib,t/lib}/*/*.pm lib/*/*/*.pm';

for my $file (@c, @perl, sort glob 'xs/*.xs') {
    my @lines = lines($file);
    cmp_ok scalar @lines, '<=', MAX_FILE_LINES, "$file is short enough"
        if $file !~ m{^(?:t|xt)/|^Makefile};
    my $columns = $file =~ /\.[ch]$|\.xs$/ ? 100 : 130;
    my @wide    = grep { length $lines[$_ - 1] > $columns } 1 .. @lines;
    is "@wide", '', "$file has no wide lines";
    my @left = grep { $lines[$_ - 1] =~ /(?<!\$)\b(?:TO[D]O|FIX[M]E)\b/ } 1 .. @lines;
    is "@left", '', "$file leaves nothing to be done";
}

for my $file (@c) {
    my ($start, $head, @long) = (0, '');
    my @lines = lines($file);
    for my $i (0 .. $#lines) {
        $head  = $lines[$i] if $lines[$i] =~ /^\w.*\)$/;
        $start = $i         if $lines[$i] eq '{';
        push @long, $head if $lines[$i] eq '}' && $i - $start - 1 > MAX_FUNCTION_LINES;
    }
    is join("\n", @long), '', "$file has no long functions";
    my ($first) = @lines;
    like $first, qr{^/\* }, "$file says what it is for";
}

done_testing;

sub lines {
    my ($file) = @_;
    open my $in, '<:encoding(UTF-8)', $file or die "$file: $!";
    chomp(my @lines = <$in>);
    return @lines;
}
