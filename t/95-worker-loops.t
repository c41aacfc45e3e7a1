# Workers of a program that has an event loop, and watchers, before they are forked.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest;

my %class = (
    'Sprig::Loop'     => 'AnyEvent::Impl::Sprig',
    'EV'              => 'AnyEvent::Impl::EV',
    'IO::Async::Loop' => 'AnyEvent::Impl::IOAsync',
);

my $code = <<'APP';
    use AnyEvent;
    my $n = 0;
    our $ticks = AE::timer 0, 0.02, sub { $n++ };
    sub {
        my ($env) = @_;
        return sub {
            my ($respond) = @_;
            my ($before, $wait) = ($n);
            $wait = AE::timer 0.2, 0, sub {
                undef $wait;
                my $ticked = $n > $before ? 'ticks' : 'stands still';
                $respond->([200, [], ["$$ $AnyEvent::MODEL $ticked"]]);
            };
        };
    };
APP

for my $loop (sort keys %class) {
    subtest $loop => sub {
        plan skip_all => "no $loop" if $loop ne 'Sprig::Loop' && !eval "require $loop; 1";
        my $server =
            start_server(by => 'plackup', code => $code, flags => ["-M$loop", '--workers', 2]);
        my %pid;
        for (1 .. 20) {
            my @clients = map { $server->connect } 1 .. 6;
            $_->send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") for @clients;
            my @bodies = map { $_->response->body } @clients;
            is scalar(grep { /\A[0-9]+ \Q$class{$loop}\E ticks\z/ } @bodies), 6,
                'loop and timer go on in the worker'
                or diag @bodies;
            $pid{ (split)[0] } = 1 for @bodies;
            last if keys %pid == 2;
        }
        is keys %pid, 2, 'in each of them';
        $server->stop_ok;
    };
}

done_testing;
