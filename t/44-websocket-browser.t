# Two pages of eg/chat.psgi in a real browser hear what each other says, whichever worker serves them.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Browser;
use SprigTest::Workers;
use Test::More;

-d '/proc/self' or plan skip_all => 'no /proc';
my $chromium = find_browser('Chromium') or plan skip_all => 'no Chromium is installed';

# Both in frames of one page, which types for them, and tells at last what both have heard.
my $master = start_workers(code => <<"APP");
use strict; use warnings; use Plack::Util;
my \$chat = Plack::Util::load_psgi('$FindBin::Bin/../eg/chat.psgi');
my \$page = do { local \$/; <DATA> };
close DATA;
sub note { open my \$to, '>>', \$_[0] or die \$!; syswrite \$to, "\$_[1]\\n" }
sub {
    my (\$env) = \@_;
    my \$path = \$env->{PATH_INFO};
    return [200, ['Content-Type' => 'text/html'], [\$page]] if \$path eq '/two';
    return \$chat->(\$env) if \$path ne '/tell';
    local \$/;
    note('told', readline \$env->{'psgi.input'});
    return [200, [], ['ok']];
};
__DATA__
<!doctype html><iframe src="/?name=Ann"></iframe><iframe src="/?name=Bob"></iframe><script>
const wait = (ready, then) => ready() ? then() : setTimeout(wait, 50, ready, then);
const text = i => frames[i].document.getElementById('lines').innerText.replace(/\\n/g, ' ');
onload = () => wait(() => /Ann joined/.test(text(0)) && /Bob joined/.test(text(1)), () => {
  frames[0].say({ text: 'from Ann <b>\\u20ac</b>' });
  wait(() => /from Ann/.test(text(1)), () => {
    frames[1].say({ text: 'from Bob' });
    wait(() => /from Bob/.test(text(0)), () => fetch('/tell', { method: 'POST', body: text(0) + '|' + text(1) }));
  });
});
</script>
APP

my $browser = open_browser($chromium, "http://127.0.0.1:$master->{port}/two");
eventually(sub { $master->lines('told') }, 60);
$browser->quit;
my ($ann, $bob) = split /\|/, join('', $master->lines('told')) . '|';
like($bob, qr/Ann [0-9]+:[0-9]+[^<]{0,9} from Ann <b>\xe2\x82\xac</, 'Bob hears Ann, and markup is text');
like($ann, qr/Bob [0-9]+:[0-9]+[^<]{0,9} from Bob/,                                'Ann hears Bob');
$master->ends_ok;
done_testing;
