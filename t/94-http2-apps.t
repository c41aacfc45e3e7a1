# HTTP/2: what applications do besides answering - promises, bodies while they come, interim responses -
# on several streams of one connection.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Http2;
use SprigTest::Probe;
use Test::More;

need_http2();

my $WINDOW  = 65535;
my %STREAMS = (streaming_input => '/up');

my $app = <<'APP';
my (%promise, $paused);
my %route = (
    '/' => sub { [200, [], ['hello']] },
    '/condvar' => sub { $promise{condvar} = AE::cv },
    '/keep-condvar' => sub { $promise{condvar}->send([200, [], ['kept']]); [200, [], ['sent']] },
    '/break-condvar' => sub { $promise{condvar}->croak("broken\n"); [200, [], ['croaked']] },
    '/hints' => sub {
        my ($env) = @_;
        my $inform = $env->{'psgix.informational'};
        $inform->(103, ['Link' => "</$_.css>; rel=preload"]) for 1 .. 2;
        return sub { $inform->(103, ['Link' => '</late.css>']); $_[0]->([200, [], ['after hints']]) };
    },
    '/up/paused' => sub {
        my ($env) = @_;
        my ($reader, $n) = ($env->{'psgix.input.reader'}, 0);
        return sub {
            my ($respond) = @_;
            my $begun;
            $reader->on_data(sub {
                my ($self, $bytes) = @_;
                $n += length $bytes;
                return if $begun++;
                $self->pause;
                $paused = $self;
                note_down('paused');
            });
            $reader->on_end(sub { $respond->([200, [], [$n]]) });
            $reader->on_error(sub { note_down('error'); undef $respond });
        };
    },
    '/resume' => sub { $paused->resume; undef $paused; [200, [], ['resumed']] },
    '/up/echo' => sub {
        my ($env) = @_;
        my $reader = $env->{'psgix.input.reader'};
        return sub {
            my $writer = $_[0]->([200, []]);
            $reader->on_data(sub { $writer->write(uc $_[1]) });
            $reader->on_end(sub { $writer->close });
        };
    },
);
if (eval { require Future; 1 }) {
    $route{'/future'} = sub {
        my $future = $promise{future} = Future->new;
        $future->on_cancel(sub { note_down('cancelled') });
        note_down('asked');
        return $future;
    };
    $route{'/keep-future'} = sub { $promise{future}->done([200, [], ['done']]); [200, [], ['done']] };
}
routes(%route);
APP

subtest 'condvars' => sub {
    my $server = start_http2($app, %STREAMS);
    my $h2     = SprigTest::Http2->connect($server);
    my $id     = $h2->request('/condvar');
    is($h2->response($h2->request('/'))->{body}, 'hello', 'while one waits, others are served');
    is($h2->response($h2->request('/keep-condvar'))->{body},
        'sent', 'one of them keeps the promise');
    is($h2->response($id)->{body}, 'kept', 'and it is answered');
    $id = $h2->request('/condvar');
    $h2->response($h2->request('/break-condvar'));
    is($h2->response($id)->{status}, 500, 'one that is broken');
    $id = $h2->request('/condvar');
    $h2->reset($id);
    is($h2->response($h2->request('/keep-condvar'))->{body},
        'sent', 'kept for a client that has left');
    over_ok($server, $h2);
};

subtest 'futures' => sub {
    plan skip_all => 'Future is not installed' if !eval { require Future; 1 };
    my $server = start_http2($app, %STREAMS);
    my $h2     = SprigTest::Http2->connect($server);
    my $id     = $h2->request('/future');
    $h2->response($h2->request('/keep-future'));
    is($h2->response($id)->{body}, 'done', 'one that is done');
    $id = $h2->request('/future');
    is_deeply([await_diary($server, 2)], [qw(asked asked)], 'another one');
    $h2->reset($id);
    is_deeply([await_diary($server, 1)], ['cancelled'], 'is cancelled by RST_STREAM');
    is($h2->response($h2->request('/'))->{body}, 'hello', 'the connection goes on');
    over_ok($server, $h2);
};

