# HTTP/2: what clients do to wear a server out. Each is told to be calm, costs little memory and
# processor, and others are served meanwhile.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use POSIX qw(sysconf _SC_CLK_TCK);
use SprigTest;
use SprigTest::Http2;
use Test::More;
use Time::HiRes qw(time);

need_http2();

my ($NO_ERROR, $SETTINGS_TIMEOUT, $REFUSED_STREAM, $CALM) = (0, 4, 7, 11);
my ($GROWTH_KIB, $CPU_SECONDS) = (32 * 1024, 1);

my $file = spew(SprigTest::temp_path('file'), 'x' x (4 << 20));
my $app  = <<'END';
my @held;
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    if ($path eq '/file') { open my $fh, '<:raw', $ENV{TEST_FILE} or die; return [200, [], $fh] }
    return sub { push @held, @_ } if $path eq '/never';
    return [200, [], ['hello']];
}
END

sub start {
    my (%args) = @_;
    return start_server(
        by    => 'program',
        code  => $app,
        env   => { TEST_FILE => $file },
        flags => ['--listen', '127.0.0.1:0,h2c'],
        args  => \%args
    );
}

sub cpu_seconds {
    my ($server) = @_;
    my @stat     = split ' ', slurp('/proc/' . $server->pid . '/stat') =~ s/.*\) //sr;
    return ($stat[11] + $stat[12]) / sysconf(_SC_CLK_TCK);
}

# Runs an attack, a sub that gets a connection, and returns that. Asserts that it costs little, and that
# another client is served behind it.
sub attack {
    my ($server, $name, $attack, %option) = @_;
    SprigTest::Http2->connect($server)->request('/');    # what is made once is there
    my ($rss, $cpu) = ($server->rss_kib, cpu_seconds($server));
    my $h2 = SprigTest::Http2->connect($server, %option);
    $attack->($h2);
    is($server->ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n")->body, 'hello',
        "$name: others are served");
    cmp_ok($server->rss_kib - $rss,     '<', $GROWTH_KIB,  "$name: memory");
    cmp_ok(cpu_seconds($server) - $cpu, '<', $CPU_SECONDS, "$name: processor");
    return $h2;
}

sub calm_ok {
    my ($server, $name, $attack, $log, %option) = @_;
    my $h2 = attack($server, $name, $attack, %option);
    my ($goaway) = grep { $_->{type} eq 'GOAWAY' } $h2->until('GOAWAY');
    is($goaway && unpack('x4N', $goaway->{payload}), $CALM, "$name: is told to be calm");
    $h2->close;
    ok($server->stderr_like(qr/127\.0\.0\.1: $log/), "$name: the log has it");
    return;
}

my $head = SprigTest::Http2::block(SprigTest::Http2::fields('/never'));

# So many frames, made by a sub that gets the id of a stream; sent as long as they are taken.
sub many {
    my ($n, $make) = @_;
    return sub {
        my ($h2) = @_;
        my ($id, $bytes) = (1, '');
        for (1 .. $n) {
            $bytes .= $make->($id);
            $id += 2;
            next if length $bytes < 16384;
            $h2->send($bytes) or return;
            $bytes = '';
        }
        $h2->send($bytes);
    };
}

sub frame { return SprigTest::Http2::frame(@_) }

subtest 'many of what is cheap to send' => sub {
    my $server = start();
    my $get    = $FLAG{END_STREAM} | $FLAG{END_HEADERS};
    calm_ok(
        $server,
        'requests that are reset at once',
        many(
            20000,
            sub {
                frame('HEADERS', $get, $_[0], $head) . frame('RST_STREAM', 0, $_[0], pack 'N', 8);
            }
        ),
        'http2_max_resets'
    );
    calm_ok(
        $server,
        'requests that the server has to reset',
        many(
            20000,
            sub {
                frame('HEADERS', $get, $_[0], $head . SprigTest::Http2::block('content-length', 5));
            }
        ),
        'http2_max_resets'
    );
    calm_ok(
        $server,
        'more streams than there may be',
        many(20000, sub { frame('HEADERS', $get, $_[0], $head) }),
        'http2_max_resets'
    );
    calm_ok($server, 'PING', many(200000, sub { frame('PING', 0, 0, 'x' x 8) }),
        'http2_max_idle_frames');
    calm_ok($server, 'SETTINGS', many(50000, sub { frame('SETTINGS', 0, 0, pack 'nN', 4, 70000) }),
        'http2_max_idle_frames');
    calm_ok($server, 'PRIORITY', many(50000, sub { frame('PRIORITY', 0, $_[0], pack 'NC', 0, 1) }),
        'http2_max_idle_frames');
    calm_ok($server, 'WINDOW_UPDATE',
        many(50000, sub { frame('WINDOW_UPDATE', 0, 0, pack 'N', 1) }),
        'http2_max_idle_frames');
    calm_ok(
        $server,
        'empty DATA',
        sub {
            my ($h2) = @_;
            my $id = $h2->request('/', open => 1);
            many(50000, sub { frame('DATA', 0, $id, '') })->($h2);
        },
        'http2_max_idle_frames'
    );
    calm_ok(
        $server,
        'frames that nobody knows',
        many(50000, sub { frame(99, 0, 0, '') }),
        'http2_max_idle_frames'
    );
    $server->stop_ok;
};

