# The part of pagi-rules.pl for streams of events and WebSockets: adds to the table of paths.

package SprigTest::PagiRulesLive;

use strict;
use warnings;
use Future;
use Future::AsyncAwait;

my %with;    # functions of pagi-rules.pl
sub note { return $with{note}->(@_) }
sub fate { return $with{fate}->(@_) }

sub fates {
    return map { fate($_) } @_;
}
sub watch    { return $with{watch}->(@_) }
sub state_of { return $with{state_of}->(@_) }

my %sse;
my %socket;

async
    sub event { my ($send, $type, @fields) = @_; return await $send->({ type => $type, @fields }) }

# ---- streams of events ----

# Which scope a request gets: refused with a response that tells.
$sse{kind} = async sub {
    my ($scope, $receive, $send) = @_;
    my $event = await $receive->();
    my $text  = join ' ', $scope->{type}, $event->{type}, $event->{more} ? 1 : 0, $event->{body},
        join '+',
        grep { exists $scope->{$_} }
        qw(http_version method scheme path headers client server state pagi pagi.connection pagi.transport extensions);
    await event(
        $send, 'http.response.start',
        status  => 200,
        headers => [['content-length', length $text]]
    );
    await event($send, 'http.response.body', body => $text);
};

$sse{events} = async sub {
    my ($scope, $receive, $send) = @_;
    my $early = fate($send->({ type => 'sse.send', data => 'early' }));
    await event($send, 'sse.start');
    my @fates = fates(
        map { $send->($_) } (
            { type => 'sse.start' },
            { type => 'sse.send' },
            { type => 'sse.send', data => 'x', event => "a\nb" },
            { type => 'sse.send', data => 'x', id    => "a\rb" },
            { type => 'sse.send', data => 'x', retry => -1 },
            { type => 'sse.send', data => 'x', retry => 'soon' },
            { type => 'http.response.start', status => 200 },
            { type => 'http.response.body',  body   => 'x' },
        )
    );
    await event(
        $send, 'sse.send',
        data  => "one\ntwo\r\nthree",
        event => 'named',
        id    => 7,
        retry => 500
    );
    await event($send, 'sse.send',    data    => "\x{263a}");
    await event($send, 'sse.comment', comment => 'plain');
    await event($send, 'sse.comment', comment => ':colon');
    await event($send, 'sse.send',    data    => "$early @fates", unknown => 'field');
    await event($send, 'sse.close',   reason  => 'done with it');
    my @late = fates(
        map { $send->($_) } (
            { type => 'sse.close' },
            { type => 'sse.send',      data     => 'late' },
            { type => 'sse.comment',   comment  => 'x' },
            { type => 'sse.keepalive', interval => 1 },
        )
    );
    note(events => "@late");
};

$sse{ended} = async sub {
    my ($scope, $receive, $send) = @_;
    watch(ended => $scope->{'pagi.connection'});
    await event($send, 'sse.start');
    await event($send, 'sse.send', data => 'all');
    await event($send, 'sse.close') if $scope->{query_string} eq 'close';
    die "in the stream\n" if $scope->{query_string} eq 'die';
};

$sse{open} = async sub {
    my ($scope, $receive, $send) = @_;
    my $conn = $scope->{'pagi.connection'};
    watch(open => $conn);
    if ($scope->{query_string} ne 'early') {
        await event($send, 'sse.start');
        await event($send, 'sse.send', data => 'open');
    }
    my $event = await $with{next_of}->($receive, 'sse.disconnect');
    note(open => "received $event->{type} $event->{reason} " . state_of($conn));
    note(open => 'send ' . fate($send->({ type => 'sse.send', data => 'x' })), 'end');
};

$sse{alive} = async sub {
    my ($scope, $receive, $send) = @_;
    await event($send, 'sse.start');
    await event($send, 'sse.keepalive', interval => 0.1,  comment => 'tick');
    await event($send, 'sse.keepalive', interval => 0.05, comment => 'tock');
    await $with{next_of}->($receive, 'sse.disconnect');
};

