# Multipart XHR streaming: a part of a multipart/mixed response for each thing that happens.
use strict;
use warnings;
use AnyEvent;

sub {
    my $env = shift;
    return sub {
        my $respond  = shift;
        my $boundary = 'part-of-it';
        my $w = $respond->([200, ['Content-Type' => qq{multipart/mixed; boundary="$boundary"}]]);
        $w->{handle}{rbuf_max} = 1024;
        $w->write("--$boundary\n");
        my ($n, $t) = (0);
        $t = AE::timer 0, 0.005, sub {
            $w->write("Content-Type: application/json\n\n{\"n\":" . ++$n . "}\n--$boundary\n");
            return if $n < 5;
            undef $t;
            $w->close;
        };
    };
};
