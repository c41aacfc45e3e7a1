# PSGI and PAGI applications side by side, and the ways to start them.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Pagi;
use SprigTest::Probe qw(get eventually);
use SprigTest::Program;
use Test::More;

needs_pagi();

my $pagi = spew(SprigTest::temp_path('live') . '.pagi', <<'APP');
use strict;
use warnings;
use Future::AsyncAwait;

async sub app {
    my ($scope, $receive, $send) = @_;
    die "only http\n" if $scope->{type} ne 'http';
    my $event = await $receive->();
    my $text  = "pagi $scope->{root_path} $scope->{path} $event->{body}";
    await $send->({ type => 'http.response.start', status => 200, headers => [['content-length', length $text]] });
    await $send->({ type => 'http.response.body', body => $text });
}

\&app;
APP

my $psgi = spew(SprigTest::temp_path('old') . '.psgi', <<'APP');
sub {
    my ($env) = @_;
    my $body = do { local $/; readline $env->{'psgi.input'} } // '';
    return [200, [], [join ' ', 'psgi', "'$env->{SCRIPT_NAME}'", $env->{PATH_INFO}, $body]];
};
APP

sub text_of {
    my ($server, $path, $body) = @_;
    return $server->ask(get($path))->body if !defined $body;
    return $server->ask(
        "POST $path HTTP/1.1\r\nHost: test\r\nContent-Length: " . length($body) . "\r\n\r\n$body")
        ->body;
}

subtest 'a file is what its name says, or what --pagi says' => sub {
    my $server = start_server(by => 'program', app => $pagi);
    is text_of($server, '/x'), 'pagi  /x ', 'live.pagi';
    $server->stop_ok;
    my $plain = spew(SprigTest::temp_path('app') . '.pl', slurp($pagi));
    $server = start_server(by => 'program', app => $plain, flags => ['--pagi']);
    is text_of($server, '/x'), 'pagi  /x ', '--pagi app.pl';
    $server->stop_ok;
    $server = start_server(by => 'program', app => $pagi, flags => ['--path', '/below']);
    is text_of($server, '/below/x'),    'pagi /below /below/x ', '--path';
    is $server->ask(get('/x'))->status, 404,                     'elsewhere there is nothing';
    $server->stop_ok;
    like run_program('--check', $pagi)->{out}, qr/OK: /, '--check';
};

subtest 'PAGI below PSGI' => sub {
    my $server = start_server(
        by    => 'program',
        app   => $psgi,
        flags => ['--mount', "/live=$pagi", '--mount', "/live/old=$psgi"]
    );
    is text_of($server, '/'),           q(psgi '' / ),           'the application itself';
    is text_of($server, '/live'),       q(pagi /live /live ),    'the one below a path';
    is text_of($server, '/live/a?b'),   q(pagi /live /live/a ),  'and further down';
    is text_of($server, '/lively'),     q(psgi '' /lively ),     'a path that only begins like it';
    is text_of($server, '/live/old/x'), q(psgi '/live/old' /x ), 'the longest path wins';
    is text_of($server, '/', 'body'),   q(psgi '' / body),       'bodies arrive in both';
    is text_of($server, '/live', 'body'), q(pagi /live /live body), 'kinds';
    $server->stop_ok;
};

subtest 'bodies reach an application of PAGI while they come' => sub {
    my $echo = spew(SprigTest::temp_path('echo') . '.pagi', <<'APP');
use strict;
use warnings;
use Future::AsyncAwait;

async sub app {
    my ($scope, $receive, $send) = @_;
    die "only http\n" if $scope->{type} ne 'http';
    await $send->({ type => 'http.response.start', status => 200 });
    while (1) {
        my $event = await $receive->();
        await $send->({ type => 'http.response.body', body => $event->{body}, more => $event->{more} });
        last if !$event->{more};
    }
}

\&app;
APP
    my @flags  = ('--mount', "/live=$echo", '--mount', "/live/old=$psgi");
    my $server = start_server(by => 'program', app => $psgi, flags => \@flags);
    my $client = $server->connect;
    $client->send("POST /live HTTP/1.1\r\nHost: test\r\nContent-Length: 6\r\n\r\none");
    ok eventually { $client->poll; $client->buffered =~ /one/ },
        'also where one of PSGI is below it';
    $client->send('two');
    is $client->response->body,               'onetwo',                  'and the rest of them';
    is text_of($server, '/live/old', 'body'), q(psgi '/live/old'  body), 'which gets its own whole';
    $server->stop_ok;
};

subtest 'PSGI below PAGI' => sub {
    my $server = start_server(by => 'program', app => $pagi, flags => ['--mount', "/old=$psgi"]);
    is text_of($server, '/',      'body'), 'pagi  / body',         'the application itself';
    is text_of($server, '/old/x', 'body'), q(psgi '/old' /x body), 'the one below a path';
    $server->stop_ok;
};

subtest 'Sprig::PAGI->site' => sub {
    my $code = <<"APP";
use Sprig::PAGI;
sub Provider::to_app { return do '$pagi' }
Sprig::PAGI->site(
    '/'       => { psgi => do '$psgi' },
    '/live/'  => { pagi => do '$pagi' },
    '/object' => { pagi => bless({}, 'Provider') },
);
APP
    for my $by (qw(module program plackup)) {
        my $server = start_server(by => $by, code => $code);
        is text_of($server, '/x'),      q(psgi '' /x ),           "$by: PSGI";
        is text_of($server, '/live'),   q(pagi /live /live ),     'PAGI';
        is text_of($server, '/object'), q(pagi /object /object ), 'an object that has to_app';
        $server->stop_ok;
    }
};

subtest 'eg/clock.pagi' => sub {
    eval { require Future::IO; 1 } or plan skip_all => 'Future::IO is not installed';
    my $server = start_server(by => 'program', app => SprigTest::root() . '/eg/clock.pagi');
    like $server->ask(get('/'))->body, qr/EventSource/, 'a page';
    my $client = $server->connect;
    $client->send(get('/', 'Accept: text/event-stream'));
    ok eventually { $client->poll; $client->buffered =~ /data: .*up for \d+ s.*data: /s },
        'a tick, and another one';
    $client->close;
    $server->stop_ok;
};

subtest 'what is wrong is said' => sub {
    my %message = (
        'live.pagi'        => qr/option --mount is PATH=FILE, as in .*, not 'live\.pagi'/,
        '/x=/nowhere.psgi' => qr{cannot read /nowhere\.psgi},
    );
    like run_program('--check', '--mount', $_, $psgi)->{err}, $message{$_}, $_
        for sort keys %message;
    my $number = spew(SprigTest::temp_path('number') . '.pagi', '7');
    like run_program('--check', $number)->{err}, qr/must return an application/,
        'a file that returns something else';
    my $lost = spew(SprigTest::temp_path('Future') . '.pm', '1;');
    mkdir my $folder = SprigTest::temp_path('without');
    mkdir "$folder/Future";
    spew("$folder/Future/AsyncAwait.pm", "die qq(Can't locate Future/AsyncAwait.pm in \\\@INC);");
    like run_program('-I', $folder, '--check', $pagi)->{err},
        qr/PAGI applications need Future::AsyncAwait: install libfuture-asyncawait-perl/,
        'a missing module';
};

done_testing;
