# A PAGI application with a path for each rule that its specification has for servers. It runs on any
# server; t/46-pagi-rules-*.t look at what comes over the wire. What a path notes down is at /notes/NAME,
# for requests of http: path /NAME.

use strict;
use warnings;

BEGIN { require IO::Async::Loop if $ENV{TEST_ON_IO_ASYNC} }
use Future;
use Future::AsyncAwait;
use JSON::PP ();

my (%notes, %route, %kept);
my $json = JSON::PP->new->canonical->latin1->allow_blessed;

sub note_for {
    my ($name, @lines) = @_;
    push @{ $notes{$name} }, @lines;
    return;
}

# How a future of $send fares.
sub fate {
    my ($future) = @_;
    return 'pending' if !$future->is_ready;
    return defined $future->failure ? 'failed' : 'done';
}

sub fates {
    return map { fate($_) } @_;
}

async sub answer {
    my ($send, $text, @headers) = @_;
    my @length = ['content-length', length $text];
    await $send->({ type => 'http.response.start', status => 200, headers => [@length, @headers] });
    await $send->({ type => 'http.response.body', body => $text });
}

async sub start {
    my ($send, @more) = @_;
    await $send->({ type => 'http.response.start', status => 200, @more });
}

async sub body {
    my ($send, $text, @more) = @_;
    await $send->({ type => 'http.response.body', body => $text, @more });
}

sub state_of {
    my ($conn) = @_;
    my ($reason, $detail) = ($conn->disconnect_reason, $conn->disconnect_detail);
    return join ' ', map { defined $_ && length $_ ? $_ : '-' } $conn->is_connected ? 1 : 0,
        $reason,
        $conn->response_started ? 1 : 0, $conn->response_complete ? 1 : 0;
}

# Notes down all that pagi.connection tells. The first callback of each kind dies.
sub watch {
    my ($name, $conn) = @_;
    $conn->disconnect_future->on_done(sub { note_for($name, "future $_[0] " . state_of($conn)) })
        ->retain;
    $conn->on_disconnect(sub { die "a callback that dies\n" });
    $conn->on_disconnect(sub { note_for($name, "disconnect 1 $_[0] " . state_of($conn)) });
    $conn->on_disconnect(sub { note_for($name, "disconnect 2 $_[0] " . @_) });
    $conn->on_complete(sub { die "a callback that dies\n" });
    $conn->on_complete(sub { note_for($name, 'complete 1') });
    $conn->on_complete(sub { note_for($name, 'complete 2') });
    return;
}

# The next event of one of these types.
async sub next_of {
    my ($receive, @types) = @_;
    while (1) {
        my $event = await $receive->();
        return $event if grep { $_ eq $event->{type} } @types;
    }
}

# ---- the scope ----

sub described {
    my ($scope) = @_;
    my @methods = qw(is_connected disconnect_reason disconnect_detail on_disconnect on_complete
        disconnect_future response_started response_complete abort);
    my @transport = qw(buffered_amount high_water_mark low_water_mark on_high_water on_drain);
    my %told      = %$scope;
    $told{'pagi.connection'} = [grep { $scope->{'pagi.connection'}->can($_) } @methods];
    $told{'pagi.transport'}  = [grep { $scope->{'pagi.transport'}->can($_) } @transport];
    return $json->encode(\%told);
}

$route{scope} = async sub {
    my ($scope, $receive, $send) = @_;
    await answer($send, described($scope));
};

$route{state} = async sub {
    my ($scope, $receive, $send) = @_;
    my $state = $scope->{state};
    my $text  = join ' ', $state->{name}, ++$state->{shared}{n};
    $state->{name} = 'changed';
    await answer($send, $text);
};

# ---- the body of a request ----

$route{body} = async sub {
    my ($scope, $receive, $send)  = @_;
    my ($text,  $n_last,  $event) = ('', 0);
    do {
        $event = await $receive->();
        $text .= $event->{body};
        $n_last++ if !$event->{more};
    } while ($event->{type} eq 'http.request' && $event->{more});
    await answer($send, "$event->{type} $n_last $text");
    my $after = await $receive->();
    note_for(body => $after->{type});
};

# ---- heads ----

$route{unsafe} = async sub {
    my ($scope, $receive, $send) = @_;
    my @wrong = (
        ["x-a",     "1\r\nx-injected: 1"],
        ["x-a",     "1\nx"],
        ["x-a",     "1\0"],
        ["x-a\r\n", 1],
        ["x\ta",    1],
        ["x\0",     1]
    );
    my @fates =
        fates(map { $send->({ type => 'http.response.start', status => 200, headers => [$_] }) }
            @wrong);
    push @fates, $scope->{'pagi.connection'}->response_started ? 1 : 0;
    await answer($send, "@fates");
};

$route{owned} = async sub {
    my ($scope, $receive, $send) = @_;
    my @headers = (
        ['transfer-encoding', 'gzip'],
        ['connection',        'x-own'],
        ['keep-alive',        'timeout=99'],
        ['proxy-connection',  'x'],
        ['content-encoding',  'identity'],
    );
    await start($send, headers => \@headers);
    await body($send, 'owned');
};

