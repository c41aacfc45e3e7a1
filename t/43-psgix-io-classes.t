# psgix.io is an object of the class that knows the kind of address.

use strict;
use warnings;
use AnyEvent;
use File::Temp;
use IO::Socket::UNIX;
use POSIX ();
use Sprig::Server;
use Test::More;

my $has_ipv6 = eval {
    require IO::Socket::IP;
    IO::Socket::IP->new(LocalHost => '::1', Listen => 1);
};

my $dir    = File::Temp->newdir('sprig-test-XXXXXX', TMPDIR => 1);
my $path   = "$dir/socket";
my @listen = ($path, '127.0.0.1:0', $has_ipv6 ? '[::1]:0' : ());
my %port;
my $server = Sprig::Server->new(
    listen       => \@listen,
    server_ready => sub { $port{ $_[0]{host} } = $_[0]{port} },
);
$server->register_service(sub {
    my ($env) = @_;
    my $io = $env->{'psgix.io'};
    return [
        200, [], [join ' ', ref $io, $io->isa('IO::Socket::UNIX') ? $io->hostpath : $io->peerhost]
    ];
});

# What a client in a process of its own reads from the socket that `connect` makes.
sub answer_for {
    my ($connect) = @_;
    my $pid       = open my $out, '-|';
    defined $pid or die "fork: $!";
    if (!$pid) {
        my $socket = $connect->();
        syswrite $socket, "GET / HTTP/1.0\r\n\r\n";
        syswrite STDOUT,  $_ while <$socket>;
        POSIX::_exit(0);
    }
    my $text    = '';
    my $cv      = AE::cv;
    my $timeout = AE::timer 10, 0, $cv;
    my $watcher = AE::io $out, 0, sub { sysread($out, $text, 1000, length $text) or $cv->send };
    $cv->recv;
    return $text =~ /\r\n\r\n(.*)/s ? $1 : $text;
}

is(answer_for(sub { IO::Socket::UNIX->new(Peer => $path) }), "IO::Socket::UNIX $path", 'UNIX');
is(
    answer_for(
        sub { IO::Socket::INET->new(PeerHost => '127.0.0.1', PeerPort => $port{'127.0.0.1'}) }
    ),
    'IO::Socket::INET 127.0.0.1',
    'IPv4'
);
SKIP: {
    skip 'no IPv6 here', 1 if !$has_ipv6;
    is(answer_for(sub { IO::Socket::IP->new(PeerHost => '::1', PeerPort => $port{'::1'}) }),
        'IO::Socket::IP ::1', 'IPv6');
}

done_testing;
