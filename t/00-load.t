# The module loads, the program starts, and both are of one version.
use strict;
use warnings;
use Test::More;

use_ok 'Sprig' or BAIL_OUT 'the module does not load';

my $version = $Sprig::VERSION;
like $version, qr/^\d+\.\d{3,}$/, 'version of the module';

my ($core) = slurp('csrc/sprig.h') =~ /define\s+SPRIG_VERSION\s+"([^"]+)"/;
is $core, $version, 'version of the core';

my ($changes) = slurp('Changes') =~ /^(\d\S*)/m;
cmp_ok $changes, '==', $version, 'version that Changes is about';

# As PAUSE reads them: a number in each file.
for my $file (sort grep { slurp($_) =~ /^our \$VERSION/m } split /\n/, `find lib -name '*.pm'`) {
    my ($said) = slurp($file) =~ /^our \$VERSION\s*=\s*'([0-9.]+)';$/m;
    is $said, $version, "version of $file";
}

for my $module (qw(Sprig::Server Sprig::Loop Plack::Handler::Sprig)) {
    require_ok $module;
}

my $program = 'blib/script/sprig';
SKIP: {
    skip 'the program is not built here', 4 if !-x $program;
    my $said = `$program -v 2>&1`;
    is $?, 0, 'sprig -v ends well';
    my ($name, $number, $libraries) = $said =~ /\A(\S+) (\S+) \((.*)\)\n\z/;
    is $name, 'sprig', 'says its name' or diag $said;
    cmp_ok $number, '==', $version, 'and its version';
    like $libraries, qr/^libevent 2\.\d+.*, (?:http-parser|llhttp) \d+\.\d+.*, perl 5\.\d+\.\d+$/,
        'and those of its libraries';
}

done_testing;

sub slurp {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    local $/;
    return scalar <$in>;
}
