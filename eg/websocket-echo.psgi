# A WebSocket that echoes every message.
#
#   sprig eg/websocket-echo.psgi
#   then open http://127.0.0.1:5000/ and type
#
# Needs Protocol::WebSocket. This is the way that works on any server with psgix.io: once you use the socket, it
# belongs to the application. If you only target Sprig, psgix.websocket is simpler: see chat.psgi.

use strict;
use warnings;
use AnyEvent;
use AnyEvent::Handle;
use Protocol::WebSocket::Handshake::Server;

my $page = <<'HTML';
<!doctype html>
<title>Echo</title>
<form><input id="line" autofocus autocomplete="off"></form>
<pre id="said"></pre>
<script>
const socket = new WebSocket(location.href.replace(/^http/, 'ws') + 'echo');
const say = text => said.textContent += text + '\n';
socket.onmessage = event => say(event.data);
socket.onclose = () => say('(closed)');
document.forms[0].onsubmit = () => { socket.send(line.value); line.value = ''; return false };
</script>
HTML

my %connection;    # keeps the handles alive

sub goodbye {
    my ($handle) = @_;
    delete $connection{$handle};
    $handle->destroy;
    return;
}

sub talk {
    my ($handle, $frame) = @_;
    $frame->append($handle->{rbuf});
    while (defined(my $message = $frame->next_bytes)) {
        if ($frame->is_close) {
            $handle->push_write($frame->new(type => 'close', buffer => $message)->to_bytes);
            return $handle->on_drain(\&goodbye);
        }
        my $type = $frame->is_ping ? 'pong' : $frame->is_binary ? 'binary' : 'text';
        next if $frame->is_pong;
        $handle->push_write($frame->new(type => $type, buffer => $message)->to_bytes);
    }
    return;
}

sub {
    my ($env) = @_;
    return [200, ['Content-Type' => 'text/html; charset=utf-8'], [$page]]
        if lc($env->{HTTP_UPGRADE} || '') ne 'websocket';

    my $handshake = Protocol::WebSocket::Handshake::Server->new_from_psgi($env);
    $handshake->parse($env->{'psgix.io'})
        or return [400, ['Content-Type' => 'text/plain'], ['not a WebSocket handshake']];

    # The responder is never called: the application has taken the socket.
    return sub {
        my $frame  = $handshake->build_frame;
        my $handle = AnyEvent::Handle->new(
            fh       => $env->{'psgix.io'},
            on_eof   => \&goodbye,
            on_error => \&goodbye,
            on_read  => sub { talk($_[0], $frame) },
        );
        $connection{$handle} = $handle;
        $handle->push_write($handshake->to_string);
    };
};
