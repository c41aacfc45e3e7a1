# The PSGI env: every key the specification and the extensions ask for, fresh in each request.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my $code = <<'APP';
use strict;
use warnings;
use Scalar::Util qw(blessed reftype);

sub show { my ($v) = @_; defined $v ? ref $v || "'$v'" : 'undef' }
my %answer = (
    '/keys' => sub { my $env = shift; map { "$_=" . show($env->{$_}) } sort keys %$env },
    '/spoil' => sub {
        my $env = shift;
        $_ = 'spoilt' for values %$env;
        $env->{EXTRA} = 1;
        delete $env->{SERVER_NAME};
        return 'spoilt';
    },
    '/spoil_deep' => sub {
        my $env = shift;
        push @{ $env->{'psgi.version'} }, 7;
        push @{ $env->{'psgix.cleanup.handlers'} }, sub { };
        bless $env, 'Spoilt';
        return 'spoilt';
    },
    '/assign' => sub {
        my $env = shift;
        my @refused = grep { my $k = $_; !eval { $env->{$k} = 'new'; 1 } } sort keys %$env;
        return "refused: @refused";
    },
    '/types' => sub {
        my $env = shift;
        return (
            'version=' . join('.', @{ $env->{'psgi.version'} }),
            'input=' . reftype($env->{'psgi.input'}),
            'input_isa=' . ($env->{'psgi.input'}->isa('IO::Handle') ? 1 : 0),
            'errors=' . reftype($env->{'psgi.errors'}),
            'errors_print=' . (*{ $env->{'psgi.errors'} }{IO}->can('print') ? 1 : 0),
            'booleans=' . join('', map { $env->{$_} ? 1 : 0 } qw(psgi.nonblocking psgi.streaming
                psgi.run_once psgi.multithread psgi.multiprocess psgix.input.buffered psgix.cleanup
                psgix.harakiri)),
            'handlers=' . scalar @{ $env->{'psgix.cleanup.handlers'} },
            'blessed=' . (blessed($env) || ''),
        );
    },
    '/errors' => sub { my $env = shift; $env->{'psgi.errors'}->print("said by print\n");
        print { $env->{'psgi.errors'} } "said by op\n"; 'said' },
);
sub {
    my ($env) = @_;
    my @lines = ($answer{ $env->{SCRIPT_NAME} . $env->{PATH_INFO} } || $answer{'/keys'})->($env);
    return [200, ['Content-Type' => 'text/plain'], [map { "$_\n" } @lines]];
};
APP

my $server = start_server(code => $code);

# The lines of the answer as a hash.
sub env_of {
    my ($target, @lines) = @_;
    my $head     = join "\r\n", "GET $target HTTP/1.1", 'Host: a.example', @lines, '', '';
    my $response = $server->ask($head);
    return { map { /\A([^=]*)=(.*)\z/s ? ($1, $2) : () } split /\n/, $response->body };
}

subtest 'what every request has' => sub {
    my $env      = env_of('/keys?a=b%20c');
    my %expected = (
        REQUEST_METHOD         => 'GET',
        REQUEST_URI            => '/keys?a=b%20c',
        PATH_INFO              => '/keys',
        QUERY_STRING           => 'a=b%20c',
        SCRIPT_NAME            => '',
        SERVER_PROTOCOL        => over_http2() ? 'HTTP/2' : 'HTTP/1.1',
        SERVER_NAME            => $server->host,
        SERVER_PORT            => $server->port,
        REMOTE_ADDR            => '127.0.0.1',
        HTTP_HOST              => 'a.example',
        'psgi.url_scheme'      => 'http',
        'psgi.nonblocking'     => 1,
        'psgi.streaming'       => 1,
        'psgi.run_once'        => '',
        'psgi.multithread'     => '',
        'psgi.multiprocess'    => '',
        'psgix.input.buffered' => 1,
        'psgix.cleanup'        => 1,
        'psgix.harakiri'       => '',
    );
    is $env->{$_}, "'$expected{$_}'", $_ for sort keys %expected;
    like $env->{REMOTE_PORT}, qr/\A'[0-9]+'\z/, 'REMOTE_PORT';
    ok !exists $env->{$_}, "no $_ without a body" for qw(CONTENT_LENGTH CONTENT_TYPE);
    is $env->{'psgi.version'},           'ARRAY', 'psgi.version';
    is $env->{'psgix.cleanup.handlers'}, 'ARRAY', 'psgix.cleanup.handlers';
};

