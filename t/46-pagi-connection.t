# PAGI applications: what they learn of their client, and what becomes of a request when one of the two
# leaves too early.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Pagi;
use SprigTest::Probe qw(get diary await_diary eventually);
use Test::More;

needs_pagi();

my $server = start_pagi(<<'APP', args => { high_water_bytes => 65536, low_water_bytes => 16384 });
my %kept;
my $size = 65536;

# Notes down all that pagi.connection tells, and in which order.
sub watch {
    my ($conn) = @_;
    my $future = $conn->disconnect_future;
    $future->on_done(sub { note_down("future $_[0] " . state_of($conn)) });
    for my $n (1, 2) {
        $conn->on_disconnect(sub { note_down("disconnect $n $_[0] " . state_of($conn)) });
        $conn->on_complete(sub { note_down("complete $n " . state_of($conn)) });
    }
}

sub state_of {
    my ($conn) = @_;
    my $reason = $conn->disconnect_reason;
    return join ' ', ($conn->is_connected ? 'connected' : 'over'), defined $reason ? $reason : '-';
}

paths(
    '/served' => async sub {
        my ($scope, $receive, $send) = @_;
        my $conn = $kept{conn} = $scope->{'pagi.connection'};
        watch($conn);
        note_down(join ' ', 'at first', state_of($conn), $conn->response_started, $conn->response_complete);
        await $send->({ type => 'http.response.start', status => 200 });
        note_down(join ' ', 'started', $conn->response_started, $conn->response_complete);
        await $send->({ type => 'http.response.body', body => 'all' });
        note_down(join ' ', 'sent', $conn->response_started, $conn->response_complete);
        my $event = await $receive->();
        $event = await $receive->();
        note_down($event->{type});
    },
    '/later' => async sub {
        my ($scope, $receive, $send) = @_;
        my $conn = $kept{conn};
        $conn->on_complete(sub { note_down('late complete') });
        $conn->on_disconnect(sub { note_down('late disconnect') });
        await answer($send, state_of($conn) . ' ' . wrong($conn->disconnect_future));
    },
    '/left' => async sub {
        my ($scope, $receive, $send) = @_;
        my $conn = $kept{conn} = $scope->{'pagi.connection'};
        watch($conn);
        await $send->({ type => 'http.response.start', status => 200 });
        await $send->({ type => 'http.response.body', body => 'first', more => 1 });
        my $event = await $receive->();
        $event = await $receive->() if $event->{type} eq 'http.request';
        note_down($event->{type});
        my $wrong = wrong($send->({ type => 'http.response.body', body => 'for nobody' }));
        note_down("send '$wrong'");
        $conn->on_disconnect(sub { note_down("late $_[0]") });
    },
    '/silent' => async sub {
        my ($scope, $receive, $send) = @_;
        my $event;
        do { $event = await $receive->() } while $event->{type} ne 'http.disconnect';
        note_down('heard of it');
    },
    '/race' => async sub {
        my ($scope, $receive, $send) = @_;
        my $first = await $receive->();
        my $other = Future->new;
        my $lost  = $receive->();
        my $timer = AE::timer(0.05, 0, sub { $other->done('timer') });
        await Future->wait_any($lost, $other);
        my $wait = Future->wait_any($receive->(), $scope->{'pagi.connection'}->disconnect_future);
        note_down('waits');
        await $wait;
        note_down('woken ' . $scope->{'pagi.connection'}->disconnect_reason);
    },
    '/flood' => async sub {
        my ($scope, $receive, $send) = @_;
        my $transport = $scope->{'pagi.transport'};
        my ($n_pending, $max, $high, $low) = (0, 0, 0, 0);
        note_down(join ' ', 'marks', $transport->high_water_mark, $transport->low_water_mark);
        $transport->on_high_water(sub { $high++ });
        $transport->on_drain(sub { $low++ });
        await $send->({ type => 'http.response.start', status => 200 });
        for my $i (1 .. 300) {
            my $future = $send->({ type => 'http.response.body', body => 'x' x $size, more => 1 });
            $n_pending++ if !$future->is_ready;
            my $amount = $transport->buffered_amount;
            $max = $amount if $amount > $max;
            await $future;
        }
        await $send->({ type => 'http.response.body' });
        note_down(join ' ', 'flood', map { $_ ? 1 : 0 } $n_pending, $max < 400_000, $high, $high == $low);
    },
    '/cut-flood' => async sub {
        my ($scope, $receive, $send) = @_;
        await $send->({ type => 'http.response.start', status => 200 });
        my $n = 0;
        while ($scope->{'pagi.connection'}->is_connected) {
            await $send->({ type => 'http.response.body', body => 'x' x $size, more => 1 });
            note_down('begun') if ++$n == 20;
        }
        note_down('flood has ended: ' . $scope->{'pagi.connection'}->disconnect_reason);
    },
    '/for-nobody' => async sub {
        my ($scope, $receive, $send) = @_;
        await $send->({ type => 'http.response.start', status => 200 });
        await $send->({ type => 'http.response.body', body => 'x', more => 1 });
        await $scope->{'pagi.connection'}->disconnect_future;
        my $is_late;
        my $timer = AE::timer(0, 0, sub { $is_late = 1 });
        await $send->({ type => 'http.response.body', body => 'x', more => 1 }) until $is_late;
        note_down('others have their turn');
    },
    '/die'         => async sub { die "on purpose\n" },
    '/die-plain'   => sub { die "before any future\n" },
    '/die-later'   => async sub {
        watch($_[0]{'pagi.connection'});
        my $f = Future->new;
        my $t = AE::timer(0, 0, sub { $f->done });
        await $f;
        die "a little later\n";
    },
    '/die-started' => async sub {
        my ($scope, $receive, $send) = @_;
        watch($scope->{'pagi.connection'});
        await $send->({ type => 'http.response.start', status => 200 });
        await $send->({ type => 'http.response.body', body => 'half', more => 1 });
        die "in the middle\n";
    },
    '/die-after' => async sub {
        my ($scope, $receive, $send) = @_;
        watch($scope->{'pagi.connection'});
        await answer($send, 'fine');
        die "afterwards\n";
    },
    '/nothing'   => async sub { return 'a value that means nothing' },
    '/half'      => async sub {
        my ($scope, $receive, $send) = @_;
        watch($scope->{'pagi.connection'});
        await $send->({ type => 'http.response.start', status => 200, headers => [['content-length', 100]] });
        await $send->({ type => 'http.response.body', body => 'half', more => 1 });
    },
    '/no-future' => sub { return 7 },
    '/callback'  => async sub {
        my ($scope, $receive, $send) = @_;
        $scope->{'pagi.connection'}->on_complete(sub { die "in a callback\n" });
        $scope->{'pagi.connection'}->on_complete(sub { note_down('the next one') });
        await answer($send, 'ok');
    },
    '/keep' => async sub { $kept{send} = $_[2]; $kept{receive} = $_[1]; await answer($_[2], 'kept') },
    '/use'  => async sub {
        my $event = await $kept{receive}->();
        my $more  = await $kept{receive}->();
        my $wrong = wrong($kept{send}->({ type => 'http.response.body', body => 'again' }));
        await answer($_[2], "$event->{type} $more->{type} $wrong");
        %kept = ();
    },
    '/get' => async sub {
        my ($scope, $receive, $send) = @_;
        await $receive->();
        my $future = $receive->();
        my $timer = AE::timer(0.01, 0, sub { $future->cancel });
        eval { $future->await; 1 } or note_down($@);
        await answer($send, 'waited ' . ($future->is_cancelled ? 1 : 0));
    },
);
APP

