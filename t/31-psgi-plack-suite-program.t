# Plack's own acceptance suite for server backends, over the program.

use strict;
use warnings;
use File::Spec ();
use File::Temp ();
use Test::More;

BEGIN {
    eval { require HTTP::Request; 1 } or plan skip_all => "HTTP::Request cannot be loaded: $@";
}
use Plack::Test::Suite;

my $app = File::Temp->new(SUFFIX => '.psgi');
print {$app} <<'APP';
use Plack::Middleware::Lint;
use Plack::Test::Suite;
Plack::Middleware::Lint->wrap(Plack::Test::Suite->test_app_handler);
APP
close $app or die "cannot write $app: $!";

local $ENV{PERL5LIB} = join ':', map { File::Spec->rel2abs($_) } grep { !ref } @INC;
Plack::Test::Suite->run_server_tests(sub {
    my ($port) = @_;
    exec 'blib/script/sprig', '-o', '127.0.0.1', '-p', $port, "$app"
        or die "cannot run blib/script/sprig: $!";
});

done_testing;
