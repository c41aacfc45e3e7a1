# Threads made by the app, or beside the server, take nothing of it with them.

use strict;
use warnings;
use Config;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

plan skip_all => 'this perl has no threads' if !$Config{useithreads};

my $server = start_server(code => <<'APP');
use threads;
sub {
    my ($env) = @_;
    my $got = threads->create(sub { join ' ', 'in a thread', $env->{PATH_INFO} })->join;
    return [200, [], [$got]];
}
APP

my $client = $server->connect;
for my $path (qw(/one /two)) {
    $client->send("GET $path HTTP/1.1\r\nHost: a\r\n\r\n");
    is $client->response->body, "in a thread $path", "a thread within the request $path";
}
$server->stop_ok;

done_testing;
