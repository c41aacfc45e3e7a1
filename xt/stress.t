# Clients that do anything to apps that do anything: the server lives, answers everybody who asks
# properly meanwhile, and nothing is left at the end.
#
# SPRIG_STRESS_SECONDS (20) says for how long, SPRIG_STRESS_SEED repeats a run. To be run under the
# sanitizers as well: dev/asan xt/stress.t
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t/lib";
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_LINGER SO_RCVBUF);
use SprigTest;
use SprigTest::Probe;
use Test::More;
use Time::HiRes qw(time);

my $seconds = $ENV{SPRIG_STRESS_SECONDS} || 20;
my $seed    = $ENV{SPRIG_STRESS_SEED}    || int(rand 1e9);
srand $seed;

my $app = <<'APP';
use POSIX ();
use Scalar::Util ();

my %kept;
my $n_kept = 0;

# Keeps a value for a while: a responder, a writer, a handle that is used much later or never.
sub keep {
    my ($seconds, $value, $then) = @_;
    my $id = ++$n_kept;
    $kept{$id} = [
        $value,
        AE::timer($seconds, 0, sub { my $kept = delete $kept{$id}; $then->($kept->[0]) if $then })
    ];
    return;
}

sub wait_for { my $cv = AE::cv; my $t = AE::timer $_[0], 0, $cv; $cv->recv; return }

sub streamed (&) {
    my ($code) = @_;
    return sub { my ($env) = @_; sub { $code->($_[0]->([200, ['X-Streamed' => 1]]), $env) } };
}

sub delayed (&) { my ($code) = @_; return sub { my ($env) = @_; sub { $code->($_[0], $env) } } }

{
    package Lines;
    sub new { my ($class, @lines) = @_; return bless { lines => [@lines], closed => 0 }, $class }
    sub getline {
        my $line = shift @{ $_[0]{lines} };
        return ref $line eq 'CODE' ? $line->() : $line;
    }
    sub close { die "closed twice\n" if $_[0]{closed}++; return 1 }
}
{
    package Text;
    use overload '""' => sub { $_[0]{code}->() }, fallback => 1;
    sub new { my ($class, $code) = @_; return bless { code => $code }, $class }
}

sub fork_and {
    my ($code) = @_;
    my $pid = fork;
    return if !defined $pid;
    if (!$pid) { $code->(); POSIX::_exit(1) }
    waitpid $pid, 0;
    return;
}

my $file = $0;
my @pieces = map { $_ x 5000 } 'a' .. 'z';

