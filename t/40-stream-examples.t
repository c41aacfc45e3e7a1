# The examples do what their comments say.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;
use Time::HiRes qw(time);

my $examples = "$FindBin::Bin/../eg";

# The example, with a probe beside it.
sub start_example {
    my ($name) = @_;
    return start_probe(<<"APP");
my \$example = Plack::Util::load_psgi('$examples/$name.psgi');
my \$routes  = routes();
sub { \$_[0]{PATH_INFO} =~ m{^/probe/} ? \$routes->(\$_[0]) : \$example->(\$_[0]) };
APP
}

my $date = qr/\w{3} \w{3} [ \d]\d \d\d:\d\d:\d\d \d{4}\n/;

# So many clients at once; the time until the last one has all.
sub crowd {
    my ($server, $n, $path) = @_;
    my $start   = time;
    my @clients = map { $server->connect } 1 .. $n;
    $_->send(get($path, 'Connection: close')) for @clients;
    my @responses = map { $_->response } @clients;
    return (time - $start, @responses);
}

subtest 'time-server' => sub {
    my $server = start_example('time-server');
    my $before = counters($server)->{watchers};
    my $client = $server->connect;
    $client->send(get('/'));
    ok($client->wait_for_bytes(200), 'two lines or more');
    like($client->buffered, qr/^Transfer-Encoding: chunked\r$/m,        'in chunks');
    like($client->buffered, qr/\r\n\r\n19\r\n$date\r\n19\r\n$date\r\n/, 'one chunk a line');
    my $old = $server->connect;
    $old->send("GET / HTTP/1.0\r\n\r\n");
    ok(eventually { $old->poll; $old->buffered =~ /\r\n\r\n$date$date/ }, 'HTTP/1.0: plain lines');
  SKIP: {
        skip_on_other_loop('its timers are not counted', 1);
        is(counters($server)->{watchers}, $before + 2, 'a timer each');
    }
    $client->close;
    $old->reset;
    ok(eventually(sub { counters($server)->{watchers} == $before }, 1),
        'gone within a second of leaving');
    ok(comes_to_rest($server), 'nothing is left over');
    $server->stop_ok;
};

subtest 'five-times' => sub {
    my $server = start_example('five-times');
    my ($seconds, @responses) = crowd($server, 100, '/');
    is(scalar(grep { $_->body =~ /^(?:$date){5}$/ } @responses),
        100, 'five lines for a hundred clients');
    cmp_ok($seconds, '>=', 4,   'a second apart');
    cmp_ok($seconds, '<',  40, 'all at the same time, not 400');
    ok(comes_to_rest($server), 'nothing is left over');
    $server->stop_ok;
};

sub n_threads {
    my ($server) = @_;
    return slurp("/proc/$server->{pid}/status") =~ /^Threads:\s+(\d+)/m ? $1 : 1;
}

subtest 'async-echo' => sub {
    my $server = start_example('async-echo');
    like($server->ask(get('/'))->body, qr/<input name="field"/, 'the form comes at once');
    my $threads = n_threads($server);
    my ($seconds, @responses) = crowd($server, 200, '/?field=hello%26');
    is(scalar(grep { $_->body =~ m{<p>hello&amp;$}m } @responses), 200, 'two hundred answers');
    cmp_ok($seconds, '>=', 2,   'after two seconds');
    cmp_ok($seconds, '<',  40, 'all at the same time, not 400');
    is(n_threads($server), $threads, 'no thread for any of them');
    ok(comes_to_rest($server), 'nothing is left over');
    $server->stop_ok;
};

done_testing;
