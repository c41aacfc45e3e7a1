# A chat by long polling: POST /say, GET /poll?after=N waits until there is something new.
use strict;
use warnings;
use AnyEvent;
use Plack::Request;

my (@messages, %waiting);

sub answer {
    my ($respond, $after) = @_;
    my $last = $#messages;
    $respond->([
        200,
        ['Content-Type' => 'text/plain'],
        [map { "$_: $messages[$_]\n" } $after + 1 .. $last]
    ]);
    return;
}

sub {
    my $env = shift;
    my $req = Plack::Request->new($env);
    if ($req->path eq '/say') {
        push @messages, $req->parameters->{text};
        my @now = values %waiting;
        %waiting = ();
        answer($_->{respond}, $_->{after}) for @now;
        return [204, [], []];
    }
    my $after = $req->parameters->{after};
    return sub {
        my $respond = shift;
        return answer($respond, $after) if $after < $#messages;
        my $id = "$respond";
        $waiting{$id} = {
            respond => $respond,
            after   => $after,
            timer   => AE::timer(5, 0, sub { delete $waiting{$id}; answer($respond, $after) }),
        };
    };
};
