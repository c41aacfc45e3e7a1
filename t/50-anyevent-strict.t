# The same tests with AnyEvent's own checks of every call.
use strict;
use warnings;
use Test::More;

my @tests = grep { !/strict|sleep|backend|callbacks|-io\.t|http|apps|memory/ }
    sort glob 't/50-anyevent-*.t';
local $ENV{PERL_ANYEVENT_STRICT} = 1;
for my $test (@tests) {
    my @command = ($^X, (map { "-I$_" } grep { !ref } @INC), $test);
    open my $out, '-|', @command or die "cannot run $test: $!";
    my @lines = <$out>;
    close $out;
  SKIP: {
        my ($plan) = grep { /^1\.\.0/ } @lines;
        my ($why) = ($plan // '') =~ /# SKIP (.*)/i;
        skip "$test: $why", 1 if defined $why && $? == 0;
        is $?, 0, $test or diag grep { /^\s*not ok|^\s*#/ } @lines;
        ok grep({ /^ok/ } @lines), 'ran';
    }
}

done_testing;
