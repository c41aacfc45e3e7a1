# The same asynchronous application served on our loop and in the loops of others.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest::Client;
use SprigTest::Host;
use Time::HiRes qw(time);

my @perl = ($^X, map { "-I$_" } grep { !ref } @INC);

for my $name (@ARGV ? @ARGV : SprigTest::Host->names) {
    subtest $name => sub {
        eval { checks($name); 1 } or fail $@;
    };
}

done_testing;

sub get {
    my ($port, $path) = @_;
    my $client = SprigTest::Client->connect('127.0.0.1', $port);
    $client->send("GET $path HTTP/1.1\r\nHost: x\r\n\r\n");
    return $client;
}

sub body { return get(@_)->response->body }

sub checks {
    my ($name) = @_;
    my $pid    = open my $out, '-|', @perl, 't/lib/foreign.pl', $name or die "cannot run it: $!";
    my ($model, $port) = (readline($out) || '') =~ /^(\S+) (\d+)/ or return fail 'it starts';
    is $model,               SprigTest::Host->model_of($name), 'the model is what we think';
    is body($port, '/runs'), 'yes',                            'and the loop that runs';
    concurrency($port);
    streams($port, $name);
    bodies($port);
    departures($port);
    quietness($port, $name);
    is body($port, '/stop'), 'bye', 'the loop can be ended';
    like readline $out, qr/^stopped/, 'and returns';
    kill KILL => $pid if !close $out && $? == -1;
    is $?, 0, 'the program ends by itself';
    return;
}

sub concurrency {
    my ($port)  = @_;
    my $start   = time;
    my @clients = map { get($port, "/later?$_") } 1 .. 50;
    my @bodies  = map { $_->response->body } @clients;
    is_deeply \@bodies, [map { "later $_" } 1 .. 50], 'fifty answers that each take 0.1 s';
    cmp_ok time - $start, '<', 50 * 0.1 / 2, 'at the same time';
    my $client = get($port, '/now');
    for my $n (1 .. 20) {
        $client->response;
        $client->send("GET /later?$n HTTP/1.1\r\nHost: x\r\n\r\n") if $n % 5 == 0;
        $client->send("GET /now HTTP/1.1\r\nHost: x\r\n\r\n")      if $n % 5;
    }
    is $client->response->body,    'later 20', 'twenty requests on one connection';
    is body($port, '/host-timer'), 'host',     "answers from the other loop's own timers";
    return;
}

sub streams {
    my ($port, $name) = @_;
    my $start    = time;
    my $response = get($port, '/stream')->response;
    is $response->body,               join('', map { "chunk $_\n" } 0 .. 4), 'a stream';
    is scalar @{ $response->chunks }, 5,                                     'of five chunks';
    cmp_ok time - $start, '>=', 0.04, 'that take their time';

    # Elsewhere the death of a callback is the end of the program, or its timer lives on.
    is get($port, '/die')->response->status, 500, 'a callback that dies'
        if $name =~ /^(?:Sprig|EV|Mojo)/;
    return;
}

sub bodies {
    my ($port) = @_;
    is length body($port, '/large'), 5_000_000, 'a large response';
    my $client = SprigTest::Client->connect('127.0.0.1', $port);
    $client->send("POST /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n");
    $client->send('y' x 3_000_000);
    is length $client->response->body, 3_000_000, 'a large request';
    return;
}

sub departures {
    my ($port) = @_;
    my $client = get($port, '/until-gone');
    $client->wait_for_bytes(1);
    $client->close;
    my $gone = 0;
    for (1 .. 100) {
        $gone = body($port, '/gone') and last;
        select undef, undef, undef, 0.02;
    }
    is $gone, 1, 'a client that leaves is noticed';
    return;
}

sub quietness {
    my ($port, $name) = @_;
    my $client = get($port, '/passes');
    my $before = $client->response->body;
    select undef, undef, undef, 0.5;
    $client->send("GET /passes HTTP/1.1\r\nHost: x\r\n\r\n");
    my $passes = $client->response->body - $before;
    cmp_ok $passes, '<=', 4, "half a second without a request takes $passes passes";
    return;
}
