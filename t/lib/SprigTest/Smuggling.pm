package SprigTest::Smuggling;

# Messages on whose ends two readers may disagree, each with what the app must see of it and with the
# refusal that follows: "POST /a abc | GET /b | 400". Sources: RFC 9112 and the public advisories.

use strict;
use warnings;
use Exporter qw(import);

our @EXPORT = qw(smuggling_corpus smuggled_request);

my $post     = "POST /a HTTP/1.1\r\nHost: a\r\n";
my $smuggled = "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n";
my $chunks   = "5\r\nabcde\r\n0\r\n\r\n";
my $both     = 'POST /a abcde | GET /smuggled';            # two requests that are two for everybody

# What an attacker wants to get past the reader in front.
sub smuggled_request { return $smuggled }

# Lists of [source and name, bytes, expected].
sub smuggling_corpus {
    return (_codings(), _lengths(), _both(), _chunks(), _lines(), _underscores(), _sequences());
}

# One coding header (or several lines), then chunks, then what may or may not be a second request.
sub _codings {
    my @cases = (
        ['plain',                                 'Transfer-Encoding: chunked',      $both],
        ['any case',                              'tRANSFER-eNCODING: CHUNKED',      $both],
        ['no space',                              'Transfer-Encoding:chunked',       $both],
        ['tabs around it',                        "Transfer-Encoding:\t chunked\t ", $both],
        ['CVE-2021-22959 space before the colon', 'Transfer-Encoding : chunked',     400],
        ['CVE-2021-22959 tab before the colon',   "Transfer-Encoding\t: chunked",    400],
        ['space before the name',                 ' Transfer-Encoding: chunked',     400],
        ['tab before the name',                   "\tTransfer-Encoding: chunked",    400],
        ['CVE-2022-32215 value on the next line', "Transfer-Encoding:\r\n chunked",  400],
        ['CVE-2022-32215 value continued',        "Transfer-Encoding: chunked\r\n , identity", 400],
        ['CVE-2022-32215 continued by a tab',     "Transfer-Encoding: chunked\r\n\tx",         400],
        ['CVE-2022-32213 chunkedchunked',         'Transfer-Encoding: chunkedchunked',         501],
        [
            'CVE-2022-32213 chunked in the second line',
            "Transfer-Encoding: identity\r\nTransfer-Encoding: chunked",
            400
        ],
        ['CVE-2022-32214 LF as line end',        "X: y\nTransfer-Encoding: chunked",     400],
        ['CR as line end',                       "X: y\rTransfer-Encoding: chunked",     400],
        ['CR before the name',                   "X: y\r\n\rTransfer-Encoding: chunked", 400],
        ['CR CR LF',                             "Transfer-Encoding: chunked\r",         400],
        ['NUL in the name',                      "Transfer\0-Encoding: chunked",         400],
        ['NUL behind the name',                  "Transfer-Encoding\0: chunked",         400],
        ['NUL behind the value',                 "Transfer-Encoding: chunked\0",         400],
        ['vertical tab before the value',        "Transfer-Encoding: \x0bchunked",       400],
        ['form feed behind the value',           "Transfer-Encoding: chunked\x0c",       400],
        ['no-break space',                       "Transfer-Encoding: \xa0chunked",       400],
        ['no-break space in UTF-8',              "Transfer-Encoding: \xc2\xa0chunked",   400],
        ['high byte in the name',                "Transfer-Encoding\xa0: chunked",       400],
        ['long s',                               "Tran\xc5\xbffer-Encoding: chunked",    400],
        ['semicolon for colon',                  'Transfer-Encoding; chunked',           400],
        ['CVE-2020-11076 unknown coding',        'Transfer-Encoding: xchunked',          501],
        ['trailing letter',                      'Transfer-Encoding: chunkedx',          501],
        ['half of it',                           'Transfer-Encoding: chunk',             501],
        ['with a parameter',                     'Transfer-Encoding: chunked;q=1',       400],
        ['in quotes',                            'Transfer-Encoding: "chunked"',         400],
        ['in brackets',                          'Transfer-Encoding: [chunked]',         400],
        ['comma behind',                         'Transfer-Encoding: chunked,',          400],
        ['comma before',                         'Transfer-Encoding: ,chunked',          400],
        ['comma without space',                  'Transfer-Encoding: identity,chunked',  501],
        ['identity',                             'Transfer-Encoding: identity',          501],
        ['CVE-2024-1135 identity, then chunked', 'Transfer-Encoding: identity, chunked', 501],
        ['CVE-2024-1135 chunked, then identity', 'Transfer-Encoding: chunked, identity', 400],
        ['twice in a line',                      'Transfer-Encoding: chunked, chunked',  400],
        ['gzip, then chunked',                   'Transfer-Encoding: gzip, chunked',     501],
        ['chunked, then gzip',                   'Transfer-Encoding: chunked, gzip',     400],
        ['two lines', "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked",        400],
        [
            'two lines, one of identity',
            "Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", 400
        ],
        ['two lines, one empty',  "Transfer-Encoding:\r\nTransfer-Encoding: chunked", 400],
        ['empty',                 'Transfer-Encoding:',                               400],
        ['one in another header', "X: Transfer-Encoding: chunked", 'POST /a | 400'],
        ['another header',        'X-Transfer-Encoding: chunked',  'POST /a | 400'],
        ['Transfer-Encoding-X',   'Transfer-Encoding-X: chunked',  'POST /a | 400'],
        ['TE',                    'TE: chunked',                   'POST /a | 400'],
        ['Content-Encoding',      'Content-Encoding: chunked',     'POST /a | 400'],
    );
    return map { ["coding: $_->[0]", "$post$_->[1]\r\n\r\n$chunks$smuggled", $_->[2]] } @cases;
}

