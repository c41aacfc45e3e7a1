# sprig --dev: what dies is explained, in the browser and on the terminal; pages hear of new code.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Dev;
use SprigTest::Program;
use SprigTest::Server;
use SprigTest::Workers;
use Test::More;

my $app = <<'APP';
package My::App;
use strict;
use warnings;
use AnyEvent;

sub inner { die "inner has <failed>\n" if $_[0]; die { code => 5 } }
sub outer { inner($_[0]) }

my @type = ('Content-Type' => 'text/html');
my %app  = (
    '/'       => sub { [200, [@type], ['<p>hello</p></body>']] },
    '/die'    => sub { outer(1) },
    '/object' => sub { outer(0) },
    '/warn'   => sub { warn 'careful'; [200, [@type], ['warned']] },
    '/delay'  => sub { sub { outer(1) } },
    '/raise'  => sub {
        my $env = shift;
        sub {
            my $respond = shift;
            my $t;
            $t = AE::timer 0, 0, sub { undef $t; $env->{'psgix.raise'}->('raised'); undef $respond };
        }
    },
    '/timer' => sub {
        sub { my $respond = shift; my $t; $t = AE::timer 0, 0, sub { undef $t; $respond if 0; die 'in a timer' } }
    },
    '/later' => sub {
        sub {
            my $respond = shift;
            my $t;
            $t = AE::timer 0, 0, sub { undef $t; $respond->([200, [@type], ['later</body>']]) };
        }
    },
    '/stream' => sub {
        sub { my $writer = $_[0]->([200, [@type]]); $writer->write('a'); $writer->write('b</body>'); $writer->close }
    },
    '/lost' => sub { sub { } },
    '/eval' => sub { eval { outer(1) }; [200, [@type], ['caught']] },
);
sub { $app{ $_[0]{PATH_INFO} }->($_[0]) };
APP

my $dev = start_dev(code => $app);

sub answer { return page_of($dev, @_) }

