# What takes an HTTPS connection over: psgix.io, which gives and takes plain text, WebSockets and
# server-sent events.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::MD5 qw(md5_hex);
use SprigTest;
use SprigTest::OverTls;
use SprigTest::Probe;
use SprigTest::Tls;
use SprigTest::WebSocket;
use Test::More;

need_tls();
plan skip_all => 'needs Net::SSLeay' if !eval { require Net::SSLeay };

my $certificate = certificate();
my $code        = <<'APP';
use AnyEvent::Handle;
use Digest::MD5 qw(md5_hex);
my (%kept, $child);

sub raw (&) {
    my ($code) = @_;
    return sub {
        my ($env) = @_;
        my $io = $env->{'psgix.io'};
        return sub { $code->($io, $env, $_[0]); return };
    };
}

sub later {
    my ($seconds, $code) = @_;
    my $t;
    $t = AE::timer $seconds, 0, sub { undef $t; $code->() };
}

routes(
    '/who'   => raw { my ($io, $env) = @_; print {$io} "$env->{REMOTE_ADDR} $env->{'psgi.url_scheme'}\n"; close $io },
    '/lines' => raw {
        my ($io) = @_;
        $io->blocking(1);
        my @lines = map { scalar readline $io } 1 .. 3;
        print {$io} map {"<$_>"} @lines;
        close $io;
    },
    '/flood' => raw {
        my ($io) = @_;
        my $handle;
        my $over = sub { $handle->destroy; undef $handle };
        $handle = AnyEvent::Handle->new(fh => $io, on_error => $over, on_eof => $over, on_read => sub { });
        $handle->push_write('abcdefgh' x 2_500_000);
        $handle->push_shutdown;
    },
    '/digest' => raw {
        my ($io) = @_;
        my $digest = Digest::MD5->new;
        my $handle;
        $handle = AnyEvent::Handle->new(
            fh       => $io,
            on_error => sub { $handle->destroy },
            on_read  => sub { $digest->add(substr $_[0]{rbuf}, 0, length $_[0]{rbuf}, '') },
            on_eof   => sub {
                my ($self) = @_;
                $self->push_write($digest->hexdigest);
                $self->on_drain(sub { $_[0]->destroy });
            },
        );
    },
    '/echo' => raw {
        my ($io) = @_;
        my $handle;
        $handle = AnyEvent::Handle->new(
            fh       => $io,
            on_error => sub { note_down('error'); delete $kept{$handle}; $handle->destroy },
            on_eof   => sub { note_down('eof');   delete $kept{$handle}; $handle->destroy },
            on_read  => sub { $_[0]->push_write(substr $_[0]{rbuf}, 0, length $_[0]{rbuf}, '') },
        );
        $kept{$handle} = $handle;
    },
    '/deaf'   => raw { $kept{deaf} = $_[0]; my $fd = fileno $_[0]; later(3, sub { close delete $kept{deaf} }) },
    '/child'  => raw {
        my ($io) = @_;
        my $fd = fileno $io;
        $child = fork;
        return if $child;
        $io->blocking(1);
        syswrite $io, 'from the child: ' . readline $io;
        require POSIX;
        POSIX::_exit(0);
    },
    '/exit' => raw {
        my ($io) = @_;
        print {$io} 'last words', 'x' x 100_000;
        close $io;
        kill TERM => $$;
    },
    '/websocket' => sub {
        my ($env) = @_;
        return $env->{'psgix.websocket'}->accept(
            on_open    => sub { $_[0]->send('welcome') },
            on_message => sub { $_[0]->send("$_[1]!") },
        );
    },
    '/events' => sub {
        return sub {
            my $writer = $_[0]->([200, ['Content-Type' => 'text/event-stream']]);
            $writer->event(data => 'first');
            later(0.2, sub { $writer->event(data => 'second', id => 2); $writer->close });
        };
    },
);
APP

sub start {
    my (%option) = @_;
    return start_probe($code, args => { tls_cert => $certificate->{both} }, %option);
}

my $server = start();
$server->{client} = 'SprigTest::OverTls';

sub talk {
    my ($path, $more) = @_;
    my $client = $server->connect;
    $client->send(get($path) . (defined $more ? $more : ''));
    return $client;
}

subtest 'a socket with plain text' => sub {
    my $client = talk('/who');
    is $client->rest,  "127.0.0.1 https\n", 'the env is that of the client';
    is $client->error, undef,               'the end is one in good order';
    $client = talk('/lines', "one\ntwo\n");
    $client->send("three\n");
    is $client->rest, "<one\n><two\n><three\n>",
        'lines read while nothing else runs, from the first byte behind the request';
};

