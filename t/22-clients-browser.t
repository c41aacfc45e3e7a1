# A real browser shows the page of eg/form.psgi, posts its form and shows the answer.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my ($browser) = grep { defined } map { tool_path($_) } qw(chromium chromium-browser google-chrome);
plan skip_all => 'no Chromium is installed' if !$browser;

my $server = start_server(app => "$FindBin::Bin/../eg/form.psgi");

my @trust = over_tls() ? '--ignore-certificate-errors' : ();

# The document as the browser has it in the end.
sub dom_of {
    my ($path, @flags) = @_;
    my $folder  = SprigTest::temp_path('browser');
    my @command = (
        'timeout', 90, $browser,
        qw(--headless --no-sandbox --disable-gpu --disable-quic --no-first-run
            --disable-background-networking --disable-component-update --disable-sync
            --disable-dev-shm-usage --disable-extensions --virtual-time-budget=5000),
        "--user-data-dir=$folder", @trust, @flags, '--dump-dom', $server->url($path)
    );
    my $pid = open my $out, '-|';
    defined $pid or die "fork: $!";
    if (!$pid) {
        open STDERR, '>', '/dev/null' or die "stderr: $!";
        local $ENV{HOME} = $folder;
        exec @command or die "exec: $!";
    }
    local $/;
    my $dom = readline $out;
    close $out;
    return defined $dom ? $dom : '';
}

my $form = dom_of('/');
like($form, qr{<h1>A form</h1>},                         'the form is shown');
like($form, qr{value="K\xc3\xa4the &amp; S\xc3\xb8ren"}, 'with the characters it has');

my $answer = dom_of('/?post');
like(
    $answer,
    qr{<h1 id="answer">Hello, K\xc3\xa4the &amp; S\xc3\xb8ren!</h1>},
    'the answer to POST'
);
like($answer, qr{<em>dark \+ green</em>}, 'with all that was sent');

is($server->stderr, '', 'nothing to complain about');
$server->stop_ok;
done_testing;
