# MANIFEST names every file that belongs to the distribution, and no other: dev/manifest writes it.
use strict;
use warnings;
use ExtUtils::Manifest qw(maniread maniskip);
use Test::More;

plan skip_all => 'not a checkout' if !-e '.git';

my $skip  = maniskip('MANIFEST.SKIP');
my %have  = map { $_ => 1 } grep { !$skip->($_) && -e } split /\0/, `git ls-files -z`;
my $named = maniread('MANIFEST');

is_deeply [grep { !exists $named->{$_} } sort keys %have], [], 'every file is named';
is_deeply [grep { !$have{$_} } sort keys %$named],         [], 'every name has its file';

done_testing;
