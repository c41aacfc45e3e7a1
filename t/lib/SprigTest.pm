package SprigTest;

# Starts a server in a process of its own, and ends it.
#
#   my $server = start_server(code => 'sub { [200, [], ["hi"]] }', args => { max_headers => 5 });
#   my $client = $server->connect;
#   $server->stop_ok;
#
# SPRIG_TEST_BY=module|program|plackup chooses how the server is started where a test does not, and
# SPRIG_TEST_TLS=1 has it speak TLS (see SprigTest::OverTls), SPRIG_TEST_HTTP2=1 HTTP/2 (see
# SprigTest::OverHttp2). PERL_ANYEVENT_MODEL=EV has servers that start as a module or by plackup
# run on that loop.

use strict;
use warnings;
use Carp           qw(croak);
use Exporter       qw(import);
use File::Basename qw(dirname);
use File::Spec;
use File::Temp;
use POSIX ();
use SprigTest::Client;
use SprigTest::Server;

our @EXPORT =
    qw(ulimited start_server dump_app slurp spew test_by tool_path output_of curl not_over_tls
    over_http2 not_over_http2 over_tls skip_on_other_loop);

# Options in the environment of whoever runs the tests are not meant for the servers of the tests.
delete $ENV{$_} for grep { /\ASPRIG_(?!DEV\z|DEBUG\z|SANITIZE\z|LOOP_|TEST_)/ } keys %ENV;

# On a machine that is busy with something else, any application seems to block: nobody asked.
$ENV{SPRIG_BLOCK_WARNING} = 0;

my $lib    = dirname(File::Spec->rel2abs(__FILE__));
my $root   = dirname(dirname($lib));
my $dir    = File::Temp->newdir('sprig-test-XXXXXX', TMPDIR => 1);
my $serial = 0;

# The checkout, and the folder of this file.
sub root { return $root }
sub lib  { return $lib }

# A new path in a folder that goes away with the test.
sub temp_path { return sprintf '%s/%s-%d', $dir, $_[0], ++$serial }

# How servers are started unless a test says so: 'module', 'program' or 'plackup'.
sub test_by { return $ENV{SPRIG_TEST_BY} || 'module' }

# The app that answers with what it was asked: see t/lib/dump.psgi.
sub dump_app { return "$lib/dump.psgi" }

# Whether a process that has given up root could load what was built.
sub others_may_read {
    for (my $path = "$root/blib/lib"; $path ne ''; $path =~ s{/[^/]*\z}{}) {
        return 0 if ((stat $path)[2] & 5) != 5;
    }
    return 1;
}

sub slurp {
    my ($path) = @_;
    open my $fh, '<:raw', $path or die "cannot read $path: $!";
    local $/;
    my $bytes = <$fh>;
    return defined $bytes ? $bytes : '';
}

# Without time and process in front of the server's messages.
sub without_origin {
    my ($text) = @_;
    $text =~ s/^[0-9]{4}-[0-9-]+T[0-9:.]+Z \[[0-9][^\]\n]*\] (?=sprig: )//mg;
    return $text;
}

sub spew {
    my ($path, $bytes) = @_;
    open my $fh, '>:raw', $path or die "cannot write $path: $!";
    print {$fh} $bytes or die "cannot write $path: $!";
    close $fh          or die "cannot write $path: $!";
    return $path;
}

# The path of a command, or nothing.
sub tool_path {
    my ($name) = @_;
    for my $folder (File::Spec->path) {
        my $path = "$folder/$name";
        return $path if -x $path && !-d _;
    }
    return;
}

# Runs a command (a list) for at most a minute and returns its output, standard error included.
sub output_of {
    my (@command) = @_;
    my $pid       = open my $out, '-|';
    defined $pid or die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec('timeout', 60, @command) or POSIX::_exit(127);
    }
    local $/;
    my $text = readline $out;
    close $out;
    return defined $text ? $text : '';
}

# What curl gets, with the flags of interest only.
sub curl {
    my (@arguments) = @_;
    return output_of('curl', '-sS', '--max-time', 20, @arguments);
}

# Whether the servers of this test speak TLS because SPRIG_TEST_TLS asks for it.
sub over_tls { return SprigTest::OverTls::is_on() }

# Where a test is about plain sockets: skips the rest of the enclosing subtest, or of the file, when the
# tests run over TLS. Why it cannot hold there has to be said.
sub not_over_tls {
    my ($why) = @_;
    Test::More::plan(skip_all => "over TLS: $why") if SprigTest::OverTls::is_on();
    return;
}

# Whether the tests run over HTTP/2.
sub over_http2 { return SprigTest::OverHttp2::is_on() }

# Where a test is about HTTP/1, or what HTTP/2 has not: skips the rest of the enclosing subtest, or of
# the file, when the tests run over HTTP/2. Why it cannot hold there has to be said.
sub not_over_http2 {
    my ($why) = @_;
    Test::More::plan(skip_all => "over HTTP/2: $why") if over_http2();
    return;
}

# Where a test is about our own loop, or what others have not: skips so many tests in a SKIP block, or
# without a number the rest of the subtest, when PERL_ANYEVENT_MODEL has the servers run on another one.
sub skip_on_other_loop {
    my ($why, $n) = @_;
    my $loop = $ENV{PERL_ANYEVENT_MODEL} || 'Sprig';
    return if $loop eq 'Sprig';
    return $n ? Test::More::skip("$loop: $why", $n) : Test::More::plan(skip_all => "$loop: $why");
}

# For `under`: no more descriptors than this.
sub ulimited {
    my ($n) = @_;
    return ['/bin/sh', '-c', "ulimit -n $n && exec \"\$@\"", 'sh'];
}

# Starts a server and returns it (a SprigTest::Server) as soon as it accepts connections.
#   app    path of an app file, or
#   code   text of one
#   by     'module', 'program' or 'plackup'
#   args   hash of options by name: { max_headers => 5 }
#   flags  list of further command-line flags (not for 'module')
#   env    hash of environment variables to set
#   under  list: a command that runs the server, such as ulimited(64)
#   perl   list of switches for the perl that runs it (not for 'program')
#   script the program that serves it, in t/lib (only for 'module')
sub start_server {
    my (%option) = @_;
    my $app = $option{app};
    $app = spew(temp_path('app') . '.psgi', $option{code}) if defined $option{code};
    croak 'start_server: give app or code' if !defined $app;
    -d "$root/blib/lib" or die "there is no blib: run 'perl Makefile.PL && make' first\n";
    return SprigTest::Server->start(%option, app => $app, by => $option{by} || test_by());
}

1;
