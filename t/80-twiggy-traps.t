# What servers written in C stumble over in values, headers, bodies and writers. Each subtest is a row of
# the contract's table 4.1; the other rows are in 80-twiggy-surroundings.t.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server = start_server(app => "$FindBin::Bin/apps/traps.psgi", by => 'module');

sub answer { return $server->ask(get($_[0])) }

# What an app answered, or that it failed properly: "500", "cut" after the head.
sub outcome {
    my ($path) = @_;
    my $response = answer($path);
    return 'cut' if defined $response->status && !$response->is_complete;
    return $response->status == 200 ? $response->body : $response->status;
}

sub hex_of { return unpack 'H*', $_[0] }
sub diary_of { return join '; ', diary($server) }

my $app_text = slurp("$FindBin::Bin/apps/traps.psgi");

subtest '4.1 tied response array, header list, elements; FETCH dies or lies' => sub {
    my $response = answer('/tied-all');
    is $response->header('X-A') . $response->body, 'abc', 'tied response, headers and body';
    $response = answer('/tied-value');
    is $response->header('X-A') . $response->body, 'abody', 'tied elements';
    is outcome("/$_"),   500, "FETCH that dies: $_" for qw(dies-response dies-headers tied-dies);
    is outcome('/lies'), 'a', 'a body whose length changes while it is looked at';
    like outcome('/lies-headers'), qr/\A(?:a|500)\z/, 'headers of that kind';
};

subtest '4.1 overloaded objects as header/body/status, dying ""' => sub {
    my $response = answer('/objects');
    is join(' ', $response->status, $response->header('X-A'), $response->body), '201 a b', 'text';
    is outcome("/$_"),          500, "\"\" dies: $_" for qw(text-dies status-dies element-dies);
    is outcome('/code-object'), 'object', 'a response that is an object with &{}';
};

subtest '4.1 write(substr($x,4)), $1, PVLV' => sub {
    is outcome('/magic-write'), 'abcdefghi', 'substr, $1, a tied scalar';
};

subtest '4.1 UTF8 flag' => sub {
    is answer('/utf8')->body,   "\xe4\xf6x", 'bytes of what was flagged';
    is outcome('/utf8-kept'),   'as it was', "the app's value is not touched";
    is outcome('/wide'),        500,         'a wide character, the head not sent';
    is outcome('/wide-header'), 500,         'one in a header';
    is outcome('/wide-write'),  'cut',       'one behind the head';
    ok $server->stderr_like(qr/[Ww]ide character/), 'is said';
};

subtest '4.1 Content-Length vs UTF8 bytes' => sub {
    is answer('/utf8')->header('Content-Length'), 3, 'counts what is sent';
};

subtest '4.1 header CR/LF/NUL/ctl, empty or `:`/space names, obs-fold' => sub {
    is outcome('/header/' . hex_of($_)), 500, 'name ' . hex_of($_) for '', 'a:b', 'a b', "a\n";
    is outcome('/value/' . hex_of($_)), 500, 'value ' . hex_of($_)
        for "a\r\nb", "a\nb", "a\0b", "a\r\n b", "a\x07";
};

subtest '4.1 undef header value / odd list' => sub {
    my $response = answer('/undef-header');
    is_deeply [map { $response->header($_) } 'X-A', 'X-B'], ['', 'b'], 'undef is empty';
    ok $server->stderr_like(qr/uninitialized|undefined/i), 'with a warning';
    is outcome('/odd'), 500, 'an odd list';
};

subtest '4.1 header order, duplicate Set-Cookie on separate lines' => sub {
    my $response = answer('/order');
    is_deeply [$response->header('Set-Cookie')], ['b', 'a'], 'several of a name, in order';
    is_deeply [$response->header('X-A')],        [1,   2],   'never folded';
};

subtest '4.1 status "200 Fine", 99, 1xx final, 799' => sub {
    is outcome('/fine'),             'ok', '200 Fine';
    is answer("/status/$_")->status, 500,  "status $_" for 0,   99, 100, 103, 1000, 'none';
    is answer("/status/$_")->status, $_,   "status $_" for 599, 799;
};

subtest '4.1 [200,$h,undef]' => sub {
    is outcome('/no-body'), 'by writer', 'is a stream in the responder';
};

subtest '4.1 body with only getline/close; fileno on such objects dies' => sub {
    is outcome('/lines'),     'ab',        'fileno is not asked';
    is outcome('/in-memory'), 'in memory', 'a handle in memory';
    my $path = spew(SprigTest::temp_path('crlf'), "a\r\nb\r\n");
    answer("/layered-file?$path");
    is outcome('/layered'), "a\nb\n", 'layers of a handle do their work';
};

