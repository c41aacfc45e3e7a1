# HTTP/2: what an application sees of it and what its client gets, with TLS and without; several
# requests at once; HTTP/1 on the same port.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::MD5 qw(md5_hex);
use SprigTest;
use SprigTest::Http2;
use SprigTest::Tls;
use Test::More;

need_http2('curl');

my $large = join '', map { chr($_ * 7 % 251) x 4099 } 1 .. 1600;
my $file  = spew(SprigTest::temp_path('file'), $large);

my $app = <<'END';
my $file = $ENV{TEST_FILE};
my ($writer, @seen);
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [200, [], [join ' ', map { defined $env->{$_} ? $env->{$_} : '-' } split /,/, $env->{QUERY_STRING}]]
        if $path eq '/env';
    if ($path eq '/file') {
        open my $fh, '<:raw', $file or die;
        return [200, ['Content-Length' => -s $file], $fh];
    }
    if ($path eq '/length') {
        my ($n, $chunk) = (0);
        $n += length $chunk while $env->{'psgi.input'}->read($chunk, 8192);
        return [200, [], [join ' ', $n, defined $env->{CONTENT_LENGTH} ? $env->{CONTENT_LENGTH} : '-']];
    }
    if ($path eq '/hold') {
        return sub { $writer = $_[0]->([200, ['Content-Type' => 'text/plain']]); $writer->write('held') };
    }
    if ($path eq '/let-go') {
        $writer->write(', let go');
        $writer->close;
        return [200, [], ['done']];
    }
    if ($path eq '/socket') {
        return sub { $_[0]->([200, [], [join ' ', scalar @_, defined $_[1] ? 'socket' : 'none']]) };
    }
    return [204, [], []] if $path eq '/none';
    return [304, ['ETag' => '"x"'], []] if $path eq '/same';
    return [200, ['Connection' => 'X-A, close', 'Keep-Alive' => 'x', 'X-UPPER' => ' v '], ['fields']] if $path eq '/fields';
    if ($path eq '/chunks') {
        my @pieces = split /\|/, $env->{QUERY_STRING} =~ s/%0D%0A/\r\n/gr;
        return sub {
            my $writer = $_[0]->([200, ['Transfer-Encoding' => 'chunked']]);
            $writer->write($_) for @pieces;
            $writer->close;
        };
    }
    return [200, ['X-A' => "a\nb"], ['never seen']] if $path eq '/bad';
    return [200, ['Content-Length' => 10], ['short']] if $path eq '/short';
    return [200, ['Content-Length' => 2],  ['long']]  if $path eq '/long';
    die "no more\n" if $path eq '/die';
    if ($path eq '/die-later') {
        return sub { my $w = $_[0]->([200, []]); $w->write('x' x 100); die "no more\n" };
    }
    if ($path eq '/hints') {
        $env->{'psgix.informational'}->(103, ['Link' => '</a.css>; rel=preload']);
        return [200, [], ['after hints']];
    }
    return [200, [map { ("X-$_" => 'v' x 4000) } 1 .. 30], ['after it']] if $path eq '/large-head';
    return [200, ['X-Path' => $path], ['hello']];
}
END

sub start {
    my (%option) = @_;
    return start_server(
        by   => 'program',
        code => $app,
        env  => { TEST_FILE => $file },
        %option
    );
}

my ($log, $socket) = map { SprigTest::temp_path($_) } qw(log socket);
my $server = start(
    flags => ['--listen', '127.0.0.1:0,h2c', '--listen', "$socket,h2c"],
    args  => { access_log => $log }
);

sub fetch {
    my (@args) = @_;
    return scalar output_of('curl', '-sS', '--max-time', 10, @args);
}

