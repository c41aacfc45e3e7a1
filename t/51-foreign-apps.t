# Apps that use the timers and futures of another loop, where nobody but us is there to run it.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest;

my %apps = (
    'EV' => [
        'EV', <<'CODE',
        use EV;
        sub {
            return sub {
                my ($respond) = @_;
                my $timer;
                $timer = EV::timer 0.1, 0, sub { $respond->([200, [], ['later']]); undef $timer };
                return;
            };
        };
CODE
    ],
    'Mojo::Promise on EV' => [
        'Mojo::Reactor::EV', <<'CODE',
        use Mojo::Promise;
        sub { return Mojo::Promise->timer(0.1)->then(sub { return [200, [], ['later']] }) };
CODE
    ],
    'Mojo::Promise' => [
        'Mojo::Promise', <<'CODE',
        BEGIN { $ENV{MOJO_REACTOR} = 'Mojo::Reactor::Poll' }
        use Mojo::Promise;
        sub { return Mojo::Promise->timer(0.1)->then(sub { return [200, [], ['later']] }) };
CODE
    ],
    'IO::Async' => [
        'IO::Async::Loop', <<'CODE',
        use Future;
        use IO::Async::Loop;
        my $loop = IO::Async::Loop->new;
        sub {
            my $later = $loop->delay_future(after => 0.1);
            return $later->then(sub { Future->done([200, [], ['later']]) });
        };
CODE
    ],
);

for my $name (sort keys %apps) {
    my ($needs, $code) = @{ $apps{$name} };
    my $is_there = !system $^X, '-e', "eval { require $needs; 1 } or exit 1";
    for my $by ('program', 'module') {
        subtest "$name, by $by" => sub {
            plan skip_all => "$needs is not installed" if !$is_there;
            my $server  = start_server(code => $code, by => $by);
            my @clients = map { my $client = $server->connect; $client } 1 .. 5;
            $_->send("GET / HTTP/1.1\r\nHost: x\r\n\r\n") for @clients;
            is_deeply [map { $_->response->body } @clients], [('later') x 5], 'answers in time';
            $server->stop_ok;
        };
    }
}

done_testing;