# Bytes that lie in the system's buffers between a client and a server that does not read.
sub buffered {
    my $n = 0;
    for my $name (qw(tcp_rmem tcp_wmem)) {
        my ($most) = slurp("/proc/sys/net/ipv4/$name") =~ /(\d+)\s*\z/;
        $n += $most;
    }
    return $n;
}

# The server reads another 16 MB. What it goes on sending is one of these.
for my $case (
    ['PING', $CALM, frame('PING', 0, 0, 'x' x 8) x 4000],
    ['a bad WINDOW_UPDATE', 1, frame('WINDOW_UPDATE', 0, 1, pack 'N', 0) x 4000],
    )
{
    my ($name, $code, $bytes) = @$case;
    subtest "a client that does not care: $name" => sub {
        my $server = start();
        my $h2     = SprigTest::Http2->connect($server);
        $h2->send($bytes) for 1 .. 10;
        my ($goaway) = grep { $_->{type} eq 'GOAWAY' } $h2->until('GOAWAY');
        is(unpack('x4N', $goaway->{payload}), $code, 'the connection ends');
        my ($n, $cpu, $end) = (0, cpu_seconds($server), time + 1.5);
        $h2->{socket}->blocking(0);
        while (time < $end) {
            local $SIG{PIPE} = 'IGNORE';
            my $sent = syswrite $h2->{socket}, $bytes;
            $n += $sent || 0;
            select undef, undef, undef, 0.01 if !$sent;
        }
        cmp_ok($n, '<', (17 << 20) + buffered(), 'and the client cannot go on');
        cmp_ok(cpu_seconds($server) - $cpu, '<', 0.1, 'nor keep the server busy');
        $h2->close;
        $server->stop_ok;
    };
}

subtest 'heads' => sub {
    my $server = start(header_timeout => 1);
    my $long   = SprigTest::Http2::block(map { ("x-$_" => 'y' x 1000) } 1 .. 15);
    calm_ok(
        $server,
        'fields without an end',
        sub {
            my ($h2) = @_;
            $h2->send(frame('HEADERS', 0, 1, $head));
            for (1 .. 200) { $h2->send(frame('CONTINUATION', 0, 1, $long)) or last }
        },
        '.*'
    );
    calm_ok(
        $server,
        'trailers without an end',
        sub {
            my ($h2) = @_;
            my $id = $h2->request('/', open => 1, body => 'x', fields => [':method' => 'POST']);
            $h2->send(frame('HEADERS', $FLAG{END_STREAM}, $id, $long));
            for (1 .. 200) { $h2->send(frame('CONTINUATION', 0, $id, $long)) or last }
        },
        'max_header_bytes'
    );
    my $crumbs = SprigTest::Http2::block((cookie => '') x 1500);
    calm_ok(
        $server,
        'empty crumbs of cookies',
        sub { $_[0]->send(frame('HEADERS', 4, 1, $head . $crumbs)) },
        'max_headers'
    );
    my $h2 = SprigTest::Http2->connect($server);
    $h2->until(sub { $_[0]{type} eq 'SETTINGS' && $_[0]{flags} });    # ours is acknowledged
    $h2->send(frame('HEADERS', 0, 1, $head));
    my ($goaway) = grep { $_->{type} eq 'GOAWAY' } $h2->until('GOAWAY');
    is(unpack('x4N', $goaway->{payload}), $CALM, 'a head that is not completed in time');
    ok($server->stderr_like(qr/header_timeout: the head was not complete in time/),
        'is told in the log');
    $h2 = SprigTest::Http2->connect($server, silent => 1);
    $h2->send("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" . frame('SETTINGS', 0, 0));
    ok($h2->is_closed, 'SETTINGS that are never acknowledged');
    is(unpack('x4N', ($h2->until('GOAWAY'))[-1]{payload}),
        $SETTINGS_TIMEOUT, 'end with a code of their own');
    $server->stop_ok;
};

