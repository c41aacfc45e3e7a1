# The command line: what `twiggy` takes `sprig` takes, and what plackup's loaders do to a server.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use SprigTest;
use SprigTest::Probe;
use SprigTest::Program;
use Test::More;

my $get  = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
my $tell = 'sub { [200, ["Content-Type" => "text/plain"], ["$ENV{PLACK_ENV} $0 @ARGV"]] }';

sub by_program { return start_server(code => $_[0], by => 'program', @_[1 .. $#_]) }
sub by_plackup { return start_server(code => $_[0], by => 'plackup', @_[1 .. $#_]) }

subtest '1.4 server and env of the script: deployment' => sub {
    my $server = by_program($tell);
    like $server->ask($get)->body, qr/\Adeployment /, '-E deployment';
    $server->stop_ok;
};

subtest
    '1.4 every plackup switch: -a -o -p -s -S -l -D -E -e -I -M -r -R -L --access-log --path -h -v'
    => sub {
    my $dir = SprigTest::temp_path('lib');
    mkdir $dir or die "mkdir: $!";
    spew("$dir/My.pm", 'package My; our $loaded = "loaded"; 1');
    my $path = SprigTest::temp_path('switch.sock');
    my $log  = SprigTest::temp_path('access');
    my $file = app_file('sub { [200, [], [join " ", $My::loaded, $_[0]{SCRIPT_NAME}, @ARGV]] }');
    my $server =
        start_program('-o', '127.0.0.1', '-p', 0, "-I$dir", '-MMy', '--path', '/below',
        '--access-log', $log, '-a', $file);
    is $server->ask("GET /below/x HTTP/1.0\r\n\r\n")->body, 'loaded /below',
        '-o -p -I -M --path -a';
    is $server->ask("GET /x HTTP/1.0\r\n\r\n")->status, 404, 'nothing beside the path';
    ok eventually { slurp($log) =~ m{"GET /below/x HTTP/1\.0" 200} }, '--access-log';
    $server->stop_ok;

    $server = start_program('-l', $path, '-l', '127.0.0.1:0', '-e', $tell);
    ok -S $path, '-l, several times';
    like $server->ask($get)->body, qr/\Adeployment/, '-e';
    $server->stop_ok;

    $server = start_program('-S', $path, $file);
    ok -S $path, '-S';
    $server->stop_ok;
    like run_program('-v')->{out}, qr/\Asprig \d/, '-v';
    like run_program('-h')->{out}, qr/\AUsage: /,  '-h';
    for my $switches (['-r'], ['-R', $dir], ['-L', 'Delayed'], ['-L', 'Shotgun'], ['-s', 'Sprig']) {
        $server = start_program('-l', '127.0.0.1:0', @$switches, '-e', $tell);
        like $server->ask($get)->body, qr/\Adeployment/, "@$switches";
        $server->stop_ok;
    }
    };

subtest '1.4 --foo-bar=x, --disable-x, --enable-x' => sub {
    for my $start (\&by_program, \&by_plackup) {
        my $server = $start->(
            $tell, flags => ['--server-header=Here', '--disable-keepalive', '--enable-no-delay']
        );
        my $response = $server->ask($get);
        is $response->header('Server'),     'Here',  '--server-header by ' . $server->by;
        is $response->header('Connection'), 'close', '--disable-keepalive by ' . $server->by;
        $server->stop_ok;
    }
};

subtest '1.4 a bare --flag swallows the next argv item' => sub {
    for my $start (\&by_program, \&by_plackup) {
        my $server   = $start->($tell, flags => ['--server-header', 'Here']);
        my $response = $server->ask($get);
        is $response->header('Server'), 'Here', '--server-header Here by ' . $server->by;
        like $response->body, qr/\Adeployment /, 'and the file is the next';
        $server->stop_ok;
    }

    my $server = by_plackup($tell, flags => ['--keepalive', 0]);
    is $server->ask($get)->header('Connection'), 'close', 'plackup: a switch takes it, too';
    $server->stop_ok;
    ok !eval { by_plackup($tell, flags => ['--keepalive']) }, 'plackup: even if it is the file,';
    like $@, qr{/app\.psgi}, 'and then another is looked for';

    $server = by_program($tell, flags => ['--keepalive']);
    is $server->ask($get)->header('Connection'), undef, 'sprig knows its switches: they take none';
    $server->stop_ok;
};

subtest '1.4 handler receives host, port, listen, socket, daemonize' => sub {
    require Plack::Handler::Sprig;
    my %given = (host => '127.0.0.1', port => 5000, listen => [':5000'], socket => undef);
    is_deeply { %{ Plack::Handler::Sprig->new(%given, daemonize => 1) } },
        { %given, daemonize => 1 }, 'a hash of them, nothing is opened';
};

for my $variable ('PLACK_NO_SENDFILE', 'PLACK_HTTP_PARSER_PP') {
    subtest "1.4 $variable" => sub {
        my $server =
            by_program('sub { open my $fh, "<", $0; [200, [], $fh] }', env => { $variable => 1 });
        is $server->ask($get)->status, 200, 'does no harm';
        $server->stop_ok;
    };
}

subtest '1.4 PERL_ANYEVENT_MODEL' => sub {
    my $code   = 'use AnyEvent; AnyEvent::detect(); sub { [200, [], [$AnyEvent::MODEL]] }';
    my $server = by_plackup($code, env => { PERL_ANYEVENT_MODEL => 'Perl' });
    is $server->ask($get)->body, 'AnyEvent::Impl::Perl', 'the loop that it names';
    $server->stop_ok;
};

subtest '1.3 a unix path when the program ends' => sub {
    for my $signal ('QUIT', 'TERM', 'INT') {
        my $path   = SprigTest::temp_path('ends.sock');
        my $server = start_program('-l', $path, '-l', '127.0.0.1:0', '-e', $tell);
        $server->stop($signal);
        ok !-e $path, "$signal removes it";
    }
};

subtest '1.4 TWIGGY_DEBUG, SPRIG_DEBUG' => sub {
    my $server = by_program($tell, env => { SPRIG_DEBUG => 1 });
    $server->ask($get);
    ok $server->stderr_like(qr/sprig: listening on 127\.0\.0\.1:\d+$/m),             'listeners';
    ok $server->stderr_like(qr/sprig: accepted connection from 127\.0\.0\.1:\d+$/m), 'connections';
    ok $server->stderr_like(qr/sprig: parsed request from 127\.0\.0\.1: head of \d+ bytes$/m),
        'requests';
    $server->stop_ok;
    $server = start_server(
        code => $tell,
        by   => 'module',
        perl => ['-MSprig::Compat::Twiggy'],
        env  => { TWIGGY_DEBUG => 1 }
    );
    $server->ask($get);
    ok $server->stderr_like(qr/accepted connection/), 'TWIGGY_DEBUG with Sprig::Compat::Twiggy';
    $server->stop_ok;
};

# The pid that answers; undef while there is nobody.
sub who {
    my ($server) = @_;
    my $response = eval { $server->ask("GET / HTTP/1.0\r\n\r\n") };
    return $response && $response->status ? $response->body : undef;
}

for my $way (['-r'], ['-R', undef]) {
    subtest "2 plackup $way->[0]: restarts when files change" => sub {
        my $dir = SprigTest::temp_path('watched');
        mkdir $dir or die "mkdir: $!";
        my $file   = spew("$dir/app.psgi", 'sub { [200, [], [1]] }');
        my @flags  = map { defined $_ ? $_ : $dir } @$way;
        my $server = start_server(app => $file, by => 'plackup', flags => \@flags);
        is who($server), 1, 'serves';
        for my $n (2 .. 3) {
            spew($file, "sub { [200, [], [$n]] }");
            my $is_new = eventually(
                sub {
                    utime time + $n, time + $n, $file;
                    return (who($server) || 0) == $n;
                },
                20
            );
            ok $is_new, "serves what it is now, $n";
        }
        $server->stop;
        ok eventually { !IO::Socket::INET->new(PeerAddr => '127.0.0.1:' . $server->port) },
            'nobody is left behind';
    };
}

subtest '2 plackup -L Delayed, -L Shotgun' => sub {
    my $server = by_plackup('my $pid = $$; sub { [200, [], [$pid]] }', flags => ['-L', 'Delayed']);
    is who($server), $server->pid, 'Delayed: compiled in the process that serves';
    $server->stop_ok;
    $server = by_plackup('my $pid = $$; sub { [200, [], [$pid]] }', flags => ['-L', 'Shotgun']);
    my @pids = map { who($server) } 1 .. 3;
    isnt $pids[0], $pids[1], 'Shotgun: a process for each request';
    isnt $pids[1], $pids[2], 'and the server goes on';
    $server->stop_ok;
};

my $stack_app = <<'APP';
my %answer = (
    '/array'  => sub { [200, ['Content-Type' => 'text/plain'], ['array']] },
    '/stream' => sub { sub { my $w = $_[0]->([200, ['Content-Type' => 'text/plain']]); $w->write($_) for 1 .. 3; $w->close } },
    '/delay'  => sub { sub { $_[0]->([200, ['Content-Type' => 'text/plain'], ['delay']]) } },
    '/dies'   => sub { die "on purpose" },
    '/wrong'  => sub { [200, ['Content-Type' => undef], ['x']] },
);
sub { $answer{ $_[0]{PATH_INFO} }->($_[0]) };
APP

for my $by ('program', 'plackup') {
    subtest "2 the stack of development, $by" => sub {
        my $server = start_server(code => $stack_app, by => $by, flags => ['-E', 'development']);
        my $ask =
            sub { $server->ask("GET $_[0] HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") };
        is $ask->('/array')->body,  'array', 'arrays';
        is $ask->('/stream')->body, '123',   'streams, wrapped by response_cb';
        is $ask->('/delay')->body,  'delay', 'delayed responses';
        my $trace = $ask->('/dies');
        is $trace->status, 500, 'an exception';
        like $trace->body,           qr/on purpose/,           'StackTrace shows it';
        like $ask->('/wrong')->body, qr/header|Content-Type/i, 'Lint finds what is wrong';
        ok $server->stderr_like(qr{"GET /array HTTP/1\.1" 200 5 }), 'AccessLog';
        $server->stop_ok;
    };
}

subtest '2 Plack::Test with a server' => sub {
    eval { require Plack::Test::Server; 1 }
        or plan skip_all => "Plack::Test::Server cannot be loaded: $@";
    local $ENV{PLACK_SERVER} = 'Sprig';
    my $test =
        Plack::Test::Server->new(sub { [200, ['Content-Type' => 'text/plain'], ['tested']] });
    require HTTP::Request;
    is $test->request(HTTP::Request->new(GET => 'http://localhost/'))->content, 'tested', 'answers';
};

done_testing;
