# A Coro thread for each request, as Coro::Twiggy does it: plain code that waits.
use strict;
use warnings;
use Coro;
use Coro::AnyEvent;
use AnyEvent;

sub handle {
    my $env = shift;
    Coro::AnyEvent::sleep 0.2;
    my $cv = AE::cv;
    my $t  = AE::timer 0.05, 0, sub { $cv->send('woken') };
    return [200, ['Content-Type' => 'text/plain'], [$cv->recv]];
}

sub {
    my $env = shift;
    return sub {
        my $respond = shift;
        async { $respond->(handle($env)) };
        return;
    };
};
