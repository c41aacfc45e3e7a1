# psgix.io taken by the app: raw answers, conversations, what becomes of the responder.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server = start_probe(<<'APP');
use AnyEvent::Handle;
my %kept;

sub later {
    my ($seconds, $code) = @_;
    my $t;
    $t = AE::timer $seconds, 0, sub { undef $t; $code->() };
}

# A delayed callback that gets the handle and the responder.
sub raw (&) {
    my ($code) = @_;
    return sub {
        my ($env) = @_;
        my $io = $env->{'psgix.io'};
        return sub { $code->($io, $_[0], $env); return };
    };
}

# Greets, then says each line back until "bye".
sub converse {
    my ($io) = @_;
    my $handle;
    $handle = AnyEvent::Handle->new(
        fh       => $io,
        on_error => sub { note_down('error'); $handle->destroy; undef $handle },
        on_eof   => sub { note_down('eof'); $handle->destroy; undef $handle },
        on_read  => sub {
            $_[0]->push_read(line => sub {
                my ($self, $line) = @_;
                $self->push_write("you said $line\n");
                $self->on_drain(sub { $_[0]->destroy; undef $handle }) if $line eq 'bye';
            });
        },
    );
    $handle->push_write("hi\n");
    return $handle;
}

routes(
    '/print'    => raw { my $io = shift; print {$io} "raw by print\n"; close $io },
    '/syswrite' => raw { my $io = shift; syswrite $io, "raw by syswrite\n" },
    '/printf'   => raw { my $io = shift; $io->autoflush(1); $io->printf("%s by %s\n", 'raw', 'method') },
    '/send'     => raw { my $io = shift; send $io, "raw by send\n", 0 },
    '/shutdown' => raw { my $io = shift; syswrite $io, "half\n"; shutdown $io, 1; later(0.1, sub { close $io }) },
    '/second-argument' => sub { sub { my ($r, $io) = @_; syswrite $io, "raw by argument\n" } },
    '/env' => sub { my ($env) = @_; sub { syswrite $env->{'psgix.io'}, "raw by env\n" } },
    '/held' => raw { my $io = $kept{held} = shift },
    '/use-held' => sub { syswrite delete $kept{held}, "held and used\n"; [200, [], ['ok']] },
    '/lines'  => raw {
        my $io = shift;
        $io->blocking(1);
        my @lines = map { scalar readline $io } 1 .. 3;
        print {$io} map {"<$_>"} @lines;
        close $io;
    },
    '/read' => raw {
        my $io = shift;
        $io->blocking(1);
        read $io, my $bytes, 5;
        print {$io} "[$bytes]";
        my $rest = getc $io;
        print {$io} "($rest)", eof($io) ? 'eof' : 'more';
        close $io;
    },
    '/converse' => raw { converse(shift) },
    '/converse-101' => raw {
        my ($io, $respond) = @_;
        $respond->([101, ['Upgrade' => 'lines', 'Connection' => 'Upgrade'], []]);
        converse($io);
    },
    '/responder-kept' => raw {
        my ($io, $respond) = @_;
        $kept{respond} = $respond;
        syswrite $io, "raw\n";
        later(0.05, sub { %kept = () });
    },
    '/both' => raw {
        my ($io, $respond) = @_;
        note_down(fileno $io);
        $respond->([200, ['Content-Type' => 'text/plain'], ['by the responder']]);
    },
    '/watch' => raw {
        my ($io, $respond) = @_;
        my $w = $respond->([200, []]);
        $w->write('begun');
        my $watcher;
        $watcher = AE::io $io, 0, sub {
            my $n = sysread $io, my $bytes, 100;
            note_down($n ? "read $bytes" : 'end of file');
            return if $n;
            undef $watcher;
            $w->close;
        };
    },
    '/in-app' => sub { my ($env) = @_; syswrite $env->{'psgix.io'}, "too early\n"; die "and dead\n" },
    '/in-child' => raw {
        my ($io) = @_;
        fileno $io;    # taken by this process, too
        my $pid = fork;
        if (!$pid) {
            syswrite $io, "from the child\n";
            require POSIX;
            POSIX::_exit(0);
        }
        waitpid $pid, 0;
    },
);
APP

