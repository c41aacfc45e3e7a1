# What a line of the access log says, for every kind of answer.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use POSIX qw(strftime);
use SprigTest;
use SprigTest::Program;
use Test::More;

my $code = <<'END';
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    $env->{REMOTE_USER} = "jo\"e\x01\xe4" if $path =~ /user/;
    return [204, [], []] if $path eq '/204';
    return [304, [], []] if $path eq '/304';
    return [200, ['X-Two' => 'a', 'x-two' => 'b', 'X-Quote' => '"'], ['x' x 10, 'y']]
        if $path eq '/out';
    die "oops\n" if $path eq '/die';
    if ($path eq '/slow') { select undef, undef, undef, 0.05 }
    if ($path eq '/blocked') { select undef, undef, undef, 0.5 }
    if ($path eq '/soon') {
        return sub {
            my ($respond) = @_;
            our $timer = AE::timer(0.3, 0, sub { $respond->([200, [], ['late']]) });
        };
    }
    if ($path eq '/short') {
        return sub {
            my $writer = $_[0]->([200, ['Content-Length' => 1000]]);
            $writer->write('x' x 100);
            $writer->close;
        };
    }
    if ($path eq '/never') { push our @kept, my $r = 1; return sub { push @kept, @_ } }
    if ($path eq '/chunks') {
        return sub {
            my $writer = $_[0]->([200, []]);
            $writer->write('x' x 1000) for 1 .. 3;
            $writer->close;
        };
    }
    return [200, ['Content-Type' => 'text/plain'], ['hello']];
};
END

# The lines of a server with this format for these requests; each on a connection of its own.
sub lines_of {
    my ($format, $requests, %args) = @_;
    my $log    = SprigTest::temp_path('log');
    my $server = start_server(
        code => $code,
        by   => 'module',
        args => { access_log => $log, access_log_format => $format, %args }
    );
    for my $request (@$requests) {
        my $client = $server->connect;
        $client->send($request);
        $client->response(method => $request =~ /\A(\S+)/ ? $1 : '');
    }
    $server->stop;
    my @lines = split /(?<=\n)/, slurp($log);
    shift @lines if @lines > @$requests;    # of the look whether the server is there
    return @lines;
}

sub get { return "GET $_[0] HTTP/1.1\r\nHost: some:80\r\n" . ($_[1] || '') . "\r\n" }

sub line_is {
    my ($format, $request, $expected, $name, %args) = @_;
    my ($line) = lines_of($format, [$request], %args);
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return ref $expected
        ? like($line, $expected, $name   || $format)
        : is($line, "$expected\n", $name || $format);
}

my $time = qr{\[\d\d/[A-Z][a-z]{2}/\d{4}:\d\d:\d\d:\d\d [+-]\d{4}\]};

subtest 'the formats that have names' => sub {
    my $request = get('/?a=b', "Referer: http://r/\r\nUser-Agent: Me/1.0 (x)\r\n");
    my $common  = qr{127\.0\.0\.1 - - $time "GET /\?a=b HTTP/1\.1" 200 5};
    line_is(
        undef, $request,
        qr{\A$common "http://r/" "Me/1\.0 \(x\)"\n\z},
        'combined is the default'
    );
    line_is('combined', $request, qr{\A$common "http://r/" "Me/1\.0 \(x\)"\n\z});
    line_is('common',   $request, qr{\A$common\n\z});
    line_is('combined', get('/'), qr{ "-" "-"\n\z}, 'what the request lacks is a dash');
};

subtest 'each directive' => sub {
    my $request  = get('/a%20b/%22?q=%31', "X-One: 1\r\nX-One: 2\r\nContent-Type: t\r\n");
    my %expected = (
        '%%'                 => '%',
        '%h'                 => '127.0.0.1',
        '%l'                 => '-',
        '%u'                 => '-',
        '%t'                 => qr{\A$time\z},
        '%r'                 => 'GET /a%20b/%22?q=%31 HTTP/1.1',
        '%s'                 => '200',
        '%>s'                => '200',
        '%<s'                => '200',
        '%b'                 => '5',
        '%T'                 => '0',
        '%D'                 => qr{\A\d{1,6}\z},
        '%v'                 => '127.0.0.1',
        '%V'                 => 'some',
        '%p'                 => qr{\A\d{4,5}\z},
        '%P'                 => qr{\A\d+\z},
        '%m'                 => 'GET',
        '%U'                 => '/a b/\x22',
        '%q'                 => '?q=%31',
        '%H'                 => 'HTTP/1.1',
        '%{X-One}i'          => '1, 2',
        '%{x_one}i'          => '1, 2',
        '%{Content-Type}i'   => 't',
        '%{X-None}i'         => '-',
        '%{Content-Type}o'   => 'text/plain',
        '%{Content-Length}o' => '5',
        '%{X-None}o'         => '-',
        '%{%Y}t'             => qr{\A\[\d{4}\]\z},
        'a %m%m b'           => 'a GETGET b',
        '%l%%%l'             => '-%-',
    );
    my @formats = sort keys %expected;
    my ($line)  = lines_of(join('~', @formats), [$request]);
    my @fields  = split /~/, $line =~ s/\n\z//r, -1;
    for my $format (@formats) {
        my $field = shift @fields;
        ref $expected{$format}
            ? like($field, $expected{$format}, $format)
            : is($field, $expected{$format}, $format);
    }
    is scalar @fields, 0, 'nothing else';
    line_is('%q|', get('/'),                 '|',         'no query');
    line_is('%H',  "GET / HTTP/1.0\r\n\r\n", 'HTTP/1.0',  'HTTP/1.0');
    line_is('%V',  "GET / HTTP/1.0\r\n\r\n", '127.0.0.1', 'no Host');
    line_is('%{X-Two}o %{X-Quote}o %{Content-Length}o',
        get('/out'), 'a, b \x22 11', 'headers of the response');
    line_is('%u %s', get('/user'), 'jo\x22e\x01\xE4 200', 'the user that the application tells');
    like + (lines_of('%D', [get('/slow')]))[0], qr/\A[5-9]\d{4}|\A\d{6}/,
        'microseconds until the end';
};

