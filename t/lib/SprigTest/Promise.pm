package SprigTest::Promise;

# For the programs in xt/ that try Sprig and say what held.

use strict;
use warnings;
use Exporter 'import';

our @EXPORT = qw(promise percentile);
our $broken = 0;                        # the exit status

sub promise {
    my ($kept, $what) = @_;
    printf "%s  %s\n", $kept ? 'ok     ' : 'BROKEN ', $what;
    $broken = 1 if !$kept;
    return;
}

sub percentile {
    my ($p, @values) = @_;
    return (sort { $a <=> $b } @values)[$p / 100 * $#values];
}

1;