subtest 'a response that is delivered' => sub {
    is $server->ask(get('/served'))->body, 'all', 'answered';
    my @lines = await_diary($server, 6);
    is shift @lines, 'at first connected - 0 0', 'at first';
    is shift @lines, 'started 1 0',              'started';
    my ($type) = grep { /\Ahttp/ } @lines;
    is $type, 'http.disconnect', 'receive tells of the end';
    is_deeply [grep { /\Acomplete/ } @lines], ['complete 1 over -', 'complete 2 over -'],
        'on_complete is called in order';
    is_deeply [grep { /\Asent/ } @lines], ['sent 1 1'], 'complete';
    ok !(grep { /disconnect \d|future/ } @lines), 'and nothing of a disconnect';
    is $server->ask(get('/later'))->body, 'over - pending', 'it stays so';
    is_deeply [diary($server)], ['late complete'], 'a late callback is called at once';
};

subtest 'a client that leaves' => sub {
    my $client = $server->connect;
    $client->send(get('/left'));
    ok eventually { $client->buffered =~ /first/ || ($client->poll, 0) },
        'it has got the beginning';
    $client->close;
    is_deeply [await_diary($server, 6)],
        [
        'future client_closed over client_closed',
        'disconnect 1 client_closed over client_closed',
        'disconnect 2 client_closed over client_closed',
        'http.disconnect',
        "send ''",
        'late client_closed',
        ],
        'is told in the order of the specification';
    $client = $server->connect;
    $client->send(get('/silent'));
    $client->half_close;
    is_deeply [await_diary($server, 1)], ['heard of it'], 'before the response';
    ok eventually { scope_counters($server) == 0 }, 'and nothing is left';
};

