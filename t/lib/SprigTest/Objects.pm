package SprigTest::Objects;

# Who needs whom, by the symbols of the objects that were built: not by names or includes.

use strict;
use warnings;

use Exporter 'import';

our @EXPORT_OK = qw(arrows circles);

# Why it cannot be told here, or nothing.
sub missing {
    my (@objects) = @_;
    return 'no nm'          if system 'nm --version >/dev/null 2>&1';
    return 'not built here' if !@objects || grep { !-e } @objects;
    return;
}

# { "xs/app" => { "xs/exchange" => "psgi_exchange_new", ... } }: an example of a symbol for each.
# `name_of` gives an object the name of what it belongs to, such as its folder.
sub arrows {
    my ($name_of, @objects) = @_;
    my (%owner, %needs, %arrow);
    for my $object (@objects) {
        my $name = $name_of->($object);
        for (`nm $object`) {
            my ($kind, $symbol) = /\s([A-Za-z])\s+_?(\w+)$/ or next;
            if ($kind eq 'U') { $needs{$name}{$symbol} = 1 }
            elsif ($kind =~ /[TDBRCSVWi]/a) { $owner{$symbol} = $name }
        }
    }
    for my $name (keys %needs) {
        for my $symbol (sort keys %{ $needs{$name} }) {
            my $other = $owner{$symbol} // next;
            $arrow{$name}{$other} //= $symbol if $other ne $name;
        }
    }
    return \%arrow;
}

# Each circle as text, "a -> b (symbol) -> a (symbol)".
sub circles {
    my ($arrow) = @_;
    my (%done, @found);
    for my $name (sort keys %$arrow) {
        my @way = way_back($arrow, $name, $name, {}) or next;
        next if grep { $done{$_} } @way;
        @done{@way} = (1) x @way;
        push @found, describe($arrow, $name, @way);
    }
    return @found;
}

# The names on the shortest way from here to `goal`, which is the last.
sub way_back {
    my ($arrow, $from, $goal) = @_;
    my %before = ($from => undef);
    my @queue  = $from;
    while (defined(my $name = shift @queue)) {
        for my $next (sort keys %{ $arrow->{$name} || {} }) {
            if ($next eq $goal) {
                my @way = ($goal);
                for (my $at = $name; defined $at && $at ne $goal; $at = $before{$at}) {
                    unshift @way, $at;
                }
                return @way;
            }
            next if exists $before{$next};
            $before{$next} = $name;
            push @queue, $next;
        }
    }
    return;
}

sub describe {
    my ($arrow, @names) = @_;
    return join ' -> ', $names[0],
        map { "$names[$_] ($arrow->{ $names[$_ - 1] }{ $names[$_] })" } 1 .. $#names;
}

1;