$route{upgrade} = async sub {
    my ($scope, $receive, $send) = @_;
    my @headers = (['upgrade', 'websocket'], ['content-length', 0]);
    await $send->({ type => 'http.response.start', status => 426, headers => \@headers });
    await body($send, '');
};

$route{validation} = async sub {
    my ($scope, $receive, $send) = @_;
    my @start = (type => 'http.response.start');
    my @fates = fates(
        $send->({}),
        $send->({ type => 'http.nothing' }),
        $send->({ type => 'websocket.accept' }),
        $send->({ type => 'sse.start' }),
        $send->({@start}),
        $send->({ @start, status => 'fine' }),
        $send->({ @start, status => 200, headers => {} }),
        $send->({ @start, status => 200, headers => [['x']] }),
        $send->({ type => 'http.response.body', body => 'early' }),
    );
    await start($send, unknown => ['field']);
    push @fates,
        fates($send->({ @start, status => 200 }),
        $send->({ type => 'http.response.body', body => "\x{263a}" }));
    await body($send, "@fates", unknown => 'field');
};

# ---- bodies ----

$route{kinds} = async sub {
    my ($scope, $receive, $send) = @_;
    my @body = (type => 'http.response.body', more => 1);
    open my $closed, '<', $0 or die "open: $!";
    close $closed;
    await start($send);
    my @fates = fates(
        $send->({ @body, body => 'x', file => __FILE__ }),
        $send->({ @body, file => '/nowhere/at/all' }),
        $send->({ @body, fh   => $closed }),
        $send->({ @body, file => __FILE__, offset => -1 }),
        $send->({ @body, file => __FILE__, length => -1 }),
        $send->({@body}),
    );
    await body($send, "@fates",                                         more => 1);
    await body($send, ' ' . fate($send->({ @body, file => __FILE__ })), more => 1);
    await $send->({ type => 'http.response.body' });
};

$route{file} = async sub {
    my ($scope, $receive, $send) = @_;
    my %part = map { split /=/ } split /&/, $scope->{query_string};
    my $fh;
    if (delete $part{fh}) { open $fh, '<', __FILE__ or die "open: $!" }
    await start($send);
    await $send->(
        {
            type => 'http.response.body',
            ($fh ? (fh => $fh) : (file => __FILE__)), %part, more => 1
        }
    );
    close $fh if $fh;
};

# A read that fails, and the body that the client gets all the same.
$route{unreadable} = async sub {
    my ($scope, $receive, $send) = @_;
    open my $fh, '<', '/' or die "open: $!";
    await start($send);
    my $future = $send->({ type => 'http.response.body', fh => $fh });
    await Future->wait_any($future->else_done);
    await body($send, 'instead: ' . fate($future));
};

$route{trailers} = async sub {
    my ($scope, $receive, $send) = @_;
    my $query  = $scope->{query_string};
    my @length = $query eq 'length' ? ['content-length', 4] : ();
    watch(trailers => $scope->{'pagi.connection'});
    await start($send, headers => \@length, trailers => $query eq 'none' ? 0 : 1);
    await body($send, 'body', more => $query eq 'none' ? 1 : 0);
    my $future = $send->({ type => 'http.response.trailers', headers => [['x-sum', 42]] });
    note_for(trailers => fate($future));
    await body($send, '') if $query eq 'none';
};

$route{head} = async sub {
    my ($scope, $receive, $send) = @_;
    my $query = $scope->{query_string};
    watch(head => $scope->{'pagi.connection'});
    await start($send, headers => [$query eq 'length' ? ['content-length', 5] : ()]);
    return await $send->({ type => 'http.response.body', file => __FILE__ }) if $query eq 'file';
    await body($send, 'he', more => 1);
    await body($send, 'llo');
    note_for(head => $scope->{method});
};

# ---- applications that do not keep to their side ----

$route{nothing} =
    async sub { watch(nothing => $_[0]{'pagi.connection'}); return { status => 204 } };
$route{die} = async sub { watch(die => $_[0]{'pagi.connection'}); die "on purpose\n" };

$route{incomplete} = async sub {
    my ($scope, $receive, $send) = @_;
    my $query = $scope->{query_string};
    watch(incomplete => $scope->{'pagi.connection'});
    await start(
        $send,
        headers  => [$query eq 'length' ? ['content-length', 100] : ()],
        trailers => $query eq 'trailers'
    );
    await body($send, 'half', more => $query eq 'trailers' ? 0 : 1);
    die "in the middle\n" if $query eq 'die';
};

$route{afterwards} = async sub {
    my ($scope, $receive, $send) = @_;
    watch(afterwards => $scope->{'pagi.connection'});
    await answer($send, 'fine');
    die "afterwards\n";
};

$route{value} =
    async sub { await answer($_[2], 'inert'); return { status => 500, body => 'not this' } };

# ---- the client ----

