# The file of the access log: when it is written, by several, opened anew, full.

use strict;
use warnings;
use Fcntl qw(LOCK_EX);
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Program;
use Test::More;

my $code = 'my $n = 0; sub { [200, [], [++$n]] }';
my @here = ('-l', '127.0.0.1:0');

sub get {
    return "GET $_[0] HTTP/1.1\r\nHost: a\r\nUser-Agent: " . ('x' x ($_[1] || 1)) . "\r\n\r\n";
}

sub log_has {
    my ($path, $pattern) = @_;
    return SprigTest::Server::_until(30, sub { -e $path && slurp($path) =~ $pattern });
}

sub logged {
    my ($log, %option) = @_;
    return start_program(
        @here, '--access-log', $log, '--access-log-format',
        $option{format} || '%r',
        @{ $option{flags} || [] },
        '-e', $option{code} || $code
    );
}

subtest 'lines show while the server runs, and none is lost at its end' => sub {
    my $log    = SprigTest::temp_path('log');
    my $server = logged($log);
    $server->ask(get('/first'));
    ok log_has($log, qr{^GET /first HTTP/1\.1\n}), 'a line shows';
    my $client = $server->connect;
    for my $i (1 .. 50) {
        $client->send(get("/$i"));
        $client->response;
    }
    $server->stop_ok;
    my @lines = slurp($log) =~ m{^GET (/\d+) HTTP/1\.1$}mg;
    is "@lines", join(' ', map { "/$_" } 1 .. 50), 'all are there';

    $server = logged($log, code => 'sub { $_[0]{PATH_INFO} eq "/exit" ? exit 3 : [200, [], []] }');
    $client = $server->connect;
    $client->send(get("/again"));
    $client->response;
    $client->send(get('/exit'));
    $client->rest;
    is $server->stop >> 8, 3, 'an application may exit';
    like slurp($log), qr{^GET /first.*^GET /50 .*^GET /again }ms, 'the log is appended to';
};

subtest 'many bytes a line' => sub {
    my $log    = SprigTest::temp_path('log');
    my $server = logged($log, format => '%r %{User-Agent}i');
    my $client = $server->connect;
    for my $i (1 .. 40) {
        $client->send(get("/$i", 20_000));
        $client->response;
    }
    $server->stop_ok;
    is scalar(() = slurp($log) =~ /^GET \/\d+ HTTP\/1\.1 x{20000}\n/mg), 40, 'all are whole';
};

subtest 'USR1 opens the file anew' => sub {
    my $log    = SprigTest::temp_path('log');
    my $server = logged($log);
    $server->ask(get('/old'));
    ok log_has($log, qr{/old}), 'at first there is one file';
    rename $log, "$log.1" or die "rename: $!";
    $server->ask(get('/still'));
    ok log_has("$log.1", qr{/still}), 'moved, it is written to all the same';
    kill 'USR1', $server->pid;
    ok SprigTest::Server::_until(30, sub { -e $log }), 'behind the signal there is a new one';
    $server->ask(get('/new'));
    ok log_has($log, qr{\AGET /new }), 'which gets the lines';
    unlike slurp("$log.1"), qr{/new}, 'and the old one does not';

    unlink $log or die "unlink: $!";
    mkdir $log  or die "mkdir: $!";
    kill 'USR1', $server->pid;
    ok $server->stderr_like(qr{cannot reopen the access log \Q$log\E: .*; the old one stays in use}),
        'what is in the way is told';
    is $server->ask(get('/'))->status, 200, 'and the server serves';
    $server->stop_ok;
};

subtest 'the folder may change' => sub {
    my $log = SprigTest::temp_path('log');
    my ($folder, $name) = $log =~ m{(.*)/(.*)};
    chdir $folder or die "chdir: $!";
    my $server = logged($name, code => 'chdir "/"; ' . $code);
    rename $log, "$log.1" or die "rename: $!";
    kill 'USR1', $server->pid;
    ok SprigTest::Server::_until(30, sub { -e $log }),
        'a relative path means the folder of the start';
    chdir '/' or die "chdir: $!";
    $server->stop_ok;
};