subtest 'bytes of clients do no harm' => sub {
    my $request = get('/', "User-Agent: a\"b\\c\xe4\td\r\nReferer: \"\r\n");
    line_is('%{User-Agent}i|%{Referer}i', $request, 'a\x22b\x5Cc\xE4\x09d|\x22', 'headers');
    line_is(
        '"%r" %s',
        "GET /\"\\ HTTP/1.1\r\nHost: a\r\n\r\n",
        '"GET /\x22\x5C HTTP/1.1" 200',
        'the request line'
    );
    my $all  = join '', map { chr } grep { $_ != 10 && $_ != 13 } 0 .. 255;
    my $line = "X $all";
    $line =~ s/([^ !#-\[\]-~])/sprintf '\\x%02X', ord $1/ge;
    line_is('%r', "X $all\r\n\r\n", $line, 'every byte, in what is no request');
};

subtest 'answers of every kind' => sub {
    my $format = '%r %s %b';
    my @cases  = (
        [get('/'),                             'GET / HTTP/1.1 200 5'],
        ["HEAD / HTTP/1.1\r\nHost: a\r\n\r\n", 'HEAD / HTTP/1.1 200 -'],
        [get('/204'),                          'GET /204 HTTP/1.1 204 -'],
        [get('/304'),                          'GET /304 HTTP/1.1 304 -'],
        [get('/chunks'),                       'GET /chunks HTTP/1.1 200 3000'],
        [get('/die'),                          'GET /die HTTP/1.1 500 21'],
        [get('/short'),                        'GET /short HTTP/1.1 200 100'],
        ["nonsense\r\n\r\n",                   'nonsense 400 11'],
        ["GET / HTTP/1.1\r\n\r\n",             'GET / HTTP/1.1 400 11'],
        ["\r\nGET / HTTP/3.0\r\n\r\n",         'GET / HTTP/3.0 505 26'],
        ["POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\n", 'POST / HTTP/1.1 413 17'],
        [
            "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nB\r\n",
            'POST / HTTP/1.1 413 17'
        ],
    );
    my @lines = lines_of($format, [map { $_->[0] } @cases], max_body_bytes => 10);
    is(shift @lines, "$_->[1]\n", $_->[1]) for @cases;
};

subtest 'who leaves early' => sub {
    my $log    = SprigTest::temp_path('log');
    my $server = start_server(
        code => $code,
        by   => 'module',
        args => { access_log => $log, access_log_format => '%r %s', header_timeout => 0.3 }
    );
    my @cases = (
        [get('/never'), 'GET /never HTTP/1.1 499', 'before the answer', 'reset'],
        [get('/soon'),  'GET /soon HTTP/1.1 499',  'before the answer, by FIN', 'close'],
        [get('/blocked'), 'GET /blocked HTTP/1.1 499', 'while the app keeps the loop', 'close'],
        [
            "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\n\r\nabc",
            'POST / HTTP/1.1 400',
            'inside the body', 'close'
        ],
    );
    for my $case (@cases) {
        my $client = $server->connect;
        $client->send($case->[0]);
        $client->is_quiet(0.1);
        my $leave = $case->[3];
        $client->$leave;
        ok log_has($log, qr/^\Q$case->[1]\E\n/m), $case->[2];
    }
    my $late = $server->connect;
    $late->send("GET /late HTT");
    $late->response;
    ok log_has($log, qr/^GET \/late HTT 408\n/m), 'with half a head';
    $server->connect->close;
    $server->stop;
    unlike slurp($log), qr/^-|^ /m, 'no line without a request';
};

subtest 'pipelined requests have their lines in order' => sub {
    my $n      = 100;
    my $log    = SprigTest::temp_path('log');
    my $server = start_server(
        code => $code,
        by   => 'module',
        args => { access_log => $log, access_log_format => '%U' }
    );
    my $client = $server->connect;
    $client->send(join '', map { get("/p$_") } 1 .. $n);
    $client->response for 1 .. $n;
    $server->stop;
    is join(' ', grep { m{/p} } split /\n/, slurp($log)), join(' ', map { "/p$_" } 1 .. $n), 'all';
};

subtest 'the client of a trusted proxy' => sub {
    my @args = ('%h', get('/', "X-Forwarded-For: 192.0.2.7\r\n"));
    line_is(@args, '192.0.2.7', 'is named', trusted_proxies => '127.0.0.1');
    line_is(@args, '127.0.0.1', 'nobody else\'s');
};

subtest 'formats that cannot be' => sub {
    my %wrong = (
        '%'     => '%',
        '%Z'    => '%Z',
        '%{a}x' => '%{a}x',
        '%{}i'  => '%{}i',
        '%{a'   => '%{',
        '%>'    => '%>'
    );
    for my $format (sort keys %wrong) {
        my $run = run_program('--access-log-format', $format, '-e', 'sub {}');
        is $run->{status}, 2,                                                         "'$format'";
        is $run->{err}, "sprig: access_log_format: there is no directive '$wrong{$format}'\n", '... and why';
    }
};

done_testing;

# Waits until the file matches.
sub log_has {
    my ($path, $pattern) = @_;
    return SprigTest::Server::_until(30, sub { slurp($path) =~ $pattern });
}
