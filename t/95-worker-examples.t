# eg/per-worker.psgi, in one process and in workers.
use strict;
use warnings;
use lib 't/lib';
use File::Temp qw(tempdir);
use Test::More;
use SprigTest;

for my $workers (1, 2) {
    my $dir    = tempdir(CLEANUP => 1);
    my $server = start_server(
        by   => 'program',
        app  => 'eg/per-worker.psgi',
        args => { workers => $workers },
        env  => { TMPDIR  => $dir },
    );
    my $body = $server->ask("GET /x HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")->body;
    like $body, qr{\Aworker [12] \(process [0-9]+\) has heard of /x\n\z}, "workers $workers";
    my ($number, $pid) = $body =~ /([0-9]+)/g;
    $server->stop_ok;
    my $log = slurp("$dir/per-worker-$pid.log");
    like $log, qr/^worker $number has ended\n\z/m, '... each has a log of its own';
    is $log =~ m{^worker $number has served /x$}m ? 1 : 0, $workers > 1 ? 1 : 0,
        '... the end waits for what is behind a response in workers only';
}

done_testing;
