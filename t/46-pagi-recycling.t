# The scope of a PAGI application serves the next request on: what an application has done to the one
# before is not seen there, and what it has kept stays as it was.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use JSON::PP ();
use SprigTest;
use SprigTest::Pagi;
use SprigTest::Probe qw(get diary);
use Test::More;

needs_pagi();

my $server = start_pagi(<<'APP');
use JSON::PP ();
use Scalar::Util qw(weaken);

my $json = JSON::PP->new->canonical->latin1->allow_blessed;
my @kept;

sub Guard::DESTROY { note_down('gone') }

# What an application may do to its scope.
my %deed = (
    nothing  => sub { },
    add      => sub { $_[0]{'my.key'} = 'mine'; $_[0]{"my.\x{263a}"} = 1 },
    guard    => sub { $_[0]{guard} = bless [], 'Guard' },
    state    => sub { $_[0]{state}{guard} = bless [], 'Guard' },
    replace  => sub { $_[0]{path} = { of => 'another kind' }; $_[0]{client} = 'nobody' },
    number   => sub { my $n = 0 + do { no warnings; $_[0]{query_string} }; "$_[0]{server}[1]" },
    delete   => sub { delete @{ $_[0] }{qw(path headers type pagi.connection)} },
    again    => sub { $_[0]{headers} = [map { [@$_] } @{ delete $_[0]{headers} }] },
    clear    => sub { %{ $_[0] } = () },
    headers  => sub { push @{ $_[0]{headers} }, ['x-added', 1]; $_[0]{headers}[0][1] .= ' changed' },
    shift    => sub { shift @{ $_[0]{headers} }; shift @{ $_[0]{server} } },
    deep     => sub { $_[0]{headers}[0][0] = ['no', 'text']; $_[0]{client}[0] = \'x' },
    versions => sub { $_[0]{pagi}{version} = 9; $_[0]{extensions}{fullflush}{mine} = 1 },
    extend   => sub { $_[0]{extensions}{mine} = 1; delete $_[0]{pagi}{spec_version} },
    bless    => sub { bless $_[0], 'Some::Class'; bless $_[0]{headers}, 'Some::Class' },
    weak     => sub { weaken(my $w = $_[0]); push @kept, \$w },
    lock     => sub { Internals::hv_clear_placeholders(%{ $_[0] }); Internals::SvREADONLY($_[0]{path}, 1) },
    each     => sub { my $n = each %{ $_[0] } },
    copy     => sub { push @kept, { %{ $_[0] } } },
    keep     => sub { push @kept, $_[0] },
    part     => sub { push @kept, $_[0]{headers}, $_[0]{client}, \$_[0]{path} },
    object   => sub { push @kept, $_[0]{'pagi.connection'} },
    utf8     => sub { $_[0]{raw_path} .= "\x{263a}"; utf8::upgrade($_[0]{method}) },
    long     => sub { $_[0]{path} = 'x' x 100_000 },
    tie      => sub { require Tie::Hash; tie %{ $_[0]{extensions} }, 'Tie::StdHash' },
    alias    => sub { push @kept, map { \$_ } values %{ $_[0] } },
);

async sub told {
    my ($scope, $receive, $send) = @_;
    my %told = (%$scope, map { $_ => ref $scope->{$_} } 'pagi.connection', 'pagi.transport');
    $told{client} = [$told{client}[0], $told{client}[1] > 0];
    $told{utf8} = join ' ', grep { utf8::is_utf8($scope->{$_}) } sort keys %$scope;
    await answer($send, $json->encode(\%told));
}

paths(
    '/told' => \&told,
    "/told/\x{e4}" => \&told,
    '/do' => async sub {
        my ($scope, $receive, $send) = @_;
        my $deed = $scope->{query_string};
        $deed{$deed}->($scope);
        await answer($send, 'done');
    },
    '/kept' => async sub {
        my ($scope, $receive, $send) = @_;
        my @told = map { ref eq 'SCALAR' ? $$_ : $_ } grep { ref ne 'REF' } splice @kept;
        await answer($send, $json->encode(\@told));
    },
);
APP

my $version  = over_http2() ? '1.1' : '1.0';
my @REQUESTS = (
    get('/told?a=1'),
    get('/told', 'X-One: 1', 'Cookie: a=1', 'Cookie: b=2', 'X-Long: ' . 'y' x 5000),
    get('/told/%C3%A4'),
    "POST /told HTTP/$version\r\nHost: other\r\nContent-Length: 0\r\nConnection: keep-alive\r\n\r\n",
);

sub asked {
    my ($client, $request) = @_;
    $client->send($request);
    return $client->response->body;
}

my $client = $server->connect;
my @fresh  = map { asked($client, $_) } @REQUESTS;
like $fresh[0], qr{"query_string":"a=1"}, 'a scope';

my @deeds = qw(nothing add guard state replace number delete again clear headers shift deep versions
    extend bless weak lock each copy keep part object utf8 long tie alias);

subtest 'the next request finds nothing of it' => sub {
    for my $deed (@deeds) {
        my @seen;
        for my $request (@REQUESTS) {
            my $done = asked($client, get("/do?$deed"));
            push @seen, $done eq 'done' ? asked($client, $request) : "not done: $done";
        }
        is "@seen", "@fresh", "after '$deed' all is as before";
    }
};

subtest 'what was put there goes with the request' => sub {
    diary($server);
    for my $deed (qw(guard state)) {
        asked($client, get("/do?$deed"));
        is join(' ', diary($server)), 'gone', $deed;
    }
};

subtest 'what was kept stays as it was' => sub {
    asked($client, get('/kept'));
    for my $deed (qw(keep copy part)) {
        asked($client, get("/do?$deed", 'X-Kept: yes'));
        asked($client, $_) for @REQUESTS;
        my $kept = asked($client, get('/kept'));
        like $kept,   qr{x-kept},     "$deed: its header";
        like $kept,   qr{/do},        "$deed: its path";
        unlike $kept, qr{told|x-one}, "$deed: nothing of others";
    }
};

subtest 'one hash for many requests' => sub {
    my $other = start_pagi(<<'APP');
my %address;
paths('/' => async sub { $address{ 0 + $_[0] }++; await answer($_[2], scalar keys %address) });
APP
    my $one = $other->connect;
    my ($n) = map { asked($one, get('/')) } 1 .. 20;
    is asked($one, get('/')), 1, 'one address in 21 requests';
    $other->stop_ok;
};

$server->stop_ok;
done_testing;
