# The error log: messages and what the application prints on STDERR, where nobody reads, in a file, as JSON
# and by syslog.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP;
use Socket qw(SOCK_DGRAM);
use SprigTest;
use SprigTest::Program;
use SprigTest::Redirected;
use Test::More;
use Time::HiRes qw(time);

my @here = ('-l', '127.0.0.1:0');

# Says as much as it is asked to, in each way that leads to STDERR.
my $loud = app_file(<<'END');
sub {
    my ($env) = @_;
    my ($how, $n) = $env->{PATH_INFO} =~ m{/(\w+)(?:/(\d+))?};
    my $text = 'x' x 1000;
    for (1 .. $n || 1) {
        $how eq 'errors' ? $env->{'psgi.errors'}->print("$how $text\n")
        : $how eq 'warn' ? warn "$how $text\n"
        : $how eq 'die'  ? eval { $env->{'psgi.errors'}->print("$how $text\n"); 1 }
        :                  print STDERR "$how\n";
    }
    die "$text\n" if $how eq 'die';
    return [200, [], ["said\n"]];
}
END

sub ask { return $_[0]->ask("GET $_[1] HTTP/1.0\r\n\r\n")->status }

for my $how (qw(errors warn die)) {
    for my $workers (1, 2) {
        subtest "a full pipe that nobody reads does not hold up an app: $how, $workers processes" =>
            sub {
            pipe my $reader, my $writer or die "pipe: $!";
            my $server = start_redirected({ 2 => $writer },
                @here, '--workers', $workers, '--log-buffer-bytes', 4096, $loud);
            close $writer;
            my $begin = time;
            my $n     = grep { ask($server, "/$how/100") == ($how eq 'die' ? 500 : 200) } 1 .. 5;
            is $n, 5, 'all are answered';
            cmp_ok time - $begin, '<', 5, 'at once';
            my $text = '';
            ok $server->eventually(sub {
                $reader->blocking(0);
                1 while sysread $reader, $text, 65536, length $text;
                return $text =~ /sprig: [0-9]+ messages lost: nobody read them$/m;
                }),
                'what was lost is counted and told';
            $server->stop_ok;
            };
    }
}

subtest 'what a slow reader has not read yet waits' => sub {
    pipe my $reader, my $writer or die "pipe: $!";
    my $server = start_redirected({ 2 => $writer }, @here, $loud);
    close $writer;
    is ask($server, '/errors/500'), 200, 'half a megabyte is said';
    $reader->blocking(0);
    my $text = '';
    ok $server->eventually(sub {
        1 while sysread $reader, $text, 65536, length $text;
        return (() = $text =~ /^errors x{1000}$/mg) == 500;
        }),
        'all of it is read';
    unlike $text, qr/messages lost/, 'nothing is lost';
    $server->stop_ok;
};

subtest 'a copy of STDERR has its layers' => sub {
    pipe my $reader, my $writer or die "pipe: $!";
    my $server = start_redirected({ 2 => $writer }, @here, app_file(<<'END'));
sub {
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    my @layers = grep { $_ ne 'unix' } PerlIO::get_layers(*STDERR, output => 1);
    open my $copy, '>&', \*STDERR or die "dup: $!";
    binmode $copy, join ':', '', 'raw', @layers or push @warnings, "binmode: $!";
    print {$copy} "said by the copy\n" or push @warnings, "print: $!";
    close $copy or push @warnings, "close: $!";
    return [200, [], [@warnings ? @warnings : 'quiet']];
}
END
    close $writer;
    is $server->ask("GET / HTTP/1.0\r\n\r\n")->body, 'quiet', 'without a warning';
    $reader->blocking(0);
    my $text = '';
    ok $server->eventually(sub {
        1 while sysread $reader, $text, 65536, length $text;
        return $text =~ /^said by the copy$/m;
        }),
        'what is printed on it arrives';
    $server->stop_ok;
};

