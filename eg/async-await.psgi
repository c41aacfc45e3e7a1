# Asks three slow services at the same time, in code that reads from top to bottom.
#
#   sprig eg/async-await.psgi
#   time curl http://localhost:5000/
#
# Needs Future::AsyncAwait. A response takes as long as the slowest service: one second. While it waits, the process
# serves others: try ab -n 500 -c 500 http://localhost:5000/
use strict;
use warnings;
use AnyEvent;
use Future;
use Future::AsyncAwait;

# Stands in for a request to another service.
sub ask {
    my ($service, $seconds) = @_;
    my $future = Future->new;
    my $timer  = AE::timer $seconds, 0, sub { $future->done("$service took $seconds s") };
    $future->on_ready(sub { undef $timer });    # also if it is cancelled
    return $future;
}

async sub overview {
    my ($env) = @_;
    my @lines = await Future->needs_all(ask(weather => 1), ask(news => 0.7), ask(mail => 0.4));
    return [200, ['Content-Type' => 'text/plain'], [map { "$_\n" } @lines]];
}

# For comparison, one service after the other, as if each needed the answer of the one before.
async sub chain {
    my ($env) = @_;
    my $text = '';
    for my $service (qw(user orders invoice)) {
        $text .= await(ask($service, 0.3)) . "\n";
    }
    return [200, ['Content-Type' => 'text/plain'], [$text]];
}

sub {
    my ($env) = @_;
    return chain($env) if $env->{PATH_INFO} eq '/chain';
    return overview($env);
};
