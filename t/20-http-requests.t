# What is accepted, and what the app sees of it: the rows of requests, over a raw socket, each request
# also cut at every byte and sent byte by byte.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Cuts;
use Test::More;

my $server = start_server(app => dump_app());

# Each case: name, bytes, and how the env differs from that of "GET / HTTP/1.1, Host: a" (undef: the
# key is absent; '' is the body).
my @cases = (
    ['the smallest request',               "GET / HTTP/1.1\r\nHost: a\r\n\r\n",         {}],
    ['one empty line before the request',  "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n",     {}],
    ['two empty lines before the request', "\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", {}],
    [
        'HTTP/1.0 without Host',
        "GET / HTTP/1.0\r\n\r\n",
        { SERVER_PROTOCOL => 'HTTP/1.0', HTTP_HOST => undef }
    ],
    ['HTTP/1.0 with Host', "GET / HTTP/1.0\r\nHost: a\r\n\r\n", { SERVER_PROTOCOL => 'HTTP/1.0' }],
    [
        'a query',
        "GET /a?b=1&c=%20 HTTP/1.1\r\nHost: a\r\n\r\n",
        { PATH_INFO => '/a', QUERY_STRING => 'b=1&c=%20', REQUEST_URI => '/a?b=1&c=%20' }
    ],
    [
        'a query that is false in Perl',
        "GET /?0 HTTP/1.1\r\nHost: a\r\n\r\n",
        { QUERY_STRING => '0', REQUEST_URI => '/?0' }
    ],
    [
        'a query with question marks',
        "GET /?a?b HTTP/1.1\r\nHost: a\r\n\r\n",
        { QUERY_STRING => 'a?b', REQUEST_URI => '/?a?b' }
    ],
    ['an empty query', "GET /? HTTP/1.1\r\nHost: a\r\n\r\n", { REQUEST_URI => '/?' }],
    [
        'an escaped slash is decoded once',
        "GET /a%2Fb%252fc HTTP/1.1\r\nHost: a\r\n\r\n",
        { PATH_INFO => '/a/b%2fc', REQUEST_URI => '/a%2Fb%252fc' }
    ],
    [
        'escaped high bytes',
        "GET /%c3%A9%ff HTTP/1.1\r\nHost: a\r\n\r\n",
        { PATH_INFO => '/\xc3\xa9\xff', REQUEST_URI => '/%c3%A9%ff' }
    ],
    [
        'escaped controls are bytes like others',
        "GET /%0a%0d HTTP/1.1\r\nHost: a\r\n\r\n",
        { PATH_INFO => '/\x0a\x0d', REQUEST_URI => '/%0a%0d' }
    ],
    [
        'raw high bytes in path and query',
        "GET /\xc3\xa9?\xe4=\xff HTTP/1.1\r\nHost: a\r\n\r\n",
        {
            PATH_INFO    => '/\xc3\xa9',
            QUERY_STRING => '\xe4=\xff',
            REQUEST_URI  => '/\xc3\xa9?\xe4=\xff'
        }
    ],
    (
        map {
            [
                "a query that is raw: $_",
                "GET /a%20b?$_ HTTP/1.1\r\nHost: a\r\n\r\n",
                { PATH_INFO => '/a b', QUERY_STRING => $_, REQUEST_URI => "/a%20b?$_" }
            ]
        } 'q=100%',
        's=%27%%27', 'q=%u0430', '%', '%0', '%zz', 'a=%00'
    ),
    (
        map {
            [
                "any token is a method: $_",
                "$_ /p HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nhi",
                {
                    REQUEST_METHOD => $_,
                    REQUEST_URI    => '/p',
                    PATH_INFO      => '/p',
                    CONTENT_LENGTH => 2,
                    ''             => 'hi'
                }
            ]
        } qw(QUERY LIST BAN FOO get PRI PROXY), q{!#$%&'*+-.^_`|~}
    ),
    [
        'a chunked body of a method nobody knows',
        "FOO / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n0\r\n\r\n",
        { REQUEST_METHOD => 'FOO', CONTENT_LENGTH => 2, '' => 'hi' }
    ],
    [
        'a plus stays a plus, slashes and dots stay',
        "GET //a+b/../c/. HTTP/1.1\r\nHost: a\r\n\r\n",
        { PATH_INFO => '//a+b/../c/.', REQUEST_URI => '//a+b/../c/.' }
    ],
    [
        'the absolute form names host, path and query',
        "GET http://b:81/x?y HTTP/1.1\r\nHost: a\r\n\r\n",
        { PATH_INFO => '/x', QUERY_STRING => 'y', REQUEST_URI => '/x?y', HTTP_HOST => 'b:81' }
    ],
    [
        'the absolute form without a path',
        "GET http://b HTTP/1.1\r\nHost: a\r\n\r\n",
        { HTTP_HOST => 'b' }
    ],
    [
        'the absolute form with a query only',
        "GET http://b?y HTTP/1.1\r\nHost: a\r\n\r\n",
        { QUERY_STRING => 'y', REQUEST_URI => '/?y', HTTP_HOST => 'b' }
    ],
    [
        'OPTIONS *',
        "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n",
        { REQUEST_METHOD => 'OPTIONS', REQUEST_URI => '*' }
    ],
    [
        'CONNECT has no path',
        "CONNECT b:443 HTTP/1.1\r\nHost: b:443\r\n\r\n",
        { REQUEST_METHOD => 'CONNECT', REQUEST_URI => 'b:443', HTTP_HOST => 'b:443' }
    ],
    [
        'an IPv6 literal in Host',
        "GET / HTTP/1.1\r\nHost: [::1]:5000\r\n\r\n",
        { HTTP_HOST => '[::1]:5000' }
    ],
    [
        'repeated headers are joined by a comma',
        "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX-B: 0\r\nx-a: 2\r\n\r\n",
        { HTTP_X_A => '1, 2', HTTP_X_B => '0' }
    ],
    [
        'repeated cookies are joined by a semicolon',
        "GET / HTTP/1.1\r\nHost: a\r\nCookie: a=1\r\nCookie: b=2\r\n\r\n",
        { HTTP_COOKIE => 'a=1; b=2' }
    ],
    [
        'names with an underscore are dropped',
        "GET / HTTP/1.1\r\nHost: a\r\nX-A: 1\r\nX_A: 2\r\nContent_Length: 3\r\n"
            . "Content_Type: t\r\n\r\n",
        { HTTP_X_A => '1' }
    ],
    ['Proxy is dropped', "GET / HTTP/1.1\r\nHost: a\r\nProxy: http://evil\r\n\r\n", {}],
    [
        'white space around a value is trimmed',
        "GET / HTTP/1.1\r\nHost: a\r\nX-A: \t a \tb \t \r\nX-B:c\r\nX-C: \r\nX-D:\r\n\r\n",
        { HTTP_X_A => 'a \x09b', HTTP_X_B => 'c', HTTP_X_C => '', HTTP_X_D => '' }
    ],
    [
        'high bytes in a value',
        "GET / HTTP/1.1\r\nHost: a\r\nX-A: \xe4\xff\r\n\r\n",
        { HTTP_X_A => '\xe4\xff' }
    ],
    [
        'every character of a token in a name',
        "GET / HTTP/1.1\r\nHost: a\r\nX!#\$%&'*+-.^`|~9: 1\r\n\r\n",
        { 'HTTP_X!#$%&\'*+_.^`|~9' => '1' }
    ],
    [
        'a body by Content-Length',
        "POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Type: a/b\r\n\r\nhe\0\n!",
        {
            REQUEST_METHOD => 'POST',
            REQUEST_URI    => '/p',
            PATH_INFO      => '/p',
            CONTENT_LENGTH => 5,
            CONTENT_TYPE   => 'a/b',
            ''             => "he\0\n!"
        }
    ],
    [
        'a Content-Length of 0',
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n",
        { REQUEST_METHOD => 'POST', CONTENT_LENGTH => 0 }
    ],
    ['a POST without a body', "POST / HTTP/1.1\r\nHost: a\r\n\r\n", { REQUEST_METHOD => 'POST' }],
    [
        'a body on GET',
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nab",
        { CONTENT_LENGTH => 2, '' => 'ab' }
    ],
    [
        'white space around Content-Length',
        "PUT / HTTP/1.1\r\nHost: a\r\nContent-Length:\t 2 \r\n\r\nab",
        { REQUEST_METHOD => 'PUT', CONTENT_LENGTH => 2, '' => 'ab' }
    ],
    [
        'a chunked body',
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            . "3\r\nabc\r\n0a\r\n0123456789\r\n0\r\n\r\n",
        { REQUEST_METHOD => 'POST', CONTENT_LENGTH => 13, '' => 'abc0123456789' }
    ],
    [
        'a chunked body, extensions and trailers',
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n"
            . "2;a=b;c\r\nab\r\n1 ;d=\"e\"\r\nc\r\n00\r\nX-A: 1\r\nContent-Length: 5\r\n\r\n",
        { REQUEST_METHOD => 'POST', CONTENT_LENGTH => 3, '' => 'abc' }
    ],
    [
        'a chunked body that is empty',
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        { REQUEST_METHOD => 'POST', CONTENT_LENGTH => 0 }
    ],
    [
        'chunk data that looks like framing',
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n",
        { REQUEST_METHOD => 'POST', CONTENT_LENGTH => 7, '' => "\r\n0\r\n\r\n" }
    ],
    [
        'Connection is shown to the app',
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
        { HTTP_CONNECTION => 'close' }
    ],
    [
        'an offer to upgrade is not taken up',
        "GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\n"
            . "HTTP2-Settings: AAM\r\n\r\n",
        {
            HTTP_CONNECTION     => 'Upgrade, HTTP2-Settings',
            HTTP_UPGRADE        => 'h2c',
            HTTP_HTTP2_SETTINGS => 'AAM'
        }
    ],
    [
        'an unusual method that is well known',
        "M-SEARCH / HTTP/1.1\r\nHost: a\r\n\r\n",
        { REQUEST_METHOD => 'M-SEARCH' }
    ],
    [
        'Expect on HTTP/1.0 means nothing',
        "GET / HTTP/1.0\r\nHost: a\r\nExpect: 100-continue\r\n\r\n",
        { SERVER_PROTOCOL => 'HTTP/1.0', HTTP_EXPECT => '100-continue' }
    ],
);

my %usual = (
    REQUEST_METHOD  => 'GET',
    REQUEST_URI     => '/',
    PATH_INFO       => '/',
    QUERY_STRING    => '',
    SCRIPT_NAME     => '',
    SERVER_PROTOCOL => 'HTTP/1.1',
    HTTP_HOST       => 'a',
    ''              => '',
);

for my $case (@cases) {
    my ($name, $bytes, $differs) = @$case;
    my %expected = (%usual, %$differs);
    delete @expected{ grep { !defined $expected{$_} } keys %expected };
    my $response = $server->ask($bytes);
    is($response->status, $name =~ /CONNECT/ ? 501 : 200, "$name: served");
    next if $response->status != 200;
    is_deeply($response->dump, \%expected, "$name: the app sees it right")
        or diag(explain($response->dump));
}

cuts_ok($server, map { [@$_[0, 1]] } @cases);

is($server->stderr, '', 'nothing to complain about');
$server->stop_ok;
done_testing;
