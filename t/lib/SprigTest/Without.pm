package SprigTest::Without;

# Perl as if these modules were not installed, in every process that a test starts:
#
#   PERL5OPT=-It/lib\ -MSprigTest::Without=EV,Coro
#
# dev/test --without says so.

use strict;
use warnings;

sub import {
    my ($class, @modules) = @_;
    my %is_missing = map { (s{::}{/}gr . '.pm' => 1) } @modules;
    unshift @INC, sub {
        my ($self, $file) = @_;
        return if !$is_missing{$file};
        die "Can't locate $file in \@INC (SprigTest::Without)\n";
    };
    return;
}

1;
