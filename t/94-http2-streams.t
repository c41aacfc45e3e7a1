# HTTP/2: streams that are written to and read from by and by - watermarks, disconnects, bodies while
# they come, deadlines of each - and how a connection is left.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use Socket qw(SOL_SOCKET SO_RCVBUF);
use SprigTest;
use SprigTest::Http2;
use SprigTest::Probe qw(eventually);
use Test::More;

need_http2();

my $file = SprigTest::temp_path('file');
my $app  = <<'END';
my (%said, $held);
sub note { my ($word) = @_; $said{$word}++ }
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [200, [], [join ' ', map { "$_=$said{$_}" } sort keys %said]] if $path eq '/said';
    if ($path eq '/fill') {
        return sub {
            my $writer = $_[0]->([200, []]);
            my $n = 0;
            1 while $writer->write('x' x 10000) && ++$n < 1000;
            note($n < 1000 ? 'full' : 'never-full');
            note('buffered') if $writer->buffered > 0;
            $writer->on_drain(sub { note('drained'); $writer->close });
            $writer->on_disconnect(sub { note('fill-left') });
        };
    }
    if ($path eq '/completes') {
        push @{ $env->{'psgix.cleanup.handlers'} }, sub { note('cleaned') };
        return sub { $_[0]->([200, [], ['x' x 100_000], sub { note('complete') }]) };
    }
    if ($path eq '/blocks') {
        return sub {
            my $writer = $_[0]->([200, []]);
            $writer->write('before');
            my $end = Time::HiRes::time() + 3;
            select undef, undef, undef, 0.01 while !-e $ENV{TEST_FILE} && Time::HiRes::time() < $end;
            $writer->write('after');
            $writer->close;
        };
    }
    return [200, [], ['x' x (32 << 20)]] if $path eq '/large';
    if ($path eq '/wait') {
        return sub {
            my $writer = $_[0]->([200, []]);
            $writer->write('first');
            $writer->on_disconnect(sub { note('left'); undef $writer });
        };
    }
    if ($path eq '/hold') {
        note('held');
        return sub { $held = $_[0] };
    }
    if ($path eq '/answer') {
        $held->([200, [], ['late']]);
        return [200, [], ['answered']];
    }
    if ($path eq '/flood') {
        return sub { my $writer = $_[0]->([200, []]); $writer->write('x' x 65536) for 1 .. 200; $writer->close };
    }
    return [200, [], ['hello']];
}
END

sub start {
    my (%args) = @_;
    return start_server(
        by    => 'program',
        code  => "use Time::HiRes; $app",
        env   => { TEST_FILE => $file },
        flags => ['--listen', '127.0.0.1:0,h2c'],
        args  => \%args
    );
}

sub said {
    my ($server, $pattern) = @_;
    my $text = '';
    for (1 .. 200) {
        $text = $server->ask("GET /said HTTP/1.1\r\nHost: a\r\n\r\n")->body;
        return 1 if $text =~ $pattern;
        select undef, undef, undef, 0.02;
    }
    diag $text;
    return 0;
}

subtest 'watermarks are those of a stream' => sub {
    my $server = start(high_water_bytes => 100_000, low_water_bytes => 50_000);
    my $h2     = SprigTest::Http2->connect($server, settings => [4, 20000]);
    my $fill   = $h2->request('/fill');
    ok(said($server, qr/buffered=1.*full=1/), 'write is false where the window is shut');
    is($h2->response($h2->request('/'))->{body}, 'hello', 'other streams are not held up');
    ok(!said_now($server, qr/drained/), 'nothing is drained');
    $h2->window($fill, 10 << 20);
    my $r = $h2->response($fill);
    ok(said($server, qr/drained=1/), 'on_drain, when it has been opened');
    is(length($r->{body}) % 10000, 0, 'and all arrives');
    my $left = $h2->request('/fill');
    ok(said($server, qr/full=2/), 'another one');
    $h2->reset($left);
    ok(said($server, qr/fill-left=1/), 'that is reset: on_disconnect');
    $h2->close;
    $server->stop_ok;
};

