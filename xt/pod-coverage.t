# Every public sub of every module is documented.
use strict;
use warnings;
use Test::More;

BEGIN {
    eval {
        require Test::Pod::Coverage;
        Test::Pod::Coverage->VERSION('1.08');
        Test::Pod::Coverage->import;
        1;
    }
        or plan skip_all => 'Test::Pod::Coverage 1.08 is not installed';
}

# What perl or AnyEvent calls, not the user; constants in capitals.
my @private = (qr/^_/, qr/^[A-Z_]+$/, qr/^(?:bootstrap|dl_load_flags)$/);

my @modules = all_modules('lib');
plan tests => scalar @modules;
pod_coverage_ok($_, { also_private => \@private, coverage_class => 'Pod::Coverage::CountParents' })
    for @modules;