subtest '4.1 sendfile offset' => sub {
    (my $rest = $app_text) =~ s/\A.*\n//;
    is outcome('/seeked'),    $rest,                   'from where the next read would start';
    is outcome('/announced'), substr($app_text, 0, 5), 'no further than Content-Length says';
};

subtest '4.1 $/' => sub {
    outcome('/separator');
    like outcome('/separator-kept'), qr/\Anewline \d+\z/, 'is a size for getline only';
    is outcome('/output-variables'), 'ab',   '$\ and $, do not get into the output';
    is outcome('/topic'),            'mine', 'are the app\'s';
};

subtest "4.1 getline returns ''" => sub {
    is outcome('/lines'), 'ab', 'twenty times: no end';
};

subtest '4.1 getline/close dies' => sub {
    is outcome('/lines-die'), 'cut', 'getline that dies does not look complete';
    ok $server->stderr_like(qr/in getline/), 'is logged';
    like outcome('/close-dies'), qr/\A(?:a|cut|500)\z/, 'close that dies';
    ok $server->stderr_like(qr/in close/), 'is logged';
    diary_of();
};

subtest '4.1 body close must be called exactly once' => sub {
    answer('/lines');
    is diary_of(), 'closed lines', 'on completion';
    $server->ask("HEAD /lines HTTP/1.1\r\nHost: a\r\n\r\n", method => 'HEAD');
    is diary_of(), 'closed lines', 'HEAD';
    answer("/lines-$_") for 204, 304;
    is diary_of(), 'closed 204; closed 304', '204/304';
    answer('/lines-die');
    is diary_of(), 'closed dying', 'getline that dies';
    my $client = $server->connect;
    $client->send(get('/endless'));
    $client->wait_for_bytes(1000);
    $client->reset;
    is join(' ', await_diary($server, 1)), 'closed endless', 'client gone';
};

subtest '4.1 die mid-stream must not look complete' => sub {
    is outcome('/die-amid'), 'cut', 'it does not';
    is outcome('/caught'),   'all', 'an exception that the app caught is none';
};

subtest "4.1 zero-length iov/write('')" => sub {
    is outcome('/empty-write'), 'a', 'is no last chunk';
    is_deeply answer('/empty-write')->chunks, [1], 'and no chunk at all';
};

subtest '4.1 responder twice' => sub {
    is outcome('/twice'), 'first', 'the first one counts';
};

subtest '4.1 responder after client gone' => sub {
    my $client = $server->connect;
    $client->send(get('/late-respond'));
    ok $client->is_quiet(0.05), 'a client that waits';
    $client->reset;
    ok eventually { counters($server)->{exchanges} == 0 }, 'is gone';
    is outcome('/respond-now'), 'ok', 'the responder does no harm';
};

subtest '4.1 responder from DESTROY' => sub {
    is outcome('/from-destroy'), 'from DESTROY', 'answers';
};

subtest '4.1 responder re-entrantly inside write' => sub {
    is outcome('/respond-within'), 'within text ',  'write and responder within write';
    is outcome('/reentrant'),      'before within', 'write within a callback of the writer';
};

ok comes_to_rest($server), 'nothing is left over';
$server->stop_ok;

subtest '4.1 responder during global destruction' => sub {
    my $ending = start_probe(<<'APP');
{ package AtEnd; sub DESTROY { $_[0]{code}->() } }
our $at_end;
sub {
    sub {
        my $r = shift;
        $at_end = bless { code => sub { eval { $r->([200, [], ['end']]) } } }, 'AtEnd';
        return;
    };
};
APP
    my $client = $ending->connect;
    $client->send(get('/'));
    ok $client->is_quiet(0.1), 'kept by a global variable';
    my $status = $ending->stop('INT');
    is $status eq 'killed' ? $status : $status & 127, 0, 'does no harm';
    unlike $ending->stderr, qr/panic|Attempt to free|ref count/, 'and says nothing odd';
};

subtest '4.1 responder from another Coro thread' => sub {
    plan skip_all => 'Coro is not installed' if !eval { require Coro; require Coro::AnyEvent; 1 };
    my $threads = start_probe(<<'APP', env => { SPRIG_TEST_KEEPS => 1 });    # Coro keeps a watcher
use Coro; use Coro::AnyEvent;
sub {
    sub {
        my $respond = shift;
        async {
            Coro::AnyEvent::sleep 0.02;
            my $w = $respond->([200, []]);
            async { $w->write('from a third '); cede; $w->write('thread'); $w->close };
        };
        return;
    };
};
APP
    is $threads->ask(get('/'))->body, 'from a third thread', 'and writers, too';
    $threads->stop_ok;
};

done_testing;
