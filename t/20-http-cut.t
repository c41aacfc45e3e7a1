# A response of HTTP/1.0 that is cut on a unix socket: the client has to see an error behind what it
# got, since nothing else tells that more was to come.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Poll qw(POLLHUP POLLIN);
use IO::Socket::UNIX;
use SprigTest;
use SprigTest::Probe qw(eventually);
use Test::More;

plan skip_all => 'only Linux resets unix sockets' if $^O ne 'linux';

my $code = <<'APP';
use AnyEvent;
use POSIX ();

my @kept;
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    my $body = '';
    if (my $reader = $env->{'psgix.input.reader'}) {
        return sub {
            my $respond = shift;
            my $writer;
            my ($end) = $path =~ m{([^/]+)\z};
            if ($end eq 'early') {
                $writer = $respond->([200, []]);
                $writer->write('half');
            }
            $reader->on_data(sub { $body .= $_[1] });
            $reader->on_end(sub {
                $writer ||= $respond->([200, []]);
                return $writer->write(length $body), $writer->close if $end eq 'whole';
                $writer->write('half') if $end ne 'early';
                undef $writer;
                die "meant\n";
            });
        };
    }
    1 while $env->{'psgi.input'}->read($body, 65536, length $body);
    return [200, [], [length $body]] if $path eq '/whole';
    return [200, [], ['x' x 3_000_000]] if $path eq '/large';
    return sub { my $w = $_[0]->([200, []]); $w->write('x' x 230_000); $w->close }
        if $path eq '/medium';
    return sub { push @kept, $_[0]->([200, []]); $kept[-1]->write('half') } if $path eq '/open';
    return sub { shift(@kept)->close; $_[0]->([200, [], ['closed']]) } if $path eq '/close';
    return sub { push @kept, $_[0] } if $path eq '/never';
    return sub { $_[0]->([200, []])->write('half'); kill KILL => $$ } if $path eq '/killed';
    return sub {
        my $io = $env->{'psgix.io'};
        syswrite $io, "HTTP/1.1 101 Switching Protocols\r\n\r\n";
        my $w;
        $w = AE::io $io, 0, sub {
            sysread $io, my $bytes, 100;
            syswrite $io, $bytes;
            undef $w;
            close $io;
        };
    } if $path eq '/socket';
    return sub {
        my $writer = $_[0]->([200, []]);
        $writer->write('half');
        if (my $pid = $path eq '/child' && fork) {
            $writer->write(" $pid ");
        } elsif ($path eq '/child') {
            sleep 3;
            POSIX::_exit(0);
        }
        die "meant\n";
    };
};
APP

my $path   = SprigTest::temp_path('cut.sock');
my $server = start_server(
    code  => $code,
    by    => 'program',
    args  => { write_timeout => 1, streaming_input => '/up' },
    flags => ['-l', $path, '-l', '127.0.0.1:0']
);

sub local_client { return SprigTest::Client->adopt(IO::Socket::UNIX->new(Peer => $path)) }

sub ask_for {
    my ($where, @lines) = @_;
    my $client = local_client();
    $client->send(join "\r\n", "GET $where HTTP/1.0", @lines, '', '');
    return $client;
}

sub ends_in_reset {
    my ($client, $name) = @_;
    my $bytes = eval { $client->rest } || '';
    like($bytes,               qr/\r\n\r\nhalf/, "$name: what was sent arrives");
    like($client->error || '', qr/reset/,        '... and then a reset');
}

sub ends_in_order {
    my ($client, $name, $want) = @_;
    my $bytes = eval { $client->rest } || '';
    like($bytes, $want, $name);
    is($client->error, undef, '... and then an orderly end');
}

subtest 'a cut response ends in a reset' => sub {
    ends_in_reset(ask_for('/cut'), 'in one piece');
    my $client = local_client();
    $client->send($_), select undef, undef, undef, 0.05
        for "GET /cut HTT", "P/1.0\r\nContent-Length: 10\r", "\n\r\n", '12345', '67890';
    ends_in_reset($client, 'a request that comes in pieces');
    $client = ask_for('/cut');
    $client->send("GET /cut HTTP/1.0\r\n\r\n");
    ends_in_reset($client, 'another one behind it');
    $client = ask_for('/cut', 'Connection: keep-alive');
    ends_in_reset($client,           'a client that would go on');
    ends_in_reset(ask_for('/child'), 'while a child of the app has the socket');
};

