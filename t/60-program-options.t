# The command line of the program: what is wrong ends it with one line on the standard error, before
# anything is listened on.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest::Program;
use Test::More;

# The program ends with 2 and just this line.
sub refuses {
    my ($args, $line, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $run = run_program(@$args);
    $name ||= "@$args";
    is $run->{status}, 2,                "$name: exit status 2";
    is $run->{err},    "sprig: $line\n", "$name: one line";
    is $run->{out},    '',               "$name: nothing on standard output";
    return;
}

my $file = app_file('sub { [200, [], []] }');

subtest 'unknown options' => sub {
    refuses(['--foo'],        'unknown option --foo, see sprig --help-all');
    refuses(['--foo=bar'],    'unknown option --foo, see sprig --help-all');
    refuses([$file, '--foo'], 'unknown option --foo, see sprig --help-all', 'behind the file');
    refuses(['-Z'],           'unknown option -Z, see sprig --help-all');
};

subtest 'abbreviations are unknown options' => sub {
    refuses(['--max-head=5'], 'unknown option --max-head, see sprig --help-all');
    refuses(['--max-header', 5],
        'unknown option --max-header; did you mean --max-headers? See sprig --help-all');
    refuses(['--keepal'], 'unknown option --keepal, see sprig --help-all');
};

subtest 'missing and superfluous values' => sub {
    refuses(['-p'],               'option -p needs a value');
    refuses(['--listen'],         'option --listen needs a value');
    refuses(['--listen='],        'option --listen needs a value');
    refuses(['-I', ''],           'option --include needs a value', 'an empty folder');
    refuses(['--help=me'],        'option --help takes no value');
    refuses(['--no-keepalive=1'], 'option --no-keepalive takes no value');
};

subtest 'bad values' => sub {
    my $port = 'port must be a whole number from 0 to 65535, got';
    refuses(['-p', $_],            "$port '$_'") for '65536', '-1', 'http', '80x', ' 80';
    refuses(["--port=$_"],         "$port '$_'") for '99999999999999999999';
    refuses(['--max-headers', -1], "max_headers must be a whole number from 0 to 100000, got '-1'");
    refuses(['--max-headers=ten'],
        "max_headers must be a whole number from 0 to 100000, got 'ten'");
    refuses(['--body-timeout', '-1'],
        "body_timeout must be a number of seconds from 0 to 31536000, got '-1'");
    refuses(['--keepalive=maybe'], "keepalive must be 0 or 1, got 'maybe'");
    refuses(['--harakiri=2'],      "harakiri must be 0 or 1, got '2'");
    refuses(['--nested', 'never'], "nested must be one of hold|dispatch|croak, got 'never'");
    refuses(
        ['--server-header', "a\nb"],
        "server_header must be at most 200 bytes without control characters, got 'a\\x0Ab'",
        'a line feed in a header'
    );
    refuses(['--low-water-bytes', '1M'],
        "low_water_bytes must not exceed high_water_bytes (65536), got '1048576'");
    refuses(['--temp-dir', '/nonexistent'],
        "temp_dir must be a folder that can be written to, got '/nonexistent'");
};

subtest 'options of plackup' => sub {
    refuses(['-s', 'Starman'],
        'option --server: this program is the server; to choose one use plackup -s');
    refuses(['-R'],           'option -R needs a value');
    refuses(['-L'],           'option -L needs a value');
    refuses(['--reload=lib'], "reload must be 0 or 1, got 'lib'");
};

subtest 'loaders and options that do not go together' => sub {
    my $workers = 'cannot be used with --workers 2: there HUP brings new code';
    refuses(['--workers', 2, '-r'],             "option --reload $workers");
    refuses(['-R', 'lib', '--workers', 2],      "option --Reload $workers");
    refuses(['--workers=2', '-L', 'Shotgun'],   "option --loader=Shotgun $workers");
    refuses(['--workers=2', '-L', 'Restarter'], "option --loader=Restarter $workers");
    refuses(['-r', '-D'],
        'option --reload cannot be used with --daemonize: it restarts in the foreground');
    refuses(['-r', '--pid', 'x'],
        'option --reload cannot be used with --pid: each restart is another process');
    my $pid = SprigTest::temp_path('pid');

    for my $flags (['-r', '-L', 'Delayed'], ['-r', '--no-reload']) {
        my $run = run_program(@$flags, '--pid', $pid, '/nonexistent.psgi');
        like $run->{err}, qr/cannot read/, "@$flags: the last one counts";
    }
};

subtest '--help' => sub {
    my $run = run_program('--help');
    is $run->{status}, 0,  'exit status 0';
    is $run->{err},    '', 'nothing on standard error';
    like $run->{out}, qr/\AUsage: sprig /, 'starts with the usage';
    my @lines = split /\n/, $run->{out};
    is scalar(grep { length > 80 } @lines), 0, 'no line is wider than 80 columns';
    cmp_ok scalar @lines, '<=', 30, 'it fits a screen';
    unlike $run->{out}, qr/[ \t]$/m, 'no line ends with a blank';
    unlike $run->{out}, qr/\033/,    'no colours in a pipe';
    is run_program('-h')->{out},                      $run->{out}, '-h is the same';
    is run_program('app.psgi', '-p', 1, '-h')->{out}, $run->{out}, 'and goes before other things';
    is run_program('-h', 'app.psgi')->{out},          $run->{out}, 'an application is no option';
};

subtest '--help-all' => sub {
    my $run = run_program('--help-all');
    is $run->{status}, 0, 'exit status 0';
    my @wide = grep { length > 80 } split /\n/, $run->{out};
    is "@wide", '', 'no line is wider than 80 columns';
    unlike $run->{out}, qr/[ \t]$/m, 'no line ends with a blank';
    cmp_ok scalar(() = $run->{out} =~ /^ {2,6}-/mg), '>', 100, 'it has all options';
};

subtest '--help OPTION' => sub {
    for my $word ('max-requests', '--max-requests', 'max_requests') {
        my $run = run_program('--help', $word);
        is $run->{status}, 0, "$word: status";
        like $run->{out}, qr/\A--max-requests \*?N\*? \[0\]\n +\S/, 'the paragraph of the manual';
    }
    like run_program('--help', '-l')->{out},           qr/\A-l, --listen .*\n +\S/, 'by its letter';
    like run_program('--help', 'reuseport')->{out},    qr/\A--\[no-\]reuseport /,   'a switch';
    like run_program('--help', 'no-keepalive')->{out}, qr/\A--\[no-\]keepalive /, 'or its contrary';
    my $run = run_program('--help', 'max-header');
    is $run->{status}, 2, 'no option: status';
    like run_program('--help', 'log')->{out}, qr/--access-log FILE.*--log-level/s,
        'a word has the options with it in their names';
    like run_program('--help', 'tls')->{out}, qr/--tls-cert.*--acme-dir/s,
        '... or those of the group of this name';
    is $run->{err},
        "sprig: there is no option max-header; did you mean --max-headers? Try sprig --help-all\n",
        'the nearest';
};

subtest '--version' => sub {
    my $run = run_program('-v');
    is $run->{status}, 0, 'exit status 0';
    like $run->{out}, qr/\Asprig 0\.\d{3} \(libevent [\d.]+, \S+ [\d.]+, perl [\d.]+\)\n\z/,
        'versions';
    is run_program('--version')->{out}, $run->{out}, '--version is the same';
};

done_testing;
