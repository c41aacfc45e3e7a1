# Serves an app file as programs written for Twiggy do; tells through a descriptor where it listens.
# The exit status is 1 if anything is left of the server.
#   perl twiggy.pl FD APP [option value]...

use strict;
use warnings;
use FindBin;
use lib $FindBin::Bin;
use Plack::Util;
use SprigTest::Leftovers;
use Twiggy::Server;

my ($fd, $file, %option) = @ARGV;
@ARGV = ();
my $before = SprigTest::Leftovers->new;
open my $ready, '>&=', $fd or die "cannot use descriptor $fd: $!";
Twiggy::Server->new(
    host         => '127.0.0.1',
    port         => 0,
    server_ready => sub { syswrite $ready, "$_[0]{host} $_[0]{port}\n"; close $ready },
    %option,
)->run(Plack::Util::load_psgi($file));
exit SprigTest::Leftovers::status($before);
