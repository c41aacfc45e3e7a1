# An env serves many requests, and none of them can tell: whatever an app does to its env, and
# whatever it keeps of it, the env of the next request is the same as one that was never used.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Worker;
use Test::More;

# In a worker there is one more value that stays, psgix.exit_guard.
my $is_worker = $0 =~ /worker/;

# What makes an env unfit for another request; all else is put right.
my %refused = map { $_ => 1 } qw(
    add_too_many add_utf8 add_utf8_gone keep_env keep_env_ref closure self undef_hash weak_env
    bless_env tie_env lock_keys lock_hash placeholders fieldhash fieldhash_id handlers_keep
    keys_huge);

my $app    = SprigTest::lib() . '/hostile.psgi';
my %server = map {
    $_ => serve(app => $app, env => { FRESH_ENV => $_ eq "fresh" ? 1 : 0, SPRIG_TEST_KEEPS => 1 })
} qw(recycled fresh);
my %client;

sub serve {
    my (@option) = @_;
    return $is_worker ? SprigTest::Worker->start_ready(@option) : start_server(@option);
}

# Sends the same to both; their answers.
sub both {
    my ($bytes) = @_;
    my %answer;
    for my $name (sort keys %server) {
        $client{$name} = $server{$name}->connect if !$client{$name};
        $client{$name}->send($bytes);
        $answer{$name} = $client{$name}->response;
    }
    return \%answer;
}

sub request {
    my ($target, @headers) = @_;
    my $body = @headers && $headers[-1] =~ s/\ABODY=// ? pop @headers : undef;
    push @headers, 'Content-Length: ' . length $body if defined $body;
    return join("\r\n",
        (defined $body ? 'POST' : 'GET') . " $target HTTP/1.1",
        'Host: a.example',
        @headers, '', '')
        . (defined $body ? $body : '');
}

my @HEADERS = (
    [],
    ['Cookie: a=b',              'User-Agent: x', 'Accept: */*'],
    ['X-Unknown: 1',             'X-Unknown: 2',  'Accept: text/html', 'Accept: text/plain'],
    ['Content-Type: text/plain', 'BODY=some bytes to read'],
    ['Cookie: c=d',              'X-Forwarded-For: 1.2.3.4', 'Range: bytes=0-', 'BODY='],
    ['BODY=' . 'x' x 70_000],
);

# The dumps agree; how many envs were recycled and built since the last call.
my %seen = (recycled => 0, built => 0);

sub same_env {
    my ($name, @headers) = @_;
    my $dump = both(request('/dump?x=y', @headers));
    is $dump->{recycled}->body,              $dump->{fresh}->body, $name;
    is $dump->{fresh}->header('X-Recycled'), 0,                    'and the other is new' or return;
    my %now   = map { lc() => $dump->{recycled}->header("X-$_") } qw(Recycled Built);
    my %delta = map { $_   => $now{$_} - $seen{$_} } keys %now;
    %seen = %now;
    return \%delta;
}

my @actions = split /\n/, both(request('/list'))->{recycled}->body;

# It writes into all objects, and the condvar is one that the server needs.
@actions = grep { $_ ne 'keep_objects' } @actions if $is_worker;
@actions = grep { !/\A(?:bless_handles|io_)/ } @actions if over_http2();    # no stream has psgix.io
cmp_ok @actions, '>', 100, 'many ways to be hostile';

same_env('to begin with');
for my $action (@actions) {
    subtest $action => sub {
        my ($before, $after) = @HEADERS[length($action) % 5, ord($action) % 5];
        both(request('/x', @$before));
        my $done = both(request("/a%20path?$action", @$before));
        is $_->body, $action eq 'die' ? 'Internal Server Error' : 'done', 'it is done'
            for values %$done;
        my $delta = same_env('the next env is like new', @$after);
        is $delta->{built}, $refused{$action} ? 1 : 0,
            $refused{$action} ? 'this one was given up' : 'this one was used again';
        same_env('and the one after that');
    };
}

subtest 'one after the other, at random' => sub {
    my $seed = 4711;
    my $pick =
        sub { $seed = ($seed * 1103515245 + 12345) % 2**31; return int($seed / 65536) % $_[0] };
    for my $round (1 .. 200) {
        my $query = join ',', map { $actions[$pick->(scalar @actions)] } 0 .. $pick->(4);
        both(request("/round?$query", @{ $HEADERS[$pick->(scalar @HEADERS)] }));
        %client = () if $query =~ /input_swap/;    # it may have used the socket
        same_env($query, @{ $HEADERS[$pick->(scalar @HEADERS)] }) or last;
    }
};

$server{$_}->stop_ok for sort keys %server;
done_testing;
