# Serves an app file by Plack::Handler::Sprig and tells through a descriptor where it listens.
#   perl serve.pl FD APP [option value]...

use strict;
use warnings;
use Plack::Handler::Sprig;
use Plack::Util;

my ($fd, $file, %option) = @ARGV;
@ARGV = ();
open my $ready, '>&=', $fd or die "cannot use descriptor $fd: $!";
my $app = Plack::Util::load_psgi($file);
Plack::Handler::Sprig->new(
    host         => '127.0.0.1',
    port         => 0,
    server_ready => sub { syswrite $ready, "$_[0]{host} $_[0]{port}\n"; close $ready },
    %option,
)->run($app);
