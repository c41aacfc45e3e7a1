# The program is no perl, but applications must not notice: $^X, caller, the modules that belong to it.

use strict;
use warnings;
use Config;
use Cwd        qw(realpath);
use File::Copy qw(copy);
use File::Path qw(mkpath);
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Program;
use Test::More;

sub answer {
    my ($code, $path, @flags) = @_;
    my $server = start_program('-o', '127.0.0.1', '-p', 0, @flags, app_file($code));
    my $body   = $server->ask('GET ' . ($path || '/') . " HTTP/1.0\r\n\r\n")->{body};
    return ($body, $server);
}

subtest '$^X is a perl of the same version' => sub {
    my ($body, $server) = answer(<<'END');
use Config;
my $at_load = $^X;
sub {
    my @lines = ($^X, $at_load, $], `$^X -le 'print \$]'`);
    chomp @lines;
    return [200, [], [join "\n", @lines]];
}
END
    my ($now, $at_load, $mine, $its) = split /\n/, $body;
    is $at_load, $now, 'the same while the application is loaded';
    ok -x $now && !-d $now, "$now can be run" or return;
    isnt realpath($now), realpath(SprigTest::Program::program()), 'not this program';
    is $its, $mine, 'its version';
    $server->stop_ok;
};

subtest '$^X in modules of PERL5OPT' => sub {
    my $dir = SprigTest::temp_path('lib');
    mkpath $dir;
    spew("$dir/TellsPerl.pm", 'package TellsPerl; our $X = $^X; 1');
    my $file = app_file('sub { [200, [], [$TellsPerl::X eq $^X ? "same" : $TellsPerl::X]] }');
    my $server = start_program({ PERL5OPT => "-I$dir -MTellsPerl" },
        '-o', '127.0.0.1', '-p', 0, $file);
    is $server->ask("GET / HTTP/1.0\r\n\r\n")->{body}, 'same', 'named before they are loaded';
    $server->stop_ok;
};

subtest 'a job with system $^X, in each way to run' => sub {
    my $job = spew(SprigTest::temp_path('job') . '.pl', 'print "job done by $0 @ARGV"; 0');
    for my $flags ([], ['--workers', 2], ['--workers', 2, '--preload-app']) {
        my ($body, $server) = answer(
            "sub { my \$out = `\$^X $job one two`; [200, [], [\$out, ' ', \$? >> 8]] }", '/', @$flags);
        is $body, "job done by $job one two 0", "@$flags" || 'one process';
        $server->stop_ok;
    }
};

subtest 'Capture::Tiny tees' => sub {
    plan skip_all => 'needs Capture::Tiny' if !eval { require Capture::Tiny; 1 };
    my ($body, $server) = answer(<<'END');
use Capture::Tiny ();
sub { my ($out) = Capture::Tiny::tee(sub { system 'echo', 'hello' }); [200, [], [$out]] }
END
    is $body, "hello\n", 'what the command has printed';
    $server->stop_ok;
};

subtest 'the outermost caller is the file of the application' => sub {
    my $code = <<'END';
my $outermost = sub { my ($file, $i) = ('', 0); while (my @frame = caller $i++) { $file = "$frame[1]" } $file };
my $at_load = $outermost->();
sub { [200, [], [join ' ', $outermost->(), $at_load]] }
END
    my ($body, $server) = answer($code);
    my ($now, $at_load) = split / /, $body;
    like $now, qr/\.psgi\z/, 'in a request';
    is $at_load, $now, 'while it is loaded';
    $server->stop_ok;
};

subtest 'croak at the top level of an application names its file' => sub {
    my ($body, $server) = answer(<<'END');
package My::App;
use Carp;
my $fails = sub { my ($env) = @_; croak 'not so' };
#line 70 "renamed.psgi"
sub {
    my ($env) = @_;
    eval { croak 'here' };
    my $here = $@;
    return sub { $_[0]->([200, [], [$here, eval { croak 'later' } || $@, join ' ', (caller 0)[0, 1, 2]]]) };
};
END
    like $body,   qr/\Ahere at renamed\.psgi line 71\.\nlater at renamed\.psgi line 71\.$/m,
        'both times';
    like $body,   qr/^Sprig::Server renamed\.psgi 71\z/m, 'and so does caller';
    unlike $body, qr{Sprig/Loop|-e:},                     'no file of ours';
    $server->stop_ok;
};