subtest 'a file that cannot be opened anew' => sub {
    my $dir = SprigTest::temp_path('logs');
    mkdir $dir or die "$dir: $!";
    my $server = start_redirected({}, @here, '--error-log', "$dir/log", $loud);
    rename $dir, "$dir.old" or die "rename: $!";
    kill USR1 => $server->pid;
    ok $server->eventually(sub {
        slurp("$dir.old/log") =~ m{error_log: cannot write to \Q$dir\E/log: No such .*; the old file stays in use$}m;
        }),
        'the one that was open says why';
    is ask($server, '/print'), 200, 'answered';
    ok $server->eventually(sub { slurp("$dir.old/log") =~ /^print$/m }), '... and goes on';
    $server->stop_ok;
};

# A limit on the size of files is like a full disk, for one process, and can be lifted.
subtest 'a disk without room cuts a line' => sub {
    plan skip_all => 'there is no prlimit' if system 'prlimit --version >/dev/null 2>&1';
    my $log    = SprigTest::temp_path('log');
    my @json   = ('--error-log-format', 'json');
    my $server = start_redirected({}, @here, '--error-log', $log, @json, app_file(<<'END'));
BEGIN { $SIG{XFSZ} = 'IGNORE' }
sub { $_[0]{'psgi.errors'}->print(substr($_[0]{PATH_INFO}, 1) x 100, "\n"); [200, [], ['x']] }
END
    $server->eventually(sub { slurp($log) =~ m{http://.*\n} });    # which it says when it serves already
    my $room = 50 + -s $log;
    system('prlimit', '--pid', $server->pid, "--fsize=$room:") == 0 or die 'prlimit';
    is ask($server, "/$_"), 200, 'answered' for qw(a b c);
    is -s $log, $room, 'there is no room for the lines';
    system('prlimit', '--pid', $server->pid, '--fsize=unlimited') == 0 or die 'prlimit';
    is ask($server, '/d'), 200, 'answered';
    ok $server->eventually(sub { slurp($log) =~ /\d messages lost: File too large/ }),
        'with room again, what was lost is counted and told';
    my ($cut, @others) = grep { !eval { decode_json($_) } } split /\n/, slurp($log);
    is length $cut, 50, 'one line was cut';
    is "@others", '', '... and what follows is not behind it';
    like slurp($log), qr/"body":"d{100}"/, 'nor lost';
    $server->stop_ok;
};

subtest '--error-log FILE: messages, warnings and programs of the application' => sub {
    my $log    = SprigTest::temp_path('log');
    my $server = start_redirected({}, @here, '--error-log', $log, app_file(<<'END'));
sub { warn "a warning\n"; system 'echo a program >&2'; $_[0]{'psgi.errors'}->print("an error\n"); [200, [], ['x']] }
END
    is ask($server, '/'), 200, 'answered';
    my $text = slurp($log);
    like $text, qr/^$_$/m, $_ for 'a warning', 'a program', 'an error';
    like $text, qr/^sprig \S+: http/m, 'the banner';
    rename $log, "$log.1";
    kill USR1 => $server->pid;
    ok $server->eventually(sub { -e $log }), 'USR1 opens it anew';
    is ask($server, '/'), 200, 'answered';
    like slurp($log), qr/^$_$/m, "$_, in the new file" for 'a warning', 'a program', 'an error';
    $server->ask("GET / HTTP/1.1\r\n\r\n");
    ok $server->eventually(sub { slurp($log) =~ /^\S+Z \[[0-9]+ warn\] sprig: 400 for /m }),
        'a message has time, process and level';
    $server->stop_ok;
};

subtest 'USR1 to a server that is no longer root' => sub {
    my $uid = getpwnam 'nobody';
    plan skip_all => 'only root can have another user' if $> || !defined $uid;
    my $dir = SprigTest::temp_path('logs');
    mkdir $dir or die "$dir: $!";
    chmod 0755, $dir or die "$dir: $!";
    my $server = start_redirected({}, @here, '--user', 'nobody', '--error-log', "$dir/log",
        app_file('sub { [200, [], ["x"]] }'));
    is ask($server, '/'), 200, 'answered';
    is((stat "$dir/log")[4], $uid, 'the new file is the user\'s, who opens it again');
    rename "$dir/log", "$dir/old" or die "rename: $!";
    kill USR1 => $server->pid;
    ok $server->eventually(sub {
        my $why = "cannot write to $dir/log: Permission denied (as user id $uid)";
        slurp("$dir/old") =~ /error\] sprig: error_log: \Q$why\E; the old file stays in use$/m;
        }),
        'what fails is told with file, reason and user';
    $server->stop_ok;
};

subtest '--error-log-format json' => sub {
    for my $workers (1, 2) {
        my $log    = SprigTest::temp_path('log');
        my $server = start_redirected(
            {},            @here, '--workers',          $workers,
            '--error-log', $log,  '--error-log-format', 'json',
            app_file(<<'END'));
binmode STDERR, ':utf8';
sub { $_[0]{PATH_INFO} eq '/die' and die "oops\n"; print STDERR "half "; print STDERR "a line\n"; warn qq{"quoted" \\ \t\x01\n};
    $_[0]{'psgi.errors'}->print("\x{434}\x{430}\n\n"); [200, [], ['x']] }
END
        is ask($server, '/'),    200, 'answered';
        is ask($server, '/die'), 500, 'an exception';
        $server->ask("GET / HTTP/1.1\r\n\r\n");
        $server->eventually(sub { slurp($log) =~ /400 for .*\n/ });
        my @lines = map { decode_json($_) } grep { length } split /\n/, slurp($log);
        my %said  = map { $_->{body} => $_ } @lines;
        ok $said{'half a line'},           'pieces become a line' or diag explain \%said;
        ok $said{"\"quoted\" \\ \t\\x01"}, 'quotes, a backslash and a control character';
        ok $said{"\x{434}\x{430}"},        'UTF-8';
        my ($refused) = grep { $_->{body} =~ /^400 for / } @lines;
        is $refused->{severityText}, 'WARN', 'the level of a message';
        my $level_of = sub {
            my ($like) = @_;
            (grep { $_->{body} =~ $like } @lines)[0]{severityText};
        };
        is $level_of->(qr/oops/),              'ERROR', '... of an exception';
        is $level_of->(qr/quoted/),            'WARN',  '... of a warning';
        is $level_of->(qr/^sprig \S+: http:/), 'INFO',  '... of the line that tells the address';
        is $refused->{'process.pid'},          $server->pid, 'its process' if $workers == 1;
        ok $refused->{'sprig.worker'}, 'its worker' if $workers > 1;
        like $refused->{timestamp}, qr/\A\d{4}-\d\d-\d\dT[\d:]{8}\.\d{3}Z\z/, 'its time';
        $server->stop_ok;
    }
};

subtest '--log-level' => sub {
    my $log    = SprigTest::temp_path('log');
    my $server = start_redirected({}, @here, '--error-log', $log, '--log-level', 'error', $loud);
    $server->ask("GET / HTTP/1.1\r\n\r\n");
    is ask($server, '/print'), 200, 'answered';
    my $text = slurp($log);
    unlike $text, qr/400 for/,  'no warnings';
    like $text,   qr/^print$/m, 'but what the application prints';
    $server->stop_ok;
};

subtest '--error-log syslog:' => sub {
    my $path = SprigTest::temp_path('syslog');
    my $unix = IO::Socket::UNIX->new(Type  => SOCK_DGRAM, Local => $path)       or die "socket: $!";
    my $udp  = IO::Socket::INET->new(Proto => 'udp', LocalAddr  => '127.0.0.1') or die "socket: $!";
    for my $case (["syslog:unix:$path", $unix], ['syslog:udp:127.0.0.1:' . $udp->sockport, $udp]) {
        my ($where, $socket) = @$case;
        my $server = start_redirected({}, @here, '--error-log', $where, $loud);
        ok ask($server, '/print') == 200, "answered, $where";
        $server->ask("GET / HTTP/1.1\r\n\r\n");
        $socket->blocking(0);
        my @got;
        ok $server->eventually(sub {
            push @got, $_[0] while defined recv $socket, $_[0], 65536, 0;
            return grep { /400 for/ } @got;
            }),
            'the message comes';
        my ($refused) = grep { /400 for/ } @got;
        like $refused, qr/\A<28>1 \S+Z \S+ sprig [0-9]+ - - sprig: 400 for 127\.0\.0\.1: [^\n]*\z/,
            'as RFC 5424 has it';
        like "@got", qr/ - - print\b/, 'so does what the application prints';
        $server->stop_ok;
    }
    my $run = run_program(@here, '--error-log', 'syslog:nowhere', $loud);
    like $run->{err}, qr/\Asprig: error_log: cannot write to syslog:nowhere: Invalid argument\n/,
        'a wrong form';
};

subtest 'lines that wait for syslog keep their levels' => sub {
    my $path   = SprigTest::temp_path('syslog');
    my $socket = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Local => $path) or die "socket: $!";
    my $server = start_redirected({}, @here, '--error-log', "syslog:unix:$path", $loud);
    ask($server, '/print/300') for 1 .. 2;    # more than the system keeps for a reader
    ask($server, '/die');
    $server->ask("GET / HTTP/1.1\r\n\r\n");
    ask($server, '/print');
    my (%level, $got, %n);
    $socket->blocking(0);
    ok $server->eventually(sub {
        while (defined recv $socket, $got, 65536, 0) {
            my ($what) = $got =~ / - - (print\z|die|.*400 for|.*xxx\z)/ or next;
            $what =~ s/.*(?=400|xxx)//;
            $n{$what}++;
            $level{$what}{$1} = 1 if $got =~ /\A<(\d+)>/;
        }
        return ($n{print} || 0) == 601;
        }),
        'all lines come' or diag explain \%n;
    is_deeply \%level, { xxx => { 27 => 1 }, die => { 28 => 1 }, '400 for' => { 28 => 1 }, print => { 28 => 1 } },
        'an error is an error, and the warnings around it are warnings'
        or diag explain \%level;
    $server->stop_ok;
};

# What the program says when it does not start, line by line.
sub complaints {
    my @arguments = @_;
    my $env       = ref $arguments[0] ? shift @arguments : {};
    return [
        map {
            eval { JSON::PP::decode_json($_) }
                || $_
        } split /\n/,
        run_program($env, @arguments)->{err}
    ];
}

subtest 'errors of a start are JSON, too' => sub {
    my @json = ('--error-log-format', 'json');
    my $bad  = app_file("sub {\n");
    my $conf = spew(SprigTest::temp_path('conf'), "error_log_format = json\n");
    my %case = (
        'an unknown option' => [@json, '--nothing'],
        'a wrong value'     => [@json, '--workers', 'many'],
        'a wrong variable'  => [{ SPRIG_WORKERS => 'many', SPRIG_ERROR_LOG_FORMAT => 'json' }],
        'by a file'         => ['--config', $conf, '-l',          '127.0.0.1:0', $bad],
        'an application'    => [@json,      '-l',  '127.0.0.1:0', $bad],
        'one of workers'    => [@json,      '-l',  '127.0.0.1:0', '--workers', 2, $bad],
        'an address'        => [@json,      '-l',  '192.0.2.1:1', app_file('sub { }')],
        'that of a master'  => [@json,      '-l',  '192.0.2.1:1', '--master', app_file('sub { }')],
        'a variable of no meaning' => [{ SPRIG_NOTHING => 1 }, @json, '--workers', 'many'],
    );
    for my $name (sort keys %case) {
        my $lines = complaints(@{ $case{$name} });
        ok @$lines > 0, "$name is told";
        my @odd =
            grep { !ref || $_->{severityText} ne 'ERROR' && $_->{severityText} ne 'WARN' } @$lines;
        is "@odd", '', 'in JSON alone';
    }
    like complaints(@json, '--workers', 'many')->[0]{body},
        qr/\Aworkers must be auto or a whole number/, 'the same words';
    like complaints('--workers', 'many')->[0], qr/\Asprig: workers must be/,
        'text without the option';
};

done_testing;
