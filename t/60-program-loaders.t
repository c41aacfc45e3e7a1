# The program with Plack's loaders: -r and -R start anew when a file changes, -L names any loader.

use strict;
use warnings;
use File::Temp;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use SprigTest::Program;
use SprigTest::Workers qw(children_of);
use Test::More;

my $folder = File::Temp->newdir;
my $file   = "$folder/app.psgi";

# What a restarting server listens on has to be known: each restart would take another free port.
sub start {
    my $port = SprigTest::Server::_free_port();
    return start_program('-o', '127.0.0.1', '-p', $port, @_);
}

sub tells { return spew($file, "sub { [200, ['Content-Type' => 'text/plain'], [$_[0]]] }") }

# The answer, or '' while nobody listens.
sub answer {
    my ($server, $path) = @_;
    my $response = eval { $server->ask('GET ' . ($path || '/') . " HTTP/1.0\r\n\r\n") };
    return $response && $response->status ? $response->body : '';
}

# Those who watch look at the times of files, in seconds, and may have begun to look only after the change.
my $time = time;

sub touch {
    $time += 2;
    return utime $time, $time, $_[0];
}

# True as soon as the answer is this.
sub comes {
    my ($server, $changed, $body) = @_;
    return eventually {
        touch($changed);
        answer($server) eq $body;
    }
    20;
}

# TERM, or another signal, ends the one that watches, and with it the one that serves.
sub both_end_ok {
    my ($server, @signal) = @_;
    my @serving = children_of($server->pid);
    is @serving,               1, 'one process serves';
    is $server->stop(@signal), 0, 'ends with status 0';
    ok eventually { !kill 0, @serving }, 'and so does the server that it has started';
    return;
}

subtest '-r' => sub {
    my $server = start('-r', tells('"one @ARGV"'), 'a', 'b');
    is answer($server), 'one a b', 'serves, and the application has its arguments';
    tells('"two @ARGV"');
    ok comes($server, $file, 'two a b'), 'what is changed is served, with the same arguments';

    spew($file, 'sub { [200, [], [');
    my $is_reported = eventually {
        touch($file);
        $server->stderr =~ /^sprig: cannot load \Q$file\E: /m;
    }
    20;
    ok $is_reported, 'a syntax error is reported';
    is answer($server), '', 'and nothing is served';
    tells('"four"');
    ok comes($server, $file, 'four'), 'until it is corrected';

    both_end_ok($server);
};

for my $signal ('INT', 'QUIT') {
    subtest "-r and $signal" => sub {
        my $server = start('--reload', tells('"one"'));
        is answer($server), 'one', 'serves';
        both_end_ok($server, $signal);
    };
}

subtest '-r does not wait for streams' => sub {
    spew($file, 'sub { sub { $w = $_[0]->([200, []]); $w->write("first ") } }');
    my $server = start('-r', $file);
    my $client = $server->connect;
    $client->send("GET / HTTP/1.0\r\n\r\n");
    ok $client->wait_for_bytes(1), 'a stream without end';
    tells('"second"');
    my $begun = time;
    ok comes($server, $file, 'second'), 'the new application is served';
    cmp_ok time - $begun, '<', 15, 'before the graceful timeout of a server';
    $server->stop;
};

subtest '-r and the file that is not there' => sub {
    my $run = run_program('-r', "$folder/none.psgi");
    is $run->{status}, 1, 'ends it with status 1';
    is $run->{err}, "sprig: cannot read $folder/none.psgi: No such file or directory\n", 'says so';
};

subtest '-R' => sub {
    mkdir "$folder/mine" or die "mkdir: $!";
    my $module = spew("$folder/mine/Mine.pm", 'package Mine; sub text { "one" } 1');
    my $server = start("-I$folder/mine", '-MScalar::Util', '-R', "$folder/mine,$folder/mine",
        '--path', '/', '-e', 'require Mine; sub { [200, [], [Mine::text()]] }');
    is answer($server), 'one', 'serves, with -I, -M, --path and -e';
    spew($module, 'package Mine; sub text { "two" } 1');
    ok comes($server, $module, 'two'), 'a module in the folder has changed';
    both_end_ok($server);
};

