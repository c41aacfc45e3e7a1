# Coroutines: a subroutine may wait in the middle without keeping anybody else waiting.
#
#   sprig eg/coro.psgi
#   curl -N http://localhost:5000/count      ten lines in a second
#   curl http://localhost:5000/relay         one coroutine waits for words from another
#
# Needs Coro.
use strict;
use warnings;
use AnyEvent;
use Coro;
use Coro::AnyEvent;

# Runs code in a coroutine. If it dies, the client gets a 500.
sub in_coroutine {
    my ($env, $code) = @_;
    return sub {
        my ($respond) = @_;
        async {
            eval { $code->($respond); 1 } or $env->{'psgix.raise'}->($@);
        };
    };
}

sub count {
    my ($respond) = @_;
    my $writer = $respond->([200, ['Content-Type' => 'text/plain']]);
    for my $i (1 .. 10) {
        $writer->write("$i\n");
        Coro::AnyEvent::sleep(0.1);    # only this coroutine sleeps
    }
    $writer->close;
    return;
}

sub relay {
    my ($respond) = @_;
    my $channel = Coro::Channel->new(2);
    async {
        for my $word (qw(one two three)) {
            Coro::AnyEvent::sleep(0.1);
            $channel->put($word);
        }
        $channel->shutdown;
    };
    my @words;
    while (defined(my $word = $channel->get)) { push @words, $word }
    $respond->([200, ['Content-Type' => 'text/plain'], ["@words\n"]]);
    return;
}

sub {
    my ($env) = @_;
    my %code = ('/count' => \&count, '/relay' => \&relay);
    my $code = $code{ $env->{PATH_INFO} } or return [404, [], ["/count or /relay\n"]];
    return in_coroutine($env, $code);
};