subtest 'a lot of it' => sub {
    my $client = talk('/flood');
    is md5_hex($client->rest), md5_hex('abcdefgh' x 2_500_000), '20 MB to the client';
    is $client->error,         undef,                           'and a proper end';
    my $bytes = join '', map { chr($_ % 251) x 4099 } 1 .. 3000;
    $client = talk('/digest');
    $client->send($bytes);
    $client->half_close;
    is $client->rest, md5_hex($bytes), '12 MB from it, and an answer behind its end';
};

subtest 'a client that does not read' => sub {
    my $before = $server->rss_kib;
    my $client = talk('/flood');
    select undef, undef, undef, 0.3;
    $server->idle_ok('nothing spins');
    cmp_ok $server->rss_kib - $before, '<', 64 * 1024,
        'what is kept has a bound, besides the app\'s';
    is md5_hex($client->rest), md5_hex('abcdefgh' x 2_500_000), 'it gets all when it does';
};

subtest 'an app that does not read' => sub {
    my $client = talk('/deaf');
    my $n      = 0;
    local $SIG{ALRM} = sub { die "full\n" };
    Time::HiRes::alarm(1);
    eval { $client->send('x' x 100_000), $n++ for 1 .. 300 };
    Time::HiRes::alarm(0);
    cmp_ok $n, '<', 300, 'pushes back';
    $server->idle_ok('without spinning');
};

subtest 'the client leaves' => sub {
    diary($server);
    for my $how (qw(close reset)) {
        my $client = talk('/echo');
        $client->send('hello');
        ok $client->wait_for_bytes(5), 'a conversation';
        $client->$how;
    }
    is_deeply [await_diary($server, 2)], ['eof', 'eof'], 'the app is told';
};

subtest 'in a child process' => sub {
    my $client = talk('/child');
    $client->send("a line\n");
    ok $client->wait_for_bytes(23), 'an answer';
    is $client->buffered, "from the child: a line\n", 'encrypted on the way';
};

subtest 'many' => sub {
    my @clients = map { talk('/echo') } 1 .. 100;
    $clients[$_]->send("number $_") for 0 .. 99;
    is scalar(
        grep {
                   $clients[$_]->wait_for_bytes(length "number $_")
                && $clients[$_]->buffered eq "number $_"
        } 0 .. 99
        ),
        100, 'a hundred conversations';
    $server->idle_ok('idle');
    $_->close for @clients;
    ok eventually { $server->n_descriptors < 40 }, 'no descriptors are left';
};

subtest 'WebSockets and event streams' => sub {
    my $socket = SprigTest::WebSocket->open($server, '/websocket');
    is $socket->response->status,                     101,                'psgix.websocket';
    is $socket->frame->{payload},                     'welcome',          'speaks first';
    is $socket->text('hi')->frame->{payload},         'hi!',              'and answers';
    is $socket->text('x' x 70_000)->frame->{payload}, 'x' x 70_000 . '!', 'also a long message';
    is $socket->close(1000)->story,                   'close(1000) eof',  'and closes';
    my $client = talk('/events');
    is $client->response->body, "data: first\n\nid: 2\ndata: second\n\n", 'events';
};

SKIP: {
    skip 'needs Plack::App::WebSocket', 1 if !eval { require Plack::App::WebSocket };
    subtest 'Plack::App::WebSocket' => sub {
        my $other = start_probe(
            <<'APP', env => { SPRIG_TEST_KEEPS => 1 }, args => { tls_cert => $certificate->{both} });
use Plack::App::WebSocket;
Plack::App::WebSocket->new(on_establish => sub {
    my ($connection) = @_;
    $connection->on(message => sub { $_[0]->send("$_[1]?") });
    $connection->on(finish => sub { undef $connection });
})->to_app;
APP
        $other->{client} = 'SprigTest::OverTls';
        my $socket = SprigTest::WebSocket->open($other, '/');
        is $socket->text('really')->frame->{payload}, 'really?', 'answers';
        like $socket->close(1000)->story, qr/^close.* eof$/, 'and closes';
        $other->stop_ok;
    };
}

ok comes_to_rest($server), 'nothing is left over';
my $client = talk('/exit');
is length $client->rest, 100_010, 'what was written to the end leaves before the process does';
is $client->error,       undef,   'with a proper end';
$server->ends_ok;

done_testing;
