# Memory that cannot be had, and descriptors that cannot be watched, at every place where a request needs
# them: that request fails, or is answered as it should be, and the server goes on.

use strict;
use warnings;
use Config;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::WebSocket;
use Test::More;

not_over_tls('the memory of OpenSSL is not meant');
not_over_http2('the memory of nghttp2 is not meant');
plan skip_all => 'under a sanitizer nothing else may stand before malloc' if $ENV{SPRIG_SANITIZE};

my $library = SprigTest::temp_path('failing') . '.so';
my $source  = SprigTest::lib() . '/failing.c';
output_of($Config{cc}, '-O1', '-shared', '-fPIC', '-o', $library, $source, '-ldl');
-s $library or plan skip_all => 'what fails cannot be built for this C library';

my $switch = spew(SprigTest::temp_path('switch'), "\0" x 48);
my $long   = join '', map { sprintf "%07d\n", $_ } 1 .. 40_000;
my $file   = spew(SprigTest::temp_path('file'), $long);

my $server = start_server(
    by   => 'module',
    code => <<"APP", env => {
use AnyEvent;
use Sprig::Channel;
my \$channel = Sprig::Channel->new('c', history => 2);
my \$long = join '', map { sprintf "%07d\\n", \$_ } 1 .. 40_000;
my \%answer = (
    array   => sub { [200, ['X-A' => 1], [\$long]] },
    pieces  => sub { [200, [], [\$long =~ /(.{1,20000})/sg]] },
    file    => sub { open my \$in, '<', '$file' or die; [200, [], \$in] },
    writer  => sub { sub {
        my \$writer = \$_[0]->([200, []]);
        \$writer->write(\$_) for \$long =~ /(.{1,30000})/sg;
        \$writer->close;
    } },
    delayed => sub { sub {
        my (\$respond, \$w) = \@_;
        \$w = AE::timer 0, 0, sub { undef \$w; \$respond->([200, [], [\$long]]) };
    } },
    events  => sub { sub {
        my \$writer = \$_[0]->([200, ['Content-Type' => 'text/event-stream']]);
        \$channel->join(\$writer) or die "not joined\n";
        \$channel->publish(\$long) or die "not published\n";
        my \$w;
        \$w = AE::timer 0.01, 0, sub { undef \$w; \$writer->close };
    } },
    websocket => sub {
        \$_[0]{'psgix.websocket'}->accept(on_message => sub { \$_[0]->send(\$_[1]) or \$_[0]->close(1011) });
    },
    body    => sub {
        my (\$env, \$body) = (\$_[0], '');
        1 while \$env->{'psgi.input'}->read(\$body, 100_000, length \$body);
        [200, [], [\$body]];
    },
);
sub { \$answer{ substr \$_[0]{PATH_INFO}, 1 }->(\$_[0]) };
APP
        LD_PRELOAD         => $library,
        SPRIG_TEST_FAILING => $switch,
    }
);

# Writes the numbers of a kind: none are counted yet, these fail.
sub fail_from {
    my ($kind, $first, $count) = @_;
    open my $out, '+<:raw', $switch or die "$switch: $!";
    sysseek $out, $kind eq 'memory' ? 0 : 24, 0;
    syswrite $out, pack 'q3', 0, $first, $count;
    return;
}

# How many there were since.
sub n_seen {
    my ($kind) = @_;
    return (unpack 'q6', slurp($switch))[$kind eq 'memory' ? 0 : 3];
}

sub request {
    my ($name) = @_;
    return "GET /$name HTTP/1.1\r\nHost: h\r\n\r\n" if $name ne 'body';
    my $chunks = join '', map { sprintf "%x\r\n%s\r\n", length, $_ } $long =~ /(.{1,30000})/sg;
    return "POST /body HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n${chunks}0\r\n\r\n";
}

# A long message to and fro, compressed.
sub websocket {
    my $socket = eval {
        SprigTest::WebSocket->open($server, '/websocket',
            'Sec-WebSocket-Extensions: permessage-deflate');
    };
    my $response = $socket && $socket->response or return $@ =~ /in time/ ? 'hangs' : 'none';
    return $response->status || 'none' if ($response->status || 0) != 101;
    my $frame = eval { $socket->text($long)->frame };
    return $frame && $frame->{opcode} eq 'text' ? 'whole' : $@ =~ /in time/ ? 'hangs' : 'cut';
}

# What a client that reads strictly thinks of it.
sub verdict {
    my ($name) = @_;
    local $SprigTest::Client::SECONDS = 5;
    return websocket() if $name eq 'websocket';
    my $response = eval {
        my $client = $server->connect;
        $client->send(request($name));
        $client->response;
    };
    return $@ =~ /in time/   ? 'hangs' : 'none' if !$response;
    return $response->status ? 'cut'   : 'none' if !$response->is_complete;
    return $response->status if $response->status != 200;
    my $body = $response->body;
    $body = join '', map { /^data: (.+\n)/ } split /^/, $body if $name eq 'events';
    return $body eq $long ? 'whole' : 'wrong';
}

# Lets each one in turn fail, until the request needs no more.
sub sweep {
    my ($kind, $name, $max) = @_;
    my %seen;
    verdict($name);
    for my $n (1 .. $max) {
        fail_from($kind, $n, 1);
        my $verdict = verdict($name);
        my $n_seen  = n_seen($kind);
        fail_from($kind, 0, 0);
        last if $n_seen < $n;
        push @{ $seen{$verdict} }, $n;
        push @{ $seen{"then $verdict"} }, $n if ($verdict = verdict($name)) ne 'whole';
        last if !$server->is_alive;
    }
    return %seen;
}

for my $kind ('memory', 'epoll') {
    for my $name (qw(array pieces file writer delayed body events websocket)) {
        my %seen = sweep($kind, $name, 100);
        my $n    = map  { @$_ } values %seen;
        my @bad  = grep { !/^(?:whole|cut|none|[45][0-9][0-9])$/ } sort keys %seen;
        ok $n && !@bad,
            "$kind fails once for $name: it is whole, refused or cut, and the next is whole"
            or diag map { "$_: @{ $seen{$_} }\n" } sort keys %seen;
        note map { "$_: " . @{ $seen{$_} } . "\n" } sort keys %seen;
    }
}

for my $kind ('memory', 'epoll') {
    fail_from($kind, 1, 1e9);
    my @verdicts = map { verdict($_) } qw(array body writer events websocket);
    fail_from($kind, 0, 0);
    ok !grep({ !/^(?:whole|cut|none|[45][0-9][0-9])$/ } @verdicts), "$kind fails for a while"
        or diag "@verdicts";
    is verdict('array'), 'whole', 'and then all is well';
}

$server->idle_ok;
$server->stop_ok;
done_testing;
