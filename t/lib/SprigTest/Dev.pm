package SprigTest::Dev;

# sprig --dev under test, with everything that SprigTest::Workers offers.
#
#   my $dev  = start_dev(code => $app);
#   my $page = page_of($dev, '/', AS_BROWSER);
#   ok eventually(sub { $dev->body_of('/') eq 'new' }, SOON), 'a save is served';

use strict;
use warnings;
use Exporter         qw(import);
use SprigTest::Probe qw(get);
use SprigTest::Workers;
use Test::More ();

our @EXPORT = qw(start_dev page_of SOON AS_BROWSER);

use constant SOON => 15;    # seconds from a save to its answer; a third of one on a quiet machine
use constant AS_BROWSER => 'Accept: text/html,application/xhtml+xml,*/*;q=0.8';

# Takes the options of start_workers.
sub start_dev {
    my (%option) = @_;
    -d '/proc/self' or Test::More::plan(skip_all => 'no /proc');
    return start_workers(is_dev => 1, %option);
}

# The response to GET; fields are added to the head.
sub page_of {
    my ($dev, $path, @fields) = @_;
    return $dev->ask(get($path, @fields, 'Connection: close'));
}

1;
