# Sentences for what cannot be: sockets of another process, applications that are none, options that do not
# go together.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Program;
use Test::More;

my @here = ('-l', '127.0.0.1:0', '-e', 'sub { [200, [], []] }');

subtest 'LISTEN_FDS for another process' => sub {
    for my $workers (1, 2) {
        my $server =
            start_program({ LISTEN_FDS => 2, LISTEN_PID => 4711 }, @here, '--workers', $workers);
        my $pid = $server->pid;
        ok $server->stderr_like(
            qr/^sprig: LISTEN_FDS=2 is not for this process \($pid\): LISTEN_PID is 4711; these sockets are not used$/m
        ), "is told, $workers workers" or diag $server->stderr;
        $server->stop_ok;
    }
    my $server = start_program({ LISTEN_FDS => 1 }, @here);
    ok $server->stderr_like(qr/: LISTEN_PID is not set; /), 'so is a LISTEN_PID that is missing';
    $server->stop_ok;
    $server = start_program(@here);
    is $server->stderr =~ /LISTEN/, '', 'without either nothing is';
    $server->stop_ok;
};

my %wrong = (
    'undef'        => 'undef',
    '{}'           => 'a reference to HASH',
    '[]'           => 'a reference to ARRAY',
    '"app"'        => "'app'",
    'bless {}'     => 'a reference to main',
    'bless {},"X"' => 'a reference to X',
);

subtest 'what is no application' => sub {
    require Sprig::Server;
    for my $text (sort keys %wrong) {
        my $app = eval $text;
        for my $method (qw(register_service start_listen run)) {
            eval { Sprig::Server->new(port => 0)->$method($app) };
            like $@,
                qr/\Athe server needs an application \(a code reference\), not \Q$wrong{$text}\E at \S*60-program-misuse\.t/,
                "$method($text)";
        }
    }
    my $run = run_program('-e', '{}');
    like $run->{err},
        qr/\Asprig: the code of -e must return an application \(a code reference\), not /,
        'the program';
};

subtest 'under plackup' => sub {
    my $plackup = tool_path('plackup') or plan skip_all => 'plackup is not installed';
    my $root    = SprigTest::root();
    my $file    = app_file('"app"');
    my @command =
        ($^X, "-I$root/blib/lib", "-I$root/blib/arch", $plackup, qw(-s Sprig -E deployment -p 0));
    like output_of(@command, $file),
        qr/the server needs an application \(a code reference\), not 'app'/,
        'an app that is no code reference';
    like output_of(@command, qw(--max-workers 1 --max-reqs-per-child 5), app_file('sub { }')),
        qr/^max_reqs_per_child needs max_workers of 2 or more, got '1': one process cannot replace itself$/m,
        'max_reqs_per_child with max_workers=1';
    like output_of(@command, qw(--max-reqs-per-child 5), app_file('sub { }')),
        qr/^max_reqs_per_child needs max_workers of 2 or more, which is not given: /m,
        'max_reqs_per_child alone';
};

done_testing;
