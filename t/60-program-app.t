# What the program runs: a file, a module, code, and what surrounds the application.

use strict;
use warnings;
use Cwd ();
use File::Temp;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Program;
use Test::More;

my @here = ('-o', '127.0.0.1', '-p', 0);

# What the app answers at a path.
sub body {
    my ($server, $path) = @_;
    my $bytes = 'GET ' . ($path || '/') . " HTTP/1.1\r\nHost: a\r\n\r\n";
    return $server->ask($bytes)->body;
}

# Starts the program, asks once, ends it. A hash in front is environment.
sub answers {
    my ($args, $body, $name, $env) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $server = start_program($env || {}, @here, @$args);
    is body($server), $body, $name or diag $server->stderr;
    return $server;
}

# The program ends with 1 and a message like this.
sub fails {
    my ($args, $pattern, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $run = run_program(@here, @$args);
    is $run->{status}, 1, "$name: exit status 1";
    like $run->{err}, qr/\Asprig: $pattern\n\z/, "$name: message";
    return;
}

my $echo = app_file('my @args = @ARGV; sub { [200, [], [join "|", @args]] }');
my $dir  = File::Temp->newdir;
spew("$dir/SprigTestApp.pm",
    'package SprigTestApp; sub import { $imports = "@_[1..$#_]" } sub { [200, [], [$imports]] }');

subtest 'the file' => sub {
    answers([$echo], '', 'is the first argument');
    answers(['-a',    $echo], '', 'or the value of -a');
    answers(['--app', $echo], '', 'or of --app');
    my $hello = app_file('sub { [200, [], ["$0|" . __PACKAGE__]] }');
    like body(start_program(@here, $hello)), qr{\A\Q$hello\E\|Plack::Sandbox::\w+\z},
        '$0 is its path, and it has a package of its own';
    my $object = app_file('package T; use overload "&{}" => sub { sub { [200, [], ["called"]] } };'
            . 'bless [], "T"');
    answers([$object], 'called', 'may return an object that can be called');
};

subtest 'app.psgi is the default' => sub {
    my $folder = File::Temp->newdir;
    my $here   = Cwd::getcwd();
    spew("$folder/app.psgi", 'sub { [200, [], ["default"]] }');
    chdir $folder or die "chdir: $!";
    answers([], 'default', 'in the current folder');
    chdir $here or die "chdir: $!";
};

subtest 'arguments of the application' => sub {
    answers([$echo, 'a', 'b'],                 'a|b',             'stand behind the file');
    answers([$echo, '--max-headers=50', 'a'],  'a',               'options go between');
    answers([$echo, 'a', '--', '-p', '--foo'], 'a|-p|--foo',      'or none, behind --');
    answers(['-a', $echo, 'a', 'b'],           'a|b',             'with -a all are arguments');
    answers([$echo, 'k=v', '', "line\nfeed"],  "k=v||line\nfeed", 'are handed on as they are');
};

subtest '-e' => sub {
    answers(['-e', 'sub { [200, [], ["code"]] }'], 'code', 'the application itself');
    answers(['-e', 'mount "/" => sub { [200, [], ["$0"]] }'],
        '-e', 'Plack::Builder is there, and $0 is -e');
    my $server = answers(['-e', 'enable "Head"; enable "ContentLength"', $echo, 'x'],
        'x', 'wraps the application of a file');
    is $server->ask("HEAD / HTTP/1.0\r\n\r\n", method => 'HEAD')->header('Content-Length'), 1,
        'with its middleware';
};

subtest '-I and -M' => sub {
    answers(["-I$dir", 'SprigTestApp'], '', 'a module is found and its value is the application');
    answers(['-I',     "$dir", 'SprigTestApp'], '', '-I and the folder apart');
    answers(["-I$dir", '-MSprigTestApp=a,b', '-e', 'sub { [200, [], [$SprigTestApp::imports]] }'],
        'a b', '-M imports');
    answers(
        ['-MList::Util=sum,max', '-MScalar::Util', '-e', 'sub { [200, [], [sum(1, max(2, 3))]] }'],
        4,
        '-M is there for -e'
    );
    answers(['-M', 'List::Util qw(sum)', '-e', 'sub { [200, [], [sum 1, 2]] }'],
        3, 'and takes a whole use');
};

subtest '--path' => sub {
    my $server = start_program(@here, '--path', '/app', '-e',
        'sub { [200, [], ["$_[0]{SCRIPT_NAME}|$_[0]{PATH_INFO}"]] }');
    is body($server, '/app/x'),                                    '/app|/x', 'is mounted there';
    is $server->ask("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")->status, 404,       'and nowhere else';
};

subtest 'the environment' => sub {
    my $tell =
        app_file('my $at_load = $ENV{PLACK_ENV}; sub { [200, [], ["$at_load $ENV{PLACK_ENV}"]] }');
    answers([$tell],               'deployment deployment', 'deployment is the default');
    answers(['-E', 'test', $tell], 'test test',             '-E');
    answers([$tell],            'test test', 'PLACK_ENV',                { PLACK_ENV => 'test' });
    answers(['-E', 'a', $tell], 'a a',       '-E goes before PLACK_ENV', { PLACK_ENV => 'test' });
};

subtest 'development' => sub {
    my $bad = app_file(
        'sub { return $_[0]{PATH_INFO} eq "/" ? [200, ["Bad Name" => 1], []] : die "oops" }');
    my $server = start_program(@here, '-E', 'development', $bad);
    like body($server, '/x'), qr/oops at \Q$bad\E line 1/, 'shows a stack trace';
    like body($server),       qr/Bad Name/,                'checks the response';
    ok $server->stderr_like(qr{"GET /x HTTP/1\.1" 500}), 'prints an access log';

    my $quiet = start_program(@here, '-E', 'development', '--no-default-middleware', $bad);
    is body($quiet, '/x'), 'Internal Server Error', '--no-default-middleware: nothing of that';
    unlike $quiet->stderr, qr/HTTP/, '... and no log';

    my $log    = "$dir/access.log";
    my $logged = start_program(@here, '--access-log', $log, $echo);
    body($logged);
    $logged->stop;
    like slurp($log), qr{\A127\.0\.0\.1 - - \[.*\] "GET / HTTP/1\.1" 200 .*\n\z}, '--access-log';
    fails(
        ['--access-log', '/nonexistent/log', $echo],
        'cannot write to /nonexistent/log: No such file or directory',
        'a log that cannot be written'
    );
};

subtest 'the loop' => sub {
    my $model = app_file('use AnyEvent; my $cv = AE::cv; sub { [200, [], [$AnyEvent::MODEL]] }');
    answers([$model], 'AnyEvent::Impl::Sprig', 'is ours even if the file asks for one');
    answers(
        [
            '-e',
            'my $cv = AE::cv; my $t = AE::timer 0.01, 0, sub { $cv->send("waited") };'
                . 'my $w = $cv->recv; sub { [200, [], [$w]] }',
            '-MAnyEvent'
        ],
        'waited',
        'and can be waited on while the application loads'
    );
};

subtest 'what cannot be loaded' => sub {
    fails(["$dir/none.psgi"], "cannot read \Q$dir\E/none\\.psgi: No such file or directory",
        'no file');
    fails(["$dir"],          "cannot read \Q$dir\E: it is a folder",                 'a folder');
    fails(['No::Such::App'], 'cannot read No::Such::App: No such file or directory', 'no module');
    my $syntax = app_file("use strict;\nmy \$x = ;\n");
    fails(
        [$syntax],
        "cannot load \Q$syntax\E: syntax error at \Q$syntax\E line 2, near \"= ;\"(?:\n[^\n]+)?",
        'a syntax error'
    );
    my $dies = app_file("\ndie 'no database';\n");
    fails([$dies], "cannot load \Q$dies\E: no database at \Q$dies\E line 2\\.", 'an exception');
    my $zero = app_file("0;\n");
    fails([$zero], "\Q$zero\E must return an application \\(a code reference\\), not '0'",
        'a number');
    my $hash = app_file("+{};\n");
    fails([$hash],
        "\Q$hash\E must return an application \\(a code reference\\), not a reference to HASH",
        'a hash');
    fails(['-e', 'Z('], 'syntax error at -e line 1, [^\n]*(?:\n[^\n]+)?', 'broken code');
    fails(
        ['-e', '1'],
        "the code of -e must return an application \\(a code reference\\), not '1'",
        'code for nothing'
    );
    fails(
        ['-MNo::Such::Module', $echo],
        q{cannot load No::Such::Module: Can't locate No/Such/Module\.pm in @INC .*},
        'no module for -M'
    );
};

subtest 'exit while loading' => sub {
    my $run = run_program(@here, '-e', 'END { print "end" } exit 5');
    is $run->{status}, 5,     'is the status of the program';
    is $run->{out},    'end', 'after END blocks';
};

done_testing;
