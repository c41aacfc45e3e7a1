# The examples that need nothing but a client that asks: eg/hello.psgi and eg/form.psgi.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my $eg = "$FindBin::Bin/../eg";

subtest 'hello.psgi' => sub {
    my $server   = start_server(app => "$eg/hello.psgi");
    my $response = $server->ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    is($response->status,                 200,                        'there is a page');
    is($response->header('Content-Type'), 'text/html; charset=utf-8', 'in HTML');
    like($response->body, qr{<h1>Hello, world</h1>}, 'that says hello');
    $server->stop_ok;
};

subtest 'form.psgi' => sub {
    my $server = start_server(app => "$eg/form.psgi");
    like($server->ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n")->body, qr/<form /, 'there is a form');
    my $fields = 'name=%3Cb%3E&colour=a+b';
    my $n      = length $fields;
    my $answer = $server->ask("POST /greet HTTP/1.1\r\nHost: a\r\nContent-Length: $n\r\n"
            . "Content-Type: application/x-www-form-urlencoded\r\n\r\n$fields");
    like($answer->body, qr{Hello, &lt;b&gt;!.*<em>a b</em>}s, 'it is answered, escaped');
    is($server->ask("GET /none HTTP/1.1\r\nHost: a\r\n\r\n")->status, 404, 'that is all');
    is($server->stderr, '', 'nothing to complain about');
    $server->stop_ok;
};

done_testing;