subtest 'what an application sees' => sub {
    my $h2  = SprigTest::Http2->connect($server);
    my $env = sub {
        my ($keys, @fields) = @_;
        my $id = $h2->request("/env?$keys", fields => \@fields);
        return $h2->response($id)->{body};
    };
    is($env->('SERVER_PROTOCOL,REQUEST_METHOD,psgi.url_scheme'), 'HTTP/2 GET http', 'the protocol');
    is(
        $env->('HTTP_HOST,SERVER_NAME', ':authority' => 'a.example:81'),
        'a.example:81 127.0.0.1',
        ':authority is the host'
    );
    is($env->('HTTP_HOST', ':authority' => undef, host => 'b.example'), 'b.example', 'or Host');
    is(
        $env->('HTTP_COOKIE', cookie => 'a=1', cookie => 'b=2', 'x-y' => 1, cookie => 'c=3'),
        'a=1; b=2; c=3',
        'crumbs of cookies are put together'
    );
    is($env->('HTTP_X_A', 'x-a' => '1', 'x-a' => '2'), '1, 2', 'other fields as in HTTP/1');
    is($env->('HTTP_X_B', 'x_b' => '1'),  '-',   'names with an underscore are dropped');
    is($env->('CONTENT_LENGTH,psgix.io'), '- -', 'no socket, and no length where none was told');
    is($h2->response($h2->request('/socket'))->{body}, '2 none', 'nor as an argument');
    is($h2->response($h2->request('/length', body => 'abc'))->{body},
        '3 3', 'the length of a body is known once it is complete');
    is(
        $h2->response($h2->request('/length', body => 'abcd', fields => ['content-length' => 4]))
            ->{body},
        '4 4',
        'or told'
    );
    is(
        $h2->response($h2->request('/length', body => 'abc', fields => ['content-length' => 4]))
            ->{reset},
        1,
        'told wrong, the stream is reset'
    );
};

subtest 'responses' => sub {
    my $h2   = SprigTest::Http2->connect($server);
    my $get  = sub { return $h2->response($h2->request(@_)) };
    my $head = $get->('/x', fields => [':method' => 'HEAD']);
    is("$head->{status} $head->{body} $head->{headers}{'content-length'}", '200  5', 'HEAD');
    my $none = $get->('/none');
    is("$none->{status} $none->{body}", '204 ', 'no body');
    is($get->('/same')->{status},       304,    'nor with 304');
    my $fields = $get->('/fields')->{headers};
    is(
        join(',', sort keys %$fields),
        ':status,content-length,date,x-upper',
        'names in lower case, what is about connections dropped'
    );

    for my $body (
        ['3%0D%0Aabc%0D%0A0%0D%0A%0D%0A', 'abc', 'chunks of the application are taken off'],
        ['3%0D%0Aa|bc|%0D%0A4%0D%0Adefg%0D%0A|0%0D%0A|%0D%0A', 'abcdefg', 'in any pieces'],
        ['3',          '3',         'what only looks like one is not'],
        ['plain|text', 'plaintext', 'and text is text'],
        )
    {
        is($get->("/chunks?$body->[0]")->{body}, $body->[1], $body->[2]);
    }
    is($get->('/chunks?3%0D%0Aabc%0D%0A|x')->{reset}, 2,   'bad chunks are cut');
    is($get->('/bad')->{status},                      500, 'a value that cannot be');
    is($get->('/die')->{status},                      500, 'an application that dies');
    my $cut = $get->('/die-later');
    is("$cut->{status} $cut->{reset}", '200 2', 'in its body: the stream is reset');
    is($get->('/short')->{reset},      2,       'a body that is too short as well');
    is($get->('/long')->{reset},       2,       'and one that is too long');
    my $hints = $get->('/hints');
    is("@{ $hints->{interim} } $hints->{body}", '103 after hints', 'interim responses');
    is($get->('/x')->{body},                    'hello', 'the connection goes on all the while');
};

subtest 'many at once' => sub {
    my $h2   = SprigTest::Http2->connect($server);
    my $held = $h2->request('/hold');
    my @ids  = map { $h2->request("/$_") } 1 .. 50;
    is(
        join(',', map { $h2->response($_)->{headers}{'x-path'} } reverse @ids),
        join(',', map { "/$_" } reverse 1 .. 50),
        'fifty of them, one that waits before them'
    );
    is($h2->response($h2->request('/let-go'))->{body}, 'done',         'and one behind them');
    is($h2->response($held)->{body},                   'held, let go', 'lets it go on');
};