subtest 'a head that comes bit by bit' => sub {
    my $server = start();
    my $h2     = SprigTest::Http2->connect($server);
    my $block  = SprigTest::Http2::block(SprigTest::Http2::fields('/', 'x-a' => 'y' x 100));
    my @parts  = unpack '(a30)*', $block;
    $h2->send(frame('HEADERS', $FLAG{END_STREAM}, 1, shift @parts));
    while (defined(my $part = shift @parts)) {
        for my $byte (split //, frame('CONTINUATION', @parts ? 0 : $FLAG{END_HEADERS}, 1, $part)) {
            $h2->send($byte);
            select undef, undef, undef, 0.001;
        }
    }
    is($h2->response(1)->{body}, 'hello', 'is a head');
    $h2->close;
    $server->stop_ok;
};

subtest 'limits of a head' => sub {
    my $server = start(max_headers => 10, max_header_bytes => 1000, max_request_line => 100);
    my $h2     = SprigTest::Http2->connect($server);
    my $status = sub { return $h2->response($h2->request(@_))->{status} };
    is($status->('/', fields => [map { ("x-$_" => 1) } 1 .. 10]),
        200, 'as many fields as there may be');
    is($status->('/', fields => [map { ("x-$_" => 1) } 1 .. 11]), 431, 'and one more');
    is($status->('/', fields => ['x-a' => 'y' x 993]), 200, 'as many bytes');
    is($status->('/', fields => ['x-a' => 'y' x 994]), 431, 'and one more');
    is($status->('/' . 'x' x 200), 414, 'a path that is too long');

    for my $bad (
        [':authority'     => 'user@localhost'],
        [':authority'     => 'localhost:99999'],
        [':authority'     => 'a b'],
        [':scheme'        => 'ftp'],
        [':path'          => '/a#b'],
        [':path'          => 'http://localhost/'],
        ['host'           => 'elsewhere'],
        ['content-length' => 1, 'content-length' => 1],
        )
    {
        my $r = $h2->response($h2->request('/', fields => $bad));
        ok(($r->{status} || 0) == 400 || $r->{reset}, "refused: @$bad") or diag explain $r;
    }
    is($status->('/'), 200, 'all that does no harm to the connection');
    $server->stop_ok;
};

subtest 'what is not read' => sub {
    my $server = start(write_timeout => 1);
    attack(
        $server,
        'answers to PING',
        sub {
            my ($h2) = @_;
            $h2->{socket}->blocking(0);
            my $ping = frame('PING', 0, 0, 'x' x 8) x 1000;
            my $end  = time + 1.5;
            while (time < $end) {
                local $SIG{PIPE} = 'IGNORE';    # the server may have had enough
                last if !defined syswrite($h2->{socket}, $ping) && !$!{EAGAIN};
            }
        }
    );
    my $h2 = attack(
        $server,
        'files on streams whose window stays shut',
        sub {
            my ($h2) = @_;
            $h2->request('/file') for 1 .. 100;
            is($h2->response(1)->{reset}, 8, 'write_timeout resets them');
        },
        settings => [4, 0]
    );
    ok($server->stderr_like(qr/write_timeout: the client took no bytes/), 'which the log has');
    is($h2->response($h2->request('/'), seconds => 0.2)->{status}, 200, 'the connection goes on');
    $server->stop_ok;
};

subtest 'the number of streams' => sub {
    my $server = start(http2_max_streams => 3);
    my $h2     = SprigTest::Http2->connect($server);
    my @ids    = map { $h2->request('/never') } 1 .. 4;
    is($h2->response($ids[3])->{reset}, $REFUSED_STREAM, 'one too many is refused');
    $h2->reset($ids[0]);
    is($h2->response($h2->request('/'))->{status},
        200, 'when one is over there is room for another');
    $h2->close;

    $h2 = SprigTest::Http2->connect($server);
    $h2->until(sub { $_[0]{type} eq 'SETTINGS' && $_[0]{flags} });    # both have acknowledged
    @ids = map { $h2->request('/never') } 1 .. 3;
    my @refused = map { $h2->request('/', open => 1, body => 'x') } 1 .. 3;
    is_deeply(
        [map { $h2->response($_)->{reset} } @refused],
        [($REFUSED_STREAM) x 3],
        'also of a client that could have known'
    );
    $h2->data($refused[0], 'y', end => 1);
    $h2->reset($ids[1]);
    is($h2->response($h2->request('/'))->{status}, 200, 'whose connection goes on');
    is_deeply(
        [map { $h2->response($_, seconds => 0)->{reset} } @ids[0, 2]],
        [undef, undef],
        'with the streams that there were'
    );
    $h2->close;
    $server->stop_ok;
};

done_testing;