# Body bytes that a stream has room for.
sub opened {
    my ($h2, $id, @frames) = @_;
    my $n = 0;
    $n += unpack 'N', $_->{payload}
        for grep { $_->{type} eq 'WINDOW_UPDATE' && $_->{id} == $id } @frames;
    return $n;
}

subtest 'a body that is not wanted yet' => sub {
    my $server = start_http2($app, %STREAMS, http2_stream_window => $WINDOW);
    my $h2     = SprigTest::Http2->connect($server);
    my $id     = $h2->request('/up/paused', open => 1, fields => [':method' => 'POST']);
    $h2->data($id, 'x');
    is_deeply([await_diary($server, 1)], ['paused'], 'the application pauses');
    $h2->data($id, 'x' x ($WINDOW - 1));
    my $ping = SprigTest::Http2::frame('PING', 0, 0, 'x' x 8);
    $h2->send($ping);
    my @frames = $h2->until(sub { $_[0]{type} eq 'PING' && $_[0]{flags} });
    cmp_ok(opened($h2, $id, @frames), '<=', 1, 'the client gets no room for more');
    my $other = $h2->request('/up/echo', body => 'a' x $WINDOW, fields => [':method' => 'POST']);
    is($h2->response($other)->{body}, 'A' x $WINDOW, 'another stream has its own');
    $h2->response($h2->request('/resume'));
    $h2->data($id, 'x' x 10, end => 1);
    is($h2->response($id)->{body}, $WINDOW + 10, 'when it goes on, all of it arrives');
    over_ok($server, $h2);
};

subtest 'a body that is broken off' => sub {
    my $server = start_http2($app, %STREAMS);
    my $h2     = SprigTest::Http2->connect($server);
    my $id     = $h2->request('/up/paused', open => 1, fields => [':method' => 'POST']);
    $h2->data($id, 'x');
    await_diary($server, 1);
    $h2->response($h2->request('/resume'));
    $h2->reset($id);
    is_deeply([await_diary($server, 1)], ['error'], 'RST_STREAM is told to the reader');
    is($h2->response($h2->request('/'))->{body}, 'hello', 'the connection goes on');
    over_ok($server, $h2);
};

subtest 'a body while it comes' => sub {
    my $server = start_http2($app, %STREAMS, max_body_bytes => 100_000);
    my $h2     = SprigTest::Http2->connect($server);
    my @ids = map { $h2->request('/up/echo', open => 1, fields => [':method' => 'POST']) } 1 .. 2;
    for my $word (qw(one two)) {
        $h2->data($_, $word) for @ids;
        my %came;
        while (keys %came < @ids) {
            my $frame = $h2->next_frame or last;
            $came{ $frame->{id} } .= $frame->{payload} if $frame->{type} eq 'DATA';
        }
        is_deeply([sort values %came], [(uc $word) x 2], 'two are answered as they come');
    }
    $h2->data($ids[0], '', end => 1);
    ok($h2->response($ids[0])->{over}, 'each has its end');
    $h2->data($ids[1], 'x' x 100_001);
    is($h2->response($ids[1])->{reset},          2, 'max_body_bytes, when the answer has begun');
    is($h2->response($h2->request('/'))->{body}, 'hello', 'the connection goes on');
    over_ok($server, $h2);
};

subtest 'interim responses' => sub {
    my $server = start_http2($app, %STREAMS);
    my $h2     = SprigTest::Http2->connect($server);
    my $id     = $h2->request('/hints');
    my @frames = $h2->until(sub { $_[0]{id} == $id && $_[0]{flags} & $FLAG{END_STREAM} });
    my @heads  = map { +{ @{ $_->{fields} } } } grep { $_->{type} eq 'HEADERS' } @frames;
    is(
        join(' ', map { "$_->{':status'} " . ($_->{link} || '') } @heads),
        '103 </1.css>; rel=preload 103 </2.css>; rel=preload 103 </late.css> 200 ',
        'all come before the head of the response'
    );
    is(scalar(grep { $_->{type} eq 'HEADERS' && $_->{flags} & $FLAG{END_STREAM} } @frames),
        0, 'none of them ends the stream');
    over_ok($server, $h2);
};

done_testing;
