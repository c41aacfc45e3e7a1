# Sends the time every second until the client leaves.
#
#   sprig eg/time-server.psgi
#   curl -N http://127.0.0.1:5000/
#
# prints one line per second. When a client leaves, on_disconnect drops its timer at once: try a thousand clients.

use strict;
use warnings;
use AnyEvent;

sub {
    my ($env) = @_;
    return sub {
        my ($respond) = @_;
        my $writer    = $respond->([200, ['Content-Type' => 'text/plain']]);
        my $timer     = AE::timer 0, 1, sub { $writer->write(scalar(localtime) . "\n") };
        $writer->on_disconnect(sub { undef $timer; $writer->close });
    };
};
