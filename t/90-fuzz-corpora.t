# The targets of dev/fuzz over the inputs that are known, under the sanitizers.

use strict;
use warnings;
use Cwd            qw(getcwd);
use File::Basename qw(basename);
use File::Temp     qw(tempdir);
use Test::More;

my %make;
if (open my $in, '<', 'Makefile') {
    %make = map { /^(CC|SPRIG_\w+) = (.*)/ ? ($1 => $2) : () } <$in>;
}
plan skip_all => 'no Makefile: perl Makefile.PL first' if !$make{SPRIG_CORE};

my $top   = getcwd();
my $dir   = tempdir(CLEANUP => 1);
my $flags = '-O1 -g -fsanitize=address,undefined -fno-sanitize-recover=undefined';
open my $probe, '>', "$dir/probe.c" or die "$dir: $!";
print {$probe} "int main(void) { return 0; }\n";
close $probe;
plan skip_all => 'the compiler has no sanitizers'
    if system "$make{CC} $flags -o $dir/probe $dir/probe.c >$dir/log 2>&1";
$ENV{ASAN_OPTIONS} = 'detect_leaks=1';
$ENV{ASAN_OPTIONS} = 'detect_leaks=0' if system "$dir/probe >$dir/log 2>&1";

# What the targets need of the core: no connections, no loop.
my $needed = qr{^csrc/(?:(?:base|net|http)/(?!socket)|ws/(?:frame|handshake|deflate|sha1)\.)};
my $core   = join ' ', grep { /$needed/ } split ' ', $make{SPRIG_CORE};

mkdir "$dir/seeds";
is(system($^X, 'xt/fuzz/seeds.pl', "$dir/seeds"), 0, 'the inputs of the tests');

# http2.c needs the whole server, which takes minutes to compile like this: dev/fuzz runs it.
my @targets = map { basename($_, '.c') } grep { !/replay\.c|http2\.c/ } sort glob 'xt/fuzz/*.c';
cmp_ok(scalar @targets, '>', 3, "targets: @targets");
my $cc = "$make{CC} $flags $make{SPRIG_CFLAGS} -iquote xt/fuzz";
mkdir "$dir/objects";
my $compile = "$make{CC} $flags $make{SPRIG_CFLAGS} -iquote $top/csrc";
my $log = `cd $dir/objects && for file in $core; do $compile -c $top/\$file || exit 1; done 2>&1`;
is($?, 0, 'the core compiles') or diag $log;
for my $target (@targets) {
    my $said =
        `$cc -o $dir/$target xt/fuzz/$target.c xt/fuzz/replay.c $dir/objects/*.o $make{SPRIG_VENDOR} $make{SPRIG_LIBS} 2>&1`;
    is($?, 0, "$target compiles") or diag $said;
    my @inputs = glob "$dir/seeds/$target/*";
    $said = '';
    while (my @some = splice @inputs, 0, 500) {
        open my $out, '-|', "$dir/$target", @some or die "$target: $!";
        local $/;
        my $text = <$out>;
        close $out;
        is($?, 0, "$target: all is well with " . @some . ' inputs') or diag $text;
    }
}

done_testing;