subtest 'a full disk' => sub {
    plan skip_all => 'there is no /dev/full' if !-c '/dev/full';
    my $server = logged('/dev/full');
    my $client = $server->connect;
    for my $i (1 .. 20) {
        $client->send(get('/'));
        is $client->response->status, 200, "answer $i";
        select undef, undef, undef, 0.02;
    }
    ok $server->stderr_like(
        qr{cannot write to the access log /dev/full: No space left on device; lines are lost}),
        'is told';
    $server->stop_ok;
    is scalar(() = $server->stderr =~ /cannot write/g), 1, '... once';
};

subtest 'two servers, one file' => sub {
    my $log     = SprigTest::temp_path('log');
    my @servers = map { logged($log, format => '%r %{User-Agent}i|') } 1 .. 2;
    my @clients = map { $_->connect } @servers;
    for my $i (1 .. 400) {
        for my $j (0, 1) {
            $clients[$j]->send(get("/$j/$i", 1 + $i * 7 % 3000));
        }
        $_->response for @clients;
    }
    $_->stop_ok for @servers;
    my $text = slurp($log);
    is scalar(() = $text =~ m{^GET /[01]/\d+ HTTP/1\.1 x+\|\n}mg), 800, 'all lines are there';
    is $text =~ s{^GET /[01]/\d+ HTTP/1\.1 x+\|\n}{}mgr,           '',  '... and whole';
};

subtest 'workers share the file, and the master hands USR1 on' => sub {
    my $log    = SprigTest::temp_path('log');
    my $server = logged($log, flags => ['--workers', 2]);
    my $ask    = sub { $server->ask(get($_[0])) };
    $ask->('/old') for 1 .. 20;
    ok SprigTest::Server::_until(30, sub { 20 == (() = slurp($log) =~ m{^GET /old HTTP/1\.1$}mg) }),
        'all lines are there';
    rename $log, "$log.1" or die "rename: $!";
    kill 'USR1', $server->pid;
    ok SprigTest::Server::_until(30, sub { -e $log }), 'a new file';
    my $is_new = SprigTest::Server::_until(
        30,
        sub {
            my $size = -s "$log.1";
            $ask->('/new') for 1 .. 10;
            select undef, undef, undef, 0.2;
            return $size == -s "$log.1";
        }
    );
    ok $is_new, 'which all of them use';
    $server->stop_ok;
    is slurp($log) =~ s{^GET /new HTTP/1\.1\n}{}mgr, '', 'lines are whole';
};

subtest 'a child of the application' => sub {
    my $log    = SprigTest::temp_path('log');
    my $server = logged($log,
        code => 'sub { my $pid = fork; exit 0 if !$pid; waitpid $pid, 0; [200, [], ["$?"]] }');
    my $client = $server->connect;
    for my $i (1 .. 10) {
        $client->send(get("/$i"));
        is $client->response->body, 0, 'leaves';
    }
    $server->stop_ok;
    is slurp($log), join('', map { "GET /$_ HTTP/1.1\n" } 1 .. 10),
        'does not write the lines again';
};

subtest 'development' => sub {
    my $log    = SprigTest::temp_path('log');
    my $server = logged(
        $log,
        flags => ['-E', 'development'],
        code  => 'sub { [200, ["Content-Type" => "text/plain"], ["a"]] }'
    );
    $server->ask(get('/'));
    $server->stop_ok;
    is slurp($log), "GET / HTTP/1.1\n", 'with a file';
    unlike $server->stderr, qr{GET /}, 'nothing is printed';
};

subtest 'plackup has a log of its own' => sub {
    my $log    = SprigTest::temp_path('log');
    my $server = start_server(code => $code, by => 'plackup', flags => ['--access-log', $log]);
    $server->ask(get('/x'));
    $server->stop_ok;
    my @lines = grep { m{"GET /x } } split /\n/, slurp($log);
    is scalar @lines, 1, 'one line for a request';

    my $ours = SprigTest::temp_path('log');
    $server = start_server(
        code  => $code,
        by    => 'plackup',
        flags => ['--access_log', $ours, '--access_log_format', '%m']
    );
    $server->ask(get('/x'));
    $server->stop_ok;
    like slurp($ours), qr{\AGET\n}, 'ours goes by a name with an underscore';
};

done_testing;
