# min_body_rate: a body that goes on, but too slowly, is refused; others are served meanwhile.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my $server = start_server(app => dump_app(), args => { min_body_rate => 100 });
my ($slow, $quick) = map { $server->connect } 1 .. 2;
my $head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n";
$_->send($head) for $slow, $quick;
my $sent = 0;
for (1 .. 70) {    # the first ten seconds are free, and then 100 bytes are due each second
    last if !$slow->is_quiet(0.2);
    $slow->send('s') or last;
    next if $sent >= 1900;
    $quick->send('q' x 60);
    $sent += 60;
}
is($slow->response->status, 408, 'a body of 5 bytes a second: 408');
$quick->send('q' x (2000 - $sent));
is($quick->response->status, 200, 'one of 300 is fine');
ok($server->stderr_like(qr/^sprig: 408 for 127\.0\.0\.1: min_body_rate/m), 'logged');
$_->close for $slow, $quick;
$server->idle_ok;
$server->stop_ok;
done_testing;
