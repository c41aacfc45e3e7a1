# Options in a file: what it may say, what wins over it, what is said of mistakes, and that it prints as
# it reads.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Basename qw(basename);
use JSON::PP ();
use SprigTest;
use SprigTest::Probe qw(eventually);
use SprigTest::Program;
use SprigTest::Redirected;
use Test::More;

my $hello = app_file('sub { [200, [], ["hello\n"]] }');
my $dir   = SprigTest::temp_path('config');
mkdir $dir or die "mkdir $dir: $!";

# A file of that text; its path.
sub config { return spew("$dir/" . ($_[1] || 'sprig.conf'), $_[0]) }

# The options as --print-config has them: name => [value, origin].
sub printed {
    my (@args) = @_;
    my $run = run_program(@args, '--print-config');
    is $run->{status}, 0, 'status of --print-config' or diag $run->{err};
    my %is;
    for (split /\n/, $run->{out}) {
        push @{ $is{$1} }, $2, $3 if /^(?:# )?(\w+) = (.*?) +# ([^#]*)$/;
    }
    return %is;
}

sub refused {
    my ($text, $message, $name) = @_;
    my $file = config($text);
    my $run  = run_program('--config', $file, $hello);
    is $run->{status},                     2,                   "$name: status";
    is $run->{err} =~ s/\Q$file\E/FILE/gr, "sprig: $message\n", $name;
    return;
}

subtest 'how a line is read' => sub {
    my $file = config(<<'END');
# a comment
   # another

max-headers = 7
max_request_line=4K      # with a comment
  keepalive  =  no
temp_dir = ${ROOM}
server_header = "  a \"b\" \\ \$ # \x41 ${ROOM} "
access_log_format = %h#1 $x
probe = "/x"	# a tab before it
END
    my %is = printed({ ROOM => '/tmp' }, '--config', $file);
    is $is{max_headers}[0],       '7',                             'a name with dashes';
    is $is{max_request_line}[0],  '4096',                          'no blanks are needed';
    is $is{keepalive}[0],         '0',                             'a switch';
    is $is{temp_dir}[0],          '/tmp',                          'a variable of the environment';
    is $is{server_header}[0],     '"  a \"b\" \\\\ \$ # A /tmp "', 'what quotes keep';
    is $is{access_log_format}[0], '"%h#1 \$x"',   'a # within a word, and a $ alone';
    is $is{probe}[0],             '/x',           'quotes that are not needed';
    is $is{max_headers}[1],       "$file line 4", 'the origin';
    is $is{workers}[1],           'default',      'the origin of others';
};

subtest 'a byte order mark and the line ends of other systems' => sub {
    my %is = printed('--config', config("\xEF\xBB\xBFmax_headers = 7\r\nbacklog = 3\r\n"));
    is "$is{max_headers}[0] $is{backlog}[0]", '7 3', 'both lines';
};

subtest 'what is wrong is said with file and line' => sub {
    refused(
        "\nmax_heders = 5\n",
        'FILE line 2: unknown option max_heders; did you mean max_headers?',
        'a misspelled name'
    );
    refused("\n\nqqq = 5", 'FILE line 3: unknown option qqq', 'a name like no other');
    refused(
        'max_headers = many',
        q{FILE line 1: max_headers must be a whole number from 0 to 100000, got 'many'},
        'a value'
    );
    refused('reload = maybe', q{FILE line 1: reload must be 0 or 1, got 'maybe'},
        'a switch of the program');
    refused("port = x\n", q{FILE line 1: port must be a whole number from 0 to 65535, got 'x'},
        'a port');
    refused("workers 4\n",
        'FILE line 1: a line must be "option = value", "@include FILE" or a comment', 'no =');
    refused(
        'probe = "/x',
        'FILE line 1: a quote is missing at the end of the value',
        'an open quote'
    );
    refused(
        'probe = "/x" y',
        'FILE line 1: nothing may follow the quoted value',
        'more behind quotes'
    );
    refused(
        'probe = /x"y',
        'FILE line 1: a quote inside a value: put all of it in quotes, and \ before this',
        'a quote inside'
    );
    refused(
        'probe = "\q"',
        'FILE line 1: a backslash must be followed by \ " $ # n r t or xHH',
        'an unknown escape'
    );
    refused(
        'probe = ${SPRIG_TEST_NOT_THERE}',
        'FILE line 1: the environment has no variable SPRIG_TEST_NOT_THERE',
        'a variable that is not set'
    );
    refused('probe = ${', 'FILE line 1: ${ needs the name of a variable and a }', 'an open brace');
    refused("probe = /\0x", 'FILE line 1: the line has a NUL byte',               'a NUL');
    refused('@use x',       'FILE line 1: the only directive is @include FILE',   'a directive');
    refused(
        'low_water_bytes = 1G',
        q{low_water_bytes must not exceed high_water_bytes (65536), got '1073741824'},
        'what does not fit together'
    );

    for my $name (qw(eval help version config check print_config server)) {
        refused("$name = x", "FILE line 1: $name can only be given on the command line", $name);
    }
    my $run = run_program('--config', "$dir/none", $hello);
    is $run->{err}, "sprig: cannot read $dir/none: No such file or directory\n", 'no such file';
    $run = run_program('--config', $dir, $hello);
    is $run->{err}, "sprig: cannot read $dir: Is a directory\n", 'a folder';
};

subtest '@include' => sub {
    mkdir "$dir/more";
    config("max_headers = 8\n\@include \"more/second.conf\"\n\@include \${WHERE}/third.conf");
    config("backlog = 4\n\@include ../fourth.conf\n", 'more/second.conf');
    config("max_headers = 9\n",                       'third.conf');
    config("probe = /four\n",                         'fourth.conf');
    my %is = printed({ WHERE => $dir }, '--config', "$dir/sprig.conf");
    is $is{backlog}[0],     '4',                            'a path as seen from the file';
    is $is{backlog}[1],     "$dir/more/second.conf line 1", 'its origin';
    is $is{probe}[0],       '/four',                        'a file of a file';
    is $is{max_headers}[0], '9',                            'the last line counts';

    config("\n\@include loop.conf", 'loop.conf');
    my $run = run_program('--config', "$dir/loop.conf", $hello);
    is $run->{err}, "sprig: $dir/loop.conf line 2: files include each other more than 10 deep\n",
        'a circle';
    config("backlog = 1\n\@include nowhere.conf\n");
    $run = run_program('--config', "$dir/sprig.conf", $hello);
    is $run->{err},
        "sprig: $dir/sprig.conf line 2: cannot read $dir/nowhere.conf: No such file or directory\n",
        'no such file';
    config("backlog = x\n", 'third.conf');
    config("\n\@include third.conf");
    $run = run_program('--config', "$dir/sprig.conf", $hello);
    like $run->{err}, qr{\Asprig: \Q$dir\E/third\.conf line 1: backlog must be },
        'a mistake in it has its place';
};

subtest 'what wins' => sub {
    my $file = config("workers = 3\nport = 7002\nmax_headers = 3\n");
    my $is   = sub {
        my ($env, @args) = @_;
        my %is = printed($env, @args);
        return map { @{ $is{$_} || ['', ''] }[0, 1] } qw(workers port);
    };
    my %platform = (WEB_CONCURRENCY => 2, PORT => 7001);
    is_deeply [$is->({})],          [1, 'default',         '',   ''],     'the defaults';
    is_deeply [$is->({%platform})], [2, 'WEB_CONCURRENCY', 7001, 'PORT'], 'then the platform';
    is_deeply [$is->({%platform}, '--config', $file)], [3, "$file line 1", 7002, "$file line 2"],
        'then the file';
    is_deeply [$is->({ %platform, SPRIG_WORKERS => 4 }, '--config', $file)],
        [4, 'SPRIG_WORKERS', 7002, "$file line 2"], 'then the environment';
    is_deeply [
        $is->({ %platform, SPRIG_WORKERS => 4, SPRIG_CONFIG => $file }, '--workers', 5, '-p', 7003)
        ],
        [5, 'command line', 7003, 'command line'], 'and then the command line';
    my $run = run_program({ WEB_CONCURRENCY => 'many' }, $hello);
    like $run->{err},
        qr/\Asprig: WEB_CONCURRENCY: workers must be auto or a whole number .*, got 'many'\n\z/,
        'a platform that is wrong';
    $run = run_program({ PORT => 'tcp' }, $hello);
    is $run->{err}, "sprig: PORT: port must be a whole number from 0 to 65535, got 'tcp'\n",
        'and its port';
};

subtest 'addresses of a stronger place replace those of a weaker one' => sub {
    my $file = config("listen = 127.0.0.1:7001\nlisten = unix:/tmp/x.sock\n");
    my $on   = sub {
        my %is    = printed('--config', $file, @_);
        my @lines = @{ $is{listen} };
        return join ' ', map { $lines[2 * $_] } 0 .. $#lines / 2;
    };
    is $on->(), '127.0.0.1:7001 unix:/tmp/x.sock', 'those of the file';
    is $on->('-l', '127.0.0.1:7003', '-l', ':7004'), '127.0.0.1:7003 :7004',
        'those of the command line';
    is $on->('-p', 7003), ':7003', 'a port is an address, too';
};

subtest 'the file serves: one process, workers, a preloaded application, plackup and a module' =>
    sub {
    my $file = config("max_headers = 3\naccess_log = \${LOG}\nlisten = 127.0.0.1:0\n");
    my $log  = SprigTest::temp_path('log');
    for my $args ([], ['--workers', 2], [qw(--workers 2 --preload-app)]) {
        my $server = start_program({ LOG => $log }, '--config', $file, @$args, $hello);
        is status_of($server, 3), 200, "at the limit: @$args";
        is status_of($server, 4), 431, 'one past it';
        $server->stop_ok;
        like slurp($log), qr{"GET / HTTP/1\.0" 431}, 'a line in the log';
        unlink $log;
    }
    for my $by (qw(module plackup)) {
        my $server = start_server(
            by   => $by,
            code => 'sub { [200, [], ["hello\n"]] }',
            args => { config => $file },
            env  => { LOG    => $log },
        );
        is status_of($server, 3), 200, "at the limit, by $by";
        is status_of($server, 4), 431, 'one past it';
        $server->stop_ok;
    }
    };

# The status of a request with this many header lines.
sub status_of {
    my ($server, $n) = @_;
    my $head = join '', map { "X-$_: y\r\n" } 1 .. $n;
    return $server->ask("GET / HTTP/1.0\r\n$head\r\n")->status;
}

subtest 'options of the program in a file: the application, its environment, modules' => sub {
    my $lib = "$dir/lib";
    mkdir $lib;
    spew("$lib/FromFile.pm", "package FromFile; sub word { 'from the file' } 1;\n");
    my $app  = app_file('sub { [200, [], [FromFile::word(), " in $ENV{PLACK_ENV} for @ARGV"]] }');
    my $file = config(<<"END");
app = $app
include = $lib
module = FromFile
env = staging
listen = 127.0.0.1:0
END
    for my $n (1, 2) {
        my $server = start_program('--config', $file, '--workers', $n);
        is $server->ask("GET / HTTP/1.0\r\n\r\n")->body, 'from the file in staging for ',
            "$n workers";
        $server->stop_ok;
    }
};

subtest 'it prints as it reads' => sub {
    my @odd = (
        q{ },       q{a b},
        q{ a },     q{#},
        q{a #b},    q{"},
        q{a"b},     q{\\},
        q{\\"},     q{$},
        q{${HOME}}, q{'},
        q{=},       q{@include x},
        q{a,b},     "\xC3\xA4\xFF",
        q{;},       q{%},
        q{\\x41},   q{a\\},
        join('', map { chr } 0x21 .. 0x7e),
    );
    for my $odd (@odd) {
        my $run = run_program('--print-config', '--server-header', $odd, '-e', $odd, '-p', 7001);
        is $run->{status}, 0, "printed: $odd";
        my $file  = config($run->{out}, 'printed.conf');
        my $again = run_program('--config', $file, '--print-config');
        is $again->{status}, 0, 'read' or diag $again->{err};
        my ($first, $second) = map { [map { s/ +# .*//r } grep { /^\w/ } split /\n/] } $run->{out},
            $again->{out};
        is_deeply $second, $first, 'the same again';
    }
    my $run = run_program('--print-config', '--config',
        config("server_header = \"x # y\"\nhost = ::1\n"));
    like $run->{out}, qr/^server_header = "x # y" +# /m, 'a #';
    is_deeply [grep { !/\A(?:#|\z)/ && !/\A\w+ = / } split /\n/, $run->{out}], [],
        'nothing but options';
};

subtest 'names of the environment that are no options are warned of' => sub {
    my $run = run_program(
        {
            SPRIG_MAX_HEADRS   => 3,
            SPRIG_SERVICE_HOST => '10.0.0.1',
            SPRIG_DEBUG        => 0,
            SPRIG_MAX_HEADERS  => 4
        },
        '--print-config'
    );
    is $run->{err},
        "sprig: SPRIG_MAX_HEADRS in the environment is not an option of sprig: see sprig --help-all\n",
        'the one';
};

subtest '--check' => sub {
    my $file = config("listen = 127.0.0.1:7001\nworkers = 2\n");
    my $run  = run_program('--check', '--config', $file, $hello);
    is $run->{status}, 0, 'status' or diag $run->{err};
    is $run->{out}, "sprig: OK: $hello on 127.0.0.1:7001 (2 workers, deployment)\n",
        'what would run';
    $run = run_program('--check', '--config', $file, app_file('sub {'));
    is $run->{status}, 1, 'an application that cannot be loaded';
    like $run->{err}, qr/\Asprig: cannot load \S+: Missing right curly/, 'why';
    $run = run_program('--check', '--config', config('max_headers = x'), $hello);
    is $run->{status}, 2, 'a file that is wrong';
};

# ---- HUP ----

# A server on this file, and a code that writes it anew and waits for the message.
sub with_file {
    my ($text, @args) = @_;
    my $file   = config($text);
    my $server = start_program('--config', $file, '-l', '127.0.0.1:0', @args, $hello);
    my $reload = sub {
        my ($new, $message) = @_;
        config($new);
        kill HUP => $server->pid;
        my $is_told = $server->stderr_like($message);
        ok $is_told, "told: $message" or diag $server->stderr;
        return;
    };
    return ($server, $reload, $file);
}

for my $args ([], ['--workers', 2], [qw(--workers 2 --preload-app)]) {
    subtest "HUP reads the file anew: @$args" => sub {
        my ($server, $reload, $file) = with_file("max_headers = 3\n", @$args);
        my $done =
            @$args
            ? qr/reloaded: all workers are of generation 2/
            : qr/HUP: the options were read again; with/;
        is status_of($server, 4), 431, 'one past the limit';
        $reload->("max_headers = 4\n", $done);
        ok eventually(sub { status_of($server, 4) == 200 }), 'the new limit';    # not yet of an old worker
        is status_of($server, 5), 431, 'one past it';
        $reload->(
            "max_headers = 5\nmax_heders = 6\n",
            qr/(?:cannot reload|nothing has changed): \Q$file\E line 2: unknown option max_heders; did you mean max_headers\?/
        );
        is status_of($server, 5), 431, 'a broken file keeps the old one';
        $reload->(
            "max_headers = 6\nbacklog = 7\numask = 77\n",
            qr/a change of backlog, umask needs a restart/
        );
        ok $server->stderr_like(qr/reloaded: all workers are of generation 3$/m), 'reloaded'
            if @$args;
        ok eventually(sub { status_of($server, 6) == 200 }), 'the rest counts';
        $server->stop_ok;
    };
}

subtest 'HUP changes the number of workers' => sub {
    my ($server, $reload) = with_file("workers = 2\n");
    $reload->("workers = 3\n", qr/reloaded: all workers are of generation 2/);
    like $server->stderr, qr/ 3 workers$/m, 'one more';
    $reload->("workers = 2\n", qr/reloaded: all workers are of generation 3/);
    like $server->stderr, qr/ 2 workers$/m, 'one less';
    $server->stop_ok;
};

subtest 'HUP: the error log in one process, and what ctl config says then' => sub {
    my $dir  = SprigTest::temp_path("hup");
    mkdir $dir;
    my $conf = spew("$dir/conf", "log_level = error\nerror_log = $dir/one\nadmin = unix:$dir/ctl\n");
    my $app  = spew("$dir/app.psgi", "sub { print STDERR qq{said\\n}; [200, [], ['x']] }");
    local $ENV{SPRIG_MAX_HEADERS} = 55;
    my $server = start_redirected({}, '-l', '127.0.0.1:0', '--config', $conf, $app);
    $server->ask("GET / HTTP/1.0\r\n\r\n");
    like slurp("$dir/one"), qr/^said$/m, 'at first';
    spew($conf, "log_level = info\nerror_log = $dir/two\nerror_log_format = json\nadmin = unix:$dir/ctl\n");
    kill HUP => $server->pid;
    ok SprigTest::Server::_until(30, sub { -e "$dir/two" && slurp("$dir/two") =~ /HUP: the options were read again/ }),
        'the new file has the message';
    $server->ask("GET / HTTP/1.0\r\n\r\n");
    my @lines = map { JSON::PP::decode_json($_) } split /\n/, slurp("$dir/two");
    is scalar(grep { $_->{body} =~ /HUP/ && $_->{severityText} eq 'WARN' } @lines), 1, 'as JSON, of the new level';
    is scalar(grep { $_->{body} eq 'said' } @lines), 1, 'and what the application prints';
    unlike slurp("$dir/one"), qr/HUP/, 'the old one has not';
    my $config = run_program('ctl', '--admin', "unix:$dir/ctl", 'config')->{out};
    like $config, qr/^error_log_format = json +# \Q$conf\E line 3$/m, 'ctl config: of the file';
    like $config, qr/^max_headers = 55 +# SPRIG_MAX_HEADERS$/m, 'of the environment';
    like $config, qr/^backlog = 0 +# default$/m, 'a default';
    $server->stop_ok;
};

subtest 'HUP opens another access log in one process; requests in progress keep theirs' => sub {
    my ($one, $other) = map { SprigTest::temp_path($_) } qw(one other);
    my $file   = config("access_log = $one\naccess_log_format = %r old\n");
    my $server = start_program('--config', $file, '-l', '127.0.0.1:0', '-MAnyEvent', '-e', <<'END');
sub { my ($env) = @_; $env->{PATH_INFO} eq '/slow' or return [200, [], ["x"]];
    sub { my ($respond) = @_; my $w; $w = AE::timer 1, 0, sub { undef $w; $respond->([200, [], ["slow"]]) } } }
END
    my $slow = $server->connect;
    $slow->send("GET /slow HTTP/1.0\r\n\r\n");
    $server->ask("GET /before HTTP/1.0\r\n\r\n");
    config("access_log = $other\naccess_log_format = new %m %U\n");
    kill HUP => $server->pid;
    ok $server->stderr_like(qr/the options were read again/), 'told';
    $server->ask("GET /behind HTTP/1.0\r\n\r\n");
    like $slow->rest, qr/slow/, 'the slow one is answered';
    $server->stop_ok;
    is slurp($one),   "GET /before HTTP/1.0 old\nGET /slow HTTP/1.0 old\n", 'the old log';
    is slurp($other), "new GET /behind\n",                                  'the new log';
};

done_testing;
