# AnyEvent::Handle and AnyEvent::Socket: client and server in one process.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use AnyEvent::Handle;
use AnyEvent::Socket;
use AnyEvent::Util;
use SprigTest::AnyEvent;

# Starts a server on a free port, calls back with each connection's handle; returns guard and port.
sub serve_with {
    my ($on_handle) = @_;
    my ($port, %open);
    my $guard = tcp_server '127.0.0.1', 0, sub {
        my ($fh) = @_;
        my $handle;
        $handle = AnyEvent::Handle->new(
            fh       => $fh,
            on_error => sub { delete $open{$handle} if $handle; undef $handle },
            on_eof   => sub { delete $open{$handle} if $handle; undef $handle },
        );
        $open{$handle} = $handle;
        $on_handle->($handle);
    }, sub { $port = $_[2]; return 0 };
    return $guard, $port;
}

subtest 'lines there and back' => sub {
    my ($guard, $port) = serve_with(sub {
        my ($handle) = @_;
        $handle->on_read(sub {
            $handle->push_read(line => sub { $handle->push_write(uc("$_[1]\n")) });
        });
    });
    my ($cv, @got) = (AE::cv);
    my $client = AnyEvent::Handle->new(
        connect  => ['127.0.0.1', $port],
        on_error => sub { $cv->croak("client: $_[2]") },
    );
    for my $n (1 .. 200) {
        $client->push_write("line $n\n");
        $client->push_read(line => sub { push @got, $_[1]; $cv->send if @got == 200 });
    }
    $cv->recv;
    is_deeply [@got[0, 199]], ['LINE 1', 'LINE 200'], '200 lines in order';
};

subtest 'a large body with a slow reader' => sub {
    my $size = 8 * 1024 * 1024;
    my ($guard, $port) = serve_with(sub {
        my ($handle) = @_;
        $handle->push_write('x' x $size);
        $handle->on_drain(sub { $_[0]->push_shutdown });
    });
    my ($cv, $got, $turns) = (AE::cv, 0, 0);
    my $watcher;
    tcp_connect '127.0.0.1', $port, sub {
        my ($fh) = @_ or return $cv->croak("connect: $!");
        $watcher = AE::io $fh, 0, sub {
            my $n = sysread $fh, my $buffer, 65536;
            return if !defined $n;
            $turns++;
            $got += $n;
            $cv->send if !$n;
        };
    };
    $cv->recv;
    is $got, $size, "all of it, in $turns turns";
};

subtest 'many clients at once' => sub {
    my ($guard, $port) = serve_with(sub {
        my ($handle) = @_;
        $handle->push_read(chunk => 4, sub { $handle->push_write($_[1] . $_[1]) });
    });
    my ($cv, $good) = (AE::cv, 0);
    my @clients;
    for my $n (1001 .. 1100) {
        $cv->begin;
        my $client = AnyEvent::Handle->new(
            connect  => ['127.0.0.1', $port],
            on_error => sub { $cv->end },
        );
        $client->push_write("$n");
        $client->push_read(chunk => 8, sub { $good += $_[1] eq "$n$n"; $cv->end });
        push @clients, $client;
    }
    $cv->recv;
    is $good, 100, 'a hundred';
};

subtest 'timeouts' => sub {
    my ($guard, $port) = serve_with(sub { });
    my $cv     = AE::cv;
    my $client = AnyEvent::Handle->new(
        connect    => ['127.0.0.1', $port],
        timeout    => 0.1,
        on_timeout => sub { $cv->send('timeout') },
        on_error   => sub { $cv->send('error') },
    );
    is $cv->recv, 'timeout', 'of a handle';
};

subtest 'a refused connection' => sub {
    my ($guard, $port) = serve_with(sub { });
    undef $guard;
    my $cv = AE::cv;
    tcp_connect '127.0.0.1', $port, sub { $cv->send(@_ ? 'connected' : "refused: $!") };
    like $cv->recv, qr/^refused: ./, 'is told';
};

subtest 'AnyEvent::Util' => sub {
    my $output;
    my $cv = run_cmd ['sh', '-c', 'echo hello; exit 3'], '>' => \$output;
    is $cv->recv >> 8, 3,         'run_cmd';
    is $output,        "hello\n", 'with its output';
    my $forked = AE::cv;
    fork_call { return "pid $$" } sub { $forked->send($@ || $_[0]) };
    my $said = $forked->recv;
    like $said, qr/^pid \d+$/, 'fork_call';
    isnt $said, "pid $$", 'in a child';
};

done_testing;
