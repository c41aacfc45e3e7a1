# What comes out: status line, framing, the headers that the server adds, changes or drops.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

# The app answers with the response that the query string names; /closed tells how often body objects
# were closed.
my $code = <<'APP';
use strict;
use warnings;
my $closed = 0;
{
    package Body;
    sub new { my ($class, @parts) = @_; bless { parts => [@parts] }, $class }
    sub getline { shift @{ $_[0]{parts} } }
    sub close { $closed++ }
}
my $wide = "\x{e4}\x{f6}";
utf8::upgrade($wide);
my %answer = (
    array       => sub { [200, ['Content-Type' => 'text/plain'], ['a', 'bc', '', '0']] },
    empty       => sub { [200, [], []] },
    upgraded    => sub { [200, [], [$wide, 'x']] },
    upgraded_header => sub { [200, ['X-A' => $wide], ['x']] },
    iterator    => sub { [200, [], Body->new('a', '', 'bc', '0')] },
    iterator_length => sub { [200, ['Content-Length' => 4], Body->new('a', 'bc', '0')] },
    iterator_empty  => sub { [200, [], Body->new] },
    file        => sub { open my $fh, '<', $0 or die; [200, [], $fh] },
    framed      => sub { [200, ['Transfer-Encoding' => 'chunked'], ["3\r\nabc\r\n", "0\r\n\r\n"]] },
    framed_iterator => sub { [200, ['Transfer-Encoding' => 'chunked'], Body->new("3\r\nabc\r\n0\r\n\r\n")] },
    short       => sub { [200, ['Content-Length' => 10], ['abc']] },
    short_iterator => sub { [200, ['Content-Length' => 10], Body->new('abc')] },
    long        => sub { [200, ['Content-Length' => 2], ['a', 'bcd']] },
    long_iterator => sub { [200, ['Content-Length' => 2], Body->new('a', 'bcd', 'e')] },
    exact       => sub { [200, ['Content-Length' => 3], ['abc']] },
    no_content  => sub { [204, [], []] },
    no_content_body => sub { [204, ['Content-Length' => 3, 'X-A' => 1], Body->new('abc')] },
    not_modified => sub { [304, ['ETag' => '"x"'], []] },
    not_modified_body => sub { [304, ['Content-Length' => 3], Body->new('abc')] },
    close       => sub { [200, ['Connection' => 'close'], ['x']] },
    close_case  => sub { [200, ['connection' => 'Close'], ['x']] },
    keep_alive  => sub { [200, ['Connection' => 'keep-alive', 'Keep-Alive' => 'timeout=5'], ['x']] },
    upgrade     => sub { [200, ['Connection' => 'upgrade', 'Upgrade' => 'foo'], ['x']] },
    date        => sub { [200, ['Date' => 'Thu, 01 Jan 1970 00:00:00 GMT'], ['x']] },
    server      => sub { [200, ['Server' => 'app'], ['x']] },
    cookies     => sub { [200, ['Set-Cookie' => 'a=1', 'X-A' => 'x', 'Set-Cookie' => 'b=2', 'x-a' => 'y'], ['x']] },
    odd_status  => sub { [299, [], ['x']] },
    last_status => sub { [999, [], ['x']] },
    not_found   => sub { [404, [], ['x']] },
    empty_value => sub { [200, ['X-A' => '', 'X-B' => '0', 'X-C' => " \t c "], ['x']] },
    string      => sub { [200, [], 'abc'] },
);
sub {
    my ($env) = @_;
    return [200, [], [$closed]] if $env->{PATH_INFO} eq '/closed';
    return $answer{ $env->{QUERY_STRING} }->();
};
APP

my $server = start_server(code => $code);

# One answer on a connection of its own; the second value is the client.
sub answer {
    my ($name, %option) = @_;
    my $method  = $option{method}  || 'GET';
    my $version = $option{version} || '1.1';
    my $lines   = $option{lines}   || '';
    my $client  = ($option{server} || $server)->connect;
    $client->send("$method /?$name HTTP/$version\r\nHost: a\r\n$lines\r\n");
    my $response = $client->response(method => $method);
    return wantarray ? ($response, $client) : $response;
}