# One length header (or several), then three bytes, then a second request.
sub _lengths {
    my $two   = 'POST /a abc | GET /smuggled';
    my @cases = (
        ['plain',                      'Content-Length: 3',                      $two],
        ['no space',                   'content-length:3',                       $two],
        ['zeros before',               'Content-Length: 0003',                   $two],
        ['blanks around it',           "Content-Length: \t3 \t",                 $two],
        ['two that differ',            "Content-Length: 3\r\nContent-Length: 0", 400],
        ['two alike',                  "Content-Length: 3\r\nContent-Length: 3", 400],
        ['a list that differs',        'Content-Length: 3, 0',                   400],
        ['a list of the same',         'Content-Length: 3, 3',                   400],
        ['sign',                       'Content-Length: +3',                     400],
        ['minus zero',                 'Content-Length: -0',                     400],
        ['negative',                   'Content-Length: -1',                     400],
        ['hexadecimal',                'Content-Length: 0x3',                    400],
        ['a letter behind',            'Content-Length: 3a',                     400],
        ['underscore in the number',   'Content-Length: 0_3',                    400],
        ['a fraction',                 'Content-Length: 3.0',                    400],
        ['an exponent',                'Content-Length: 3e0',                    400],
        ['a space within',             'Content-Length: 0 3',                    400],
        ['CVE-2023-40175 empty',       'Content-Length:',                        400],
        ['CVE-2023-40175 blanks only', 'Content-Length:  ',                      400],
        ['beyond 64 bits',             'Content-Length: 18446744073709551619',   400],
        ['beyond 32 bits',             'Content-Length: 4294967299',             413],
        ['quoted',                     'Content-Length: "3"',                    400],
        ['other digits',               "Content-Length: \xef\xbc\x93",           400],
        ['space before the colon',     'Content-Length : 3',                     400],
        ['folded',                     "Content-Length:\r\n 3",                  400],
        ['continued',                  "Content-Length: 0\r\n 3",                400],
        ['NUL behind',                 "Content-Length: 3\0",                    400],
        ['LF before',                  "X: y\nContent-Length: 3",                400],
        ['vertical tab',               "Content-Length: \x0b3",                  400],
    );
    return map { ["length: $_->[0]", "$post$_->[1]\r\n\r\nabc$smuggled", $_->[2]] } @cases;
}

