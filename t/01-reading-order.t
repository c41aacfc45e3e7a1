# HACKING.pod leads through the source: every file of the core and the bridge has its place there, and
# every file that it names is there. So are the tests that t/README names.
use strict;
use warnings;
use Test::More;

plan skip_all => 'HACKING.pod is not here' if !-e 'HACKING.pod';
open my $in, '<', 'HACKING.pod' or die "HACKING.pod: $!";
my $text = do { local $/; <$in> };
my %named;
$named{ stem($_) } = $_ for grep { m{^(?:csrc|xs|bin)/} } $text =~ m{F<([^>*]+\.(?:c|h|xs))>}g;

my %there = map { stem($_) => 1 }
    grep { $_ ne 'xs/Sprig.c' } glob 'csrc/*.h csrc/*/*.[ch] xs/*.[ch] xs/*.xs bin/*.[ch]';

ok keys %there > 1, 'there are sources';
ok $named{$_}, "$_ is named" for sort keys %there;
ok $there{$_}, "$named{$_} is there" for sort keys %named;

open my $list, '<', 't/README' or die "t/README: $!";
my $tests = do { local $/; <$list> };
ok -e, "t/README: $_ is there"
    for $tests =~ m{(?<![/\w])(x?t/[\w-]+\.t|dev/\w+)}g, map {"t/core/$_"} $tests =~ m{\b(\w+_test\.c)}g;

done_testing;

# A header and its .c are one thing.
sub stem {
    my ($file) = @_;
    return $file =~ s/\.\w+$//r;
}
