# sprig --dev with applications of PAGI: their failures are explained and their pages reload as those of
# PSGI do.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Dev;
use SprigTest::Pagi;
use SprigTest::Program;
use SprigTest::Server;
use SprigTest::Workers;
use Test::More;

needs_pagi();

my $page = spew(SprigTest::temp_path('page') . '.html', '<p>from a file</p>');

my $app = <<"APP" . <<'APP';
use Sprig::PAGI;
my \$page = '$page';
APP
use Future::AsyncAwait;

my @html  = (['content-type', 'text/html']);
my @start = (type => 'http.response.start', status => 200);
my @body  = (type => 'http.response.body');

async sub inner { die "inner has <failed>\n" }

my %app = (
    '/live/' => async sub {
        my ($scope, $receive, $send) = @_;
        my $text = '<p>hello</p></body>';
        await $send->({ @start, headers => [@html, ['content-length', length $text]] });
        await $send->({ @body, body => $text });
    },
    '/live/pieces' => async sub {
        my ($scope, $receive, $send) = @_;
        await $send->({ @start, headers => [@html] });
        for my $piece ('a', 'b</body>', '</html>') {
            await $send->({ @body, body => $piece, more => 1 });
        }
        await $send->({@body});
    },
    '/live/file' => async sub {
        my ($scope, $receive, $send) = @_;
        await $send->({ @start, headers => [@html] });
        await $send->({ @body, file => $page });
    },
    '/live/part' => async sub {
        my ($scope, $receive, $send) = @_;
        open my $fh, '<', $page or die;
        await $send->({ @start, headers => [@html, ['content-length', 6]] });
        await $send->({ @body, fh => $fh, offset => 3, length => 6 });
    },
    '/live/none' => async sub {
        my ($scope, $receive, $send) = @_;
        await $send->({ @start, headers => [@html] });
        eval { await $send->({ @body, file => '/nowhere' }); 1 } or my $why = $@;
        eval { await $send->({ @body, body => [] }); 1 } or $why .= $@;
        eval { await $send->({ @start, headers => [@html] }); 1 } or $why .= $@;
        await $send->({ @body, body => $why });
    },
    '/live/text' => async sub {
        my ($scope, $receive, $send) = @_;
        await $send->({ @start, headers => [['content-type', 'text/plain']] });
        await $send->({ @body, body => '</body>' });
    },
    '/live/upload' => async sub {
        my ($scope, $receive, $send) = @_;
        my $event = await $receive->();
        await $send->({ @start, headers => [] });
        await $send->({ @body, body => "got $event->{body}" });
    },
    '/live/die'  => async sub { await inner() },
    '/live/late' => async sub {
        my ($scope, $receive, $send) = @_;
        await $send->({ @start, headers => [@html] });
        await $send->({ @body, body => 'begun', more => 1 });
        await inner();
    },
    '/live/plain' => sub { die "without a future\n" },
);

Sprig::PAGI->site(
    '/live' => { pagi => sub {
        my ($scope, $receive, $send) = @_;
        die "no lifespan\n" if $scope->{type} ne 'http';
        return $app{ $scope->{path} }->($scope, $receive, $send);
    } },
    '/old' => { psgi => sub {
        my ($env) = @_;
        die "old has failed\n" if $env->{PATH_INFO} eq '/die';
        return [200, ['Content-Type' => 'text/html'], ['<p>old</p></body>']];
    } },
);
APP

my $dev = start_dev(code => $app);

sub response_to { return page_of($dev, @_) }

my $tag = qr{<script src="/__sprig__/live\.js" data-worker="[\d.]+"></script>};

subtest 'pages reload themselves' => sub {
    my $response = response_to('/live/');
    like $response->body, qr{\A<p>hello</p>$tag</body>\z}, 'one with a length';
    is scalar($response->header('Content-Length')), length $response->body, '... which is longer';
    like response_to('/live/pieces')->body, qr{\Aab$tag</body></html>\z},   'one in pieces';
    like response_to('/live/file')->body,   qr{\A<p>from a file</p>$tag\z}, 'a file';
    like response_to('/live/part')->body,   qr{\Afrom a$tag\z},             'a part of one';
    like response_to('/live/none')->body,
        qr{\A[^<]*cannot open file '/nowhere'[^<]*string of bytes[^<]*started before[^<]*$tag\z},
        'one that is missing';
    is response_to('/live/text')->body, '</body>', 'what is no page';
    like response_to('/old/')->body, qr{\A<p>old</p>$tag</body>\z}, 'the application of PSGI';
    like response_to('/__sprig__/live.js')->body, qr/EventSource/,  'the script';
    is $dev->ask(
        "POST /live/upload HTTP/1.1\r\nHost: localhost\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbody"
    )->body, 'got body', 'bodies arrive';
};

subtest 'what dies is explained' => sub {
    my $response = response_to('/live/die?a=1', AS_BROWSER);
    is $response->status, 500, 'the status';
    like $response->header('Content-Type'), qr{\Atext/html},              'HTML for a browser';
    like $response->body,                   qr{inner has &lt;failed&gt;}, 'the message';
    like $response->body,                   qr{GET.*/live/die}s,          'the request';
    like $response->body,                   qr{app\.psgi:\d+},            'the place';
    like $response->body,                   $tag,                         'and it reloads itself';
    like response_to('/live/die')->body,    qr/^inner has <failed>$/m,    'text for others';
    like response_to('/live/plain')->body,  qr/^without a future$/m,      'what is no async sub';
    like response_to('/old/die')->body,     qr/^old has failed$/m,        'the application of PSGI';
    my $client = $dev->connect;
    $client->send(get('/live/late', 'Connection: close'));
    unlike $client->rest, qr/0\r\n\r\n\z/, 'a response that has begun is cut off';
    my $stderr = $dev->raw_stderr;
    like $stderr,
        qr/^\d\d:\d\d:\d\d GET \/live\/die\?a=1: inner has <failed>\n    app\.psgi line \d+/m,
        'the terminal tells it with its place';
    like $stderr, qr/GET \/live\/late: inner has <failed>/, 'and of the other one';
};

subtest 'new code' => sub {
    $dev->rewrite(code => 'this is no perl');
    ok eventually(sub { ($dev->body_of('/live/') // '') =~ /app\.psgi/ }, SOON),
        'what cannot be loaded is explained';
    $dev->rewrite(code => $app =~ s/hello/hello again/r);
    ok eventually(sub { ($dev->body_of('/live/') // '') =~ /hello again/ }, SOON), 'it serves';
};

$dev->ends_ok;

subtest 'a file of PAGI alone' => sub {
    my $file = spew(SprigTest::temp_path('alone') . '.pagi', <<'APP');
use Future::AsyncAwait;
async sub app {
    my ($scope, $receive, $send) = @_;
    die "only http\n" if $scope->{type} ne 'http';
    my $event = await $receive->();
    await $send->({ type => 'http.response.start', status => 200, headers => [] });
    await $send->({ type => 'http.response.body', body => "$event->{more}:" });
}
\&app;
APP
    my $server = start_server(by => 'program', app => $file, flags => ['--dev']);
    my $client = $server->connect;
    $client->send("POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: 8\r\n\r\nhalf");
    is $client->response->body, '1:', 'is called before the body is there';
    $client->close;
    is $server->ask("GET /__sprig__/nothing HTTP/1.1\r\nHost: localhost\r\n\r\n")->body,
        "There is nothing here.\n", 'what pages ask for stands beside it';
    $server->stop_ok;
};

done_testing;