sub ask_raw {
    my ($path, @lines) = @_;
    my $client = $server->connect;
    $client->send(get($path, @lines));
    return $client->rest;
}

subtest 'the app writes the answer itself' => sub {
    is(ask_raw("/$_"),              "raw by $_\n",       $_) for qw(print syswrite send env);
    is(ask_raw('/printf'),          "raw by method\n",   'printf');
    is(ask_raw('/second-argument'), "raw by argument\n", 'by the second argument of the callback');
    is(ask_raw('/shutdown'),        "half\n",            'shutdown and close');
    is(ask_raw('/responder-kept'),  "raw\n",             'the responder dropped later');
    is(ask_raw('/in-child'),        "from the child\n",  'in a child process');
};

subtest 'kept for later' => sub {
    my $client = $server->connect;
    $client->send(get('/held'));
    ok($client->is_quiet(0.1), 'nothing is sent for a handle that the app holds');
    is($server->ask(get('/use-held'))->body, 'ok',              'used from another request');
    is($client->rest,                        "held and used\n", 'the connection was the app\'s');
};

subtest 'reading' => sub {
    my $client = $server->connect;
    $client->send(get('/lines') . "one\ntwo\n");
    $client->send("three\n");
    is($client->rest, "<one\n><two\n><three\n>", 'lines, from the first byte behind the request');
    $client = $server->connect;
    $client->send(get('/read') . '12');
    $client->send('345');
    $client->send('6');
    $client->half_close;
    is($client->rest, '[12345](6)eof', 'read, getc and eof');
};

subtest 'a conversation' => sub {
    for my $path (qw(/converse /converse-101)) {
        my $client = $server->connect;
        $client->send(get($path, 'Connection: Upgrade', 'Upgrade: lines'));
        if ($path =~ /101/) {
            my $response = $client->response(interim => 1);
            is($response->status,            101,     'switching protocols');
            is($response->header('Upgrade'), 'lines', 'to this');
        }
        ok($client->wait_for_bytes(3), "$path: the app begins");
        is(substr($client->{in}, 0, 3, ''), "hi\n", 'with a greeting');
        for my $word (qw(hello GET)) {
            my $answer = "you said $word\n";
            $client->send("$word\r\n");
            ok($client->wait_for_bytes(length $answer), "$path: $word");
            is(substr($client->{in}, 0, length $answer, ''), $answer, 'is said back');
        }
        $client->send("bye\n");
        is($client->rest, "you said bye\n", 'until the app ends it');
    }
    my $client = $server->connect;
    $client->send(get('/converse'));
    ok($client->wait_for_bytes(3), 'talking');
    $client->close;
    is_deeply([await_diary($server, 1)], ['eof'], 'the app hears that the client leaves');
};

subtest 'the responder after the handle was used' => sub {
    my $client = $server->connect;
    $client->send(get('/both'));
    is($client->response->body, 'by the responder', 'still works');
    ok($client->is_closed, 'as the last response');
    diary($server);
    $client = $server->connect;
    $client->send(get('/watch'));
    ok($client->wait_for_bytes(10), 'a writer at work');
    $client->send('from the client');
    is_deeply([await_diary($server, 1)], ['read from the client'], 'what comes is the app\'s');
    $client->half_close;
    is_deeply([await_diary($server, 1)], ['end of file'], 'so is the end');
    is($client->response->body, 'begun', 'and the response is ended in order');
    my $text = ask_raw('/in-app');
    like($text, qr/^too early\nHTTP\/1\.1 500 /, 'an app that does both');
};

ok(comes_to_rest($server), 'nothing is left over');
my $n = $server->n_descriptors;
ask_raw('/print') for 1 .. 20;
ok(eventually { $server->n_descriptors <= $n }, 'no descriptor leaks');
$server->stop_ok;
done_testing;
