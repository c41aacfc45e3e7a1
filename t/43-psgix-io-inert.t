# psgix.io changes nothing until it is used, and is a handle like any other when it is.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

# Over TLS the socket is one of a pair of unix sockets.
my $over_tls = over_tls();

my $server = start_probe(<<'APP');
use Data::Dumper;
use Scalar::Util qw(reftype blessed refaddr);
use Socket;

my (%kept, $seen);

# Looks at the handle within a request, and answers in the usual way.
sub with_io (&) {
    my ($code) = @_;
    return sub {
        my ($env) = @_;
        local $Data::Dumper::Indent = 0;
        return [200, [], [join ' ', map { defined $_ ? $_ : 'undef' } $code->($env->{'psgix.io'}, $env)]];
    };
}

routes(
    '/fetch'   => with_io { my $copy = shift; 'fetched' },
    '/copy'    => with_io { my %env = %{ $_[1] }; keys(%env) > 10 ? 'copied' : 'no' },
    '/dump'    => with_io { Dumper($_[1]) =~ /psgix\.io/ ? 'dumped' : 'no' },
    '/strings' => with_io { my @all = map {"$_"} %{ $_[1] }; scalar grep {/^IO::Socket::(?:INET|UNIX)=GLOB/} @all },
    '/kind'    => with_io { my $io = shift; (blessed $io, reftype $io, defined *$io{IO} ? 'IO' : 'none') },
    '/isa'     => with_io { map { $_[0]->isa($_) ? 'yes' : 'no' } qw(IO::Socket IO::Handle) },
    '/keep'    => with_io { $kept{io} = shift; 'kept' },
    '/kept'    => with_io {
        my $io = $kept{io};
        no warnings;
        (defined fileno $io ? 'open' : 'closed', defined syswrite($io, 'x') ? 'wrote' : "$!",
            print({$io} 'x') ? 'printed' : 'refused', $io->opened ? 'opened' : 'not opened');
    },
    '/forget' => with_io { %kept = (); undef $seen; 'ok' },
    '/mode'   => with_io { my $io = shift; binmode $io; $io->autoflush(1); 'set' },
    '/closed' => with_io { close $_[0] ? 'closed' : "$!" },
    '/local'  => with_io { local $_[1]{'psgix.io'}; 'local' },
    '/delete' => with_io { delete $_[1]{'psgix.io'}; 'deleted' },
    '/different' => with_io { my $io = shift; my $new = !$seen || refaddr($io) != refaddr($seen); $seen = $io; $new },
    '/fileno' => with_io { fileno($_[0]) > 2 ? 'descriptor' : 'no' },
    '/peer'   => with_io { ($_[0]->peerhost, $_[0]->peerport == $_[1]{REMOTE_PORT} ? 'port' : '?') },
    '/getpeername' => with_io { join '.', unpack 'C4', (sockaddr_in(getpeername $_[0]))[1] },
    '/option' => with_io { my $io = shift; unpack('i', getsockopt($io, SOL_SOCKET, SO_TYPE)) == SOCK_STREAM ? 'stream' : 'no' },
    '/stat'   => with_io { -S $_[0] ? 'socket' : 'no' },
    '/dup'    => with_io {
        open my $copy, '<&', $_[0] or return "$!";
        (-S $copy ? 'socket' : 'no', fileno($copy) != fileno($_[0]) ? 'other' : 'same');
    },
);
APP

sub ask {
    my ($path, @lines) = @_;
    return $server->ask(get($path, @lines));
}

subtest 'looking at it changes nothing' => sub {
    my $client   = $server->connect;
    my %expected = (
        '/fetch'   => 'fetched',
        '/copy'    => 'copied',
        '/dump'    => 'dumped',
        '/strings' => 1,
        '/kind'    => ($over_tls ? 'IO::Socket::UNIX' : 'IO::Socket::INET') . ' GLOB IO',
        '/isa'     => 'yes yes',
        '/mode'    => 'set',
        '/closed'  => 'closed',
        '/local'   => 'local',
        '/delete'  => 'deleted',
    );
    for my $path (sort keys %expected) {
        $client->send(get($path));
        my $response = $client->response;
        is($response->body,                 $expected{$path}, $path);
        is($response->header('Connection'), undef,            'the connection persists');
    }
    $client->send(join '', map { get($_) } sort keys %expected);
    is($client->response->body, $expected{$_}, "pipelined: $_") for sort keys %expected;
};

subtest 'kept beyond the response without having been used' => sub {
    my $client = $server->connect;
    $client->send(get('/keep'));
    is($client->response->body, 'kept', 'an ordinary response');
    $client->send(get('/kept'));
    is(
        $client->response->body,
        'closed Bad file descriptor refused not opened',
        'on a connection that persists, and the handle is closed'
    );
    is(ask('/different')->body, 1,    'each request has its own') for 1 .. 3;
    is(ask('/forget')->body,    'ok', 'forgotten');
};

subtest 'using it takes the connection out of keep-alive' => sub {
    my %expected = (
        '/fileno' => 'descriptor',
        '/option' => 'stream',
        '/stat'   => 'socket',
        '/dup'    => 'socket other',
        $over_tls ? () : ('/peer' => '127.0.0.1 port', '/getpeername' => '127.0.0.1'),
    );
    for my $path (sort keys %expected) {
        my $client = $server->connect;
        $client->send(get($path));
        my $response = $client->response;
        like($response->body, ref $expected{$path} ? $expected{$path} : qr/^\Q$expected{$path}\E$/,
            $path);
        ok($client->is_closed, 'the connection ends with the response');
    }
};

my $n_descriptors = $server->n_descriptors;
for my $round (1 .. 20) {
    ask('/fileno');
    ask('/dup');
}
ok(eventually { $server->n_descriptors <= $n_descriptors + 1 }, 'no descriptor leaks');

ok(comes_to_rest($server), 'nothing is left over');
$server->stop_ok;
done_testing;
