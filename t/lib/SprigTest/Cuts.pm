package SprigTest::Cuts;

# The verdict on a message must depend on its bytes alone, never on how they were cut into reads: sends
# each message whole, cut in two at every place, and byte by byte, over many connections at once.

use strict;
use warnings;
use Exporter   qw(import);
use Test::More ();

our @EXPORT = qw(cuts_ok converse);

# Connections that are open at the same time; below the default backlog.
my $AT_ONCE = 96;

# One test for each [name => bytes]: every cut gets the answer that the whole message gets.
sub cuts_ok {
    my ($server, @messages) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @scripts = map { _every_cut($_->[1]) } @messages;
    my @answers = map { _without_date($_) } converse($server, @scripts);
    for my $message (@messages) {
        my ($name, $bytes) = @$message;
        my $whole = shift @answers;
        my @cut   = splice @answers, 0, length $bytes;
        my @wrong = grep { $cut[$_] ne $whole } 0 .. $#cut;
        Test::More::ok(!@wrong, "$name: the same answer however it is cut")
            or _explain($bytes, $whole, \@cut, \@wrong);
    }
    return;
}

# The message whole, in two pieces cut at each place, and byte by byte.
sub _every_cut {
    my ($bytes) = @_;
    my @in_two = map { [substr($bytes, 0, $_), substr($bytes, $_)] } 1 .. length($bytes) - 1;
    return ([$bytes], @in_two, [split //, $bytes]);
}

sub _without_date {
    my ($answer) = @_;
    $answer =~ s/^Date: [^\r\n]+/Date: now/mg;
    return $answer;
}

sub _explain {
    my ($bytes, $whole, $cut, $wrong) = @_;
    my $at    = @$wrong ? $wrong->[0] : 0;
    my $place = $at == $#$cut ? 'byte by byte' : 'cut after ' . substr $bytes, 0, $at + 1;
    Test::More::diag(
        Test::More::explain({ place => $place, whole => $whole, answer => $cut->[$at] }));
    Test::More::diag(scalar(@$wrong) . ' of ' . scalar(@$cut) . ' cuts differ');
    return;
}

# Plays scripts (lists of pieces), each on a connection of its own that is half-closed after the last
# piece, and returns all that came back for each until the server closed. Between two pieces the
# server is known to have read: a request sent later on another connection was answered meanwhile.
sub converse {
    my ($server, @scripts) = @_;
    my @order = sort { @{ $scripts[$a] } <=> @{ $scripts[$b] } } 0 .. $#scripts;
    my $pace  = $server->connect;
    my @answers;
    while (my @batch = splice @order, 0, $AT_ONCE) {
        @answers[@batch] = _play($server, $pace, @scripts[@batch]);
    }
    return @answers;
}

sub _play {
    my ($server, $pace, @scripts) = @_;
    my @clients = map { $server->connect } @scripts;
    _keep_pace($pace);
    for my $turn (0 .. $#{ $scripts[-1] }) {
        for my $i (grep { $turn < @{ $scripts[$_] } } 0 .. $#scripts) {
            $clients[$i]->send($scripts[$i][$turn]);
            $clients[$i]->half_close if $turn == $#{ $scripts[$i] };
        }
        _keep_pace($pace);
    }
    my @answers =
        map { $_->rest . (defined $_->error ? "\n(error: " . $_->error . ')' : '') } @clients;
    $_->close for @clients;
    return @answers;
}

sub _keep_pace {
    my ($pace) = @_;
    $pace->send("GET /pace HTTP/1.1\r\nHost: a\r\n\r\n");
    $pace->response;
    return;
}

1;
