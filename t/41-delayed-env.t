# The env of a request that is still being answered goes as soon as nobody can see it any more: an open
# stream is cheap. Whoever keeps it, or left something in it for the end, must not notice.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp qw(tempdir);
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $log    = tempdir(CLEANUP => 1) . '/access.log';
my $server = start_probe(<<'APP', args => { access_log => $log, access_log_format => '%u %r' });
use Scalar::Util qw(weaken);
my (@open, @kept, $weak);

{ package Guard::Of; sub DESTROY { SprigTest::Probe::note_down("$_[0][0] ends") } }

# Stays open until /close.
sub stream {
    my ($code) = @_;
    return sub {
        my $writer = $_[0]->([200, []]);
        $writer->write('begun');
        push @open, [$writer, $code];
    };
}

routes(
    '/stream'  => sub { stream() },
    '/wait'    => sub { sub { push @open, [$_[0]] } },
    '/future'  => sub { my $cv = AE::cv; push @open, [$cv]; $cv },
    '/keeps'   => sub {
        my ($env) = @_;
        $env->{'my.key'} = 'mine';
        stream(sub { note_down("$env->{'my.key'} $env->{PATH_INFO}") });
    },
    '/weak'    => sub { $weak = $_[0]; weaken $weak; stream(sub { note_down($weak ? "weak $weak->{PATH_INFO}" : 'gone') }) },
    '/guard'   => sub { $_[0]{guard} = bless ['guard'], 'Guard::Of'; stream(sub { note_down('closing') }) },
    '/cleanup' => sub {
        push @{ $_[0]{'psgix.cleanup.handlers'} }, sub { note_down("cleanup $_[0]{PATH_INFO}") };
        stream();
    },
    '/input'   => sub { my $in = $_[0]{'psgi.input'}; stream(sub { note_down(join '', readline $in) }) },
    '/errors'  => sub {
        open my $errors, '>', \$kept[0];
        $errors->autoflush;
        $_[0]{'psgi.errors'} = $errors;
        sub { $_[0]->([200, []])->poll_cb(sub { die "in the middle\n" }) };
    },
    '/told'    => sub { [200, [], [$kept[0]]] },
    '/user'    => sub { $_[0]{REMOTE_USER} = 'alice'; stream() },
    '/dies'    => sub { sub { my $w = $_[0]->([200, []]); $w->poll_cb(sub { die "in the middle\n" }) } },
    '/leaver'  => sub { sub { my $w = $_[0]->([200, []]); $w->on_disconnect(sub { undef $w; die "left\n" }) } },
    '/raise'   => sub { my $raise = $_[0]{'psgix.raise'}; sub { push @open, [$_[0], sub { $raise->("raised\n") }] } },
    '/close'   => sub {
        for (splice @open) {
            my ($what, $code) = @$_;
            $code->($what) if $code;
            my $late = [200, [], ['late']];
            $what->isa('Sprig::Writer') ? $what->close : $what->can('send') ? $what->send($late) : $what->($late);
        }
        [200, [], []];
    },
);
APP

# A request that is being answered.
sub begin {
    my ($request) = @_;
    my $client = $server->connect;
    $client->send($request);
    return $client;
}

sub end { return $server->ask(get('/close', 'Connection: close')) }

# What the application has noted when the stream of a request has been closed.
sub ended {
    my $client = begin(@_);
    eventually { counters($server)->{writers} == 1 } or diag 'no writer';
    end();
    $client->response;
    comes_to_rest($server);
    return join ', ', diary($server);
}

subtest 'the next request gets it' => sub {
    for my $path (qw(/stream /wait /future)) {
        my @clients = map { begin(get($path)) } 1 .. 10;
        eventually { counters($server)->{exchanges} == 10 } or diag 'not all are there';
        my $built = counters($server)->{env_built};
        push @clients, map { begin(get($path)) } 1 .. 10;
        eventually { counters($server)->{exchanges} == 20 } or diag 'not all are there';
        is counters($server)->{env_built}, $built, "$path: no other is made";
        end();
        is scalar(grep { $_->response->body =~ /\A(?:begun|late)\z/ } @clients), 20,
            '... and all end';
    }
};

is ended(get('/keeps')),   'mine /keeps', 'one that is kept says the same later';
is ended(get('/weak')),    'weak /weak',  'a weak reference to it lasts as long as the request';
is ended(get('/guard')),   'closing, guard ends', 'an object in it goes with the request';
is ended(get('/cleanup')), 'cleanup /cleanup',    'cleanup handlers get it';
is ended("POST /input HTTP/1.1\r\nHost: a\r\nContent-Length: 4\r\n\r\nbody"), 'body',
    'a body can be read later';

subtest 'failures' => sub {
    begin(get('/errors'))->response;
    comes_to_rest($server);
    is $server->ask(get('/told', 'Connection: close'))->body, "in the middle\n",
        'go to the psgi.errors that the application has set';
    begin(get('/dies?secret'))->response;
    like $server->stderr, qr{GET /dies: in the middle$}m, 'name the request';
    my $client = begin(get('/leaver'));
    eventually { counters($server)->{writers} == 1 } or diag 'no writer';
    $client->reset;
    comes_to_rest($server);
    like $server->stderr, qr{GET /leaver: left$}m, '... in a callback that is called last';
    $client = begin(get('/raise'));
    eventually { counters($server)->{responders} == 1 } or diag 'no responder';
    end();
    is $client->response->status, 500, '... also by psgix.raise';
    like $server->stderr, qr{GET /raise: raised$}m, '... which names it';
};

ended(get('/user'));
comes_to_rest($server);
$server->stop_ok;
open my $in, '<', $log or die "$log: $!";
like join('', <$in>), qr{^alice GET /user }m, 'the access log has the user';

done_testing;