subtest 'a cut response to a body that is read while it comes' => sub {
    my $upload = sub {
        my ($end, @pieces) = @_;
        my $n      = length join '', @pieces;
        my $client = local_client();
        my $head   = "POST /up/$end HTTP/1.0\r\nContent-Length: $n\r\n\r\n";
        $head .= shift @pieces if @pieces == 1;
        $client->send($head);
        for (@pieces) {
            select undef, undef, undef, 0.05;
            $client->send($_);
        }
        return $client;
    };
    my $large  = 'b' x 300_000;
    my %pieces = (
        'with the head' => ['abc'],
        'one byte'      => ['x'],
        'in pieces'     => [qw(a bcd e)],
        'large'         => [$large, $large]
    );
    for my $name (sort keys %pieces) {
        my @pieces = @{ $pieces{$name} };
        my $n      = length join '', @pieces;
        ends_in_reset($upload->('late',  @pieces), "$name, cut behind it");
        ends_in_reset($upload->('early', @pieces), "$name, begun before it");
        ends_in_order($upload->('whole', @pieces), "$name, whole", qr/\n$n\z/);
    }
    ends_in_reset(ask_for('/up/none'), 'no body');
};

subtest 'a client that does not read its answer' => sub {
    for my $where (qw(/large /medium)) {
        my $socket = IO::Socket::UNIX->new(Peer => $path);
        my $client = SprigTest::Client->adopt($socket);
        $client->send("GET $where HTTP/1.0\r\n\r\n");
        my $poll = IO::Poll->new;
        $poll->mask($socket => POLLIN);
        ok eventually { $poll->poll(0) && $poll->events($socket) & POLLHUP },
            "$where: it is cut off";
        eval { $client->rest };
        like($client->error || '', qr/reset/, '... with a reset');
    }
};

subtest 'a response that is complete does not' => sub {
    ends_in_order(ask_for('/whole'), 'a small one', qr/\n0\z/);
    ends_in_order(ask_for('/large'), 'a large one', qr/x{30000}\z/);
    my $client = local_client();
    my $body   = 'b' x 300_000;
    $client->send("POST /whole HTTP/1.0\r\nContent-Length: 300000\r\n\r\n$body");
    ends_in_order($client, 'one to a body', qr/\n300000\z/);
    my $open = ask_for('/open');
    $open->wait_for_bytes(30);
    ask_for('/close')->rest;
    ends_in_order($open, 'a stream', qr/half\z/);
    $open = ask_for('/open');
    $open->wait_for_bytes(30);
    $open->send("\r\n");
    ask_for('/close')->rest;
    ends_in_order($open, 'one to a client that sent more than a request', qr/half\z/);
    ends_in_order(ask_for("/whole\r\nX Y: 1"), 'a refusal',               qr/^HTTP\/1.1 400/);
};

subtest 'connections that go on' => sub {
    my $client = local_client();
    for (1 .. 3) {
        $client->send("GET /whole HTTP/1.0\r\nConnection: keep-alive\r\n\r\n");
        is($client->response->body, '0', 'kept by HTTP/1.0');
    }
    $client->send("GET /whole HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" x 3);
    is($client->response->body, '0', 'pipelined') for 1 .. 3;
    $client = local_client();
    for (1 .. 3) {
        $client->send("GET /whole HTTP/1.1\r\nHost: a\r\n\r\n");
        is($client->response->body, '0', 'HTTP/1.1');
    }
};

subtest 'the app that takes the socket reads what follows' => sub {
    my $client = ask_for('/socket');
    $client->wait_for_bytes(20);
    $client->send('to and fro');
    ends_in_order($client, 'these bytes and no others', qr/\r\n\r\nto and fro\z/);
};

subtest 'waiting costs nothing, and those who leave are noticed' => sub {
    my $open = ask_for('/open');
    $open->wait_for_bytes(30);
    my $never = ask_for('/never');
    my $half  = ask_for('/never');
    $half->half_close;
    $server->idle_ok('the server sleeps while responses are open');
    my $before = $server->n_descriptors;
    $never->close;
    ok eventually { $server->n_descriptors < $before }, 'a client that leaves is seen';
    ask_for('/close')->rest;
    ends_in_order($open, 'the stream ends', qr/half\z/);
};

subtest 'a server that is killed' => sub {
    my $client = ask_for('/killed');
    eval { $client->rest };
    like($client->error || '', qr/reset/, 'a reset');
    is $server->stop & 127, 9, 'it was';
};

done_testing;