# The connection is good for another request.
sub goes_on {
    my ($client, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    $client->send("GET /?exact HTTP/1.1\r\nHost: a\r\n\r\n");
    return is($client->response->body, 'abc', "$name: the connection goes on");
}

sub n_closed {
    return $server->ask("GET /closed HTTP/1.1\r\nHost: a\r\n\r\n")->body;
}

sub is_framed {
    my ($name, $framing, $body, %option) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($response, $client) = answer($name, %option);
    my $label = join ' ', $name, map { "$_=$option{$_}" } grep { $_ ne 'lines' } sort keys %option;
    is($response->framing, $framing, "$label: framed by $framing");
    is($response->body,    $body,    "$label: the body");
    return ($response, $client);
}

subtest 'bodies of known length' => sub {
    my %body = (
        array           => 'abc0',
        empty           => '',
        upgraded        => "\xe4\xf6x",
        exact           => 'abc',
        iterator_length => 'abc0',
        string          => 'abc'
    );
    for my $name (sort keys %body) {
        my ($response, $client) = is_framed($name, 'length', $body{$name});
        is($response->header('Content-Length'), length $body{$name}, "$name: Content-Length");
        is($response->header('Connection'),     undef,               "$name: no Connection header");
        goes_on($client, $name);
        is_framed($name, 'length', $body{$name}, version => '1.0');
    }
    my $file = answer('file');
    is($file->header('Content-Length'), length $file->body, 'a file has its length');
};

subtest 'bodies of unknown length' => sub {
    for my $case ([iterator => 'abc0'], [iterator_empty => '']) {
        my ($name,     $body)   = @$case;
        my ($response, $client) = is_framed($name, 'chunked', $body);
        goes_on($client, $name);
        ($response, $client) = is_framed($name, 'close', $body, version => '1.0');
        is($client->error, undef, "$name: an orderly end");
        my $lines = "Connection: keep-alive\r\n";
        ($response, $client) = is_framed($name, 'close', $body, version => '1.0', lines => $lines);
        isnt(lc($response->header('Connection') || ''), 'keep-alive', "$name: no false promise");
        ($response, $client) = is_framed($name, 'chunked', $body, lines => "Connection: close\r\n");
        ok($client->is_closed, "$name: closed as asked");
    }
};

subtest 'bodies that the app has framed are passed through' => sub {
    for my $name (qw(framed framed_iterator)) {
        my ($response, $client) = is_framed($name, 'chunked', 'abc');
        is_deeply($response->chunks, [3], "$name: not chunked twice");
        goes_on($client, $name);
    }
};

subtest 'an announced length is kept' => sub {
    for my $name (qw(long long_iterator)) {
        my ($response, $client) = is_framed($name, 'length', 'ab');
        ok($client->half_close->is_closed,                     "$name: no byte more");
        ok($server->stderr_like(qr/more|long|beyond|exceed/i), "$name: it is logged");
    }
    for my $name (qw(short short_iterator)) {
        my ($response, $client) = answer($name);
        ok(!$response->is_complete,          "$name: does not look complete");
        ok($client->eof,                     "$name: the connection ends");
        ok($server->stderr_like(qr/short/i), "$name: it is logged");
    }
};

subtest 'responses without a body' => sub {
    my $before = n_closed();
    my $n      = 0;
    for my $name (qw(no_content no_content_body not_modified not_modified_body)) {
        my ($response, $client) = is_framed($name, 'none', '');
        is($response->header('Content-Type'), undef, "$name: nothing added");
        goes_on($client, $name);
        is(answer($name, version => '1.0')->version, '1.0', "$name: to HTTP/1.0, too");
        $n += 2 if $name =~ /body/;
    }
    is(answer('not_modified_body')->header('Content-Length'), 3, '304 keeps its Content-Length');
    $n++;
    my @heads = qw(array exact iterator iterator_length file framed short long not_found);
    for my $name (@heads) {
        my ($response, $client) = is_framed($name, 'none', '', method => 'HEAD');
        goes_on($client, "HEAD $name");
        $n++ if $name =~ /iterator/;
    }
    is(answer('array', method => 'HEAD')->header('Content-Length'), 4,  'HEAD tells the length');
    is(answer('short', method => 'HEAD')->header('Content-Length'), 10, 'as the app has it');
    is(n_closed(), $before + $n, 'each body object was closed once');
};

subtest 'each body object is closed once' => sub {
    my $before = n_closed();
    answer($_) for qw(iterator iterator_length iterator_empty long_iterator short_iterator);
    is(n_closed(), $before + 5, 'whatever became of it');
};

subtest 'Connection' => sub {
    for my $name (qw(close close_case)) {
        my ($response, $client) = answer($name);
        is_deeply([map { lc } $response->header('Connection')], ['close'], "$name: told once");
        ok($client->is_closed, "$name: and done");
        is_deeply(
            [map { lc } answer($name, lines => "Connection: close\r\n")->header('Connection')],
            ['close'], "$name: once if both want it");
    }
    my ($response, $client) = answer('keep_alive');
    is($response->header('Connection'), undef, 'keep-alive of the app is dropped');
    is($response->header('Keep-Alive'), undef, 'Keep-Alive, too');
    goes_on($client, 'keep_alive');
    ($response, $client) = answer('keep_alive', version => '1.0');
    ok($client->is_closed, 'it does not keep an HTTP/1.0 connection');
    ($response, $client) = answer('upgrade');
    is($response->header('Upgrade'), undef, 'Upgrade is for 101 only');
    goes_on($client, 'upgrade');
    ($response, $client) = answer('array', version => '1.0', lines => "Connection: keep-alive\r\n");
    is_deeply([map { lc } $response->header('Connection')], ['keep-alive'], 'HTTP/1.0 is told');
    goes_on($client, 'keep-alive on HTTP/1.0');
};

subtest 'Date and Server' => sub {
    my $response = answer('array');
    my @dates    = $response->header('Date');
    is(scalar @dates, 1, 'there is one Date');
    like(
        $dates[0], qr/\A(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun),[ ][0-3][0-9][ ][A-Z][a-z]{2}[ ]20[0-9]{2}
        [ ][0-2][0-9]:[0-5][0-9]:[0-6][0-9][ ]GMT\z/x, 'in the right form'
    );
    is_deeply(
        [answer('date')->header('Date')],
        ['Thu, 01 Jan 1970 00:00:00 GMT'],
        'the app may send its own'
    );
    is($response->header('Server'), undef, 'no Server by default');
    is_deeply([answer('server')->header('Server')], ['app'], 'the app may send one');
    my $other = start_server(code => $code, args => { server_header => 'Sprig/1' });
    is_deeply([answer('array',  server => $other)->header('Server')], ['Sprig/1'], 'or the option');
    is_deeply([answer('server', server => $other)->header('Server')], ['app'],     'the app wins');
    $other->stop_ok;
};

subtest 'status lines' => sub {
    my $response = answer('not_found');
    is($response->status . ' ' . $response->reason, '404 Not Found', 'a registered status');
    is(answer('odd_status')->status,                299,             'one without a name');
    is(answer('last_status')->status,               999,             'the largest');
    like(answer('odd_status')->head, qr/\AHTTP\/1\.1 299 [^\r]*\r\n/, 'keeps the space');
    is(answer('array', version => '1.0')->version, '1.0', 'HTTP/1.0 is answered as HTTP/1.0');
};

subtest 'headers keep their order and number' => sub {
    my $response = answer('cookies');
    is_deeply([$response->header('Set-Cookie')], ['a=1', 'b=2'], 'cookies on lines of their own');
    is_deeply([$response->header('X-A')],        ['x',   'y'],   'other repeated headers, too');
    like(
        $response->head,
        qr/Set-Cookie: a=1\r\nX-A: x\r\nSet-Cookie: b=2\r\nx-a: y\r\n/,
        'order and case are kept'
    );
    $response = answer('empty_value');
    is($response->header('X-A'),                 '',  'an empty value');
    is($response->header('X-B'),                 '0', 'one that is false in Perl');
    is($response->header('X-C'),                 'c', 'white space around one is no part of it');
    is(answer('upgraded_header')->header('X-A'), "\xe4\xf6", 'values go out as bytes');
};

$server->stop_ok;
done_testing;
