# How a Twiggy is started and replaced in production: Server::Starter, systemd's LISTEN_FDS, QUIT and
# TERM with work in progress.

use strict;
use warnings;
use Fcntl qw(F_SETFD);
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use SprigTest;
use SprigTest::Probe;
use Test::More;
use Time::HiRes qw(time);

my $blib    = SprigTest::root() . '/blib';
my $program = "$blib/script/sprig";
my $plackup = tool_path('plackup');
my $app     = spew(SprigTest::temp_path('app') . '.psgi', 'sub { [200, [], ["$$"]] }');
my $get     = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
my @running;

my %command_for = (
    'the program'       => [$program, $app],
    'plackup'           => [$^X, $plackup, '-s', 'Sprig', '-E', 'deployment', $app],
    'plackup -s Twiggy' =>
        [$^X, '-MSprig::Compat::Twiggy', $plackup, '-s', 'Twiggy', '-E', 'deployment', $app],
);
delete @command_for{ grep { /plackup/ } keys %command_for } if !$plackup;

# Starts a command; `prepare` runs in the child.
sub spawn {
    my ($command, $prepare) = @_;
    my $log = spew(SprigTest::temp_path('log'), '');
    my $pid = fork;
    defined $pid or die "fork: $!";
    if (!$pid) {
        $ENV{PERL5LIB} = join ':', "$blib/lib", "$blib/arch", grep { length } $ENV{PERL5LIB} || '';
        open STDOUT, '>>', $log;
        open STDERR, '>>', $log;
        $prepare->() if $prepare;
        exec { $command->[0] } @$command or POSIX::_exit(127);
    }
    push @running, $pid;
    return ($pid, $log);
}

sub end_ok {
    my ($pid, $signal, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    kill $signal, $pid;
    my $reaped = eventually(sub { waitpid($pid, POSIX::WNOHANG()) == $pid });
    is $reaped ? $? : 'still running', 0, $name;
    @running = grep { $_ != $pid } @running if $reaped;
    return;
}

END {
    local $?;
    kill 'KILL', @running if @running;
}

# The process that answers at this address; undef as long as there is none.
sub who {
    my ($socket) = @_;
    return if !$socket;
    my $client = SprigTest::Client->adopt($socket);
    $client->send("GET / HTTP/1.0\r\n\r\n");
    my $text = eval { $client->rest };
    return defined $text && $text =~ /\r\n\r\n(\d+)\z/ ? $1 : undef;
}

sub tcp  { return IO::Socket::INET->new(PeerAddr => "127.0.0.1:$_[0]") }
sub unix { return IO::Socket::UNIX->new(Peer     => $_[0]) }

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "port: $!";
    return $socket->sockport;
}

for my $name (sort keys %command_for) {
    subtest "1.9 LISTEN_FDS: $name" => sub {
        my $tcp  = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "listen: $!";
        my $path = SprigTest::temp_path('listen.sock');
        my $unix = IO::Socket::UNIX->new(Listen => 5, Local => $path) or die "listen: $!";
        my ($pid, $log) = spawn(
            $command_for{$name},
            sub {
                my @copies = map { POSIX::dup(fileno $_) } $tcp, $unix;
                POSIX::dup2($copies[$_], 3 + $_) for 0, 1;
                @ENV{qw(LISTEN_FDS LISTEN_PID)} = (2, $$);
            }
        );
        my $port = $tcp->sockport;
        is who(tcp($port)),  $pid, 'TCP';
        is who(unix($path)), $pid, 'unix';
        end_ok($pid, 'TERM', 'ends');
        ok -S $path, 'the path stays: it is not ours';
    };
}

subtest '1.9 LISTEN_FDS: sprig -r' => sub {
    my $tcp = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "listen: $!";
    my ($pid) = spawn(
        [$program, '-r', $app],
        sub {
            POSIX::dup2(POSIX::dup(fileno $tcp), 3);
            @ENV{qw(LISTEN_FDS LISTEN_PID)} = (1, $$);
        }
    );
    my $port = $tcp->sockport;
    my $server;
    for (1 .. 3) {    # on a busy machine a client may give up before it is there
        last if $server = who(tcp($port));
    }
    ok $server, 'the process that serves has them';
    isnt $server, $pid, 'which is another one';
    end_ok($pid, 'TERM', 'ends');
};

subtest '1.9 LISTEN_FDS for another process' => sub {
    my $port = free_port();
    my ($pid) = spawn(
        [$program, '-o', '127.0.0.1', '-p', $port, $app],
        sub { @ENV{qw(LISTEN_FDS LISTEN_PID)} = (1, $$ + 1) }
    );
    ok eventually { who(tcp($port)) }, 'is not looked at';
    end_ok($pid, 'TERM', 'ends');
};

subtest '1.9 an inherited descriptor that is no socket' => sub {
    my ($pid, $log) = spawn([$program, $app],
        sub { $ENV{SERVER_STARTER_PORT} = '127.0.0.1:80=0'; open STDIN, '<', '/dev/null' });
    ok eventually { waitpid($pid, POSIX::WNOHANG()) == $pid }, 'ends the program';
    @running = grep { $_ != $pid } @running;
    like slurp($log), qr/inherited descriptor 0 is not a socket/, 'with a message';
};

my $starter = tool_path('start_server');

# Requests one after the other, on a new connection each or on one that is kept; tells how many were
# answered, and by whom. Anything that is not an answer is a loss.
sub hammer {
    my ($port, $keeps, $until) = @_;
    my (%answered, $lost, $client);
    while (!$until->()) {
        $client = undef if !$keeps;
        $client ||= SprigTest::Client->adopt(tcp($port) || return (\%answered, 'refused'));
        $client->send($get);
        my $response = eval { $client->response };
        return (\%answered, $response ? $response->error || 'cut' : $@)
            if !$response || !$response->is_complete || $response->status != 200;
        $answered{ $response->body }++;
        $client = undef if ($response->header('Connection') || '') eq 'close';
    }
    return (\%answered, undef);
}