subtest 'a page for what dies' => sub {
    my $page = answer('/die?a=1', AS_BROWSER);
    is $page->status, 500, 'the status';
    like $page->header('Content-Type'), qr{\Atext/html},              'HTML for a browser';
    like $page->body,                   qr{inner has &lt;failed&gt;}, 'the message';
    like $page->body,                   qr{app\.psgi:6\b},            'where it died';
    like $page->body,                   qr{app\.psgi:7\b},            'and who called that';
    like $page->body,                   qr{<span class="here"><i>7</i>sub outer}, 'with the source';
    unlike $page->body,                 qr{Sprig/|>Sprig::},     'without the frames of the server';
    like $page->body,                   qr{/__sprig__/live\.js}, 'it loads itself again, too';

    my $json = answer('/die', 'Accept: application/json');
    is $json->header('Content-Type'), 'application/json', 'JSON for who wants that';
    like $json->body,          qr/"error":"inner has <failed>"/, '... with the message';
    like answer('/die')->body, qr/^inner has <failed>$/m,        'text for others';
    like answer('/object', AS_BROWSER)->body, qr/HASH\(0x/,      'an exception that is an object';
    like answer('/delay', AS_BROWSER)->body,  qr/inner has &lt;failed&gt;/, 'in a delayed response';
    like answer('/raise', AS_BROWSER)->body,  qr/>raised/,                  'psgix.raise';
    like answer('/timer', AS_BROWSER)->body, qr/>in a timer/,
        'a timer that dies and leaves a request without an answer';
    is answer('/lost', AS_BROWSER)->status, 500, 'no answer at all';
    like answer('/eval')->body, qr/\Acaught/, 'what is caught is nobody\'s business';
};

subtest 'the terminal' => sub {
    my $stderr = $dev->raw_stderr;
    like $stderr,
        qr/^\d\d:\d\d:\d\d GET \/die\?a=1: inner has <failed>\n    app\.psgi line 6 \(My::App::inner\)\n        sub inner/m,
        'time, request, message, place and source';
    like $stderr,   qr/^\d\d:\d\d:\d\d in a callback: in a timer at /m, 'a callback';
    unlike $stderr, qr/\e\[/,                                           'no colours in a file';
    answer('/warn');
    ok $dev->stderr_like(qr/^\d\d:\d\d:\d\d GET \/warn: careful at \S+app\.psgi line \d+\.$/m),
        'a warning with its request';
    like slurp($dev->path('stdout')), qr/^\d\d:\d\d:\d\d GET \/die\?a=1 500 \d+\.\d\d m?s \d+$/m,
        'a line for each request'
        if eventually(sub { -s $dev->path('stdout') }, SOON);
};

subtest 'pages that load themselves again' => sub {
    like answer('/')->body,
        qr{<p>hello</p><script src="/__sprig__/live\.js" data-worker="[\d.]+"(?: data-failures="\d+")?></script></body>},
        'a page';
    like answer('/later')->body,  qr{later<script .*</script></body>},    'a delayed one';
    like answer('/stream')->body, qr{ab?<?.*<script .*</script></body>}s, 'one that is written';
    like answer('/__sprig__/live.js')->body, qr/EventSource/,             'the script';
    is answer('/__sprig__/other')->status, 404, 'there is nothing else';

    my $client = $dev->connect;
    $client->send(get('/__sprig__/events'));
    my $head = read_until($client, qr/data: (\S+)\n\n/);
    my ($id) = $head =~ /data: (\S+)\n/;
    like $head, qr{text/event-stream}, 'a stream of events';
    my ($page_id) = answer('/')->body =~ /data-worker="([^"]+)"/;
    is $id, $page_id, 'tells the worker of the page';
    answer('/timer');
    like read_until($client, qr/event: failure\ndata: \{.*\n\n/), qr/"text":"in a timer at /,
        'and of callbacks that die';
    like answer('/__sprig__/failure', AS_BROWSER)->body, qr/app\.psgi:\d+/,
        '... whose source can be seen';

    my $late = $dev->connect;
    $late->send(get("/__sprig__/events?$page_id:0"));
    like read_until($late, qr/event: failure\ndata: \{.*\n\n/), qr/"text":"in a timer at /,
        'a page whose script comes later than that is told, too';
    my ($known) = answer('/')->body =~ / data-failures="(\d+)"/;
    $late = $dev->connect;
    $late->send(get("/__sprig__/events?$page_id:$known"));
    read_until($late, qr/data: (\S+)\n\n/);
    answer('/timer');
    is +(() = read_until($late, qr/event: failure\n/) =~ /event: failure/g), 1,
        'one that was made after it hears of the next one only';

    $dev->rewrite(code => $app =~ s/hello/hello again/r);
    $client->rest;
    ok $client->eof, 'it ends with the worker';
    ok eventually(sub { ($dev->body_of('/') // '') =~ /hello again/ }, SOON), 'the next one serves';
    $client = $dev->connect;
    $client->send(get('/__sprig__/events'));
    my ($next) = read_until($client, qr/data: (\S+)\n\n/) =~ /data: (\S+)\n/;
    isnt $next, $id, 'and has another id';
    unlike slurp($dev->path('stdout')), qr/__sprig__/, 'requests of the script are not in the log';
};

$dev->ends_ok;

subtest '--no-live-reload' => sub {
    my $quiet = start_dev(code => $app, flags => ['--no-live-reload']);
    is $quiet->body_of('/'), '<p>hello</p></body>', 'pages stay as they are';
    $quiet->ends_ok;
};

subtest 'plackup' => sub {
    tool_path('plackup') or plan skip_all => 'plackup is not installed';
    my $server = start_server(by => 'plackup', code => $app, args => { dev => 1 });
    my $page   = $server->ask(get('/die', AS_BROWSER, 'Connection: close'));
    like $page->body, qr{inner has &lt;failed&gt;.*class="here"}s,        'the page';
    like $server->ask(get('/', 'Connection: close'))->body, qr/live\.js/, 'and the script';
    $server->stop_ok;

    require Plack::Handler::Sprig;
    for my $wrong ({ host => '0.0.0.0', port => 0 }, { listen => ['192.0.2.1:0'] }) {
        eval {
            Plack::Handler::Sprig->new(%$wrong, dev => 1)->run(sub { });
        };
        like $@, qr/\Adev serves this machine only/, 'other addresses are refused';
    }
};

subtest 'options that do not go with it' => sub {
    my %wrong = (
        '-o 0.0.0.0'    => qr/--dev serves this machine only.*not on 0\.0\.0\.0:5000/,
        '-l [::]:0'     => qr/--dev serves this machine only/,
        '--workers 3'   => qr/--dev cannot be used with --workers 3/,
        '--preload-app' => qr/--dev cannot be used with --preload-app/,
        '--daemonize'   => qr/--dev cannot be used with --daemonize/,
        '-r'            => qr/--dev cannot be used with --reload: it reloads by itself/,
    );
    for my $flags (sort keys %wrong) {
        my $run = run_program('--dev', split(/ /, $flags), $0);
        is $run->{status}, 2, "$flags is refused";
        like $run->{err}, $wrong{$flags}, '... with a sentence';
    }
};

done_testing;

# What has come, up to there.
sub read_until {
    my ($client, $pattern) = @_;
    $client->_read_until(sub { $client->{in} =~ $pattern });
    return $client->{in};
}