subtest 'large heads and bodies' => sub {
    my $url  = 'http://127.0.0.1:' . $server->port;
    my $head = fetch('--http2-prior-knowledge', '-i', "$url/large-head");
    is(scalar(() = $head =~ /v{4000}/g), 30, 'a head of 120 KB');
    like($head, qr/after it\z/, 'and what comes behind it');
    is(md5_hex(fetch('--http2-prior-knowledge', "$url/file")), md5_hex($large), 'a file');
    is(
        fetch('--http2-prior-knowledge', '-T', $file, "$url/length"),
        length($large) . ' ' . length($large),
        'an upload'
    );
};

subtest 'a body that waits for its invitation' => sub {
    my $h2           = SprigTest::Http2->connect($server);
    my $id           = $h2->request('/length', open => 1, fields => ['expect' => '100-continue']);
    my ($invitation) = grep { $_->{type} eq 'HEADERS' } $h2->until('HEADERS');
    is("$invitation->{id} @{ $invitation->{fields} }", "$id :status 100", 'gets it at once');
    $h2->data($id, 'body', end => 1);
    is($h2->response($id)->{body}, '4 4', 'and comes');
};

subtest 'a unix socket' => sub {
    is(
        fetch(
            '--http2-prior-knowledge', '--unix-socket', $socket, '-T', $file,
            'http://localhost/length'
        ),
        length($large) . ' ' . length($large),
        'is no different'
    );
};

subtest 'HTTP/1 on the same port' => sub {
    is($server->ask("GET /x HTTP/1.1\r\nHost: a\r\n\r\n")->body, 'hello', 'is served');
    my $client = $server->connect;
    $client->send("PRI * HTTP/2.0\r\n\r\nSM\r\n");
    $client->is_quiet(0.1);
    $client->send("\r\n" . SprigTest::Http2::frame('SETTINGS', 0, 0));
    ok($client->wait_for_bytes(9), 'a preface in pieces');
    is(ord(substr $client->buffered, 3, 1), 4, 'is answered with SETTINGS');
};

subtest 'the access log' => sub {
    $server->stop_ok;
    my $text = slurp($log);
    like($text, qr{"GET /x HTTP/2" 200 5 },   'a line');
    like($text, qr{"GET /x HTTP/1.1" 200 5 }, 'HTTP/1 beside it');
};

subtest 'with TLS' => sub {
    need_tls();
    my $pem  = certificate();
    my @args = ('--cacert', $pem->{cert});
    my $tls  = start(args => { host => '127.0.0.1', tls_cert => $pem->{both} });
    my $url  = 'https://localhost:' . $tls->port;
    is(fetch(@args, "$url/env?SERVER_PROTOCOL,psgi.url_scheme"),
        'HTTP/2 https', 'the client chooses it');
    is(fetch(@args, '--http1.1', "$url/env?SERVER_PROTOCOL"), 'HTTP/1.1', 'or HTTP/1');
    is(fetch(@args, '--no-alpn', "$url/env?SERVER_PROTOCOL"), 'HTTP/1.1', 'or nothing');
    is(md5_hex(fetch(@args, "$url/file")), md5_hex($large), 'a large body');
    is(md5_hex(fetch(@args, '--limit-rate', '5M', "$url/file")),
        md5_hex($large), 'that is taken bit by bit');
    is(fetch(@args, '-T', $file, "$url/length"), length($large) . ' ' . length($large),
        'an upload');
    $tls->stop_ok;
    my $off = start(args => { host => '127.0.0.1', tls_cert => $pem->{both}, http2 => 0 });
    is(fetch(@args, 'https://localhost:' . $off->port . '/env?SERVER_PROTOCOL'),
        'HTTP/1.1', 'http2 off: it is not offered');
    $off->stop_ok;
};

done_testing;
