# What somebody is told whose server does not start: by --check as by the start itself, on the terminal,
# with the option that is wrong and what to do.

use strict;
use warnings;
use FindBin;
use File::Temp qw(tempdir);
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Program;
use Test::More;

my $app  = app_file('sub { [200, [], ["hi"]] }');
my @here = ('-l', '127.0.0.1:0');

sub ends_ok {
    my ($words, $status, $pattern, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $run = run_program(@$words);
    is $run->{status}, $status, "$name: status $status";
    like $run->{err}, $pattern, "$name: the message";
    return;
}

subtest 'options that cannot be, for --check as for the start' => sub {
    my %case = (
        'a format without a directive' => [
            ['--access-log-format', 'jsn'],
            qr/\Asprig: access_log_format must be json, .*, got 'jsn'\n\z/
        ],
        'megabytes without their letter' => [
            ['--workers', 2, '--max-rss', 800],
            qr/\Asprig: max_rss must be 0 or at least 4M, as in 800M; got '800' bytes\n\z/
        ],
        'max_rss that nobody can obey' => [
            ['--max-rss', '800M'],
            qr/\Asprig: max_rss needs master, or workers of 2 or more: .*\n\z/
        ],
        'max_lifetime that nobody can obey' => [
            ['--max-lifetime', 60],
            qr/\Asprig: max_lifetime needs master, or workers of 2 or more: .*\n\z/
        ],
        'a redirect to nowhere' => [
            ['-l', '127.0.0.1:0,redirect'],
            qr/\Asprig: option --listen: 127\.0\.0\.1:0,redirect redirects .*none: give another --listen with ,tls\n\z/
        ],
        'an admin listener that is no address' => [
            ['--admin', 'foo'],
            qr/\Asprig: admin must be unix:PATH, \@NAME or HOST:PORT, got 'foo'\n\z/
        ],
        'an admin listener for everybody' => [
            ['--admin', '0.0.0.0:9000'],
            qr/\Asprig: admin must be a unix socket or a loopback address .*, got '0\.0\.0\.0:9000'\n\z/
        ],
    );
    for my $name (sort keys %case) {
        my ($flags, $pattern) = @{ $case{$name} };
        ends_ok([@here, @$flags, @$_, $app], 2, $pattern, "@$_ $name") for [], ['--check'];
    }
};

subtest 'formats and limits that can be' => sub {
    for my $flags (
        ['--access-log-format', 'short'],
        ['--access-log-format', '%h'],
        ['--workers',         2, '--max-rss', '4M'],
        ['--admin',           '[::1]:9000'],
        ['--admin',           '@name'],
        ['--trusted-proxies', '127.0.0.1'],
        )
    {
        my $run = run_program('--check', @here, @$flags, $app);
        is "$run->{status} $run->{err}", '0 ', "@$flags";
    }
};

subtest '--check warns of what the start warns of' => sub {
    my $run = run_program('--check', @here, '--trusted-proxies', '0.0.0.0/0', $app);
    is $run->{status}, 0, 'it can start';
    like $run->{err}, qr{sprig: trusted_proxies has 0\.0\.0\.0/0: clients there can choose},
        'the warning';
};

subtest 'logs that cannot be written' => sub {
    my $dir = tempdir(CLEANUP => 1);
    chmod 0755, $dir or die "$dir: $!";
    ends_ok(['--check', @here, "--$_", "$dir/none/log", $app],
        1, qr{\Asprig: \w+_log: cannot write to \Q$dir\E/none/log: No such file or directory\n\z},
        $_)
        for qw(access-log error-log);
SKIP: {
        skip 'only root can have another user', 5 if $> || !defined getpwnam 'nobody';
        my @words = (@here, '--workers', 2, '--user', 'nobody', '--access-log', "$dir/log");
        ends_ok(
            ['--check', @words, $app],
            1,
            qr{\Asprig: access_log: cannot write to \Q$dir\E/log as user nobody: Permission denied\n\z},
            '--check'
        );
        ok !-e "$dir/log", 'and it leaves no file';
        ends_ok(
            [@words, '-e', 'sub { }'],
            1, qr{\Asprig: cannot write to \Q$dir\E/log: Permission denied \(as user id \d+\)\n\z},
            'the start'
        );
    }
};

subtest 'with --error-log, the terminal tells why there is no server' => sub {
    my $dir = tempdir(CLEANUP => 1);
    for my $flags ([], ['--workers', 2], ['--preload-app', '--workers', 2]) {
        my @words = (@here, @$flags, '--error-log', "$dir/log");
        ends_ok(
            [@words, "$dir/none.psgi"],
            1,
            qr{\Asprig: cannot read \Q$dir\E/none\.psgi: No such file or directory\n\z},
            "@$flags an application"
        );
        ends_ok(
            [@words, '--pid', "$dir/none/pid", $app],
            1,
            qr{\Asprig: pid file \Q$dir\E/none/pid: No such file or directory\n\z},
            "@$flags a pid file"
        );
    }
    my $lines = () = slurp("$dir/log") =~ /^\S+Z \[\d+ error\] sprig: (?:cannot read|pid file) /mg;
    is $lines, 6, 'and so does the log, each time once';

    my $server = start_program({ SPRIG_ERROR_LOG_FORMAT => 'text' }, @here, $app);
    $server->stop_ok;
};

subtest 'hints' => sub {
    my $dir    = tempdir(CLEANUP => 1);
    my $before = SprigTest::root();
    chdir $dir or die "chdir: $!";
    my $hint = qr/; give the file of your application: sprig FILE \(see sprig --help\)\n\z/;
    ends_ok([@here], 1, qr/\Asprig: cannot read app\.psgi: No such file or directory$hint/,
        'no file');
    ends_ok(
        [@here, 'start'],
        1,
        qr/\Asprig: cannot read start: .*$hint/,
        'a word for other servers'
    );
    chdir $before or die "chdir: $!";
    my $run = run_program(@here, "$dir/none.psgi");
    unlike $run->{err}, qr/give the file/, 'a file that is not there needs none';
    my $pagi = spew("$dir/hello.pl", "sub { my \$type = 'http.response.start' }\n");
    $run = run_program('--check', $pagi);
    is $run->{err}, "sprig: $pagi looks like a PAGI application: give --pagi, or call it .pagi\n",
        'an application of PAGI';
    ends_ok(
        ['ctl', '--pid', spew("$dir/pid", "$$\n"), 'status'],
        2, qr/\Asprig ctl: process $$ has no admin listener: start the server with --admin/,
        'no --admin'
    );
SKIP: {
        my $first =
            -r '/proc/sys/net/ipv4/ip_unprivileged_port_start'
            ? slurp('/proc/sys/net/ipv4/ip_unprivileged_port_start')
            : 0;
        skip 'ports below 1024 are for everybody', 1 if $first < 81;
        skip 'no setpriv', 1 if $> == 0 && !grep { -x "$_/setpriv" } split /:/, $ENV{PATH};
        local $ENV{PERL5LIB} = join q{:}, map({ "$before/blib/$_" } qw(lib arch)),
            grep { defined } $ENV{PERL5LIB};
        my $said = output_of($> ? () : qw(setpriv --reuid 65534 --regid 65534 --clear-groups),
            SprigTest::Program::program(), '-l', '127.0.0.1:80', '-e', 'sub { }');
        like $said, qr/Permission denied; a port below 1024 needs root .*CAP_NET_BIND_SERVICE\n/,
            'a port of root';
    }
};

done_testing;
