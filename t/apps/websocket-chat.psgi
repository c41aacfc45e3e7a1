# A chat by WebSocket: the socket is taken over by AnyEvent::Handle.
use strict;
use warnings;
use AnyEvent::Handle;
use Protocol::WebSocket::Frame;
use Protocol::WebSocket::Handshake::Server;

my %member;

sub {
    my $env = shift;
    my $fh  = $env->{'psgix.io'} or return [500, [], []];
    my $hs  = Protocol::WebSocket::Handshake::Server->new_from_psgi($env);
    $hs->parse($fh) or return [400, [], [$hs->error]];

    return sub {
        my $respond = shift;
        my $h       = AnyEvent::Handle->new(fh => $fh);
        my $frame   = Protocol::WebSocket::Frame->new;
        my $id      = fileno $fh;
        $member{$id} = $h;
        my $leave = sub { delete $member{$id}; undef $h };
        $h->on_error($leave);
        $h->on_eof($leave);
        $h->push_write($hs->to_string);
        $h->on_read(sub {
            $frame->append($_[0]->rbuf);
            while (my $message = $frame->next) {
                my $bytes = Protocol::WebSocket::Frame->new($message)->to_bytes;
                $_->push_write($bytes) for values %member;
            }
        });
    };
};