routes(
    '/sync'  => sub { [200, ['Content-Type' => 'text/plain'], ['in order']] },
    '/big'   => sub { [200, [], ['b' x 700_000, 'c' x 100]] },
    '/file'  => sub { open my $fh, '<', $file or die "$file: $!"; [200, [], $fh] },
    '/lines' => sub { [200, [], Lines->new('one', '', ('') x 20, 'x' x 100_000, 'two')] },
    '/lines-die'  => sub { [200, [], Lines->new('one', sub { die "in getline\n" })] },
    '/lines-wait' => sub { [200, [], Lines->new('one', sub { wait_for(0.005); 'waited' }, 'end')] },
    '/lines-text' => sub { [200, [], Lines->new('one', Text->new(sub { wait_for(0.002); 'text' }))] },
    '/empty' => sub { [204, [], []] },
    '/short' => sub { [200, ['Content-Length' => 100], ['short']] },
    '/long'  => sub { [200, ['Content-Length' => 3], ['too long']] },
    '/die'   => sub { die "at once\n" },
    '/die-text' => sub { die Text->new(sub { wait_for(0.002); "an exception\n" }) },
    '/bad'   => sub { +{ what => 'is this' } },
    '/post'  => sub {
        my ($env) = @_;
        my $n = 0;
        while (my $got = $env->{'psgi.input'}->read(my $buf, 10_000)) { $n += $got }
        [200, [], ["read $n"]];
    },
    '/nested'  => sub { wait_for(0.01); [200, [], ['nested']] },
    '/nested-stream' => streamed {
        my ($writer) = @_;
        for (1 .. 3) { $writer->write('n' x 3000); wait_for(0.003) }
        $writer->close;
    },
    '/cleanup' => sub {
        my ($env) = @_;
        push @{ $env->{'psgix.cleanup.handlers'} }, sub { wait_for(0.01) }, sub { die "in cleanup\n" };
        [200, [], ['cleaned']];
    },
    '/cleanup-later' => delayed {
        my ($respond, $env) = @_;
        push @{ $env->{'psgix.cleanup.handlers'} }, sub { wait_for(0.01) };
        keep(0.01, $respond, sub { $_[0]->([200, [], ['cleaned later']]) });
    },
    '/later'     => delayed { keep(rand 0.1, $_[0], sub { $_[0]->([200, [], ['later']]) }) },
    '/never'     => delayed { keep(rand 0.5, $_[0]) },
    '/dropped'   => delayed { return },
    '/die-later' => delayed { my $respond = $_[0]; die "later\n" },
    '/twice'     => delayed { local $SIG{__WARN__} = sub { }; $_[0]->([200, [], ['once']]); $_[0]->([200, [], ['twice']]) },
    '/writer'    => streamed {
        my ($writer) = @_;
        my $n = 0;
        my $next; $next = sub {
            return undef $next if $n++ > 5 || !$next;
            $writer->write($pieces[$n]);
            keep(rand 0.02, 1, $next);
        };
        $writer->on_disconnect(sub { undef $next });
        $next->();
    },
    '/writer-large' => streamed { my ($writer) = @_; $writer->write($_) for @pieces, @pieces; $writer->close },
    '/writer-die'   => streamed { my ($writer) = @_; $writer->write('some'); die "with a writer\n" },
    '/writer-drop'  => streamed { my ($writer) = @_; $writer->write('dropped'); return },
    '/writer-kept'  => streamed { my ($writer) = @_; $writer->write('kept'); keep(rand 0.3, $writer) },
    '/writer-gone'  => streamed {
        my ($writer) = @_;
        $writer->on_disconnect(sub { my ($w) = @_; $w->write('into the void'); $w->close; wait_for(0.002); die "gone\n" });
        keep(rand 0.3, $writer, sub { $_[0]->close });
    },
    '/poll' => streamed {
        my ($writer) = @_;
        my $n = 0;
        $writer->poll_cb(sub {
            my ($w) = @_;
            wait_for(0.001) if $n == 7;
            return if $n++ % 3 == 0;
            $n > 20 ? $w->close : $w->write($pieces[$n]);
        });
    },
    '/drain' => streamed {
        my ($writer) = @_;
        my $n = 0;
        $writer->on_drain(sub { my ($w) = @_; $n++ > 10 ? $w->close : $w->write('d' x 30_000) });
    },
    '/fork'      => sub { fork_and(sub { POSIX::_exit(0) }); [200, [], ['forked']] },
    '/fork-exit' => sub { fork_and(sub { exit 0 }); [200, [], ['forked']] },
    '/fork-writer' => streamed {
        my ($writer) = @_;
        $writer->write('parent');
        fork_and(sub { $writer->write('child'); $writer->close; exit 0 });
        $writer->close;
    },
    '/fork-loop' => delayed {
        my ($respond) = @_;
        fork_and(sub { $respond->([200, [], ['child']]); exit 0 });
        $respond->([200, [], ['parent']]);
    },
    '/condvar' => sub { my $cv = AE::cv; keep(0.02, $cv, sub { $_[0]->send([200, [], ['condvar']]) }); $cv },
    '/io-look' => sub { my ($env) = @_; my $copy = { %$env }; [200, [], ['looked']] },
    '/io-raw'  => delayed {
        my ($respond, $env) = @_;
        my $io = $env->{'psgix.io'};
        syswrite $io, "HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nraw";
        keep(rand 0.05, $io, sub { close $_[0] });
    },
    '/io-read' => delayed {
        my ($respond, $env) = @_;
        my $io = $env->{'psgix.io'};
        my $handle; $handle = AE::io $io, 0, sub { my $n = sysread $io, my $buf, 100; undef $handle if !$n };
        keep(rand 0.3, [$respond, $io], sub { undef $handle; $_[0][0]->([200, [], ['after all']]) });
    },
    '/io-kept' => delayed { my ($respond, $env) = @_; keep(rand 0.2, $env->{'psgix.io'}) },
);
APP

my @paths = $app =~ m{^\s+'(/[\w-]+)'\s*=>}mg;

my %args = (
    keepalive_timeout      => 0.5,
    header_timeout         => 1,
    body_timeout           => 1,
    write_timeout          => 1,
    nested                 => pick(qw(hold dispatch)),
    high_water_bytes       => pick(4096,    65536, 1_000_000),
    low_water_bytes        => pick(0,       2000),
    body_buffer_bytes      => pick(10,      100_000),
    output_buffer_bytes    => pick(4096,    1_000_000),
    max_requests_per_turn  => pick(1,       3, 50),
    max_keepalive_requests => pick(0,       2),
    max_requests_in_flight => pick(0,       3),
    streaming_input        => pick('/post', '/nowhere'),
);
diag "seed $seed: " . join ', ', map { "$_ $args{$_}" } sort keys %args;

