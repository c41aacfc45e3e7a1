# Serves an app file as a worker whose master is a test.
#   perl worker.pl CONTROL_FD LISTEN_FD APP [option value]...

use strict;
use warnings;
use Plack::Handler::Sprig;
use Sprig::Program;
use Sprig::Worker;

my ($control, $listen, $file, %option) = @ARGV;
@ARGV = ();
Sprig::Worker::_play(3, $control, [$listen]);
Plack::Handler::Sprig->new(
    workers          => 4,
    psgi_app_builder => sub { Sprig::Program::_load_file($file) },
    %option,
)->run;
