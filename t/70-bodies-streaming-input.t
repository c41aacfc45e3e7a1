# Bodies that an app gets while they come: psgix.input.streaming.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::MD5 ();
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $code = <<'APP';
use Digest::MD5 ();
my $timer;
sub streaming(&) {
    my $code = shift;
    return sub {
        my $env = shift;
        my $reader = $env->{'psgix.input.reader'} or return [200, [], ['not streaming']];
        return sub { $code->($env, $reader, shift) };
    };
}
sub shout { my ($env, $key) = @_; defined $env->{$key} ? "$env->{$key}" : 'none' }
routes(
    '/up' => streaming {
        my ($env, $reader, $respond) = @_;
        my ($md5, $n) = (Digest::MD5->new, 0);
        $reader->on_data(sub { my ($self, $bytes) = @_; $md5->add($bytes); $n += length $bytes });
        $reader->on_end(sub { $respond->([200, [], ["$n " . $md5->hexdigest]]) });
    },
    '/up/env' => sub {
        my $env = shift;
        [200, [], [join ' ', (map { shout($env, $_) } 'CONTENT_LENGTH', 'HTTP_TRANSFER_ENCODING', 'psgix.input.streaming'),
            $env->{'psgix.input.buffered'} ? 'buffered' : 'unbuffered', ref $env->{'psgix.input.reader'},
            read($env->{'psgi.input'}, my $b, 9)]];
    },
    '/upper' => sub { [200, [], [join ' ', map { shout($_[0], $_) }
        'CONTENT_LENGTH', 'psgix.input.streaming', 'psgix.input.buffered']] },
    '/up/first' => streaming {
        my ($env, $reader, $respond) = @_;
        my $writer = $respond->([200, []]);
        $reader->on_data(sub { $writer->write(uc $_[1]) });
        $reader->on_end(sub { $writer->write('.'); $writer->close });
    },
    '/up/pause' => streaming {
        my ($env, $reader, $respond) = @_;
        my ($n, $calls) = (0, 0);
        $reader->on_data(sub {
            $n += length $_[1];
            return if ++$calls != 3;
            $_[0]->pause;
            note_down("paused");
            my $at = $n;
            $timer = AE::timer 0.3, 0, sub { note_down($n == $at ? 'nothing came' : 'something came'); $reader->resume };
        });
        $reader->on_end(sub { $respond->([200, [], [$n]]) });
    },
    '/up/late' => streaming {
        my ($env, $reader, $respond) = @_;
        $reader->on_data(sub { });
        $timer = AE::timer 0.2, 0, sub { $reader->on_end(sub { $respond->([200, [], ['late']]) }) };
    },
    '/forget' => sub { undef $timer; [200, [], []] },
    '/up/refuse' => sub { [413, [], ['too much']] },
    '/up/never'  => streaming {
        my ($env, $reader, $respond) = @_;
        $timer = AE::timer 0.1, 0, sub { $respond->([200, [], ['unread']]) };
    },
    '/up/dies'   => streaming {
        my ($env, $reader, $respond) = @_;
        $env->{'psgi.errors'} = Quiet->new;
        $reader->on_data(sub { my $keep = $respond; die "in on_data\n" });
    },
    '/up/broken' => streaming {
        my ($env, $reader, $respond) = @_;
        $reader->on_data(sub { note_down('data') if $_[1] });
        $reader->on_error(sub { note_down('error'); undef $respond });
    },
);
APP
$code =
    "{ package Quiet; sub new { bless {} } sub print { SprigTest::Probe::note_down(\$_[1]); 1 } }\n$code";
my $server = start_probe($code, args => { streaming_input => '/up/', body_timeout => 2 });

sub post {
    my ($client, $path, $body, %option) = @_;
    my $how  = $option{chunks} ? 'Transfer-Encoding: chunked' : 'Content-Length: ' . length $body;
    my @head = ("POST $path HTTP/1.1", 'Host: a', $how, @{ $option{headers} || [] });
    $body = join '',
        (map { sprintf "%x\r\n%s\r\n", length, $_ } unpack "(a$option{chunks})*", $body),
        "0\r\n\r\n"
        if $option{chunks};
    return $client->send(join("\r\n", @head) . "\r\n\r\n$body");
}

my $large = join '', map { pack 'N', $_ } 1 .. 1_500_000;