subtest 'warnings and errors keep the line, also of a #line' => sub {
    my ($body, $server) = answer(<<'END', '/?');
warn 'loaded';
#line 40 "other.psgi"
sub { warn 'asked'; die 'dies' };
END
    like $body,           qr/Internal Server Error/,              'died';
    like $server->stderr, qr/^loaded at \S+\.psgi line 1\.$/m,    'while it is loaded';
    like $server->stderr, qr/^asked at other\.psgi line 40\.$/m, 'warn in a request';
    like $server->stderr, qr{^GET /: dies at other\.psgi line 40\.$}m,  'die in a request';
    $server->stop_ok;
};

subtest 'CGI::Carp names the application' => sub {
    plan skip_all => 'needs CGI::Carp' if !eval { require CGI::Carp; 1 };
    my ($body, $server) =
        answer("use CGI::Carp; sub { warn 'careful'; [200, [], ['ok']] }");
    ok $server->stderr_like(qr/^\[[^\]]+\] app-\d+\.psgi: careful at /m), 'in front of the message'
        or diag $server->stderr;
    $server->stop_ok;
};

subtest 'the text of an exception is printed as UTF-8, without noise' => sub {
    my ($body, $server) = answer('sub { die "snow \x{2603} caf\x{e9}\n" }');
    is printed($server), "GET /: snow \xe2\x98\x83 caf\xc3\xa9\n", 'that and no more';
    $server->stop_ok;
};

subtest 'and as bytes where it needs no more, once where the handle encodes' => sub {
    my ($body, $server) = answer('sub { my $m = "caf\x{e9}\n"; utf8::upgrade($m); die $m }');
    is printed($server), "GET /: caf\xe9\n", 'as print does it';
    $server->stop_ok;
    ($body, $server) = answer('binmode STDERR, ":utf8"; sub { die "snow \x{2603}\n" }');
    is printed($server), "GET /: snow \xe2\x98\x83\n", 'with a layer';
    $server->stop_ok;
};

subtest 'local *STDERR does not reach psgi.errors' => sub {
    my ($body, $server) = answer(<<'END');
sub {
    my ($env) = @_;
    local *STDERR;
    $env->{'psgi.errors'}->print("kept\n");
    die "told\n";
}
END
    is printed($server), "kept\nGET /: told\n", 'what the application and the server print';
    $server->stop_ok;
};

subtest 'another handle in the place of STDERR is that of psgi.errors' => sub {
    my $path = SprigTest::temp_path('log');
    my ($body, $server) = answer(<<"END", '/swap');
sub {
    my (\$env) = \@_;
    \$env->{'psgi.errors'}->print("asked for \$env->{PATH_INFO}\\n");
    return [200, [], []] if \$env->{PATH_INFO} ne '/swap';
    open my \$log, '>>', '$path' or die;
    \$log->autoflush;
    *STDERR = \$log;
    return [200, [], []];
}
END
    $server->ask("GET /next HTTP/1.0\r\n\r\n");
    is printed($server), "asked for /swap\n", 'the request that puts it there still has the old one';
    is slurp($path),     "asked for /next\n", 'the next has it';
    $server->stop_ok;
};

subtest 'undef *STDERR while the application is loaded' => sub {
    my $run = run_program('-o', '127.0.0.1', '-p', 0, app_file(<<'END'));
use AnyEvent;
undef *STDERR;
our $timer = AE::timer 0.1, 0, sub { print "it runs\n"; kill TERM => $$ };
sub { [200, [], []] };
END
    is $run->{out},    "it runs\n", 'the server does not end';
    is $run->{status}, 0,           'until it is told to';
};

subtest 'psgix.io has a name that perl can parse' => sub {
    my ($body, $server) =
        answer('sub { my $io = $_[0]{"psgix.io"}; [200, [], [*$io . ""]] }');
    like $body, qr/\A\*(?:\w+::)*\w+\z/, $body;
    $server->stop_ok;
};

done_testing;

# What the server has printed, but for its banner.
sub printed { return $_[0]->stderr =~ s/^sprig .*\n//mr }
