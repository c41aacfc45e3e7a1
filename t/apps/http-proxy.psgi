# A proxy by AnyEvent::HTTP, which streams what it gets.
use strict;
use warnings;
use AnyEvent::HTTP;

sub {
    my $env = shift;
    my $url = $env->{QUERY_STRING};
    return sub {
        my $respond = shift;
        my $w;
        http_get $url, on_header => sub {
            my $h = $_[0];
            $w = $respond->([$h->{Status}, ['Content-Type' => $h->{'content-type'}]]);
            return 1;
            },
            on_body => sub { $w->write($_[0]); return 1 },
            sub {
            my (undef, $h) = @_;
            $w ? $w->close : $respond->([502, [], [$h->{Reason}]]);
            };
    };
};