my $server = start_probe($app, args => \%args);
plan skip_all => 'other loops refuse a nested recv' if loop_of($server) ne 'AnyEvent::Impl::Sprig';
my $n_descriptors = $server->n_descriptors;

my (@players, %n);
my $end     = time + $seconds;
my $is_well = 1;
while (time < $end && $is_well && $server->is_alive) {
    push @players, player() if @players < 24 && rand() < 0.3;
    play($_) for grep { rand() < 0.3 } @players;
    @players = grep { $_->{socket} } @players;
    select undef, undef, undef, 0.0005 if rand() < 0.5;
    $is_well = ask_properly() if $n{turns}++ % 300 == 0;
}
diag join ', ', map { "$n{$_} $_" } sort keys %n;
ok $server->is_alive, 'the server is alive';
ok $is_well,          'and answers those who ask properly';

close $_->{socket} for @players;
ok eventually { comes_to_rest($server) }, 'no object is left';
my $n_left = $server->n_descriptors_down_to($n_descriptors);
cmp_ok $n_left, '<=', $n_descriptors, 'no descriptor is left';
unlike $server->stderr, qr/Assertion|panic|unreferenced scalar|closed twice|Use of freed/,
    'perl and the core have nothing to complain of';
$server->stop_ok;
done_testing;

sub pick { return $_[rand @_] }

sub ask_properly {
    my $response = eval { $server->ask(get('/sync')) };
    $n{asked}++;
    return 1 if $response && $response->is_complete && $response->body eq 'in order';
    diag $@ || explain $response;
    return 0;
}

sub player {
    my $socket = IO::Socket::INET->new(
        PeerAddr => $server->host,
        PeerPort => $server->port,
        Proto    => 'tcp',
    ) or return {};
    setsockopt $socket, SOL_SOCKET, SO_RCVBUF, 4096 if rand() < 0.2;
    $socket->blocking(0);
    binmode $socket;
    $n{connections}++;
    my $player = { socket => $socket, out => '', is_slow => rand() < 0.3 };
    add_request($player) for 1 .. 1 + rand 3;
    return $player;
}

sub add_request {
    my ($player) = @_;
    my $path     = pick(@paths);
    my $version  = rand() < 0.1 ? '1.0' : '1.1';
    my @lines    = ('Host: stress');
    my $method   = rand() < 0.1 ? 'HEAD' : 'GET';
    my $body     = '';
    push @lines, pick('Connection: close', 'Connection: keep-alive') if rand() < 0.2;
    push @lines, 'Connection: Upgrade', 'Upgrade: something' if rand() < 0.1;

    if (rand() < 0.3) {
        $method = 'POST';
        $body   = 'p' x pick(0, 5, 1000, 150_000);
        if (rand() < 0.5 && $version eq '1.1') {
            push @lines, 'Transfer-Encoding: chunked';
            $body =
                length $body
                ? sprintf "%x\r\n%s\r\n0\r\n\r\n", length $body, $body
                : "0\r\n\r\n";
        } else {
            push @lines, 'Content-Length: ' . length $body;
        }
        push @lines, 'Expect: 100-continue' if rand() < 0.2;
    }
    my $bytes = join "\r\n", "$method $path HTTP/$version", @lines, '', $body;
    substr $bytes, rand length $bytes, 1, chr rand 256 if rand() < 0.03;
    $player->{out} .= $bytes;
    $n{requests}++;
    return;
}

sub play {
    my ($player) = @_;
    my $socket   = $player->{socket} or return;
    my $dice     = rand;
    local $SIG{PIPE} = 'IGNORE';
    if ($dice < 0.45) {
        add_request($player) if !length $player->{out} && rand() < 0.4;
        my $n = syswrite $socket, $player->{out}, pick(1, 20, 3000, 1_000_000);
        substr $player->{out}, 0, $n, '' if $n;
    } elsif ($dice < 0.95) {
        return if $player->{is_slow} && rand() < 0.9;
        my $n = sysread $socket, my $buf, pick(1, 500, 65536, 1_000_000);
        $n{bytes} += $n || 0;
        leave($player) if defined $n && $n == 0;
    } elsif ($dice < 0.97) {
        shutdown $socket, 1;
        $n{half_closes}++;
        $player->{out} = '';
    } elsif ($dice < 0.985) {
        setsockopt $socket, SOL_SOCKET, SO_LINGER, pack('ii', 1, 0);
        $n{resets}++;
        leave($player);
    } else {
        leave($player);
    }
    return;
}

sub leave {
    my ($player) = @_;
    close delete $player->{socket};
    return;
}
