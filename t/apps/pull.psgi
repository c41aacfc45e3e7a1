# Writes a block whenever the last one is gone, for downloads longer than memory.
use strict;
use warnings;

sub {
    my $env = shift;
    return sub {
        my $respond = shift;
        my $w       = $respond->([200, ['Content-Type' => 'application/octet-stream']]);
        my $n       = 0;
        my $h       = $w->{handle};
        $h->{low_water_mark} = 0;
        $h->on_error(sub { undef $w });
        $h->on_drain(sub {
            return if !$w;
            if (++$n > 50) { $w->close; undef $w; return }
            $w->write(chr(64 + $n % 26) x 100_000);
        });
    };
};