$route{progress} = async sub {
    my ($scope, $receive, $send) = @_;
    my $conn   = $kept{progress} = $scope->{'pagi.connection'};
    my @states = state_of($conn);
    await start($send);
    push @states, state_of($conn);
    await body($send, 'x', more => 1);
    note_for(progress => @states, state_of($conn));
    $conn->on_complete(sub { note_for(progress => state_of($conn)) });
    await $send->({ type => 'http.response.body' });
};

$route{later} = async sub {
    my ($scope, $receive, $send) = @_;
    my ($conn, @told) = ($kept{progress});
    $conn->on_complete(sub { push @told, 'complete' });
    $conn->on_disconnect(sub { push @told, 'disconnect' });
    await answer($send, join ' ', state_of($conn), @told, fate($conn->disconnect_future));
};

$route{wait} = async sub {
    my ($scope, $receive, $send) = @_;
    my $conn = $scope->{'pagi.connection'};
    watch(wait => $conn);
    my @observers = map { $conn->disconnect_future } 1 .. 3;
    await start($send);
    await body($send, 'waiting', more => 1);
    $observers[0]->cancel;
    Future->wait_any($observers[1], Future->done);
    await next_of($receive, 'http.disconnect');
    note_for(wait => 'received http.disconnect ' . state_of($conn));
    note_for(wait => 'observer ' . fate($observers[2]));
    note_for(
        wait => 'send ' . fate($send->({ type => 'http.response.body', body => 'x', more => 1 })));
    note_for(wait => 'wrong ' . fate($send->({ type => 'no.event' })));
    $conn->on_disconnect(sub { note_for(wait => "late $_[0]") });
    $conn->on_complete(sub { note_for(wait => 'late complete') });
    note_for(wait => 'future ' . $conn->disconnect_future->get);
    note_for(wait => 'end');
};

# Sends until a future is pending, which the end of the client settles.
$route{flood} = async sub {
    my ($scope, $receive, $send) = @_;
    my ($conn, $transport) = @$scope{qw(pagi.connection pagi.transport)};
    my $bytes = 'x' x 65536;
    $transport->on_high_water(sub { note_for(flood => 'high') });
    $transport->on_drain(sub { note_for(flood => 'drained') });
    await start($send);
    while ($conn->is_connected) {
        my $future = $send->({ type => 'http.response.body', body => $bytes, more => 1 });
        note_for(flood => 'pending') if !$future->is_ready;
        await $future;
        note_for(flood => 'settled') if !$conn->is_connected;
    }
    note_for(flood => 'over ' . state_of($conn));
};

$route{abort} = async sub {
    my ($scope, $receive, $send) = @_;
    my ($query, $conn) = ($scope->{query_string}, $scope->{'pagi.connection'});
    await next_of($receive, 'http.request');
    watch(abort => $conn);
    if ($query ne 'early') {
        await start($send);
        await body($send, 'some', more => $query eq 'late' ? 0 : 1);
    }
    my $next = $query eq 'late' ? Future->done({ type => '-' }) : $receive->();
    $conn->abort('the quota is used up');
    note_for(abort => 'after ' . state_of($conn), 'detail ' . ($conn->disconnect_detail // '-'));
    note_for(
        abort => 'send ' . fate($send->({ type => 'http.response.body', body => 'x', more => 1 })));
    my $event = await $next;
    note_for(abort => "received $event->{type}", 'end');
};

# ---- the application ----

require File::Basename;
my $live = File::Basename::dirname(__FILE__) . '/pagi-rules-live.pl';
my $more = do $live or die "$live: " . ($@ || $!);
$more->(
    \%route,
    {
        note     => \&note_for,
        fate     => \&fate,
        state_of => \&state_of,
        watch    => \&watch,
        next_of  => \&next_of
    }
);

async sub lifespan {
    my ($scope, $receive, $send) = @_;
    my $event = await $receive->();
    $scope->{state} and %{ $scope->{state} } = (name => 'as it began', shared => { n => 0 });
    my @told = (
        $event->{type}, $scope->{type},
        ref $scope->{state},
        map { $scope->{pagi}{$_} } qw(version spec_version)
    );
    note_for(lifespan => join ' ', @told);
    note_for(lifespan => fate($send->({ type => 'lifespan.nothing' })));
    await $send->({ type => 'lifespan.startup.complete' });
    await $receive->();
    await $send->({ type => 'lifespan.shutdown.complete' });
}

async sub app {
    my ($scope, $receive, $send) = @_;
    return await lifespan(@_) if $scope->{type} eq 'lifespan';
    my ($name) = $scope->{path} =~ m{\A/([a-z-]+)};
    if (($name // '') eq 'notes' && $scope->{path} =~ m{\A/notes/(.*)}) {
        return await answer($send, join "\n", @{ delete $notes{$1} || [] });
    }
    my $route = $route{ $name // '' };
    $route ||= $route{scope}             if $scope->{type} eq 'http';
    die "no such path: $scope->{path}\n" if !$route;
    return await $route->(@_);
}

\&app;