subtest 'a body while it comes' => sub {
    my $client = $server->connect;
    for my $body ('x', 'y' x 3000, $large) {
        for my $chunks (0, 1 + length($body) / 3, 70_001) {
            post($client, '/up', $body, chunks => int $chunks);
            is $client->response->body, length($body) . ' ' . Digest::MD5::md5_hex($body),
                length($body) . ' bytes' . ($chunks ? ' in chunks' : '');
        }
    }
    $client->send(get('/up'));
    is $client->response->body, 'not streaming', 'a request without a body is as always';
    post($client, '/upper', 'abc');
    is $client->response->body, '3 none 1', 'and so is one for another path';
    post($client, '/up/env', 'abc');
    is $client->response->body, '3 none 1 unbuffered Sprig::Reader 0', 'what the env says';
    ok over_http2() || $client->rest eq '', 'closed, since the body was not read';
    $client = $server->connect;
    post($client, '/up/env', 'abc', chunks => 2);
    is $client->response->body, 'none none 1 unbuffered Sprig::Reader 0', 'and of chunks';
};

subtest 'pipelined' => sub {
    my $client = $server->connect;
    my $bytes =
          "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc"
        . get('/upper')
        . "POST /up HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nde\r\n0\r\n\r\n"
        . get('/upper');
    $client->send($bytes);
    is $client->response->body, '3 ' . Digest::MD5::md5_hex('abc'), 'a body';
    is $client->response->body, 'none none 1',                      'the request behind it';
    is $client->response->body, '2 ' . Digest::MD5::md5_hex('de'),  'chunks';
    is $client->response->body, 'none none 1',                      'the request behind them';
    for (split //, $bytes) {
        $client->send($_);
        $client->is_quiet(0.0005);
    }
    is $client->response->body, '3 ' . Digest::MD5::md5_hex('abc'), 'byte by byte';
    $client->response for 1 .. 3;
};

subtest 'an answer while the body comes' => sub {
    my $client = $server->connect;
    $client->send("POST /up/first HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\n");
    ok $client->wait_for_bytes(10), 'its head comes first';
    for my $bytes (qw(abc def)) {
        my $n = length $client->buffered;
        $client->send($bytes);
        ok $client->wait_for_bytes($n + 3), "and something for $bytes";
    }
    is $client->response->body, 'ABCDEF.', 'as it should be';
};

subtest 'back-pressure' => sub {
    my $client = $server->connect;
    post($client, '/up/pause', $large);
    is $client->response->body,    length $large,          'all of it';
    is join(', ', diary($server)), 'paused, nothing came', 'after a pause';
};

subtest 'ends' => sub {
    my $client = $server->connect;
    post($client, '/up/late', 'abc');
    is $client->response->body, 'late', 'on_end may come late';
    $client->send(
        "POST /up/refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\nExpect: 100-continue\r\n\r\n");
    my $response = $client->response;
    is $response->status,       413, 'a body can be refused';
    is @{ $response->interim }, 0,   'before it is invited';
    $client = $server->connect;
    $client->send(
        "POST /up HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
    is $client->response(interim => 1)->status, 100, 'or invited';
    $client->send('x');
    is $client->response->status, 200, 'and read';
    $client = $server->connect;
    post($client, '/up/never', $large);
    is $client->response->body, 'unread', 'an app need not read it';
    ok over_http2() || $client->rest eq '', 'then the connection is closed';
};

subtest 'failures' => sub {
    diary($server);
    my $client = $server->connect;
    post($client, '/up/dies', 'abc');
    is $client->response->status, 500, 'a die in on_data';
    like join(' ', await_diary($server, 1)), qr/in on_data/, 'is reported';
    for my $how (qw(close reset)) {
        $client = $server->connect;
        $client->send("POST /up/broken HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
        await_diary($server, 1);
        $client->$how;
        is join(' ', await_diary($server, 1)), 'error', "$how: on_error";
    }
    subtest 'bad chunks' => sub {
        not_over_http2('there are none');
        $client = $server->connect;
        $client->send("POST /up/broken HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
                . "3\r\nabcX");
        is $client->response->status,                                400,     'are refused';
        is join(' ', grep { $_ ne 'data' } await_diary($server, 1)), 'error', 'and told';
    };
    $client = $server->connect;
    $client->send("POST /up/broken HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    is $client->response->status,                                408,     'silence';
    is join(' ', grep { $_ ne 'data' } await_diary($server, 2)), 'error', 'is told';
    $server->ask(get('/forget'));
    ok comes_to_rest($server), 'nothing is left';
};

$server->idle_ok;
$server->stop_ok;
done_testing;
