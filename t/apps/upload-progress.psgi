# Reads an upload bit by bit and tells how far it is, on the same connection.
use strict;
use warnings;
use AnyEvent;

sub {
    my $env = shift;
    my ($in, $all) = ($env->{'psgi.input'}, $env->{CONTENT_LENGTH});
    return sub {
        my $respond = shift;
        my $w       = $respond->([200, ['Content-Type' => 'text/plain']]);
        my ($got, $t) = (0);
        $t = AE::timer 0, 0.002, sub {
            my $n = $in->read(my $piece, 65536);
            $got += $n;
            $w->write(sprintf "%d%%\n", 100 * $got / $all);
            return if $got < $all && $n;
            undef $t;
            $w->close;
        };
    };
};
