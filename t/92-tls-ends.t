# What clients do behind the handshake: close a side and wait, pause, break the protocol, ask for new keys
# without end.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IPC::Open3 qw(open3);
use SprigTest;
use SprigTest::OverTls;
use SprigTest::Tls;
use Test::More;

need_tls('curl');
eval { require Net::SSLeay } or plan skip_all => 'there is no Net::SSLeay';

my $certificate = certificate();

my $app = <<'END';
use AnyEvent;
my %timer;
sub later { my ($seconds, $code) = @_; my $t; $t = AE::timer($seconds, 0, sub { undef $t; $code->() }); return }
sub {
    my ($env) = @_;
    my $reader = $env->{'psgix.input.reader'};
    return sub {
        my ($respond) = @_;
        my $n = 0;
        $reader->on_data(sub { $n += length $_[1]; $reader->pause; later(0.001, sub { $reader->resume }) });
        $reader->on_end(sub { later(0.002, sub { $respond->([200, [], [$n]]) }) }); # behind the last pause
    } if $reader && $env->{PATH_INFO} eq '/up';
    return sub { my ($respond) = @_; later(0.2, sub { $respond->([200, [], ['late']]) }) }
        if $env->{PATH_INFO} eq '/late';
    return [200, [], ['hello']];
}
END

sub start {
    return start_server(
        code => $app,
        args => {
            tls_cert          => $certificate->{both},
            streaming_input   => '/up',
            keepalive_timeout => 60,
            http2             => 0,
            @_
        }
    );
}

sub talk { return SprigTest::OverTls->connect('127.0.0.1', $_[0]->port) }

subtest 'a client that closes its side waits for the answer' => sub {
    my $server = start();
    my %close  = (
        'without a word' => sub { shutdown $_[0]->socket, 1 },
        'by an alert'    => sub { Net::SSLeay::shutdown($_[0]{ssl}) },
        'by both'        => sub { $_[0]->half_close },
    );
    for my $how (sort keys %close) {
        my $client = talk($server);
        $client->send("GET /late HTTP/1.1\r\nHost: a\r\n\r\n");
        $close{$how}->($client);
        is $client->response->body, 'late', "$how: it comes";
        ok $client->is_closed, '... and the connection ends behind it';
        is $client->error, undef, '... in good order';
        $client->close;
    }
    $server->idle_ok('nothing spins');
    $server->stop_ok;
};

# OpenSSL may hold what the socket does not tell of any more.
subtest 'uploads that the app takes with pauses' => sub {
    my $server = start();
    my $failed = 0;
    for my $n (map { 114_000 + 2000 * $_ } 0 .. 39) {
        my $client = talk($server);
        my $body   = 'x' x $n;
        $client->send("POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: $n\r\n\r\n");
        $client->send(substr $body, 0, 16_383, '') while length $body;
        local $SprigTest::Client::SECONDS = 5;
        my $response = eval { $client->response };
        $failed++ if !$response || $response->body ne $n;
        $client->close;
    }
    is $failed, 0, 'all are complete';
    $server->stop_ok;
};

subtest 'what is no TLS behind the handshake' => sub {
    my $server = start();
    my %bytes  = (
        'plain HTTP'            => "GET / HTTP/1.1\r\n\r\n",
        'a heartbeat'           => "\x18\x03\x03\x00\x03\x01\x40\x00",
        'a bad record'          => "\x17\x03\x03\x00\x20" . 'x' x 32,
        'a record that is long' => "\x17\x03\x03\x60\x00" . 'x' x 0x6000,
    );
    for my $name (sort keys %bytes) {
        my $client = talk($server);
        syswrite $client->socket, $bytes{$name};
        $client->socket->blocking(1);
        is Net::SSLeay::read($client->{ssl}) || '', '', "$name: is not answered";
        like Net::SSLeay::ERR_error_string(Net::SSLeay::ERR_get_error()), qr/alert/,
            '... but by an alert';
        $client->reset;
    }
    is https($server, $certificate, '/'), 'hello', 'others are served';
    $server->stop_ok;
};

# Asks for new keys until the server ends the connection, or so many times.
sub ask_for_keys {
    my ($server, $times) = @_;
    my $pid = open3(my $to, my $from, undef, 'timeout', 20, 'openssl', 's_client', '-connect',
        '127.0.0.1:' . $server->port);
    local $SIG{PIPE} = 'IGNORE';
    my $n = 0;
    while ($n < $times && syswrite $to, 'k') {
        my $line;
        1 while defined($line = readline $from) && $line !~ /^KEYUPDATE/;
        last if !defined $line;
        $n++;
    }
    syswrite $to, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    my $rest = join '', readline $from;
    close $to;
    waitpid $pid, 0;
    return ($n, $rest);
}

subtest 'new keys' => sub {
    my $server = start();
    my ($n, $rest) = ask_for_keys($server, 20);
    is $n, 20, 'a client may ask for them';
    like $rest, qr/^hello/m, '... and is served';
    ($n, $rest) = ask_for_keys($server, 300);
    cmp_ok $n, '<', 300, 'but not without end';
    unlike $rest, qr/^hello/m, '... and is not served then';
    is https($server, $certificate, '/'), 'hello', 'others are';
    $server->stop_ok;
};

done_testing;
