# A program on Coro::Twiggy; tells through a descriptor where it listens.
#   perl coro-twiggy.pl FD - port PORT
use strict;
use warnings;
use Coro;
use Coro::AnyEvent;
use Coro::Twiggy;

my ($fd, undef, undef, $port) = @ARGV;
my $server = Coro::Twiggy->new(listen => ["127.0.0.1:$port"]);
$server->register_service(sub {
    my ($env) = @_;
    Coro::AnyEvent::sleep 0.2;
    return [200, ['Content-Type' => 'text/plain'], ["slept for $env->{PATH_INFO}"]];
});
open my $ready, '>&=', $fd or die "cannot use descriptor $fd: $!";
syswrite $ready, "127.0.0.1 $port\n";
close $ready;
my $end = AE::cv;
$SIG{TERM} = sub { $end->send };
$end->recv;