$sse{refuse} = async sub {
    my ($scope, $receive, $send) = @_;
    watch(refuse => $scope->{'pagi.connection'});
    await event($send, 'http.response.start', status => 404, headers => [['x-why', 'unknown']]);
    my @fates = fates(
        map { $send->($_) } (
            { type => 'sse.start' },
            { type => 'sse.send',      data     => 'x' },
            { type => 'sse.comment',   comment  => 'x' },
            { type => 'sse.keepalive', interval => 1 },
            { type => 'sse.close' },
        )
    );
    await event($send, 'http.response.body', body => 'not ', more => 1);
    await event($send, 'http.response.body', body => "here: @fates");
};

$sse{removed} = async sub {
    my ($scope, $receive, $send) = @_;
    my $fate = fate($send->({ type => 'sse.http.response.start', status => 404 }));
    await event($send, 'http.response.start', status => 204, headers => [['x-fate', $fate]]);
    await event($send, 'http.response.body');
};

$sse{abort} = async sub {
    my ($scope, $receive, $send) = @_;
    my $conn = $scope->{'pagi.connection'};
    watch(abort => $conn);
    await event($send, 'sse.start') if $scope->{query_string} ne 'early';
    $conn->abort('enough');
    my $event = await $with{next_of}->($receive, 'sse.disconnect');
    note(abort => "received $event->{reason}", 'end');
};

$sse{nothing} = async sub { return };

# ---- WebSockets ----

async sub opened {
    my ($receive, $send, @accept) = @_;
    my $event = await $receive->();
    die "not websocket.connect\n" if $event->{type} ne 'websocket.connect';
    await event($send, 'websocket.accept', @accept);
}

sub told {
    my ($event) = @_;
    return join ' ', map { defined $_ && length $_ ? $_ : '-' } @$event{qw(type code reason)};
}

$socket{scope} = async sub {
    my ($scope, $receive, $send) = @_;
    my $wanted = $scope->{subprotocols}[1];
    await opened(
        $receive, $send,
        headers => [['x-own', 1]],
        defined $wanted ? (subprotocol => $wanted) : ()
    );
    my @given = map { $_->[0] } @{ $scope->{headers} };
    my @handshake =
        grep { /\A(?:upgrade|connection|sec-websocket-(?:key|version|protocol))\z/ } @given;
    my @text = (
        @$scope{qw(type http_version scheme path raw_path query_string root_path)},
        join('+', @{ $scope->{subprotocols} }),
        join('+', sort @handshake),
        join('+', grep { ref $scope->{"pagi.$_"} } qw(connection transport)),
        join '+',
        map { ref $scope->{$_} } qw(client server extensions state)
    );
    await event($send, 'websocket.send', text => join '|', @text);
    await event($send, 'websocket.close');
};

$socket{echo} = async sub {
    my ($scope, $receive, $send) = @_;
    my $conn = $scope->{'pagi.connection'};
    watch(echo => $conn);
    await opened($receive, $send);
    while (1) {
        my $event = await $receive->();
        if ($event->{type} eq 'websocket.disconnect') {
            note(echo => 'received ' . told($event) . ' ' . state_of($conn));
            note(echo => 'send ' . fate($send->({ type => 'websocket.send', text => 'x' })), 'end');
            return;
        }
        my ($kind) = grep { defined $event->{$_} } qw(text bytes);
        await event($send, 'websocket.send',
            $kind => "$kind:" . length($event->{$kind}) . ":$event->{$kind}");
    }
};

