# Channels and turns of the loop: what is published alone is sent at once, what is published together
# leaves together, and neither overtakes anything.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp ();
use SprigTest;
use SprigTest::Events;
use SprigTest::Probe;
use Test::More;

my $log    = File::Temp->new;
my $server = start_probe(<<'APP', args => { access_log => "$log", access_log_format => '%b %U' });
use Sprig::Channel;
my %channel = map { $_ => Sprig::Channel->new($_) } 'a', 'b';
my ($writer, $n, $timer);

# A step for each letter: a and b publish the next number, w writes it as an event, h is a comment.
sub step {
    my ($letter, $tail) = @_;
    return $writer->comment('here') if $letter eq 'h';
    my $text = ++$n . $tail;
    return $letter eq 'w' ? $writer->event(data => $text) : $channel{$letter}->publish($text);
}

# For each word a turn; 'ab*9' are nine.
sub turns {
    my ($bytes, @words) = ($_[0], map { my ($word, $times) = split /\*/; ($word) x ($times || 1) } @_[1 .. $#_]);
    my $tail = ' ' . 'x' x $bytes;
    return sub {
        my ($respond) = @_;
        $timer = AE::timer 0, 0.0005, sub {
            my $word = shift @words;
            step($_, $tail) for split //, $word;
            return if @words;
            undef $timer;
            $respond->([200, [], ['done']]);
        };
    };
}

routes(
    '/join' => sub {
        return sub {
            $writer = $_[0]->([200, ['Content-Type' => 'text/event-stream']]);
            $n = 0;
            $channel{$_}->join($writer, slow => 'spill') for 'a', 'b';
            $writer->event(data => 'joined');
        };
    },
    '/turns' => sub {
        my ($bytes, @words) = split /,/, $_[0]{QUERY_STRING};
        return turns($bytes, @words);
    },
    '/same-turn' => sub {
        $channel{a}->publish(++$n);
        $writer->event(data => ++$n);
        $channel{a}->leave($writer);
        $channel{a}->publish('unheard');
        $channel{b}->publish(++$n);
        $writer->close;
        $channel{b}->publish('unheard');
        return [200, [], []];
    },
    '/forget' => sub { undef $writer; %channel = (); [200, [], []] },
);
APP

sub body_of { return $server->ask(get($_[0]))->body }

sub joined {
    my $stream = open_events($server->connect, '/join');
    $stream->await(qr/joined/);
    shift @{ $stream->{events} };
    return $stream;
}

# The numbers of the events, and whether each is as long as it was made.
sub numbers {
    my ($bytes, @events) = @_;
    my @numbers;
    for my $event (@events) {
        my ($number, $tail) = $event->{data} =~ /\A([0-9]+) ?(x*)\z/;
        push @numbers, defined $number && length $tail == $bytes ? $number : 'broken';
    }
    return join ' ', @numbers;
}

subtest 'one in each turn' => sub {
    my $stream = joined();
    is body_of('/turns?10,a*50'), 'done', 'published';
    is numbers(10, $stream->events(50)), join(' ', 1 .. 50), 'in order';
    $stream->client->close;
};

subtest 'some in each turn, from several sides' => sub {
    srand 45;
    my $stream = joined();
    my @words  = map {
        join '', map { (qw(a a b w h))[rand 5] }
            1 .. 1 + rand 4
    } 1 .. 200;
    my $n = () = "@words" =~ /[abw]/g;
    is body_of('/turns?10,' . join ',', @words), 'done', 'published and written';
    is numbers(10, $stream->events($n)), join(' ', 1 .. $n), "all $n in order";
    $stream->client->close;
};

subtest 'while the client does not read' => sub {
    for my $bytes (3_000, 9_999, 20_000) {
        my $times  = int(7_000_000 / $bytes);
        my $stream = joined();
        my $n      = $times + 2 * 50 + 5;
        is body_of("/turns?$bytes,a*$times,ab*50,a*5"), 'done', "$n events of $bytes bytes";
        is numbers($bytes, $stream->events($n)), join(' ', 1 .. $n), 'they come in order and whole';
        $stream->client->close;
    }
};

subtest 'leaving and closing in the same turn' => sub {
    my $stream = joined();
    body_of('/same-turn');
    ok eventually(sub { $stream->is_over }) && $stream->is_complete, 'the stream ends as it should';
    is $stream->texts(0), '1 2 3', 'what was published and written before has come';
};

subtest 'the access log' => sub {
    my $stream = joined();
    body_of('/turns?10,a*20,b,ab,w');
    body_of('/same-turn');
    eventually(sub { $stream->is_over });
    my $got = 0;
    $got += length("data: $_->{data}\n\n") for { data => 'joined' }, $stream->events(0);
    ok eventually(sub { slurp("$log") =~ m{^$got /join$}m }), "has the $got bytes of the body";
};

body_of('/forget');
ok comes_to_rest($server), 'nothing is left';
$server->stop_ok;

done_testing;
