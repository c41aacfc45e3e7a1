# Server-sent events, until the client leaves.
use strict;
use warnings;
use AnyEvent;

my $n_clients = 0;

sub {
    my $env = shift;
    return [200, [], [$n_clients]] if $env->{PATH_INFO} eq '/clients';
    return sub {
        my $respond = shift;
        my $w       = $respond->(
            [200, ['Content-Type' => 'text/event-stream', 'Cache-Control' => 'no-cache']]);
        my $n = $env->{HTTP_LAST_EVENT_ID} || 0;
        $n_clients++;
        my $t;
        $t = AE::timer 0, 0.01, sub { $n++; $w->write("id: $n\ndata: tick $n\n\n") if $w };
        $w->{handle}->on_error(sub { undef $t; $n_clients--; $w->close; undef $w });
    };
};