# A length and a coding: refused, whichever might be meant.
sub _both {
    my @cases = (
        [
            'CVE-2026-40560, -40561, -40562 length first',
            "Content-Length: 6\r\nTransfer-Encoding: chunked"
        ],
        ['coding first',            "Transfer-Encoding: chunked\r\nContent-Length: 6"],
        ['length of nothing',       "Content-Length: 0\r\nTransfer-Encoding: chunked"],
        ['length that is right',    "Content-Length: 15\r\nTransfer-Encoding: chunked"],
        ['CVE-2020-11076 identity', "Content-Length: 6\r\nTransfer-Encoding: identity"],
        ['unknown coding',          "Content-Length: 6\r\nTransfer-Encoding: xchunked"],
        ['empty coding',            "Content-Length: 6\r\nTransfer-Encoding:"],
        ['bad length',              "Content-Length: x\r\nTransfer-Encoding: chunked"],
        ['space before the colon',  "Content-Length: 6\r\nTransfer-Encoding : chunked"],
        ['folded coding',           "Content-Length: 6\r\nTransfer-Encoding:\r\n chunked"],
        [
            'coding, length, coding',
            "Transfer-Encoding: chunked\r\nContent-Length: 6\r\nTransfer-Encoding: x"
        ],
    );
    return (
        (map { ["both: $_->[0]", "$post$_->[1]\r\n\r\n0\r\n\r\n$smuggled", 400] } @cases),
        [
            'coding on HTTP/1.0',
            "POST /a HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n$chunks$smuggled", 400
        ],
        [
            'coding and keep-alive on HTTP/1.0',
            "POST /a HTTP/1.0\r\nConnection: keep-alive\r\nTransfer-Encoding: chunked\r\n\r\n$chunks$smuggled",
            400
        ],
        [
            'coding and length on HTTP/1.0',
            "POST /a HTTP/1.0\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n$chunks$smuggled",
            400
        ],
    );
}

