# The option probe: a new worker has to answer a request before it serves.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest;
use SprigTest::Worker;

my $app = <<'APP';
    my @seen;
    sub {
        my ($env) = @_;
        push @seen, join ' ', map { "$env->{$_}" }
            qw(REQUEST_METHOD REQUEST_URI HTTP_HOST SERVER_NAME REMOTE_ADDR);
        my ($status) = $env->{PATH_INFO} =~ m{^/([0-9]+)};
        die "no database\n" if $env->{PATH_INFO} eq '/die';
        exit 7              if $env->{PATH_INFO} eq '/exit';
        if ($env->{PATH_INFO} eq '/stream') {
            return sub { $main::w = $_[0]->([200, []]); $main::w->write('x') };
        }
        if ($env->{PATH_INFO} eq '/interim') {
            $env->{'psgix.informational'}->(103, [Link => '</a>']);
        }
        return [$status || 200, [], [join "\n", @seen]];
    }
APP

sub probed {
    my ($path) = @_;
    my $worker = SprigTest::Worker->start(code => $app, args => { probe => $path });
    is $worker->line, 'loaded', "$path: loaded";
    $worker->say('probe');
    return $worker;
}

for my $path (qw(/up?x=1 /302 /404 /interim /stream)) {
    my $worker = probed($path);
    is $worker->line, 'ready', "$path: ready";
    is $worker->get('/seen'),
        "GET $path localhost unix/ unix/\nGET /seen a 127.0.0.1 127.0.0.1", '... after a request';
    kill 'INT', $worker->pid;
    is $worker->ended, 0, '... ends well';
}

my %error = (
    '/500'  => 'error probe /500 answered 500',
    '/503x' => 'error probe /503x answered 503',
    '/die'  => 'error probe /die answered 500',
);
for my $path (sort keys %error) {
    my $worker = probed($path);
    is $worker->line,  $error{$path}, "$path: refused";
    is $worker->line,  undef,         '... never ready';
    is $worker->ended, 256,           '... ends with status 1';
}

my $worker = probed('/exit');
is $worker->line,  undef,  'an app that exits is the end';
is $worker->ended, 7 << 8, '... with its status';

subtest 'limits do not count it' => sub {
    my $one = SprigTest::Worker->start_ready(
        code => $app,
        args => { probe => '/stream', max_connections => 1, max_requests => 2 },
    );
    my $client = $one->connect;
    $client->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n") for 1 .. 2;
    like $client->response->body, qr{^GET /stream},
        'the probe does not stand in the way of max_connections';
    $client->response;
    is $one->line, 'retire max_requests', 'nor is it one of max_requests';
    $client->close;
    kill 'QUIT', $one->pid;
    is $one->ended, 0, 'ends well';
};

subtest 'a path that is none' => sub {
    my $program = SprigTest::root() . '/blib/script/sprig';
    for my $path ('up', '/a b', '/a#b') {
        is output_of($program, '--workers', 2, '--probe', $path, '-e', 'sub { }'),
            "sprig: probe must be a path as in a request line, got '$path'\n", "'$path' is refused";
    }
};

done_testing;