subtest 'objects and booleans' => sub {
    my $env = env_of('/types');
    is $env->{version},      '1.1',      'psgi.version';
    is $env->{input},        'GLOB',     'psgi.input is a real handle';
    is $env->{input_isa},    1,          'and an IO::Handle';
    is $env->{errors},       'GLOB',     'psgi.errors is a handle';
    is $env->{errors_print}, 1,          'that prints';
    is $env->{booleans},     '11000110', 'the booleans';
};

subtest 'request headers' => sub {
    my $env = env_of(
        '/keys',
        'Content-Type: text/x',
        'accept-language: de',
        'X-Odd.Name: 1',
        'X-Twice: a',
        'X-Twice: b',
        'Cookie: a=1',
        'COOKIE: b=2',
        'X_Under_Score: 1',
        'Content_Length: 7',
        'Proxy: http://evil/',
        'X-Empty:',
        'Transfer-Coding: x',
    );
    is $env->{CONTENT_TYPE},         "'text/x'",   'Content-Type has no HTTP_';
    is $env->{HTTP_ACCEPT_LANGUAGE}, "'de'",       'case of the name does not count';
    is $env->{'HTTP_X_ODD.NAME'},    "'1'",        'an unknown name';
    is $env->{HTTP_X_TWICE},         "'a, b'",     'two of a name are joined';
    is $env->{HTTP_COOKIE},          "'a=1; b=2'", 'cookies by a semicolon';
    is $env->{HTTP_X_EMPTY},         "''",         'an empty value';
    is $env->{HTTP_TRANSFER_CODING}, "'x'",        'a name like one of HTTP';
    ok !exists $env->{$_}, "no $_"
        for qw(HTTP_CONTENT_TYPE HTTP_CONTENT_LENGTH CONTENT_LENGTH HTTP_X_UNDER_SCORE HTTP_PROXY);
};

subtest 'absolute target' => sub {
    my $env = env_of('http://other.example:81/keys?x');
    is $env->{HTTP_HOST},    "'other.example:81'", 'its authority is the host';
    is $env->{REQUEST_URI},  "'/keys?x'",          'REQUEST_URI is path and query';
    is $env->{PATH_INFO},    "'/keys'",            'PATH_INFO';
    is $env->{QUERY_STRING}, "'x'",                'QUERY_STRING';
};

subtest 'PATH_INFO is decoded once' => sub {
    is env_of('/a%20b%2Fc')->{PATH_INFO}, "'/a b/c'",        'space and slash';
    is env_of('/%2541')->{PATH_INFO},     "'/%41'",          'not twice';
    is env_of('/%e4%C3%BC')->{PATH_INFO}, "'/\xe4\xc3\xbc'", 'high bytes';
    is env_of('//a///b')->{PATH_INFO},    "'//a///b'",       'slashes are kept';
    is env_of('/a+b')->{PATH_INFO},       "'/a+b'",          'plus is kept';
    is env_of('/keys?')->{QUERY_STRING},  "''",              'an empty query';
    is env_of('/keys?0')->{QUERY_STRING}, "'0'",             'a query of 0';
};

subtest 'length of the body' => sub {
    my $known =
        $server->ask("POST /keys HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc")->body;
    like $known, qr/^CONTENT_LENGTH='3'$/m, 'as sent';
    my $chunked =
        $server->ask("POST /keys HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
            . "3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n")->body;
    like $chunked,   qr/^CONTENT_LENGTH='5'$/m,  'of what was in the chunks';
    unlike $chunked, qr/HTTP_TRANSFER_ENCODING/, 'and the coding is gone';
    my $empty = $server->ask("POST /keys HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")->body;
    like $empty, qr/^CONTENT_LENGTH='0'$/m, 'zero';
};

subtest 'all values can be assigned to' => sub {
    like $server->ask("GET /assign HTTP/1.1\r\nHost: a\r\n\r\n")->body, qr/^refused: $/m,
        'none is read-only';
};

subtest 'nothing of one request shows in the next' => sub {
    my $client = $server->connect;
    my $get    = sub {
        $client->send("GET $_[0] HTTP/1.1\r\nHost: a\r\n\r\n");
        return $client->response->body;
    };
    my $keys  = $get->('/keys');
    my $types = $get->('/types');
    for my $spoil ('/spoil', '/spoil_deep') {
        is $get->($spoil),   "spoilt\n", $spoil;
        is $get->('/keys'),  $keys,      'the same keys and values as before';
        is $get->('/types'), $types,     'the same objects';
    }
};

subtest 'psgi.errors goes to STDERR' => sub {
    $server->ask("GET /errors HTTP/1.1\r\nHost: a\r\n\r\n");
    ok $server->stderr_like(qr/said by print\nsaid by op\n/), 'printed';
};

$server->stop_ok;

done_testing;
