# Plack::Test drives Sprig: PLACK_TEST_IMPL=Server PLACK_SERVER=Sprig.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../blib/lib", "$FindBin::Bin/../blib/arch";
use Test::More;

BEGIN {
    eval { require HTTP::Request::Common; HTTP::Request::Common->import(qw(GET HEAD POST PUT)); 1 }
        or plan skip_all => "HTTP::Request cannot be loaded: $@";
    @ENV{qw(PLACK_TEST_IMPL PLACK_SERVER)} = qw(Server Sprig);
    eval { require Test::TCP; require Plack::Test; 1 } or plan skip_all => 'needs Test::TCP';
}
use Plack::Builder;
use Plack::Test;

# The app runs in a process of its own: it answers with what it learnt.
my $app = builder {
    enable 'ContentMD5';
    enable 'Lint';
    enable 'StackTrace', no_print_errors => 1;
    mount '/die'   => sub { die "on purpose\n" };
    mount '/delay' => sub {
        return sub { $_[0]->([200, ['Content-Type' => 'text/plain'], ['delayed']]) };
    };
    mount '/stream' => sub {
        return sub {
            my $writer = $_[0]->([200, ['Content-Type' => 'text/plain']]);
            $writer->write("line $_\n") for 1 .. 3;
            $writer->close;
        };
    };
    mount '/server' => sub {
        my ($env) = @_;
        return [200, ['Content-Type' => 'text/plain'], [join ' ', ref $env->{'psgi.input'}, $$]];
    };
    mount '/' => sub {
        my ($env) = @_;
        my $body = do { local $/; readline $env->{'psgi.input'} };
        return [
            200,
            ['Content-Type' => 'text/plain', 'X-Method' => $env->{REQUEST_METHOD}],
            ["$env->{PATH_INFO}?$env->{QUERY_STRING} ", defined $body ? $body : '']
        ];
    };
};

test_psgi $app, sub {
    my ($send) = @_;
    my $response = $send->(GET '/a%20b?c=d');
    is($response->content,            '/a b?c=d ', 'GET');
    is($response->header('X-Method'), 'GET',       'its method');
    like($response->header('Content-MD5'), qr/\A[0-9a-f]{32}\z/, 'middleware works');
    is($send->(POST '/p', [a => 'b'])->content,              '/p? a=b',              'POST');
    is($send->(PUT '/p', Content => 'x' x 100_000)->content, '/p? ' . 'x' x 100_000, 'a large PUT');
    $response = $send->(HEAD '/h');
    is($response->content,              '',                         'HEAD');
    is($response->header('X-Method'),   'HEAD',                     'its method');
    is($send->(GET '/delay')->content,  'delayed',                  'a delayed answer');
    is($send->(GET '/stream')->content, "line 1\nline 2\nline 3\n", 'a stream');
    $response = $send->(GET '/die');
    is($response->code, 500, 'an app that dies');
    like($response->content, qr/on purpose/, 'the trace is shown');
    my ($type, $pid) = split / /, $send->(GET '/server')->content;
    isnt($pid, $$, 'the app is really in a server');
};

my $test = Plack::Test->create($app);
is(ref $test, 'Plack::Test::Server',          'the object interface uses the server, too');
is($test->request(GET '/x')->content, '/x? ', 'and gets answers') for 1 .. 3;
undef $test;

done_testing;
