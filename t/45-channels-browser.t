# A real browser: EventSource over a reload of the workers, and the page of eg/dashboard.psgi.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Browser;
use SprigTest::Events;
use SprigTest::Workers;
use Test::More;

-d '/proc/self' or plan skip_all => 'no /proc';
my $chromium = find_browser('Chromium') or plan skip_all => 'no Chromium is installed';

my $app = <<'APP';
use strict; use warnings; use Sprig::Channel;
my $channel = Sprig::Channel->new('all', history => 100);
my $page = join '', <DATA>;
sub note { open my $to, '>>', $_[0] or die $!; syswrite $to, "$_[1]\n" }
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [200, [], [$$]] if $path eq '/about';
    if ($path eq '/block') { select undef, undef, undef, $env->{QUERY_STRING}; return [200, [], [$$]] }
    if ($path eq '/publish') { $channel->publish($env->{QUERY_STRING}); return [200, [], []] }
    if ($path eq '/report') { note('report', $env->{QUERY_STRING}); return [204, [], []] }
    return [200, ['Content-Type' => 'text/html'], [$page]] if $path eq '/';
    return [404, [], []] if $path ne '/events';
    note('opened', defined $env->{HTTP_LAST_EVENT_ID} ? 'again' : 'first');
    return sub {
        my $w = $_[0]->([200, ['Content-Type' => 'text/event-stream']]);
        $w->event(retry => 200);
        $channel->join($w, since => $env->{HTTP_LAST_EVENT_ID});
    };
};
__DATA__
<!DOCTYPE html><title>x</title><script>
const got = [];
new EventSource('/events').onmessage = (event) => {
    got.push(event.data);
    if (event.data === 'end') fetch('/report?' + got.join('-'));
};
</script>
APP

subtest 'EventSource over a reload' => sub {
    my $master  = start_workers(workers => 2, code => $app);
    my $browser = open_browser($chromium, "http://127.0.0.1:$master->{port}/");
    ok $master->await_lines('opened', 'first', 1, 30), 'the page opens its stream';
    ok eventually(sub { $master->body_of('/publish?1') eq '' }), 'publishing';
    $master->body_of("/publish?$_") for 2 .. 5;
    my @old = $master->serving(2);
    $master->signal('HUP');
    my $n = 5;
    eventually(
        sub {
            $master->body_of('/publish?' . ++$n) if $n < 40;
            return !grep { is_running($_) } @old;
        },
        15
    );
    ok !(grep { is_running($_) } @old), 'all workers are replaced, while ' . ($n - 5) . ' events are published';
    ok $master->await_lines('opened', 'again', 1, 15), 'the browser comes back with Last-Event-ID';
    $master->body_of('/publish?end');
    my ($report) = $master->await_lines('report', 'end', 1, 15);
    is $report, join('-', 1 .. $n, 'end'), 'and has got each event once';
    $browser->quit;
    $master->ends_ok;
};

subtest 'the dashboard' => sub {
    my $master = start_workers(workers => 2, code => slurp("$FindBin::Bin/../eg/dashboard.psgi"));
    my $stream = open_events($master->connect, '/events');
    $stream->events(8);
    my ($dom, $received) = ('', 0);
    eventually(
        sub {
            $dom = dom_of($chromium, "http://127.0.0.1:$master->{port}/", 4000);
            ($received) = $dom =~ m{<b id="n">([0-9]+)</b>};
            return $received && $received > 3;
        },
        60
    );
    cmp_ok $received || 0, '>', 3, 'has received ' . ($received || 'no') . ' events';
    like $dom, qr{<span id="state" class="live">live</span>}, 'is live';
    like $dom, qr{<path id="line" [^>]* d="M[0-9]+ [0-9.]+L}, 'and shows them';
    my $n = 'Content-Length: 2';
    is $master->ask("POST /measure HTTP/1.1\r\nHost: a\r\n$n\r\n\r\n42")->status, 204, 'a measurement is taken';
    is $master->ask("POST /measure HTTP/1.1\r\nHost: a\r\n$n\r\n\r\nxx")->status, 400, 'nothing else';
    is $master->ask(get('/none'))->status, 404, 'that is all';
    $master->ends_ok;
};

done_testing;
