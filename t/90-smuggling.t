# Request smuggling: for each message of the corpus, what the app sees and how it goes on, the message
# being sent whole and byte by byte. Nothing is answered after a refusal.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Cuts;
use SprigTest::Response;
use SprigTest::Smuggling;
use Test::More;

# Answers with what it saw.
my $server = start_server(code => <<'END');
sub {
    my ($env) = @_;
    my $body = do { local $/; readline $env->{'psgi.input'} };
    my $saw  = join ' ', @$env{qw(REQUEST_METHOD PATH_INFO)}, defined $body && length $body ? $body : ();
    print STDERR "app: $saw\n";
    return [200, ['X-Saw' => $saw], [$saw]];
}
END

my @corpus = smuggling_corpus();
cmp_ok(scalar @corpus, '>=', 100, 'there are at least 100 messages: ' . @corpus);

my @whole  = converse($server, map { [$_->[1]] } @corpus);
my @pieces = converse($server, map { [split //, $_->[1]] } @corpus);

my $n_seen = 0;
for my $i (0 .. $#corpus) {
    my ($name, $bytes, $expected) = @{ $corpus[$i] };
    is(outcome($whole[$i]),  $expected, $name);
    is(outcome($pieces[$i]), $expected, "$name, byte by byte");
    $n_seen += 2 * grep { /\A[A-Za-z]/ } split / \| /, $expected;
}
is(scalar(() = $server->stderr =~ m{^app: \S+ /(?:a|smuggled)\b}mg),
    $n_seen, 'the app was not run for anything that was not answered');

$server->stop_ok;
done_testing;

# "POST /a abc | 400" from the bytes that came back.
sub outcome {
    my ($bytes) = @_;
    my @seen;
    while (length $bytes) {
        my $is_head  = $bytes =~ /\A[^\r]*\r\n(?:[^\r]+\r\n)*X-Saw: HEAD /;
        my $response = SprigTest::Response->new(method => $is_head ? 'HEAD' : 'GET');
        return "$@: $bytes" if !eval { $response->parse(\$bytes, 1); 1 };
        last                if !defined $response->status;
        my $saw = $response->header('X-Saw');
        push @seen, $response->status == 200 ? $saw : $response->status;
    }
    return join ' | ', @seen;
}
