# WebSockets when workers are replaced, and when the server ends: 1012 and 1001, one after the other,
# behind what the application has to say.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use SprigTest::WebSocket;
use Test::More;
use Time::HiRes qw(time);

my $code = <<'APP';
use strict; use warnings; use Sprig::Worker;
my %open;
Sprig::Worker->before_leave(sub {
    my ($worker) = @_;
    my $text = $worker->can('is_replaced') && $worker->is_replaced ? 'see you' : 'bye';
    $_->send($text) for values %open;
});
sub {
    my ($env) = @_;
    my $ws = $env->{'psgix.websocket'} or return [200, [], [$$]];
    return $ws->accept(
        on_open    => sub { $open{$_[0]} = $_[0] },
        on_message => sub { $_[0]->send("$$ $_[1]") },
        on_close   => sub { delete $open{$_[0]} },
    );
};
APP

# Opens so many, says something on each, and returns them.
sub open_sockets {
    my ($server, $n) = @_;
    my @sockets = map { SprigTest::WebSocket->open($server, '/') } 1 .. $n;
    like($_->text('hi')->next, qr/^text\(\d+ hi\)$/, 'open') for $sockets[-1];
    return @sockets;
}

sub endings {
    my ($ws) = @_;
    my @seen = map { $ws->next } 1 .. 2;
    $ws->close(1000);
    return join ' ', @seen, $ws->story;
}

subtest 'one process' => sub {
    my $server  = start_server(code => $code, args => { graceful_timeout => 10 });
    my @sockets = open_sockets($server, 5);
    $_->text('hi')->next for @sockets[0 .. 3];
    kill TERM => $server->pid;
    my $start = time;
    is(
        endings($_),
        'text(bye) close(1001 going away) eof',
        'closed with 1001, behind what the app said'
    ) for @sockets;
    cmp_ok(time - $start, '<', 5, 'a few of them at once');
    $server->ends_ok;
};

subtest 'workers' => sub {
    my $server = start_server(
        code => $code,
        by   => 'program',
        args => { workers => 2, graceful_timeout => 4 }
    );
    my @sockets = open_sockets($server, 60);
    $_->text('hi')->next for @sockets[0 .. 58];
    kill HUP => $server->pid;
    my %at;
    for my $i (0 .. $#sockets) {
        my $said = endings($sockets[$i]);
        is($said, 'text(see you) close(1012 restarting) eof', 'closed with 1012')
            if $i < 2 || $said !~ /1012/;
        $at{$i} = time;
    }
    my ($again) = open_sockets($server, 1);
    $again->text('hi')->next;
    kill TERM => $server->pid;
    is(endings($again), 'text(bye) close(1001 going away) eof', 'and with 1001 at the end of all');
    $server->ends_ok;
};

done_testing;
