# Sends the time five times, one second apart.
#
#   sprig eg/five-times.psgi
#   curl -N http://127.0.0.1:5000/
#   ab -n 100 -c 100 http://127.0.0.1:5000/
#
# A hundred clients at once take as long as one: four seconds.

use strict;
use warnings;
use AnyEvent;

sub {
    my ($env) = @_;
    return sub {
        my ($respond) = @_;
        my $writer    = $respond->([200, ['Content-Type' => 'text/plain']]);
        my $left      = 5;
        my $timer;
        $timer = AE::timer 0, 1, sub {
            $writer->write(scalar(localtime) . "\n");
            return if --$left > 0;
            $writer->close;
            undef $timer;
        };
        $writer->on_disconnect(sub { undef $timer });
    };
};
