package SprigBench::Load;

# One measurement of one server: requests a second, microseconds of processor time for each, latency.

use strict;
use warnings;
use IO::Socket::INET;
use POSIX ();
use SprigBench::Steady;
use Time::HiRes qw(time);

# What a command says; so many of them at once.
sub _run_many {
    my ($n, @command) = @_;
    my @pipes;
    for (1 .. $n) {
        my $pid = open my $out, '-|';
        defined $pid or die "fork: $!";
        if (!$pid) {
            open STDERR, '>&', \*STDOUT;
            exec @command or die "$command[0]: $!";
        }
        push @pipes, $out;
    }
    local $/;
    return map { my $text = readline $_; close $_; defined $text ? $text : '' } @pipes;
}

sub _run { my ($text) = _run_many(1, @_); return $text }

my %MS = (us => 0.001, ms => 1, s => 1000, m => 60_000);

sub _ms {
    my ($text) = @_;
    return defined $text && $text =~ /\A([\d.]+)(us|ms|s|m)\z/ ? $1 * $MS{$2} : undef;
}

# Runs `load` and adds what it cost the server.
sub _costed {
    my ($server, $load) = @_;
    my @before = $server->cpu;
    my $result = $load->();
    my @after  = $server->cpu;
    my $n      = $result->{requests} || 0;
    return { error => $result->{error} || 'no request was answered' } if !$n;
    @{$result}{qw(user system)} = map { ($after[$_] - $before[$_]) / $n * 1e6 } 0, 1;
    $result->{cpu} = $result->{user} + $result->{system};
    $result->{rss} = $server->rss;
    return $result;
}

sub _wrk {
    my ($server, $scenario, %at) = @_;
    my @command =
        ('wrk', '-t1', '-c', $scenario->{clients} || 50, '-d', "$at{seconds}s", '--latency');
    if ($scenario->{lua}) {
        my $path = "$at{folder}/$scenario->{name}.lua";
        open my $out, '>', $path or die "$path: $!";
        print {$out} $scenario->{lua};
        close $out or die "$path: $!";
        push @command, '-s', $path;
    }
    push @command, map { ('-H', $_) } @{ $scenario->{headers} || [] };
    push @command, '-H', 'Connection: close' if $scenario->{close};
    my $text =
        _run(@{ $at{pin} }, @command, $server->url . $scenario->{path});
    my ($requests) = $text =~ /(\d+) requests in/;
    my ($failed)   = $text =~ /Non-2xx or 3xx responses: (\d+)/;
    my ($rate)     = $text =~ m{Requests/sec:\s+([\d.]+)};
    my ($error)    = $text =~ /(Socket errors: .*)/;
    return { error => "$failed answers were errors" } if $failed;
    return {
        requests => $requests,
        rate     => $rate,
        p50      => _ms(($text =~ /50%\s+(\S+)/)[0]),
        p99      => _ms(($text =~ /99%\s+(\S+)/)[0]),
        error    => $error,
    };
}

# Each client makes one connection after the other for one request each: with a full handshake, or by the
# session of its first. Not wrk, which resumes its sessions by itself.
sub _handshakes {
    my ($server, $scenario, %at) = @_;
    my $is_full = $scenario->{load} eq 'full';
    my @texts   = _run_many(
        $scenario->{clients},         @{ $at{pin} }, 'openssl',                    's_time',
        $is_full ? '-new' : '-reuse', '-connect',    '127.0.0.1:' . $server->port, '-www',
        $scenario->{path},            '-time',       $at{seconds}
    );
    my $sum = 0;
    for my $text (@texts) {
        my ($said) = $text =~ /^([*r]{3,})/m;
        my ($n)    = $text =~ /^(\d+) connections in \d+ real seconds/m;
        return { error => 'openssl s_time failed' } if !$n || !defined $said;
        return { error => 'other handshakes' }      if $said =~ ($is_full ? qr/r/ : qr/[*]/);
        $sum += $n;
    }
    return { requests => $sum, rate => $sum / $at{seconds} };
}

sub _unix {
    my ($server, $scenario, %at) = @_;
    return { error => 'has no unix socket' } if !-S $server->unix;
    my $text = _run(
        @{ $at{pin} },
        'h2load', '--h1', '-c', 50, '-D', $at{seconds}, '-B', 'unix:' . $server->unix,
        'http://localhost/'
    );
    my ($requests) = $text =~ /(\d+) succeeded/;
    my ($rate)     = $text =~ m{([\d.]+) req/s};
    return $requests ? { requests => $requests, rate => $rate } : { error => 'h2load failed' };
}