for my $name (sort keys %command_for) {
    subtest "1.9 Server::Starter: $name" => sub {
        plan skip_all => 'Server::Starter is not installed' if !$starter;
        my $port = free_port();
        my $path = SprigTest::temp_path('starter.sock');
        my ($pid, $log) = spawn([
            $starter, '--port', "127.0.0.1:$port", '--path', $path, '--interval', '1', '--',
            @{ $command_for{$name} }
        ]);
        my $first = eventually(sub { who(tcp($port)) });
        ok $first, 'TCP' or diag slurp($log);
        is who(unix($path)), $first, 'unix';

        for my $keeps (0, 1) {
            my $old = who(tcp($port));
            kill 'HUP', $pid;
            my ($deadline, $n_new) = (time + 10, 0);
            my ($answered, $lost)  = hammer(
                $port, $keeps,
                sub {
                    $n_new++ if $n_new || slurp($log) =~ /old worker $old died/;
                    return $n_new > 50 || time > $deadline;
                }
            );
            my $way = $keeps ? 'kept connections' : 'new connections';
            is $lost,           undef, "a new process under load, $way: no request is lost";
            is keys %$answered, 2,     'old and new answered';
        }
        end_ok($pid, 'TERM', 'start_server ends, and its server');
        like slurp($log), qr/worker \d+ died, status:0\n/, 'properly';
    };
}

for my $tool (['ab', '-q', '-n', 20_000, '-c', 8], ['wrk', '-c', 8, '-t', 1, '-d', 4]) {
    subtest "1.9 Server::Starter while $tool->[0] runs" => sub {
        plan skip_all => 'Server::Starter is not installed' if !$starter;
        my $path = tool_path($tool->[0]) or plan skip_all => "$tool->[0] is not installed";
        my $port = free_port();
        my ($pid, $log) =
            spawn([$starter, '--port', "127.0.0.1:$port", '--interval', '1', '--', $program, $app]);
        ok eventually { who(tcp($port)) }, 'serves';
        my ($load, $report) =
            spawn([$path, @$tool[1 .. $#$tool], "http://127.0.0.1:$port/"]);
        ok eventually { (who(tcp($port)) || 0) > 0 }, 'under load';
        kill 'HUP', $pid;
        ok eventually(sub { slurp($log) =~ /old worker \d+ died, status:0/ }), 'is replaced';
        my $has_ended = eventually(sub { waitpid($load, POSIX::WNOHANG()) == $load }, 30);
        @running = grep { $_ != $load } @running if $has_ended;
        my $text = slurp($report);
        $text =~ /^(?:Failed requests:\s+0|\s+\d+ requests in )/m
            ? pass 'was measured'
            : fail $text;
        unlike $text, qr/Socket errors|Non-2xx|apr_socket|Failed requests:\s+[1-9]/,
            'nothing is lost'
            or diag $text;
        end_ok($pid, 'TERM', 'ends');
    };
}

for my $signal ('QUIT', 'TERM') {
    subtest "1.9 $signal = graceful: work in progress" => sub {
        not_over_http2('no stream has a socket of its own');
        my $server = start_probe(<<'APP', by => 'program', args => { graceful_timeout => 2 });
my (%kept);
routes(
    '/poll' => sub {
        sub {
            my $respond = shift;
            $kept{poll} = AE::timer 1.5, 0, sub { $respond->([200, [], ['polled']]) };
        }
    },
    '/stream' => sub {
        sub {
            my $w = $_[0]->([200, []]);
            $kept{stream} = AE::timer 0, 0.05, sub { $w->write('more ') };
        }
    },
    '/hijack' => sub { sub { my $io = $kept{io} = $_[1]; syswrite $io, "raw\n" } },
);
APP
        my %client = map { $_ => $server->connect } qw(poll stream hijack half idle);
        $client{$_}->send(get("/$_")) for qw(poll stream hijack);
        $client{half}->send("GET / HTTP/1.1\r\nHo");
        $client{hijack}->wait_for_bytes(4);
        $client{stream}->wait_for_bytes(10);
        my $start = time;
        kill $signal, $server->pid;
        ok eventually { !tcp($server->port) }, 'new connections are refused';
        cmp_ok time - $start, '<', 1, 'at once';
        is $client{poll}->response->body, 'polled', 'the long poll is answered';
        cmp_ok time - $start, '<', 4, 'in its time';
        $client{stream}->rest;
        my $ended = eventually(sub { !$server->is_alive });
        ok $ended, 'the process ends';
        cmp_ok time - $start, '<', 4, 'within graceful_timeout';
        $server->stop_ok('with status 0');
    };
}

subtest '1.9 SIGPIPE' => sub {
    my $server = start_probe(<<'APP');
routes(
    '/big' => sub { [200, [], ['x' x 5_000_000]] },
    '/child' => sub { [200, [], [system($^X, '-e', 'kill PIPE => $$; exit 9') & 127]] },
);
APP
    for (1 .. 3) {
        my $client = $server->connect;
        $client->send(get('/big'));
        $client->wait_for_bytes(1);
        $client->reset;
    }
    ok eventually { counters($server)->{exchanges} == 0 },
        'clients that leave do not end the server';
    is $server->ask(get('/child'))->body, POSIX::SIGPIPE(),
        'programs that it starts have the default';
    $server->stop_ok;
};

done_testing;
