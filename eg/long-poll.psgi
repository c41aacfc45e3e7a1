# Long polling: a request waits up to 25 seconds for news. Use it for clients that support neither WebSockets nor
# server-sent events.
#
#   sprig --workers 2 eg/long-poll.psgi
#   curl http://localhost:5000/wait &
#   curl -d 'dinner is ready' http://localhost:5000/say
#
# News travels through a channel, so it reaches waiting requests in every worker.
use strict;
use warnings;
use AnyEvent;
use Encode qw(decode encode);
use Sprig::Channel;

my $news = Sprig::Channel->new('news');
my %waiting;    # by responder: the responder itself, and the timer that gives up

sub text { return [200, ['Content-Type' => 'text/plain; charset=utf-8'], [encode('UTF-8', $_[0])]] }

# Runs in every worker.
$news->on_publish(sub {
    my ($text) = @_;
    my @all = values %waiting;
    %waiting = ();
    $_->{respond}->(text("$text\n")) for @all;
});

sub wait_for_news {
    my ($env) = @_;
    my ($seconds) = $env->{QUERY_STRING} =~ /\bseconds=(\d+(?:\.\d+)?)/;
    return sub {
        my ($respond) = @_;
        my $timer = AE::timer $seconds || 25, 0, sub {
            delete $waiting{$respond};
            $respond->([204, [], []]);    # nothing new: ask again
        };
        $waiting{$respond} = { respond => $respond, timer => $timer };
    };
}

sub {
    my ($env) = @_;
    return wait_for_news($env) if $env->{PATH_INFO} eq '/wait';
    if ($env->{PATH_INFO} eq '/say' && $env->{REQUEST_METHOD} eq 'POST') {
        $env->{'psgi.input'}->read(my $bytes, 1000);
        $news->publish(decode('UTF-8', $bytes));
        return [204, [], []];
    }
    return text("GET /wait waits for news, POST /say has some.\n");
};
