# Event streams over HTTP/2: members of a channel like any other.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Http2 qw(need_http2);
use SprigTest::Program;
use Test::More;

need_http2();
plan skip_all => 'curl has no HTTP/2' if output_of(qw(curl --version)) !~ /HTTP2/;

my $app = <<'APP';
use strict; use warnings; use Sprig::Channel;
my $channel = Sprig::Channel->new('all', history => 10);
$channel->publish($_) for 1 .. 3;
sub {
    return sub {
        my $w = $_[0]->([200, ['Content-Type' => 'text/event-stream']]);
        $w->event(retry => 100);
        $channel->join($w, since => 0);
        $channel->publish('end');
        $w->close;
    };
};
APP
my $server = start_program('-l', '127.0.0.1:0,h2c', app_file($app));
my $text   = curl('-i', '--http2-prior-knowledge', "http://127.0.0.1:" . $server->port . "/");
my ($head, $body) = split /\r\n\r\n/, $text, 2;
like $head, qr{^HTTP/2 200}, 'by HTTP/2';
like $head, qr{^cache-control: no-cache}m, 'not to be cached';
like $head, qr{^x-accel-buffering: no}m,   'nor collected';
is join(' ', $body =~ /^data: (.*)$/mg), '1 2 3 end', 'history and what is published then';
$server->stop_ok;

done_testing;