# HTTP/2, so many requests at a time on each connection. fair: answers of the client that got most, for
# each of the one that got least.
sub _h2load {
    my ($server, $scenario, %at) = @_;
    my $text = _run(
        @{ $at{pin} },
        'h2load', '-c', $scenario->{clients} || 50,
        '-m',     $scenario->{streams}, '-D', $at{seconds}, $server->url . $scenario->{path}
    );
    my ($requests) = $text =~ /(\d+) succeeded/;
    my ($rate)     = $text =~ m{([\d.]+) req/s};
    my ($bad)      = $text =~ /(\d+) failed/;
    my ($errored)  = $text =~ /(\d+) errored/;
    my ($min, $max) = $text =~ m{^req/s\s*:\s*([\d.]+)\s+([\d.]+)}m;
    return { error    => 'h2load failed' }            if !$requests;
    return { error    => 'not HTTP/2' }               if $text !~ /protocol: h2\b/;
    return { error    => "$bad answers were errors" } if $bad - $errored > 0;
    return { requests => $requests, rate => $rate, fair => $min ? $max / $min : undef };
}

# Connections that have had an answer and stay open.
sub _open_clients {
    my ($server, $n, $path) = @_;
    my @clients;
    for (1 .. $n) {
        my $client = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->port)
            or last;
        push @clients, $server->has_tls ? _talk_tls($client, $path) : _talk($client, $path);
    }
    return @clients;
}

sub _talk {
    my ($client, $path) = @_;
    syswrite $client, "GET $path HTTP/1.1\r\nHost: localhost\r\n\r\n";
    sysread $client, my $answer, 65_536;
    return $client;
}

my $ctx;

sub _talk_tls {
    my ($client, $path) = @_;
    require Net::SSLeay;
    $ctx ||= Net::SSLeay::CTX_new();
    my $ssl = Net::SSLeay::new($ctx);
    Net::SSLeay::set_fd($ssl, fileno $client);
    Net::SSLeay::connect($ssl) == 1 or die "no handshake\n";
    Net::SSLeay::write($ssl, "GET $path HTTP/1.1\r\nHost: localhost\r\n\r\n");
    Net::SSLeay::read($ssl);
    return [$client, $ssl];
}

sub _idle {
    my ($server, $scenario) = @_;
    my @warm    = _open_clients($server, 100, '/');
    my $before  = $server->rss;
    my @clients = _open_clients($server, $scenario->{clients}, '/');
    return { error => 'only ' . @clients . ' connections: raise the limit of descriptors' }
        if @clients < $scenario->{clients};
    return { requests => scalar @clients, rate => 0, idle => ($server->rss - $before) / @clients };
}

sub _push {
    my ($server, $scenario) = @_;
    my @clients = _open_clients($server, $scenario->{clients}, '/stream');
    my $rounds  = 50;
    my @before  = $server->cpu;
    my $start   = time;
    for (1 .. $rounds) {    # some close behind each answer
        my $pusher = IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $server->port)
            or return { error => "$!" };
        syswrite $pusher, "GET /push HTTP/1.1\r\nHost: localhost\r\n\r\n";
        sysread $pusher, my $answer, 65_536;
    }
    my $seconds = time - $start;
    my @after   = $server->cpu;
    my $n       = $rounds * @clients;
    return {
        requests => $n,
        rate     => $n / $seconds,
        push     => ($after[0] + $after[1] - $before[0] - $before[1]) / $n * 1e6
    };
}

my %LOAD = (
    h2load  => \&_h2load,
    full    => \&_handshakes,
    resumed => \&_handshakes,
    wrk     => \&_wrk,
    unix    => \&_unix,
    idle    => \&_idle,
    push    => \&_push,

    steady   => \&SprigBench::Steady::steady,
    overload => sub { SprigBench::Steady::overload(@_, most => \&_wrk) },
    slow     => \&SprigBench::Steady::slow,
);

sub measure {
    my ($class, $server, $scenario, %at) = @_;
    return _costed($server, sub { $LOAD{ $scenario->{load} || 'wrk' }->($server, $scenario, %at) });
}

1;
