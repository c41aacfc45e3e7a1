# Things that need each other can only be understood, and changed, together. What needs what is read
# from the symbols of the objects.
use strict;
use warnings;
use lib 't/lib';
use SprigTest::Objects qw(arrows circles);
use Test::More;

my @bridge = map { s/\.c$/.o/r } 'xs/Sprig.c', grep { !m{/Sprig\.c$} } glob 'xs/*.c';

my @core   = grep { !m{/vendor-} && -e s/\.o$/.c/r } glob 'csrc/*/*.o';

my $missing = SprigTest::Objects::missing(@bridge);
plan skip_all => $missing if $missing;

subtest 'no two files of the bridge need each other' => sub {
    my @circles = circles(arrows(sub { $_[0] =~ s/\.o$//r }, @bridge));
    is "@circles", '', 'no circle';
};

subtest 'no two folders of the core need each other' => sub {
    my @circles = circles(arrows(sub { (split m{/}, $_[0])[1] }, @core));
    is "@circles", '', 'no circle';
};

done_testing;