# Chunks that one reader ends elsewhere than another.
sub _chunks {
    my $two   = 'POST /a abc | GET /smuggled';
    my @cases = (
        ['plain',                 "3\r\nabc\r\n0\r\n\r\n",         $two],
        ['zeros before the size', "0003\r\nabc\r\n000\r\n\r\n",    $two],
        ['an extension',          "3;a=b\r\nabc\r\n0;c\r\n\r\n",   $two],
        ['a quoted extension',    "3;a=\"b\"\r\nabc\r\n0\r\n\r\n", $two],
        [
            'trailers are dropped',
            "3\r\nabc\r\n0\r\nContent-Length: 99\r\nTransfer-Encoding: x\r\n\r\n", $two
        ],
        ['CVE-2023-40175 a folded trailer',          "3\r\nabc\r\n0\r\nX: y\r\n z\r\n\r\n", 400],
        ['CVE-2023-40175 a trailer ended by LF',     "3\r\nabc\r\n0\r\nX: y\n\r\n",         400],
        ['a trailer with a space before the colon',  "3\r\nabc\r\n0\r\nX : y\r\n\r\n",      400],
        ['a trailer without colon',                  "3\r\nabc\r\n0\r\nX\r\n\r\n",          400],
        ['CVE-2025-43859 data ended by other bytes', "3\r\nabcXX0\r\n\r\n",                 400],
        ['CVE-2025-43859 data ended by LF',          "3\r\nabc\n0\r\n\r\n",                 400],
        ['CVE-2025-43859 data ended by CR and another byte', "3\r\nabc\rX0\r\n\r\n",        400],
        ['data ended by LF CR',                              "3\r\nabc\n\r0\r\n\r\n",       400],
        ['data too short',                                   "4\r\nabc\r\n0\r\n\r\n",       400],
        ['data too long',                                    "2\r\nabc\r\n0\r\n\r\n",       400],
        ['size ended by LF',                                 "3\nabc\r\n0\r\n\r\n",         400],
        ['size ended by CR and another byte',                "3\rXabc\r\n0\r\n\r\n",        400],
        ['CVE-2021-22960 LF in an extension',                "3;a\nb\r\nabc\r\n0\r\n\r\n",  400],
        ['CVE-2021-22960 CR in an extension',                "3;a\rb\r\nabc\r\n0\r\n\r\n",  400],
        ['CVE-2021-22960 LF ends an extension',              "3;a\nabc\r\n0\r\n\r\n",       400],
        ['NUL in an extension',                              "3;a\0\r\nabc\r\n0\r\n\r\n",   400],
        ['the last chunk ended by LF',                       "3\r\nabc\r\n0\n\r\n",         400],
        ['the last line ended by LF',                        "3\r\nabc\r\n0\r\n\n",         400],
        ['the last line ended by CR and another byte',       "3\r\nabc\r\n0\r\n\rX",        400],
        ['0x',                                               "0x3\r\nabc\r\n0\r\n\r\n",     400],
        ['sign',                                             "+3\r\nabc\r\n0\r\n\r\n",      400],
        ['negative',                                         "-1\r\nabc\r\n0\r\n\r\n",      400],
        ['blank before the size',                            " 3\r\nabc\r\n0\r\n\r\n",      400],
        ['blank behind the size',                            "3 \r\nabc\r\n0\r\n\r\n",      400],
        ['underscore in the size',                           "0_3\r\nabc\r\n0\r\n\r\n",     400],
        ['a size that is no number',                         "xyz\r\nabc\r\n0\r\n\r\n",     400],
        ['no size',                                          "\r\nabc\r\n0\r\n\r\n",        400],
        ['an extension without size',                        ";a\r\nabc\r\n0\r\n\r\n",      400],
        ['two sizes',                                        "3 3\r\nabc\r\n0\r\n\r\n",     400],
        ['beyond 64 bits', "10000000000000003\r\nabc\r\n0\r\n\r\n",                         400],
        ['2^64 - 1',       "ffffffffffffffff\r\nabc\r\n0\r\n\r\n",                          400],
        ['beyond 32 bits', "100000003\r\nabc\r\n0\r\n\r\n",                                 413],
    );
    return
        map { [
        "chunks: $_->[0]", "${post}Transfer-Encoding: chunked\r\n\r\n$_->[1]$smuggled", $_->[2]
        ] } @cases;
}

# Lines that one reader sees and another does not.
sub _lines {
    my @cases = (
        ['a request line ended by LF', "POST /a HTTP/1.1\nHost: a\r\nContent-Length: 3\r\n\r\nabc"],
        ['a head ended by LF',         "${post}Content-Length: 3\r\n\nabc"],
        ['a head ended by CR CR',      "${post}Content-Length: 3\r\n\r\rabc"],
        ['LF only',                    "POST /a HTTP/1.1\nHost: a\nContent-Length: 3\n\nabc"],
        ['NUL as line end',            "${post}X: y\0Content-Length: 3\r\n\r\nabc"],
        ['no colon',                   "${post}Content-Length 3\r\n\r\nabc"],
        ['an empty name',              "${post}: y\r\nContent-Length: 3\r\n\r\nabc"],
        ['a request line for a header', "${post}GET /x HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"],
        ['a space in the target',       "POST /a HTTP/1.1 HTTP/1.1\r\nHost: a\r\n\r\n"],
        ['a tab for a space',           "POST\t/a\tHTTP/1.1\r\nHost: a\r\n\r\n"],
        ['CR in the target',            "POST /a\r\rHTTP/1.1\r\nHost: a\r\n\r\n"],
        ['no version',                  "GET /a\r\nHost: a\r\n\r\n"],
        ['two hosts',                   "${post}Host: b\r\n\r\n"],
        ['a list of hosts',             "GET /a HTTP/1.1\r\nHost: a, b\r\n\r\n"],
        ['no host',                     "POST /a HTTP/1.1\r\nContent-Length: 3\r\n\r\nabc"],
        ['a host with a path',          "GET /a HTTP/1.1\r\nHost: a/b\r\n\r\n"],
        ['a folded host',               "GET /a HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"],
        ['a fragment',                  "GET /a#b HTTP/1.1\r\nHost: a\r\n\r\n"],
    );
    return (
        (map { ["lines: $_->[0]", "$_->[1]$smuggled", 400] } @cases),
        [
            'lines: HTTP/1.2',
            "POST /a HTTP/1.2\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc$smuggled", 505
        ],
        ['lines: HTTP/2.0',            "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n$smuggled",    505],
        [
            'lines: a lower-case method',
            "post /a HTTP/1.1\r\nHost: a\r\n\r\n$smuggled",
            'post /a | GET /smuggled'
        ],
    );
}

