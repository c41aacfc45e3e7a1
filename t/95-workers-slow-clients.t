# HUP, and clients that are slow: whoever has connected to a worker before it leaves gets an answer, however
# far it has come.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::UNIX;
use SprigTest;
use SprigTest::Http2;
use SprigTest::OverTls;
use SprigTest::Tls;
use SprigTest::Workers;
use Test::More;
use Time::HiRes qw(time);

-d '/proc/self' or plan skip_all => 'no /proc';

$SIG{PIPE} = 'IGNORE';

my $has_tls = has_tls() && eval { require Net::SSLeay };
my @listen  = ('127.0.0.1:0' . (has_http2() ? ',h2c' : ''), $has_tls ? './tls.sock,tls' : ());
my @flags   = $has_tls ? ('--tls-cert', certificate()->{both}) : ();
my $get     = get('/', 'Connection: close');

# Tells who answers, and in a file who leaves.
my $app = <<'APP';
use Cwd ();
use Sprig::Worker;
my $dir = Cwd::getcwd();
Sprig::Worker->before_leave(sub { open my $to, '>>', "$dir/notes" or die $!; syswrite $to, "leaves $$\n" });
sub { [200, [], [$$]] };
APP

sub tls_socket {
    my ($master) = @_;
    my $socket = IO::Socket::UNIX->new(Peer => $master->path('tls.sock'))
        or die "cannot connect: $!";
    return $socket;
}

# Says its ClientHello, and takes no notice of the answer.
sub say_hello {
    my ($socket) = @_;
    my $ssl = Net::SSLeay::new(SprigTest::OverTls::_ctx());
    $socket->blocking(0);
    Net::SSLeay::set_fd($ssl, fileno $socket);
    Net::SSLeay::connect($ssl);
    return { socket => $socket, ssl => $ssl };
}

sub finish {
    my ($half) = @_;
    $half->{socket}->blocking(1);
    Net::SSLeay::connect($half->{ssl}) == 1 or return;
    Net::SSLeay::write($half->{ssl}, $get);
    my $all = '';
    while (defined(my $some = Net::SSLeay::read($half->{ssl}))) {
        last if !length $some;
        $all .= $some;
    }
    return $all =~ /\r\n\r\n([0-9]+)\z/ ? $1 : undef;
}

sub ask {
    my ($client) = @_;
    $client->send($get);
    return $client->response->body;
}

# What each has done when the worker leaves, and how it goes on: who has answered?
my %step = (
    'connected'   => [sub { $_[0]->connect }, \&ask],
    'half a head' => [
        sub { my $c = $_[0]->connect; $c->send('GET / HTTP/1.1'); $c },
        sub { $_[0]->send("\r\nHost: a\r\nConnection: close\r\n\r\n"); $_[0]->response->body }
    ],
);
%step = (
    %step,
    'TLS, connected'         => [\&tls_socket, sub { ask(SprigTest::OverTls->adopt($_[0])) }],
    'TLS, ClientHello sent'  => [sub { say_hello(tls_socket($_[0])) },                 \&finish],
    'TLS, handshake is over' => [sub { SprigTest::OverTls->adopt(tls_socket($_[0])) }, \&ask],
) if $has_tls;
$step{'HTTP/2, SETTINGS sent'} = [
    sub { SprigTest::Http2->connect($_[0]) },
    sub { my $h2 = shift; $h2->response($h2->request('/'))->{body} },
    ]
    if has_http2();

my $master =
    start_workers(workers => 1, code => $app, listen => \@listen, flags => ['--master', @flags]);
my ($old, %answers);

# The worker leaves, and they wait for a while. False: the machine was so busy that it may have given up
# on them, and rightly.
sub goes_well {
    ($old) = $master->serving(1);
    my %clients = map {
        my $begin = $step{$_}[0];
        $_ => [map { $begin->($master) } 1 .. 3]
    } keys %step;
    my $idle = $master->connect;
    $idle->is_quiet(0.2);    # all are accepted by now
    $master->signal('HUP');
    $master->await_lines('notes', qr/^leaves $old/, 1, 30)
        or die "it does not leave\n" . $master->stderr;
    my $since = time;
    $idle->is_quiet(1.2);
    for my $name (keys %step) {
        my $go_on = $step{$name}[1];
        $answers{$name} = join ' ', map {
            my $pid = eval { $go_on->($_) };
            $pid || 'none'
        } @{ $clients{$name} };
    }
    return time - $since < 4.5;
}

for (1 .. 5) { last if goes_well() }
is $answers{$_}, "$old $old $old", "$_: each is answered by the worker that it came to"
    for sort keys %step;
ok eventually(sub { !is_running($old) }, 30), 'then the old worker ends';
$master->ends_ok;
done_testing;
