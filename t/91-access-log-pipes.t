# The access log and the messages where somebody reads them, or should: pipes, FIFOs, terminals, and the
# descriptors that a container has.

use strict;
use warnings;
use Fcntl qw(F_GETFL O_NONBLOCK O_RDONLY);
use FindBin;
use lib "$FindBin::Bin/lib";
use POSIX  ();
use Socket qw(AF_UNIX SOCK_STREAM PF_UNSPEC);
use SprigTest;
use SprigTest::Program;
use SprigTest::Redirected;
use Test::More;

use constant F_GETPIPE_SZ => 1032;

my $code = 'sub { [200, [], ["hi"]] }';
my @here = ('-l', '127.0.0.1:0', '--access-log-format', '%r', '-e', $code);

sub get { return "GET $_[0] HTTP/1.1\r\nHost: a\r\n\r\n" }

# Asks so often on one connection; how many answers came.
sub ask_often {
    my ($server, $n, $path) = @_;
    my $client  = $server->connect;
    my $answers = 0;
    for my $i (1 .. $n) {
        $client->send(get($path));
        my $response = $client->response;
        $answers++ if $response->is_complete && $response->status == 200;
    }
    return $answers;
}

sub fifo {
    my $path = SprigTest::temp_path('fifo');
    POSIX::mkfifo($path, 0600) or die "mkfifo: $!";
    return $path;
}

# What there is to be read until the pattern is there, for at most 5 seconds.
sub read_until {
    my ($handle, $pattern) = @_;
    my $text = '';
    SprigTest::Server::_until(
        5,
        sub {
            $handle->blocking(0);
            1 while sysread $handle, $text, 65536, length $text;
            $text =~ $pattern;
        }
    );
    return $text;
}

subtest 'a FIFO without a reader: the server starts, and serves' => sub {
    my $path   = fifo();
    my $server = start_program(@here, '--access-log', $path);
    is ask_often($server, 3, '/early'), 3, 'requests are answered';
    sysopen my $reader, $path, O_RDONLY | O_NONBLOCK or die "open: $!";
    like read_until($reader, qr/(?:early.*){3}/s), qr{\A(?:GET /early HTTP/1\.1\n){3}\z},
        'a reader that comes later finds the lines';
    close $reader;
    is ask_often($server, 3, '/between'), 3, 'nor does it matter that a reader goes';
    sysopen $reader, $path, O_RDONLY | O_NONBLOCK or die "open: $!";
    like read_until($reader, qr/(?:between.*){3}/s), qr/between/, 'the next one finds the lines';
    $server->stop_ok;
};

subtest 'a FIFO that nobody empties: answers go on, lost lines are told and counted' => sub {
    my $path   = fifo();
    my $server = start_program(@here, '--access-log', $path);
    my $long   = '/' . ('x' x 7000);
    my $n      = int((1024 * 1024 + 65536) / 7000) + 60;
    is ask_often($server, $n, $long), $n, 'all are answered';
    ok $server->stderr_like(
        qr/cannot write to the access log \Q$path\E: nobody reads it; lines are lost$/m),
        'the loss is told';
    is scalar(() = $server->stderr =~ /cannot write/g), 1, '... once';
    sysopen my $reader, $path, O_RDONLY | O_NONBLOCK or die "open: $!";
    ok SprigTest::Server::_until(
        5,
        sub {
            sysread $reader, my $text, 65536;
            $server->stderr =~ /being written again/;
        }
        ),
        'and so is that it is read again';
    my ($n_lost) = $server->stderr =~ /is being written again; (\d+) lines were lost/;
    ok $n_lost && $n_lost < $n, "with the number of lines ($n_lost of $n)";
    $server->stop_ok;
};

subtest 'a reader that has gone: the server goes on, and says so' => sub {
    pipe my $reader, my $writer or die "pipe: $!";
    my $server = start_redirected({ 1 => $writer }, @here, '--access-log', '-');
    close $writer;
    is ask_often($server, 1, '/read'), 1, 'a request is answered';
    like read_until($reader, qr/read/), qr{\AGET /read }, 'and read about';
    close $reader;
    ok $server->eventually(
        sub { ask_often($server, 1, '/gone') && $server->stderr =~ /log -: Broken pipe; lines/ }),
        'without a reader the loss is told, and requests are answered';
    $server->stop_ok;
};

for my $name ('-', '/dev/stdout', '/proc/self/fd/1', '/dev/fd/1') {
    subtest "--access-log $name is the standard output that is there" => sub {
        pipe my $reader, my $writer or die "pipe: $!";
        my @workers = $name eq '-' ? () : ('--workers', 2);
        my $server  = start_redirected({ 1 => $writer }, @here, '--access-log', $name, @workers);
        is ask_often($server, 1, '/first'), 1, 'a request';
        like read_until($reader, qr/first/), qr{\AGET /first HTTP/1\.1\n\z}, 'and its line';
        ok !(fcntl($writer, F_GETFL, 0) & O_NONBLOCK), 'others who write there notice nothing';
        if (@workers) {
            kill 'USR1', $server->pid;
            kill 'HUP',  $server->pid;
            ok $server->stderr_like(qr/reloaded|generation 2/), 'USR1 and HUP';
        }
        is ask_often($server, 1, '/second'), 1, 'another request';
        like read_until($reader, qr/second/), qr{GET /second HTTP/1\.1\n\z}, 'goes there, too';
        ok !-e '-', 'there is no file of that name';
        $server->stop_ok;
    };
}