$socket{validation} = async sub {
    my ($scope, $receive, $send) = @_;
    my @early = fates(
        map { $send->($_) } (
            { type => 'websocket.send', text => 'early' },
            { type => 'websocket.close' },
            { type => 'websocket.nothing' },
            { type => 'websocket.http.response.start', status  => 401 },
            { type => 'websocket.accept',              headers => [["x\n", 1]] },
        )
    );
    await opened($receive, $send);
    my @fates = fates(
        map { $send->($_) } (
            { type => 'websocket.accept' },
            { type => 'websocket.send' },
            { type => 'websocket.send',      text   => 'x', bytes => 'y' },
            { type => 'http.response.start', status => 404 },
            { type => 'http.response.body',  body   => 'x' },
        )
    );
    await event($send, 'websocket.send',  text => "@early @fates", unknown => 'field');
    await event($send, 'websocket.close', code => 4001,            reason  => 'bye');
    note(
        validation => join ' ',
        fates(
            map { $send->($_) } { type => 'websocket.send', text => 'late' },
            { type => 'websocket.close' }
        )
    );
};

$socket{refuse} = async sub {
    my ($scope, $receive, $send) = @_;
    my $conn = $scope->{'pagi.connection'};
    watch(refuse => $conn);
    await $receive->();
    await event(
        $send, 'http.response.start',
        status  => 401,
        headers => [['www-authenticate', 'Bearer']]
    );
    note(refuse => state_of($conn));
    my @fates =
        fates(map { $send->({ type => "websocket.$_", text => 'x' }) } qw(accept send close));
    await event($send, 'http.response.body', body => 'sign ', more => 1);
    await event($send, 'http.response.body', body => "in: @fates");
};

$socket{'refuse-file'} = async sub {
    my ($scope, $receive, $send) = @_;
    await event($send, 'http.response.start', status => 403);
    await event($send, 'http.response.body', file => __FILE__, length => 20);
};

$socket{'refuse-half'} = async sub {
    my ($scope, $receive, $send) = @_;
    watch('refuse-half' => $scope->{'pagi.connection'});
    await event($send, 'http.response.start', status => 403);
    await event($send, 'http.response.body', body => 'half', more => 1);
};

$socket{nothing} = async sub { return };
$socket{die}     = async sub { die "before the handshake\n" };

$socket{leave} = async sub {
    my ($scope, $receive, $send) = @_;
    watch(leave => $scope->{'pagi.connection'});
    await opened($receive, $send);
    die "in the socket\n" if $scope->{query_string} eq 'die';
};

$socket{close} = async sub {
    my ($scope, $receive, $send) = @_;
    watch(close => $scope->{'pagi.connection'});
    await opened($receive, $send);
    await event($send, 'websocket.close', code => 4000, reason => 'enough');
    note(close => 'received ' . told(await $receive->()), 'end');
};

$socket{ping} = async sub {
    my ($scope, $receive, $send) = @_;
    watch(ping => $scope->{'pagi.connection'});
    await opened($receive, $send);
    await event($send, 'websocket.keepalive', interval => 0.05, timeout => 0.3);
    note(ping => 'received ' . told(await $receive->()), 'end');
};

$socket{abort} = async sub {
    my ($scope, $receive, $send) = @_;
    my $conn = $scope->{'pagi.connection'};
    watch(abort => $conn);
    $scope->{query_string} eq 'early' ? await $receive->() : await opened($receive, $send);
    $conn->abort;
    note(abort => 'received ' . told(await $receive->()), 'end');
};

$socket{early} = async sub {
    my ($scope, $receive, $send) = @_;
    await $receive->();
    note(early => 'waits');
    note(early => 'received ' . told(await $receive->()), 'end');
};

# A name may stand for more than one kind of scope.
sub {
    my ($route, $with) = @_;
    %with = %$with;
    for my $name (keys %sse, keys %socket) {
        my $http = $route->{$name};
        $route->{$name} = sub {
            my $type = $_[0]{type};
            my $app  = $type eq 'websocket' ? $socket{$name} : $type eq 'sse' ? $sse{$name} : $http;
            $app ||= $sse{kind}        if $name eq 'kind';
            die "no $type at /$name\n" if !$app;
            return $app->(@_);
        };
    }
    return 1;
};
