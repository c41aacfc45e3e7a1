# Serves an app file by Plack::Handler::Sprig and tells through a descriptor where it listens. When the server
# has ended, nothing may be left of it, or the exit status is 1. SPRIG_TEST_KEEPS: the app keeps things.
#   perl serve.pl FD APP [option value]...

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Plack::Handler::Sprig;
use Plack::Util;
use SprigTest::Leftovers;

my ($fd, $file, %option) = @ARGV;
@ARGV = ();
$option{listen} = [$option{listen}] if defined $option{listen};
my $before = SprigTest::Leftovers->new;
open my $ready, '>&=', $fd or die "cannot use descriptor $fd: $!";
my $app = Plack::Util::load_psgi($file);
Plack::Handler::Sprig->new(
    host         => '127.0.0.1',
    port         => 0,
    server_ready => sub { syswrite $ready, "$_[0]{host} $_[0]{port}\n"; close $ready },
    %option,
)->run($app);
undef $app;
exit SprigTest::Leftovers::status($before);
