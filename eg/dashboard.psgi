# A live dashboard: measurements go into a channel, and every open page charts them.
#
#   sprig eg/dashboard.psgi                       then open http://localhost:5000/
#   sprig --workers 4 eg/dashboard.psgi           the same: all pages see what one worker measures
#   curl -d 42 http://localhost:5000/measure      adds a measurement of your own
#
# A page that loses its connection reconnects and misses nothing: the browser sends the id of the last event it has
# seen, and the channel replays what came later from its history.
use strict;
use warnings;
use AnyEvent;
use Sprig::Channel;
use Sprig::Worker;

my $channel = Sprig::Channel->new('measurements', history => 120);
my $page    = do { local $/; <DATA> };

# The first worker takes the measurements. Here it makes up a curve with some noise.
our $timer;
Sprig::Worker->after_fork(
    sub {
        my ($worker) = @_;
        my $i = 0;
        return if $worker->number != 1;
        $timer = AE::timer 0, 0.25, sub { publish(42 + 30 * sin(++$i / 9) + rand 16) };
    }
);

sub publish { return $channel->publish(sprintf '%.1f', $_[0]) }

sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [200, ['Content-Type' => 'text/html; charset=utf-8'], [$page]] if $path eq '/';
    if ($path eq '/measure' && $env->{REQUEST_METHOD} eq 'POST') {
        $env->{'psgi.input'}->read(my $value, 100);
        return [400, [], ["a number is missing\n"]] if $value !~ /\A[0-9]{1,3}(?:\.[0-9]+)?\s*\z/;
        publish($value);
        return [204, [], []];
    }
    return [404, [], ["not here\n"]] if $path ne '/events';
    return sub {
        my ($respond) = @_;
        my $writer = $respond->([200, ['Content-Type' => 'text/event-stream']]);
        $writer->heartbeat(15);
        $writer->event(retry => 500);
        my $last = $env->{HTTP_LAST_EVENT_ID};
        $channel->join($writer, since => defined $last ? $last : 0);
    };
};

__DATA__
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Dashboard</title>
<style>
  body { margin: 0; background: #10151c; color: #d7e0ea; font: 16px/1.5 system-ui, sans-serif }
  main { max-width: 60rem; margin: 3rem auto; padding: 0 1.5rem }
  h1 { font-size: 1.2rem; font-weight: 600; margin: 0 }
  header { display: flex; justify-content: space-between; align-items: center }
  #state { font-size: .85rem; padding: .1rem .8rem; border-radius: 1rem; background: #5b2a30 }
  #state.live { background: #1e4d3b }
  section { display: grid; grid-template-columns: repeat(4, 1fr); gap: 1rem; margin: 1.5rem 0 }
  section div { background: #19212c; border-radius: .7rem; padding: .8rem 1.2rem }
  b { display: block; font-size: 2rem; font-weight: 500; font-variant-numeric: tabular-nums }
  small { color: #8494a7 }
  @media (max-width: 40rem) { main { margin: 1.5rem auto } section { grid-template-columns: repeat(2, 1fr) } }
  svg { width: 100%; height: 20rem; background: #19212c; border-radius: .7rem }
</style>
<main>
  <header><h1>Live measurements, four per second</h1><span id="state">connecting</span></header>
  <section>
    <div><small>now</small><b id="now">–</b></div>
    <div><small>lowest</small><b id="low">–</b></div>
    <div><small>highest</small><b id="high">–</b></div>
    <div><small>received</small><b id="n">0</b></div>
  </section>
  <svg viewBox="0 0 119 100" preserveAspectRatio="none">
    <path d="M0 25H119M0 50H119M0 75H119" stroke="#263241" vector-effect="non-scaling-stroke"/>
    <path id="area" fill="#3fb98a" opacity=".18"/>
    <path id="line" fill="none" stroke="#3fb98a" stroke-width="2" vector-effect="non-scaling-stroke"/>
  </svg>
</main>
<script>
  const at = (id) => document.getElementById(id);
  const values = [];
  let received = 0;
  const source = new EventSource('/events');
  source.onopen = () => { at('state').textContent = 'live'; at('state').className = 'live' };
  source.onerror = () => { at('state').textContent = 'coming back'; at('state').className = '' };
  source.onmessage = (event) => {
    values.push(+event.data);
    if (values.length > 120) values.shift();
    at('n').textContent = ++received;
    at('now').textContent = values[values.length - 1].toFixed(1);
    at('low').textContent = Math.min(...values).toFixed(1);
    at('high').textContent = Math.max(...values).toFixed(1);
    const x = (i) => 120 - values.length + i;
    const line = values.map((v, i) => `${i ? 'L' : 'M'}${x(i)} ${100 - v}`).join('');
    at('line').setAttribute('d', line);
    at('area').setAttribute('d', `${line}V100H${x(0)}Z`);
  };
</script>