subtest 'a pipe with a reader that keeps up loses nothing' => sub {
    pipe my $reader, my $writer or die "pipe: $!";
    pipe my $from,   my $to     or die "pipe: $!";
    my $server = start_redirected({ 1 => $writer }, @here, '--access-log', '-');
    close $writer;
    my $pid = fork;
    if (!$pid) {
        my $lines = 0;
        while (sysread $reader, my $bytes, 1 << 16) { $lines += $bytes =~ tr/\n// }
        syswrite $to, "$lines\n";
        POSIX::_exit(0);
    }
    close $_ for $reader, $to;
    my $client = $server->connect;
    for my $round (1 .. 100) {    # 6 MB; a pipe has 64 KB, and log_buffer_bytes 1 MB
        $client->send(get('/' . 'x' x 3000) x 20);
        $client->response for 1 .. 20;
    }
    $server->stop_ok;
    is scalar <$from>, "2000\n", 'all lines arrive';
    waitpid $pid, 0;
};

subtest 'a small log_buffer_bytes loses nothing to a file' => sub {
    my $path   = SprigTest::temp_path('log');
    my $server = start_redirected({}, @here, '--access-log', $path, '--log-buffer-bytes', 4096);
    my $client = $server->connect;
    $client->send("GET /many HTTP/1.1\r\nHost: x\r\n\r\n" x 600);
    $client->response for 1 .. 600;
    ok $server->eventually(sub { (() = slurp($path) =~ /many/g) == 600 }), 'all lines of a burst are there'
        or diag slurp($path) =~ tr/\n//, ' lines';
    $server->stop_ok;
};

subtest '--access-log /dev/stderr' => sub {
    my $server = start_redirected({}, @here, '--access-log', '/dev/stderr');
    is ask_often($server, 1, '/here'), 1, 'a request';
    ok $server->stderr_like(qr{^GET /here HTTP/1\.1$}m), 'and its line';
    $server->stop_ok;
};

subtest 'a socket, as the journal has it' => sub {
    socketpair my $ours, my $theirs, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die "socketpair: $!";
    my $server = start_redirected({ 1 => $theirs }, @here, '--access-log', '/dev/stdout');
    is ask_often($server, 1, '/journal'), 1, 'a request';
    like read_until($ours, qr/journal/), qr{\AGET /journal }, 'and its line';
    ok !(fcntl($theirs, F_GETFL, 0) & O_NONBLOCK), 'its flags stay';
    $server->stop_ok;
};

subtest 'another user writes to the descriptor as well' => sub {
    plan skip_all => 'only root can become another user'       if $> != 0;
    plan skip_all => 'the build cannot be read by other users' if !SprigTest::others_may_read();
    pipe my $reader, my $writer or die "pipe: $!";
    for my $n (1, 2) {
        my $server = start_redirected({ 1 => $writer },
            @here, '--access-log', '/dev/stdout', '--user', 'nobody', '--workers', $n);
        is ask_often($server, 1, "/nobody$n"), 1, 'a request';
        like read_until($reader, qr/nobody$n/), qr{GET /nobody$n }, "and its line, $n workers";
        $server->stop_ok;
    }
};

subtest 'a descriptor that is not there' => sub {
    my $run = run_program(@here, '--access-log', '/proc/self/fd/77');
    is $run->{status}, 1, 'is an error';
    is $run->{err}, "sprig: cannot write to /proc/self/fd/77: Bad file descriptor\n",
        'which is told';
};

subtest 'standard error that nobody reads: bad requests do not block the server' => sub {
    pipe my $reader, my $writer or die "pipe: $!";
    my $server = start_redirected({ 2 => $writer }, @here);
    like read_until($reader, qr/\n/), qr/^sprig /, 'somebody has read the banner';
    syswrite $writer, 'x' x 4096 for 1 .. fcntl($writer, F_GETPIPE_SZ, 0) / 4096;
    my $bad = "GET / HTTP/1.1\r\n\r\n";
    is scalar(grep { $server->ask($bad)->status == 400 } 1 .. 5), 5, 'bad requests are answered';
    is ask_often($server, 1, '/still'),                           1, 'and so is a good one';
    like read_until($reader, qr/x(?!x)/), qr/\Ax+\z/, 'their messages did not fit';
    my $text = '';
    ok $server->eventually(sub {
        ($text .= read_until($reader, qr/\n/)) =~ /(?:sprig: 400 for .*\n(?:.*\] )?){5}/;
        }),
        'but wait in memory until somebody reads again';
    unlike $text, qr/messages lost/, 'none is lost';
    ok !(fcntl($writer, F_GETFL, 0) & O_NONBLOCK), 'others who write there notice nothing';
    $server->stop_ok;
};

subtest 'standard error is full from the start' => sub {
    for my $n (1, 2) {
        pipe my $reader, my $writer or die "pipe: $!";
        syswrite $writer, 'x' x 4096 for 1 .. fcntl($writer, F_GETPIPE_SZ, 0) / 4096;
        my $server = start_redirected({ 2 => $writer }, @here, '--workers', $n);
        is ask_often($server, 1, '/'), 1, "a server with $n workers serves";
        $server->stop_ok;
    }
};

subtest 'messages say when, and of whom' => sub {
    my $server = start_program(@here);
    $server->ask("GET / HTTP/1.1\r\n\r\n");
    ok $server->stderr_like(qr/sprig: 400/), 'a message';
    my $time = qr/[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\.[0-9]{3}Z/;
    my $pid  = $server->pid;
    like $server->raw_stderr, qr/^$time \[$pid warn\] sprig: 400 for /m,
        'with time, process and level';
    $server->stop_ok;

    $server = start_program(@here, '--workers', 2);
    $server->ask("GET / HTTP/1.1\r\n\r\n");
    ok $server->stderr_like(qr/sprig: 400/), 'a message of a worker';
    like $server->raw_stderr, qr/^$time \[[0-9]+ worker [12] warn\] sprig: 400 for /m, 'names it';
    $server->stop_ok;
};

done_testing;
