# HTTP/2 over reloads and upgrades: what was asked before GOAWAY named the last stream is answered, what
# came behind it can be asked again. (h2load gives up what is left when it sees GOAWAY, and counts it as
# errors: it opens no second connection.)

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use POSIX ();
use SprigTest;
use SprigTest::Http2;
use SprigTest::Workers;
use Test::More;

need_http2();

my $IN_FLIGHT = 10;

# Asks until the file is there; what came of it in words.
sub ask_until {
    my ($server, $stop) = @_;
    my %n = map { $_ => 0 } qw(answered again lost connections);
    while (!-e $stop) {
        my $h2 = eval { SprigTest::Http2->connect($server) };
        if (!$h2) {
            $n{lost}++;
            last;
        }
        $n{connections}++;
        talk($h2, $stop, \%n);
        $h2->close;
    }
    return join ' ', map { "$_=$n{$_}" } sort keys %n;
}

# One connection, to its end: GOAWAY with a last stream, or that of the test.
sub talk {
    my ($h2, $stop, $n) = @_;
    my %open;
    my $last;
    while (1) {
        while (!defined $last && keys %open < $IN_FLIGHT && !-e $stop) {
            $open{ $h2->request('/') } = 1;
        }
        last if !%open;
        my $frame = $h2->next_frame;
        if (!$frame) {
            $n->{lost} += keys %open;
            last;
        }
        $h2->_collect($frame);
        $h2->send(SprigTest::Http2::frame('PING', $FLAG{ACK}, 0, $frame->{payload}))
            if $frame->{type} eq 'PING';
        if ($frame->{type} eq 'GOAWAY' && $h2->{goaway}{last} < 2**31 - 1) {
            $last = $h2->{goaway}{last};
            my @beyond = grep { $_ > $last } keys %open;
            $n->{again} += @beyond;
            delete @open{@beyond};
        }
        for my $id (grep { $h2->_response_of($_)->{over} } keys %open) {
            my $r = delete $h2->{responses}{$id};
            delete $open{$id};
            ($r->{status} || 0) == 200 && !defined $r->{reset} ? $n->{answered}++ : $n->{lost}++;
        }
    }
    return;
}

my $master = start_workers(workers => 2, listen => ['127.0.0.1:0,h2c'], flags => ['--pid', 'pid']);
my $stop   = SprigTest::temp_path('stop');
my @from;
for (1 .. 3) {
    my $pid = open my $out, '-|';
    defined $pid or die "fork: $!";
    if (!$pid) {
        syswrite STDOUT, eval { ask_until($master, $stop) } || "lost=1 $@";
        POSIX::_exit(0);
    }
    push @from, $out;
}

my %seen = map { $_ => 1 } $master->serving(2);
for my $signal (qw(HUP HUP USR2 HUP HUP USR2 HUP)) {
    my $before = $master->learn_master;
    $master->signal($signal);
    ok(
        eventually(
            sub {
                my @pids = grep { !$seen{$_} } $master->serving(2);
                return @pids == 2 && ($signal eq 'HUP' || $master->learn_master != $before);
            },
            20
        ),
        $signal
    );
    $seen{$_} = 1 for $master->serving(2);
}
spew($stop, '');
my %sum;
for my $out (@from) {
    my $line = <$out>;
    $sum{$1} += $2 while $line =~ /(\w+)=(\d+)/g;
    like($line, qr/answered=\d\d/, $line);
}
is($sum{lost}, 0, 'no request is lost');
cmp_ok($sum{connections}, '>', 7, 'and clients came back');
note join ' ', map { "$_=$sum{$_}" } sort keys %sum;
$master->ends_ok;
done_testing;