# Names that pass for others where '-' becomes '_'.
sub _underscores {
    return (
        ['Content_Length', "${post}Content_Length: 3\r\n\r\n$smuggled", 'POST /a | GET /smuggled'],
        [
            'Content_Length beside the real one',
            "${post}Content_Length: 99\r\nContent-Length: 3\r\n\r\nabc$smuggled",
            'POST /a abc | GET /smuggled'
        ],
        [
            'Content-Length beside a false one',
            "${post}Content-Length: 3\r\nContent_Length: 99\r\n\r\nabc$smuggled",
            'POST /a abc | GET /smuggled'
        ],
        ['Transfer_Encoding', "${post}Transfer_Encoding: chunked\r\n\r\n$chunks", 'POST /a | 400'],
        [
            'Transfer_Encoding beside a length',
            "${post}Transfer_Encoding: chunked\r\nContent-Length: 3\r\n\r\nabc$smuggled",
            'POST /a abc | GET /smuggled'
        ],
    );
}

# What follows what.
sub _sequences {
    my $two = 'GET /a | GET /smuggled';
    my $get = "GET /a HTTP/1.1\r\nHost: a\r\n";
    return (
        ['two requests',              "$get\r\n$smuggled",             $two],
        ['two empty lines between',   "$get\r\n\r\n\r\n$smuggled",     $two],
        ['three empty lines between', "$get\r\n\r\n\r\n\r\n$smuggled", 'GET /a | 400'],
        ['LF between',                "$get\r\n\n$smuggled",           'GET /a | 400'],
        ['a byte between',            "$get\r\nX$smuggled",            'GET /a | XGET /smuggled'],
        ['a byte between, no token',  "$get\r\n($smuggled",            'GET /a | 400'],
        [
            'a body of GET',
            "${get}Content-Length: 3\r\n\r\nabc$smuggled",
            'GET /a abc | GET /smuggled'
        ],
        [
            'a body of GET in chunks',
            "${get}Transfer-Encoding: chunked\r\n\r\n$chunks$smuggled",
            'GET /a abcde | GET /smuggled'
        ],
        [
            'a body of HEAD',
            "HEAD /a HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc",
            'HEAD /a abc'
        ],
        ['a body without length',  "${post}\r\n$chunks",                          'POST /a | 400'],
        ['nothing after close',    "${get}Connection: close\r\n\r\n$smuggled",    'GET /a'],
        ['close in a list',        "${get}Connection: x, CLOSE\r\n\r\n$smuggled", 'GET /a'],
        ['nothing after HTTP/1.0', "GET /a HTTP/1.0\r\n\r\n$smuggled",            'GET /a'],
        [
            'keep-alive on HTTP/1.0',
            "GET /a HTTP/1.0\r\nConnection: keep-alive\r\n\r\n$smuggled", $two
        ],
        [
            'h2c that is not taken',
            "${get}Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: x\r\n\r\n$smuggled",
            $two
        ],
        [
            'a websocket that is not taken',
            "${get}Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 99\r\n\r\n$smuggled",
            $two
        ],
        [
            'Expect and a body',
            "${post}Expect: 100-continue\r\nContent-Length: 3\r\n\r\nabc$smuggled",
            'POST /a abc | GET /smuggled'
        ],
        [
            'an unknown expectation', "${post}Expect: x\r\nContent-Length: 3\r\n\r\nabc$smuggled",
            417
        ],
        ['an absolute target', "GET http://b/a HTTP/1.1\r\nHost: a\r\n\r\n$smuggled", $two],
    );
}

1;
