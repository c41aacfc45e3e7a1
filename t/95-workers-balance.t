# Clients that stay spread over the workers, although the kernel wakes the same one again and again.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest::Workers;
use Test::More;

my $get = "GET /pid HTTP/1.1\r\nHost: a\r\n\r\n";

# How many of these connections each worker has, the most first.
sub shares {
    my (@clients) = @_;
    my %n;
    $_->send($get) for @clients;
    $n{ $_->response->body }++ for @clients;
    return sort { $b <=> $a } values %n;
}

subtest 'one after the other' => sub {
    my $master = start_workers(workers => 2);
    $master->serving(2);
    my @clients = map {
        my $client = $master->connect;
        $client->send($get);
        $client->response;
        $client;
    } 1 .. 40;
    my @n = shares(@clients);
    is scalar @n, 2, 'both have some';
    cmp_ok $n[0], '<=', 24, 'no worker has much more than the other' or diag "@n";
    $master->ends_ok;
};

subtest 'all at once' => sub {
    my $master = start_workers(workers => 4);
    $master->serving(4);
    my @clients = map { $master->connect } 1 .. 80;
    my @n       = shares(@clients);
    is scalar @n, 4, 'all have some';
    cmp_ok $n[0], '<=', 56, 'no worker has nearly all' or diag "@n";
    $master->ends_ok;
};

subtest 'a worker that is busy keeps nobody waiting' => sub {
    my $master = start_workers(workers => 2);
    $master->serving(2);
    my $busy = $master->connect;
    $busy->send($get);
    my $pid = $busy->response->body;
    $busy->send("GET /block?3 HTTP/1.1\r\nHost: a\r\n\r\n");
    select undef, undef, undef, 0.2;
    my @clients = map { $master->connect } 1 .. 20;
    my $begin   = time;
    my @n       = shares(@clients);
    cmp_ok time - $begin, '<=', 1, 'answers come at once';
    is "@n", '20', 'of the other one';
    $busy->response;
    $master->ends_ok;
};

done_testing;
