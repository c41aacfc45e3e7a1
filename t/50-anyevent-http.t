# AnyEvent::HTTP against our own server, both in this process.
use strict;
use warnings;
use lib 't/lib';
use Test::More;

BEGIN {
    plan skip_all => 'no AnyEvent::HTTP' if !eval { require AnyEvent::HTTP; 1 };
}
use AnyEvent::HTTP;
use Sprig::Server;
use SprigTest::AnyEvent;

$AnyEvent::HTTP::MAX_PER_HOST = 100;
my $port;
my $server = Sprig::Server->new(host => '127.0.0.1', server_ready => sub { $port = $_[0]{port} });
my %paths  = (
    '/now'   => sub { [200, ['Content-Type' => 'text/plain'], ['now']] },
    '/later' => sub {
        my ($env) = @_;
        return sub {
            my ($respond) = @_;
            my $timer;
            $timer = AE::timer 0.1, 0, sub {
                undef $timer;
                $respond->([200, [], [$env->{QUERY_STRING}]]);
            };
        };
    },
    '/stream' => sub {
        return sub {
            my $writer = $_[0]->([200, []]);
            my ($n, $timer) = (0);
            $timer = AE::timer 0, 0.01, sub {
                $writer->write('x' x 1000);
                return if ++$n < 10;
                undef $timer;
                $writer->close;
            };
        };
    },
    '/asks-itself' => sub {
        return sub {
            my ($respond) = @_;
            http_get "http://127.0.0.1:$port/later?inner",
                sub { $respond->([200, [], ["got $_[0]"]]) };
            return;    # in any other context it would return a guard
        };
    },
);
$server->register_service(sub {
    my ($env) = @_;
    my $code = $paths{ $env->{PATH_INFO} };
    return $code ? $code->($env) : [404, [], []];
});

# Gets a path and returns body and headers.
sub get {
    my ($path) = @_;
    my $cv = AE::cv;
    http_get "http://127.0.0.1:$port$path", timeout => 10, sub { $cv->send(@_) };
    return $cv->recv;
}

my ($body, $head) = get('/now');
is $body,                   'now',        'a body';
is $head->{Status},         200,          'its status';
is $head->{'content-type'}, 'text/plain', 'its type';
is + (get('/stream'))[0],          'x' x 10_000, 'a stream';
is + (get('/asks-itself'))[0],     'got inner',  'an app that asks its own server';
is + (get('/nothing'))[1]{Status}, 404,          'not found';

my @got;
my $took = elapsed {
    my $cv = AE::cv;
    for my $n (1 .. 50) {
        $cv->begin;
        http_get "http://127.0.0.1:$port/later?$n", sub { push @got, $_[0]; $cv->end };
    }
    $cv->recv;
};
is_deeply [sort { $a <=> $b } @got], [1 .. 50], 'fifty at once';
cmp_ok $took, '<', 1, 'in the time of one';

my $aborted;
my $request = http_get "http://127.0.0.1:$port/later?never", sub { $aborted++ };
loop_for(0.02);
undef $request;
loop_for(0.2);
ok !$aborted, 'an aborted request';
is + (get('/now'))[0], 'now', 'harms nobody';

$server->shutdown(my $done = AE::cv);
$done->recv;
undef $server;
nothing_is_left;
done_testing;