subtest 'futures that lose a race take no event with them' => sub {
    my $client = $server->connect;
    $client->send(get('/race'));
    is_deeply [await_diary($server, 1)], ['waits'], 'both wait';
    $client->close;
    is_deeply [await_diary($server, 1)], ['woken client_closed'], 'and hear of the end';
};

subtest 'a slow reader is waited for' => sub {
    not_over_http2('marks are those of the stream, and its window is small');
    my $client = $server->connect;
    $client->send(get('/flood'));
    select undef, undef, undef, 0.3;
    is length $client->response->body, 300 * 65536, 'it gets everything';
    is_deeply [await_diary($server, 2)], ['marks 65536 16384', 'flood 1 1 1 1'],
        'futures were pending, little was buffered, callbacks came in pairs';
    $client = $server->connect;
    $client->send(get('/cut-flood'));
    eventually { $client->poll; (diary($server))[0] };
    $client->close;
    like(
        (grep { /flood/ } await_diary($server, 1))[0],
        qr/\Aflood has ended: (?:write_error|read_error|client_closed)\z/,
        'one that leaves lets the app go on'
    );
};

subtest 'an application that never stops sending' => sub {
    my $client = $server->connect;
    $client->send(get('/for-nobody'));
    eventually { $client->poll; $client->buffered =~ /\r\n\r\n.*x/s };
    $client->close;
    is_deeply [await_diary($server, 1)], ['others have their turn'], 'lets others go on';
};

subtest 'an application that fails' => sub {
    my $at = length $server->stderr;
    is $server->ask(get($_))->status, 500, $_
        for qw(/die /die-plain /die-later /nothing /no-future);
    my $text = substr $server->stderr, $at;
    like $text, qr{^GET /die: on purpose$}m,              'the message names the request';
    like $text, qr{^GET /die-plain: before any future$}m, 'also without a future';
    like $text, qr{^GET /nothing: PAGI application returned without a response$}m, 'nothing';
    like $text, qr{^GET /no-future: PAGI application returned no future: is it an async sub\?$}m,
        'no future';
    is_deeply [grep { /\Adisconnect 1|complete/ } await_diary($server, 3)],
        ['disconnect 1 server_error over server_error'], 'on_disconnect has the reason';

    for my $path ('/die-started', '/half') {
        my $response = $server->ask(get($path));
        ok !$response->is_complete, "$path: the client sees that the rest is missing";
        is_deeply [grep { /\Adisconnect 1|complete/ } await_diary($server, 3)],
            ['disconnect 1 server_error over server_error'], 'on_disconnect has the reason';
    }
    is $server->ask(get('/die-after'))->body, 'fine', 'what was delivered stays so';
    is_deeply [grep { !/\Acomplete/ } await_diary($server, 2)], [], 'and is complete';
    ok $server->stderr_like(qr{^GET /die-after: afterwards$}m), 'the exception is reported';
    is $server->ask(get('/callback'))->body, 'ok', 'a callback that dies';
    is_deeply [await_diary($server, 1)], ['the next one'],
        'does not keep the next one from being called';
    ok $server->stderr_like(qr{^GET /callback: in a callback$}m), 'and is reported';
};

subtest '$send and $receive may be kept' => sub {
    is $server->ask(get('/keep'))->body, 'kept', 'beyond the request';
    is $server->ask(get('/use'))->body,
        'http.request http.disconnect http.response.body: the response is complete',
        'they know that it is over';
SKIP: {
        skip_on_other_loop('AnyEvent lets no callback block in recv', 2);
        is $server->ask(get('/get'))->body, 'waited 1', 'a future can be waited for by blocking';
        is_deeply [diary($server)], [], 'without an error';
    }
};

ok eventually { scope_counters($server) == 0 }, 'no scope is left';
$server->stop_ok;

done_testing;
