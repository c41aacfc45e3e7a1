# What applications written for Twiggy get and may return: the env, requests, responses, errors.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server = start_server(
    app  => "$FindBin::Bin/apps/contract.psgi",
    by   => 'module',
    perl => ['-MSprig::Compat::Twiggy']
);

sub http10 { return $server->ask("GET $_[0] HTTP/1.0\r\n\r\n") }

sub body_of { return $server->ask(get($_[0]))->body }

sub request {
    my ($bytes) = @_;
    my $client = $server->connect;
    $client->send($bytes);
    return $client->rest;
}

sub diary_of { my @lines = diary($server); return join '; ', @lines }

my $errors_at = 0;

# What was written to the server's standard error since the last time; waits for the pattern.
sub errors_like {
    my ($pattern, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok $server->stderr_like($pattern, from => $errors_at), $name
        or diag substr $server->stderr, $errors_at;
    $errors_at = length $server->stderr;
    return;
}

subtest '1.7 array body, status reasons' => sub {
    my $r = http10('/array');
    is $r->body, 'a0b', 'array';
    is_deeply [$r->header('Set-Cookie')], ['a=1', 'b=2'], 'headers keep order and number';
    is $r->header('X-Num'),         5,            'a number as value';
    is $r->reason,                  'OK',         'the text of 200';
    is http10('/none-204')->reason, 'No Content', 'the text of 204';
    is http10('/phrase')->status,   200,          'status "200 Fine"';
    $r = http10('/odd-status');
    is join('|', $r->status, $r->reason), '299|', 'an unknown status has no text';
    like request("GET /array HTTP/1.0\r\n\r\n"), qr/a0b\z/, 'then the connection is closed';
};

subtest '1.7 filtering: HEAD, 204, 304, CR/LF, undef, odd list, objects, UTF-8' => sub {
    like request("HEAD /array HTTP/1.0\r\n\r\n"), qr/\r\n\r\n\z/, 'HEAD has no body';
    is http10('/none-204')->body,              '',  'nor has status 204';
    is http10('/undef-header')->header('X-A'), '',  'an undefined value is sent empty';
    is http10('/odd-headers')->status,         500, 'odd headers';
    is http10('/split')->status,               500, 'line breaks in a header';
    my $r = http10('/objects');
    is join(' ', $r->status, $r->header('X-A'), $r->body), '200 obj body',
        'objects are taken as text';
    $r = http10('/latin');
    is $r->header('X-A') . $r->body, "\xe9\xe9", 'characters up to 255 are bytes';
    is http10('/wide')->status,      500,        'wide characters';
    errors_like(qr/odd number/, 'what was wrong is said');
};

subtest '1.7 plain-string body' => sub {
    is http10('/string')->body, 'plain string', 'is taken as one element';
};

subtest '1.7 handle bodies' => sub {
    diary_of();
    is http10('/lines')->body,      'ab',     'getline, and an empty string from it is no end';
    is diary_of(),                  'closed', 'close is called once';
    is http10('/io-string')->body,  'text',   'string_ref object from where it stands';
    is http10('/string-ref')->body, 'text',   'the same without getline';
    my $r = http10('/file');
    is length $r->body, $r->header('X-Size'), 'a file';
    $r = http10('/seeked');
    is length $r->body, $r->header('X-Size') - 10, 'a file from where it stands';
    diary_of();
};

subtest '1.7 response_cb' => sub {
    is http10('/hook')->body,        'X',   'on an array';
    is http10('/hook-stream')->body, 'ABC', 'on a stream, and an empty list at its end';
};

subtest '1.7 4th element = completion callback' => sub {
    is http10('/completion')->body, 'done', 'the response';
    ok eventually { diary_of() eq 'completed' }, 'is called when the body is sent';
};

subtest '1.7 delayed callback: 2nd argument is the socket, responder returns writer or undef' =>
    sub {
    is http10('/second-argument')->body, 'GLOB open the same', 'second argument';
    is http10('/undef-body')->body,      'streamed',           'an undefined body is a stream';
    is http10('/returns')->body,         '',                   'a responder with a body';
    is diary_of(),                       'returned undef',     'returns nothing';
    is http10('/few')->status,           500,                  'one element is too few';
    diary_of();
    };

subtest '1.7 AnyEvent::CondVar as response' => sub {
    is http10('/condvar')->body, 'by condvar', 'what it is sent';
};

subtest '1.7 responder dropped uncalled' => sub {
    is http10('/never')->status, 500, 'status 500';
    errors_like(qr/responder/, 'and it is said');
};

subtest '1.7 responder dropped, the socket kept' => sub {
    not_over_http2('no stream has a socket of its own');
    my $client = $server->connect;
    $client->send(get('/kept-io'));
    ok $client->is_quiet(0.1), 'nothing is sent';
    $server->ask(get('/use-io'));
    like $client->rest, qr/by hand\z/, 'the app owns it';
};

subtest '1.7 second responder call' => sub {
    is http10('/twice')->body, 'first', 'the first response is intact';
    errors_like(qr/responder|second|twice|already/, 'and it is said');
};

subtest '1.7 Twiggy::Writer: write, close, DESTROY' => sub {
    is http10('/writer')->body, 'ab', 'write takes empty and undefined values, and none';
    is diary_of(), 'Twiggy::Writer; HASH; isa; after close: false',
        'ref, reftype, isa; write after close';
    is http10('/writer-wide')->body,    'on',   'a wide character spoils nothing';
    is diary_of(),                      'died', 'but dies';
    is http10('/writer-dropped')->body, 'all',  'dropping the writer ends the response';
    is http10('/writer-patched')->body, 'LOUD', 'methods added to Twiggy::Writer';
};

subtest '1.7 write after client disconnect' => sub {
    my $lenient = start_server(
        app  => "$FindBin::Bin/apps/contract.psgi",
        by   => 'module',
        perl => ['-MSprig::Compat::Twiggy'],
        args => { die_on_disconnect => 0 }
    );
    for my $how ('close', 'reset') {
        my $client = $lenient->connect;
        $client->send(get('/left'));
        $client->wait_for_bytes(50);
        $client->$how;
        my @lines = await_diary($lenient, 1);
        like "@lines", qr/\A1 \S.* errno\z/,
            "{handle}->on_error when the client leaves by $how, once";
        my $result = $lenient->ask(get('/write-left'))->body;
        isnt $result, 'died',  'write does not die';
        is $result,   'false', 'and returns false' if $how eq 'reset';
    }
    $lenient->stop;
};

subtest '1.7 die_on_disconnect, the default of Twiggy' => sub {
    my $strict = start_server(
        app  => "$FindBin::Bin/apps/contract.psgi",
        by   => 'module',
        perl => ['-MSprig::Compat::Twiggy']
    );
    my $client = $strict->connect;
    $client->send(get('/left'));
    $client->wait_for_bytes(50);
    $client->reset;
    await_diary($strict, 1);
    is $strict->ask(get('/write-left'))->body, 'died', 'write dies';
    $strict->stop_ok;
};

subtest '1.7 {handle} in the wild' => sub {
    is http10('/writer-handle')->body, 'by handle', 'push_write, low_water_mark, on_eof, rbuf_max';
    is diary_of(),                     'fh',        'fh';
};

subtest '1.8 app dies / returns false' => sub {
    for my $path ('/dies', '/dies-object') {
        my $r = http10($path);
        is $r->status,                   500,                     $path;
        is $r->header('Content-Type'),   'text/plain',            'text/plain';
        is $r->header('Content-Length'), 21,                      'of 21 bytes';
        is $r->body,                     'Internal Server Error', 'text';
    }
    errors_like(qr/with a message/, 'the message is printed');
    is http10('/false')->status,           500, 'false';
    is http10('/errors-replaced')->status, 500, 'psgi.errors replaced by the app';
    like body_of('/errors-read'), qr/elsewhere/, 'gets the message';
};

subtest '1.8 app returns string/hash, []' => sub {
    is http10($_)->status, 500, $_ for '/hash', '/empty';
    errors_like(qr/expected \[status/, 'it is said');
};

subtest '1.8 die inside delayed callback, before respond' => sub {
    is http10('/dies-delayed')->status, 500, 'status 500';
    errors_like(qr/in the callback/, 'and said');
};

subtest '1.8 die after writer created' => sub {
    my $text = request("GET /dies-later HTTP/1.1\r\nHost: a\r\n\r\n");
    unlike $text, qr/\r\n0\r\n\r\n\z/, 'does not look complete';
    errors_like(qr/after some/, 'and is said');
};

subtest '1.8 die in timer/io callback' => sub {
    is http10('/dies-timer')->status, 500, 'the responder goes away: 500';
    errors_like(qr/in a timer/, 'and said');
};

subtest '1.8 $cv->recv inside app' => sub {
    skip_on_other_loop('AnyEvent lets no callback block in recv');
    is http10('/recv')->body, 'waited', 'waits';
};

subtest '1.8 die with object' => sub {
    is http10('/dies-object')->status, 500, 'status 500';
    errors_like(qr/an object/, 'its text is printed');
};

subtest 'extensions' => sub {
    my $r = $server->ask(get('/hints'));
    is $r->body,                 'final', 'psgix.informational: the final response';
    is scalar @{ $r->interim },  1,       'after an interim one';
    is $r->interim->[0]{status}, 103,     'of the status asked for';
    is_deeply $r->interim->[0]{headers}, [[Link => '</a.css>; rel=preload']], 'with its headers';
    is diary_of(),             'sent; refused', 'a status that is not interim dies';
    is body_of('/hints-late'), 'not sent',      'after the end it does nothing';
    unlike request("GET /hints HTTP/1.0\r\n\r\n"), qr/103/, 'none for HTTP/1.0';
    diary_of();
    is http10('/scalar-refs')->body, 'by reference told ' . 'y' x 100_000, 'psgix.body.scalar_refs';
    is http10('/scalar-refs-writer')->body, 'by reference',                'in writers';
};

ok comes_to_rest($server), 'nothing is left over';
$server->stop_ok;
done_testing;
