# sprig --dev in a real browser: an open page loads itself again after a save, also out of a page of errors, and
# shows what has died in a callback.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Browser;
use SprigTest::Dev;
use SprigTest::Workers;
use Test::More;

my $chromium = find_browser('Chromium') or plan skip_all => 'no Chromium is installed';

my $SECONDS = 40;

my $app = <<'APP';
use strict; use warnings; use AnyEvent;
my $page = join '', <DATA>;
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    if ($path eq '/report') {
        open my $to, '>>', 'report' or die $!;
        syswrite $to, "$env->{QUERY_STRING}\n";
        return [204, [], []];
    }
    my $timer;
    $timer = AE::timer 0, 0, sub { undef $timer; die "the timer is broken\n" } if $path eq '/break';
    return [200, ['Content-Type' => 'text/html'], [$page]] if $path eq '/';
    return [200, [], ['ok']];
};
__DATA__
<!DOCTYPE html><title>x</title><body><p>hello</p><script>
fetch('/report?version-1');
new MutationObserver(() => {
    const box = document.getElementById('__sprig_failure__');
    if (box) fetch('/report?box-' + /the timer is broken/.test(box.textContent));
}).observe(document.body, { childList: true });
</script></body>
APP

my $dev      = start_dev(code => $app);
my $browser  = open_browser($chromium, "http://localhost:$dev->{port}/");
my $is_shown = $dev->await_lines('report', 'version-1', 1, $SECONDS);
ok $is_shown, 'the browser shows the page' or diag $dev->stderr;

SKIP: {
    skip 'the browser has not shown the page', 4 if !$is_shown;
    $dev->rewrite(code => $app =~ s/version-1/version-2/r);
    ok scalar $dev->await_lines('report', 'version-2', 1, $SECONDS),
        'after a save it shows the new one';

    $dev->rewrite(code => "sub {\n");
    ok eventually(sub { ($dev->body_of('/') // '') =~ /Missing right curly/ }, $SECONDS),
        'an error is explained';
    $dev->rewrite(code => $app =~ s/version-1/version-3/r);
    ok scalar $dev->await_lines('report', 'version-3', 1, $SECONDS),
        'once it is mended, the browser shows the page again';

    # not before the page listens
    ok eventually(
        sub { $dev->body_of('/break'); $dev->await_lines('report', 'box-true', 1, 1) }, $SECONDS
        ),
        'what dies in a callback appears on the open page';
}
$browser->quit;
$dev->ends_ok;
done_testing;