subtest 'lib beside the file' => sub {
    mkdir "$folder/lib" or die "mkdir: $!";
    my $module = spew("$folder/lib/Yours.pm", 'package Yours; sub text { "one" } 1');
    tells('do { require Yours; Yours::text() }');
    my $server = start("-I$folder/lib", '--reload', $file);
    is answer($server), 'one', 'serves';
    spew($module, 'package Yours; sub text { "two" } 1');
    ok comes($server, $module, 'two'), 'is watched';
    $server->stop;
};

subtest '-L Shotgun' => sub {
    my $log    = "$folder/log";
    my $server = start('-L', 'Shotgun', '--access-log', $log, tells('"one $$"'));
    like answer($server), qr/\Aone \d+\z/, 'serves';
    isnt answer($server), answer($server), 'each request from a process of its own';
    tells('"two"');
    is answer($server), 'two', 'which compiles what is there now';
    spew($file, 'sub { [200, [], [');
    is answer($server), 'Internal Server Error', 'a syntax error is a 500';
    ok $server->stderr_like(qr/^cannot load \Q$file\E: /m), 'and a message';
    tells('"three"');
    is answer($server), 'three', 'until it is corrected';
    is $server->stop,   0,       'ends with status 0';
    my $lines = () = slurp($log) =~ m{^127\.0\.0\.1 - - .* 200 }mg;
    is $lines, 5, 'the access log is written';
};

subtest '-L Delayed' => sub {
    spew($file, 'warn "compiled\n"; my $pid = $$; sub { [200, [], ["$pid @ARGV"]] }');
    my $server = start('-L', 'Delayed', $file, 'a');
    ok $server->stderr_like(qr/^compiled$/m), 'is compiled before the first request';
    is answer($server), $server->pid . ' a', 'in the process that serves';
    is $server->stop,   0,                   'ends with status 0';

    spew($file, 'sub { [200, [], [');
    my $run = run_program('-L', 'Delayed', '-o', '127.0.0.1', '-p', 0, $file);
    is $run->{status}, 1, 'an application that cannot be compiled ends it with status 1';
    like $run->{err}, qr/\Asprig: cannot load \Q$file\E: /, 'and a message';
};

subtest '-L Delayed and workers' => sub {
    spew($file, 'my $pid = $$; sub { [200, [], ["one $pid $$ @ARGV"]] }');
    my $server = start('--workers', 2, '-L', 'Delayed', $file, 'a');
    my ($compiled, $serves) = answer($server) =~ /^one (\d+) (\d+) a\z/;
    ok $compiled, 'serves, and the application has its arguments';
    is $compiled,   $serves,      'is compiled in a worker';
    isnt $compiled, $server->pid, 'which is not the master';
    tells('"two @ARGV"');
    kill 'HUP', $server->pid;
    ok eventually { answer($server) eq 'two a' }, 'HUP brings new code';
    is $server->stop, 0, 'ends with status 0';
};

subtest 'development and a loader' => sub {
    spew($file, 'sub { die "on purpose" if $_[0]{PATH_INFO} eq "/dies"; [200, [], ["fine"]] }');
    my $server = start('-E', 'development', '-L', 'Delayed', $file);
    like answer($server, '/dies'), qr/on purpose at \Q$file\E line 1/, 'has its middleware';
    $server->stop;
};

subtest 'a loader of your own' => sub {
    mkdir "$folder/own" or die "mkdir: $!";
    spew("$folder/own/Own.pm", <<'LOADER');
package Own;
use parent 'Plack::Loader';
sub run {
    my ($self, $server) = @_;
    $server->run(sub { my $response = $self->{app}->(@_); unshift @{ $response->[2] }, 'own '; $response });
}
1;
LOADER
    my $server = start("-I$folder/own", '-L', '+Own', tells('"app"'));
    is answer($server), 'own app', 'by its whole name behind a +';
    $server->stop;
    my $run = run_program('-L', 'None', $file);
    is $run->{status}, 1, 'one that is not there ends it with status 1';
    like $run->{err}, qr{\Asprig: cannot load the loader None: Can't locate Plack/Loader/None\.pm },
        'and a message';
};

done_testing;
