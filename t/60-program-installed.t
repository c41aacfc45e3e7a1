# What an installed program finds again, with nothing in the environment, and what is installed with it.

use strict;
use warnings;
use File::Copy qw(copy);
use File::Find qw(find);
use File::Path qw(mkpath);
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Program;
use Test::More;

my $blib = SprigTest::root() . '/blib';
my $home = SprigTest::temp_path('home');

# As INSTALL_BASE has it: local::lib, cpanm as an ordinary user.
mkpath "$home/bin";
copy_tree("$blib/lib", "$home/lib/perl5");
copy(SprigTest::Program::program(), "$home/bin/sprig") or die "copy: $!";
chmod 0755, "$home/bin/sprig";

subtest 'a program in a home finds its modules without PERL5LIB' => sub {
    my $app = spew("$home/app.psgi", <<'END');
BEGIN { $| = 1; print "$INC{'Sprig/Program.pm'}\n" } kill TERM => $$; sub { };
END
    my $expected = is_installed() ? qr/Sprig/ : qr/\A\Q$home\E\/lib\/perl5\//;
    like bare_output("$home/bin/sprig", $app), $expected, 'by its own path';
    symlink "$home/bin/sprig", "$home/link" or die "symlink: $!";
    like bare_output("$home/link", $app), $expected, 'by that of a link';
};

subtest 'where they are nowhere, it says so' => sub {
    plan skip_all => 'Sprig is installed here' if is_installed();
    my $lone = SprigTest::temp_path('lone');
    copy("$home/bin/sprig", $lone) or die "copy: $!";
    chmod 0755, $lone;
    like bare_output($lone, "$home/app.psgi"), qr{^sprig: Can't locate Sprig/Program\.pm}, 'message';
};

subtest 'examples and the manual are installed' => sub {
    my ($here, $there) = (SprigTest::root() . '/eg', "$blib/lib/auto/share/dist/Sprig/eg");
    my @here  = map { m{/eg/(.+)\z} } glob "$here/README $here/*.psgi $here/deploy/*";
    my @there = map { m{/eg/(.+)\z} } glob "$there/README $there/*.psgi $there/deploy/*";
    is "@there", "@here", 'each example, where File::ShareDir looks, and the files to deploy it';
    is slurp("$blib/lib/$_.pod"), slurp(SprigTest::root() . "/bin/$_.pod"), "perldoc finds $_"
        for qw(sprig sprig-ctl sprig.conf);
    SKIP: {
        skip 'needs Pod::Perldoc', 1 if !eval { require Pod::Perldoc; 1 };
        like output_of($^X, "-I$blib/lib", '-MPod::Perldoc', '-e', 'exit Pod::Perldoc->run', '--', '-l',
            'sprig'),
            qr{/sprig\.pod$}m, 'and so it does';
    }
};

subtest 'the program is linked as perl links its modules' => sub {
    plan skip_all => 'no readelf' if !tool_path('readelf');
    unlike output_of('readelf', '-d', "$home/bin/sprig"), qr/\[\]$/m, 'no empty search path';
    SKIP: {
        my $makefile = SprigTest::root() . '/Makefile';
        skip 'there is no Makefile', 1 if !-e $makefile;
        like slurp($makefile), qr{^\t.*\$\(LDFLAGS\) -o \$\@ bin/sprig}m, 'with LDFLAGS';
    }
};

done_testing;

# Whether perl finds a Sprig by itself, which then comes first.
sub is_installed {
    return output_of('env', '-i', $^X, '-e', 'print grep { -e "$_/Sprig/Program.pm" } @INC') ne '';
}

# Output of a command with an empty environment, but for what the modules of others need.
sub bare_output {
    my (@command) = @_;
    my @others = grep { defined && length && !m{/blib/} } split /:/, $ENV{PERL5LIB} || '';
    return output_of('env', '-i', 'PERL5LIB=' . join(':', @others), @command, '-o', '127.0.0.1',
        '-p', 0);
}

sub copy_tree {
    my ($from, $to) = @_;
    my $copy = sub {
        my $target = $to . substr $_, length $from;
        return mkpath $target if -d;
        copy($_, $target) or die "copy: $!";
    };
    find({ no_chdir => 1, wanted => $copy }, $from);
    return;
}