sub said_now {
    my ($server, $pattern) = @_;
    return $server->ask("GET /said HTTP/1.1\r\nHost: a\r\n\r\n")->body =~ $pattern;
}

subtest 'clients that leave' => sub {
    my $server = start();
    my $h2     = SprigTest::Http2->connect($server);
    my @ids    = map { $h2->request('/wait') } 1 .. 3;
    $h2->until('DATA') for @ids;
    $h2->reset($ids[0]);
    ok(said($server, qr/left=1/), 'RST_STREAM is told to the one application');
    $h2->close;
    ok(said($server, qr/left=3/), 'the end of the connection to all');
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'an answer to one that has just been reset' => sub {
    my $server = start();
    my $h2     = SprigTest::Http2->connect($server);
    my $held   = $h2->request('/hold');
    ok(said($server, qr/held=1/), 'the application has it');
    my $head  = SprigTest::Http2::block(SprigTest::Http2::fields('/answer'));
    my $flags = $FLAG{END_STREAM} | $FLAG{END_HEADERS};
    my $id    = $h2->{last} += 2;
    $h2->send(
        SprigTest::Http2::frame('HEADERS',    $flags, $id, $head),
        SprigTest::Http2::frame('RST_STREAM', 0, $held, pack 'N', 8)
    );
    is($h2->response($id)->{body}, 'answered', 'goes nowhere');
    $h2->close;
    $server->idle_ok;
    $server->stop_ok;
    unlike($server->stderr, qr/./, 'without a word');
};

subtest 'what a client does not take' => sub {
    my $server = start(output_buffer_bytes => '1M', max_output_bytes => '4M');
    my $h2     = SprigTest::Http2->connect($server, settings => [4, 0]);
    my $id     = $h2->request('/flood');
    is($h2->response($id)->{reset}, 2, 'beyond max_output_bytes the stream is reset');
    ok($server->stderr_like(qr/max_output_bytes/), 'which the log has');
    is($h2->response($h2->request('/said'), seconds => 0.2)->{status},
        200, 'the connection goes on');
    $h2->close;
    $server->stop_ok;
    $server = start(output_buffer_bytes => '1M');
    $h2     = SprigTest::Http2->connect($server, settings => [4, 0]);
    $h2->response($h2->request('/said'), seconds => 0.2);
    my $before = $server->rss_kib;
    $id = $h2->request('/flood');
    $h2->until(sub { $_[0]{type} eq 'HEADERS' });
    cmp_ok($server->rss_kib - $before,
        '<', 10 * 1024, 'what is too much for memory waits in a file');
    $h2->window($id, 64 << 20);
    is(length $h2->response($id)->{body}, 200 * 65536, 'and is sent from there');
    $h2->close;
    $server->stop_ok;
};

subtest 'a response that is complete' => sub {
    my $server = start();
    my $h2     = SprigTest::Http2->connect($server);
    is(length $h2->response($h2->request('/completes'))->{body}, 100_000, 'comes');
    ok(said($server, qr/cleaned=1.*complete=1/),
        'the callback of completion is called, and cleanup');
    $h2->close;
    $server->stop_ok;
};

subtest 'an app that keeps the loop' => sub {
    my $server = start();
    my $h2     = SprigTest::Http2->connect($server);
    my $id     = $h2->request('/blocks');
    my ($data) = grep { $_->{type} eq 'DATA' } $h2->until('DATA');
    is($data && $data->{payload}, 'before', 'what it has written comes while it does');
    spew($file, '');
    is($h2->response($id)->{body}, 'after', 'and the rest');
    $h2->close;
    $server->stop_ok;
    unlink $file;
};

subtest 'slow readers' => sub {
    my $server = start(write_timeout => 1);
    my $h2     = SprigTest::Http2->connect($server);
    setsockopt $h2->{socket}, SOL_SOCKET, SO_RCVBUF, 65536;
    $h2->response($h2->request('/'));
    my $id = $h2->request('/large');
    my $n  = 0;
    for (1 .. 5) {
        select undef, undef, undef, 0.75;
        $n += sysread $h2->{socket}, $h2->{in}, 300_000, length $h2->{in};
    }
    cmp_ok($n, '>', 200_000, 'a gulp just within each write_timeout');
    is(length $h2->response($id)->{body}, 32 << 20, 'is enough');
    unlike($server->stderr, qr/timeout/, 'and nothing is logged');
    $h2->close;
    $server->stop_ok;
};

subtest 'deadlines' => sub {
    my $server = start(body_timeout => 0.5, keepalive_timeout => 0.5);
    my $h2     = SprigTest::Http2->connect($server);
    my $id     = $h2->request('/', open => 1, fields => [':method' => 'POST']);
    is($h2->response($id)->{status},               408, 'a body that makes no progress');
    is($h2->response($h2->request('/'))->{status}, 200, 'on a connection that goes on');
    ok($h2->is_closed, 'and is closed when it is idle');
    my ($goaway) = grep { $_->{type} eq 'GOAWAY' } $h2->until('GOAWAY');
    is(unpack('x4N', $goaway->{payload}), 0, 'with GOAWAY');
    $server->stop_ok;
};

subtest 'a server that ends' => sub {
    my $server = start();
    my $h2     = SprigTest::Http2->connect($server);
    my $id     = $h2->request('/', open => 1, fields => [':method' => 'POST']);
    $h2->response($h2->request('/'));
    kill 'QUIT', $server->pid;
    my ($first) = grep { $_->{type} eq 'GOAWAY' } $h2->until('GOAWAY');
    is(unpack('N', $first->{payload}), 2**31 - 1, 'GOAWAY that names no stream yet');
    my $late = $h2->request('/');
    $h2->send(SprigTest::Http2::frame('PING', $FLAG{ACK}, 0, "goaway\0\0"));
    is($h2->response($late)->{body}, 'hello', 'a request that was on its way is served');
    $h2->_collect($_) for $h2->{goaway} ? () : $h2->until('GOAWAY');
    is($h2->{goaway}{last}, $late, 'the second one names the last');
    $h2->data($id, 'body', end => 1);
    is($h2->response($id)->{body}, 'hello', 'one in progress is finished');
    ok($h2->is_closed, 'then the connection is closed');
    $server->ends_ok;
};

# Clients take GOAWAY in place of their first answer for a failure, though they may ask again.
subtest 'a connection that began before the server ends' => sub {
    my $server = start();
    my $h2     = SprigTest::Http2->connect($server);
    $h2->until('SETTINGS');
    kill 'QUIT', $server->pid;
    ok(eventually(sub { !IO::Socket::INET->new($server->host . ':' . $server->port) }),
        'it takes no others');
    my $id     = $h2->request('/');
    my @frames = $h2->until('DATA');
    is(scalar(grep { $_->{type} eq 'GOAWAY' } @frames), 0, 'it hears nothing of that at first');
    is($frames[-1]{payload},                            'hello', 'its request is answered');
    my ($first) = grep { $_->{type} eq 'GOAWAY' } $h2->until('GOAWAY');
    is(unpack('N', $first->{payload}), 2**31 - 1, 'GOAWAY follows');
    $h2->send(SprigTest::Http2::frame('PING', $FLAG{ACK}, 0, "goaway\0\0"));
    ok($h2->is_closed, 'then the connection is closed');
    $server->ends_ok;
};

subtest 'one that never asks' => sub {
    my $server = start();
    my $h2     = SprigTest::Http2->connect($server);
    kill 'QUIT', $server->pid;
    $h2->until('GOAWAY');
    $h2->send(SprigTest::Http2::frame('PING', $FLAG{ACK}, 0, "goaway\0\0"));
    ok($h2->is_closed, 'is closed');
    $server->ends_ok;
};

done_testing;
