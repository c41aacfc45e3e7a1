# The core's own tests: compiled without Perl, once plain and once with the sanitizers, and run.
use strict;
use warnings;
use Config;
use File::Basename qw(basename);
use File::Temp     qw(tempdir);
use Test::More;

# A unit that runs longer hangs.
use constant MAX_SECONDS => 120;

my %make  = makefile_macros();
my @tests = sort glob 't/core/*_test.c';
plan skip_all => 'no Makefile: perl Makefile.PL first' if !%make;
plan skip_all => 'no units'                            if !@tests;

my $dir = tempdir(CLEANUP => 1);

my %FLAGS = (
    plain     => '-O2 -g',
    sanitized => '-O1 -g -fno-omit-frame-pointer -fsanitize=address,undefined'
        . ' -fno-sanitize-recover=undefined',
);
my @variants = ('plain');
if (my $how = sanitizers_work()) {
    push @variants, 'sanitized';
    $ENV{ASAN_OPTIONS}  = "$how:abort_on_error=0";
    $ENV{UBSAN_OPTIONS} = 'print_stacktrace=1';
    diag 'leaks are not looked for: it does not work here' if $how =~ /=0/;
} else {
    diag 'the compiler has no sanitizers';
}

my ($built, $log) = build();
ok $built, 'core and units compile without Perl' or diag $log;

for my $variant (@variants) {
    for my $test (@tests) {
        my $name    = basename($test, '.c');
        my $program = "$dir/$variant/$name";
        subtest "$name, $variant" => sub { run_unit($program) };
    }
}

done_testing;

# What Makefile.PL found out.
sub makefile_macros {
    open my $in, '<', 'Makefile' or return;
    my %macro = map { /^(CC|SPRIG_\w+) = (.*)/ ? ($1 => $2) : () } <$in>;
    return exists $macro{SPRIG_CORE} ? %macro : ();
}

# The ASAN_OPTIONS with which a sanitized program runs here, or nothing.
sub sanitizers_work {
    write_file("$dir/probe.c", "int main(void) { return 0; }\n");
    return if system "$make{CC} $FLAGS{sanitized} -o $dir/probe $dir/probe.c >$dir/log 2>&1";
    for my $options ('detect_leaks=1', 'detect_leaks=0') {
        return $options if !system "ASAN_OPTIONS=$options $dir/probe >$dir/log 2>&1";
    }
    return;
}

# Folders become part of the name: two of them may have a file of one name.
sub object_name {
    my ($source) = @_;
    return $source =~ s{/}{-}gr =~ s/\.c$/.o/r;
}

# Compiles everything by a Makefile of its own, so that it goes in parallel. True, or false and
# what make said.
sub build {
    my (@programs, @rules);
    my $cc = "$make{CC} $make{SPRIG_CFLAGS} $make{SPRIG_WARNINGS} -iquote t/core";
    for my $variant (@variants) {
        mkdir "$dir/$variant" or die "$dir/$variant: $!";
        my @objects;
        for my $source (split ' ', $make{SPRIG_CORE}) {
            my $object = "$dir/$variant/" . object_name($source);
            push @objects, $object;
            push @rules,   "$object : $source\n\t$cc $FLAGS{$variant} -c -o \$\@ $source\n";
        }
        my $core = "$dir/$variant/core.a";
        push @rules, "$core : @objects\n\t$Config{ar} rc \$\@ @objects $make{SPRIG_VENDOR}\n";
        for my $test (@tests) {
            my $program = "$dir/$variant/" . basename($test, '.c');
            push @programs, $program;
            push @rules, "$program : $test $core\n\t$cc $FLAGS{$variant} -o \$\@ $test $core"
                . " $make{SPRIG_SANITIZER} $make{SPRIG_LIBS} -lm\n";
        }
    }
    write_file("$dir/Makefile", "all : @programs\n\n" . join "\n", @rules);
    delete local @ENV{qw(MAKEFLAGS MAKELEVEL MFLAGS)};
    my $said = `$Config{make} -s -k -j2 -f $dir/Makefile 2>&1`;
    return ($? == 0, $said);
}

# Runs one program and hands its TAP on, line by line.
sub run_unit {
    my ($program) = @_;
    if (!-x $program) {
        fail 'was compiled';
        return;
    }
    my $pid = open my $out, '-|';
    die "fork: $!" if !defined $pid;
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        alarm MAX_SECONDS;
        { exec $program }
        POSIX::_exit(127);
    }
    my ($plan, $n, @said) = (undef, 0);
    while (my $line = <$out>) {
        chomp $line;
        if ($line =~ /^(not )?ok\b\s*\d*\s*-?\s*(.*)/) {
            my ($failed, $name) = ($1, $2);
            $n++;
            ok !$failed, $name =~ /^[\d\s]*$/ ? "'$name'" : $name;
        } elsif ($line =~ /^1\.\.(\d+)/) {
            $plan = $1;
        } else {
            push @said, $line =~ s/^# ?//r;
        }
    }
    my $ended = close $out;
    ok $ended, 'exits with 0' or diag "wait status $?";
    is $n, $plan, 'has run what it planned';
    diag $_ for Test::More->builder->is_passing ? () : @said;
}

sub write_file {
    my ($file, $text) = @_;
    open my $out, '>', $file or die "$file: $!";
    print {$out} $text;
    close $out or die "$file: $!";
}
