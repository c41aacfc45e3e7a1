# MANIFEST names every file that belongs to the distribution, and no other: dev/manifest writes it.
use strict;
use warnings;
use ExtUtils::Manifest qw(maniread maniskip);
use Test::More;

my @files = split /\0/, `git ls-files -z 2>/dev/null`;
plan skip_all => 'not a checkout, or no git' if !@files;

my $skip  = maniskip('MANIFEST.SKIP');
my %have  = map { $_ => 1 } grep { !$skip->($_) && -e } @files;
my $named = maniread('MANIFEST');

is_deeply [grep { !exists $named->{$_} } sort keys %have], [], 'every file is named';
is_deeply [grep { !$have{$_} } sort keys %$named],         [], 'every name has its file';

done_testing;
