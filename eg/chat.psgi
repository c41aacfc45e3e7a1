# A chat over WebSockets. It works with any number of workers.
#
#   sprig eg/chat.psgi                  then open http://localhost:5000/ in two windows
use strict;
use warnings;

use JSON::PP ();
use Sprig::Channel;

my $json   = JSON::PP->new->canonical;
my $said   = Sprig::Channel->new('chat', history => 50);    # newcomers get the last 50 messages
my $people = Sprig::Channel->new('chat people');            # who joins and leaves
my %name;                                                   # by socket, once they have told it

sub announce {
    my ($channel, %message) = @_;
    $channel->publish($json->encode(\%message));
    return;
}

sub hear {
    my ($ws, $text) = @_;
    my $message = eval { $json->decode($text) };
    return $ws->close(1003, 'JSON objects only') if ref $message ne 'HASH';
    if (defined $message->{name} && !$name{$ws}) {
        $name{$ws} = substr $message->{name}, 0, 30;
        $people->join($ws);
        $said->join($ws, since => 0);
        announce($people, joined => $name{$ws}, here => $people->members);
    } elsif (defined $message->{text} && length $message->{text} && $name{$ws}) {
        announce($said, from => $name{$ws}, text => substr($message->{text}, 0, 2000), at => time);
    }
    return;
}

sub forget {
    my ($ws) = @_;
    my $name = delete $name{$ws};
    announce($people, left => $name, here => $people->members) if defined $name;
    return;
}

my $page = do { local $/; <DATA> };
close DATA;

sub {
    my ($env) = @_;
    if (my $ws = $env->{'psgix.websocket'}) {
        return $ws->accept(on_message => \&hear, on_close => \&forget, websocket_origins => 'same');
    }
    return [404, ['Content-Type' => 'text/plain'], ["Not found\n"]] if $env->{PATH_INFO} ne '/';
    return [200, ['Content-Type' => 'text/html; charset=utf-8'], [$page]];
};

__DATA__
<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Chat</title>
<style>
* { box-sizing: border-box }
body { margin: 0; height: 100vh; display: grid; grid-template: auto 1fr auto / minmax(0, 1fr); background: #f4f6f4;
  color: #1d2a22; font: 16px/1.45 system-ui, sans-serif }
header { display: flex; gap: 1rem; align-items: baseline; padding: .8rem 1.2rem; background: #1f5a3c; color: #fff }
header b { font-size: 1.15rem } #here { opacity: .8; font-size: .9rem } #state { margin-left: auto; font-size: .9rem }
main { overflow-y: auto; padding: 1rem 1.2rem; display: flex; flex-direction: column; gap: .45rem }
.line { max-width: 34rem; padding: .5rem .8rem; border-radius: .8rem; background: #fff; overflow-wrap: anywhere;
  box-shadow: 0 1px 2px #0002; align-self: flex-start }
.line b { display: flex; justify-content: space-between; font-size: .8rem; color: #2d7d55 }
time { float: right; margin-left: 1rem; font-size: .72rem; font-weight: normal; color: #7b8a80 }
.mine { align-self: flex-end; background: #d8f1e1 } .note { align-self: center; font-size: .85rem; color: #66756b }
form { display: flex; gap: .6rem; padding: .8rem 1.2rem; background: #fff; border-top: 1px solid #d9e1db }
input { flex: 1; min-width: 0; font: inherit; padding: .55rem .8rem; border: 1px solid #b9c8be; border-radius: .6rem }
button { font: inherit; padding: .55rem 1.1rem; border: 0; border-radius: .6rem; background: #1f7a4d; color: #fff }
</style>
<header><b>Chat</b><span id="here"></span><span id="state"></span></header>
<main id="lines" aria-live="polite"></main>
<form id="form"><input id="input" autocomplete="off" maxlength="2000" autofocus><button>Send</button></form>
<script>
const $ = id => document.getElementById(id);
let name = new URLSearchParams(location.search).get('name'), socket, wait = 500;
function add(kind, text, from, at) {
  const line = document.createElement('div');
  line.className = kind;
  const head = Object.assign(document.createElement('b'), { textContent: from });
  if (from) line.append(head);
  if (at) (from ? head : line).append(Object.assign(document.createElement('time'),
    { textContent: new Date(at * 1000).toLocaleTimeString([], { hour: '2-digit', minute: '2-digit' }) }));
  line.append(text);
  $('lines').append(line);
  line.scrollIntoView();
}
function hear({ from, text, at, joined, left, here }) {
  if (text) add(from === name ? 'line mine' : 'line', text, from === name ? '' : from, at);
  if (joined || left) add('note', joined ? joined + ' joined' : left + ' left');
  if (here) $('here').textContent = here + (here === 1 ? ' person' : ' people');
}
function say(message) { socket.send(JSON.stringify(message)); }
function connect() {
  socket = new WebSocket(location.href.replace(/^http/, 'ws'));
  socket.onopen = () => { $('state').textContent = ''; wait = 500; $('lines').replaceChildren(); say({ name }); };
  socket.onmessage = event => hear(JSON.parse(event.data));
  socket.onclose = () => { // come back, not all at the same moment
    $('state').textContent = 'not connected';
    setTimeout(connect, wait * (1 + Math.random()));
    wait = Math.min(wait * 2, 15000);
  };
}
$('input').placeholder = name ? 'Message' : 'Your name';
if (name) connect();
$('form').onsubmit = event => {
  event.preventDefault();
  const text = $('input').value.trim();
  if (text && name) say({ text });
  if (text && !name) { name = text; $('input').placeholder = 'Message'; connect(); }
  $('input').value = '';
};
</script>
