# Bodies of any shape to clients of any manners: every byte arrives, and the next request on the
# connection is in step. On our loop and on EV.
#
#   SPRIG_TEST_SEED=n    repeats a run
#   SPRIG_TEST_CASES=n   how many cases on each loop

use strict;
use warnings;
use Digest::MD5 ();
use FindBin;
use lib "$FindBin::Bin/lib";
use Socket qw(SOL_SOCKET SO_RCVBUF);
use SprigTest;
use SprigTest::Probe;
use SprigTest::Response;
use Test::More;
use Time::HiRes qw(time);

my $n_cases = $ENV{SPRIG_TEST_CASES} || ($ENV{SPRIG_TEST_FULL} ? 3000 : 250);
delete $ENV{PERL_ANYEVENT_MODEL};
my $seed    = $ENV{SPRIG_TEST_SEED} || int(time * 1000) % 2**31;
my $at_once = 12;
my $unit    = join '', map { pack 'N', $_ * 2_654_435_761 & 0xffffffff } 1 .. 5003;

my $code = <<'APP';
use Digest::MD5 ();

my $unit = join '', map { pack 'N', $_ * 2_654_435_761 & 0xffffffff } 1 .. 5003;
{ package Body; sub new { my ($class, @self) = @_; bless \@self, $class }
  sub getline { $_[0][0]->() } sub close { $_[0][1]++ and warn "closed twice\n" } }
my $n_files = 0;
my %later;
sub later {
    my ($ms, $code) = @_;
    my $id = \my $timer;
    $later{$id} = AE::timer $ms / 1000, 0, sub { delete $later{$id}; $code->() };
    return;
}
sub bytes { my ($from, $n) = @_; $from %= length $unit; substr($unit x (1 + int(($from + $n) / length $unit)), $from, $n) }
# [bytes, pause behind it in ms]...
sub pieces { my $at = 0; map { my ($n, $ms) = split /\./; my $b = bytes($at, $n); $at += $n; [$b, $ms || 0] } split /-/, shift }
sub stream {
    my ($w, $polite, @pieces) = @_;
    my $go; $go = sub {
        while (my $next = shift @pieces) {
            my $has_room = $w->write($next->[0]);
            return if !$go;
            return later($next->[1], $go) if $next->[1];
            return $w->on_drain(sub { $_[0]->on_drain(undef); $go && $go->() }) if $polite && !$has_room;
        }
        undef $go;
        $w->close;
    };
    $w->on_disconnect(sub { undef $go });
    $go->();
}
sub file { my $bytes = shift; open my $fh, '+>', undef or die $!; print {$fh} 'skipped', $bytes; seek $fh, 7, 0; $fh }
my %kind = (
    array    => sub { my ($h, @p) = @_; [200, $h, [map { $_->[0] } @p]] },
    refs     => sub { my ($h, @p) = @_; [200, $h, [map { \(my $s = $_->[0]) } @p]] },
    delayed  => sub { my ($h, @p) = @_; sub { my $r = shift; later($p[0][1], sub { $r->([200, $h, [map { $_->[0] } @p]]) }) } },
    getline  => sub { my ($h, @p) = @_; [200, $h, Body->new(sub { my $p = shift @p; $p && $p->[0] }, 0)] },
    file     => sub { my ($h, @p) = @_; [200, $h, file(join '', map { $_->[0] } @p)] },
    memory   => sub { my ($h, @p) = @_; my $all = join '', map { $_->[0] } @p; open my $fh, '<', \$all or die; [200, $h, $fh] },
    rude     => sub { my ($h, @p) = @_; sub { stream($_[0]->([200, $h]), 0, @p) } },
    polite   => sub { my ($h, @p) = @_; sub { stream($_[0]->([200, $h]), 1, @p) } },
);
routes(
    '/loop' => sub { [200, [], [AnyEvent::detect()]] },
    map { my $kind = $_; "/$kind" => sub {
        my $env = shift;
        my ($spec, $length) = split /,/, $env->{QUERY_STRING};
        my $in = $env->{'psgi.input'};
        my $headers = ['X-Input' => Digest::MD5->new->addfile($in)->hexdigest];
        push @$headers, 'Content-Length' => $length if defined $length;
        $kind{$kind}->($headers, pieces($spec));
    } } keys %kind,
);
APP
my @kinds = qw(array refs delayed getline file memory rude polite);

note "SPRIG_TEST_SEED=$seed";
my %loops = (sprig => []);
$loops{EV} = ['-MEV'] if eval { require EV; 1 } || system("$^X -MEV -e1 2>/dev/null") == 0;
for my $loop (reverse sort keys %loops) {
    subtest "on $loop" => sub {
        srand $seed;
        my $server =
            start_probe($code, perl => $loops{$loop}, args => { output_buffer_bytes => 200_000 });
        like $server->ask(get('/loop'))->body, $loop eq 'EV' ? qr/::EV$/ : qr/::Sprig$/, 'the loop';
        my ($n_done, $n_bytes, $wrong) = play($server);
        is $wrong, undef, "$n_done cases, $n_bytes bytes" or diag "SPRIG_TEST_SEED=$seed";
        ok comes_to_rest($server), 'nothing is left';
        is $server->stderr, '', 'without a word';
        $server->stop_ok;
    };
}
done_testing;

# ---- cases ----

sub one_of { return $_[rand @_] }

sub some_size {
    return one_of(
        0,
        1,
        int rand 100,
        int rand 5000,
        int rand 5000,
        int rand 70_000,
        16_384,
        65_536,
        int rand 400_000
    );
}

# What the app is to write, and how the client will read.
sub new_case {
    my $kind   = one_of(@kinds);
    my @sizes  = map { some_size() } 1 .. one_of(1, 1, 2, 5, 20);
    my @pauses = map { rand() < 0.1 ? 1 + int rand 10 : 0 } @sizes;
    @sizes = grep { $_ } @sizes, 1 if $kind eq 'getline';    # a rest follows many empty ones
    my $total = 0;
    $total += $_ for @sizes;
    my $body = rand() < 0.3 ? bytes(0, one_of(10, 3000, 70_000, 200_000)) : '';
    return {
        kind   => $kind,
        total  => $total,
        body   => $body,
        md5    => Digest::MD5::md5_hex($body),
        method => rand() < 0.1 ? 'HEAD' : length $body ? 'POST' : 'GET',
        spec => join('-', map { $pauses[$_] ? "$sizes[$_].$pauses[$_]" : $sizes[$_] } 0 .. $#sizes)
            . (rand() < 0.3 ? ",$total" : ''),
        chunked  => rand() < 0.5,
        at_most  => one_of(2000, 20_000, 70_000, 1_000_000),
        pause    => one_of(0,    0, 0, 0.001, 0.01),
        gives_up => rand() < 0.05 ? int rand($total + 200) : undef,
    };
}

sub bytes {
    my ($from, $n) = @_;
    $from %= length $unit;
    return substr $unit x (1 + int(($from + $n) / length $unit)), $from, $n;
}

sub request_of {
    my ($case) = @_;
    my $head = "$case->{method} /$case->{kind}?$case->{spec} HTTP/1.1\r\nHost: a\r\n";
    return "$head\r\n" if $case->{body} eq '';
    return $head . 'Content-Length: ' . length($case->{body}) . "\r\n\r\n$case->{body}"
        if !$case->{chunked};
    my $size = 1 + int rand 40_000;
    return join '', "${head}Transfer-Encoding: chunked\r\n\r\n",
        (map { sprintf "%x\r\n%s\r\n", length, $_ } unpack "(a$size)*", $case->{body}), "0\r\n\r\n";
}

# ---- clients ----

# Plays all cases, several connections at a time; returns how many were played, the bytes of their
# bodies, and what was wrong first.
sub play {
    my ($server) = @_;
    my ($n_started, $n_bytes, @clients) = (0, 0);
    my $deadline = time + 60 + $n_cases / 5;
    while (1) {
        @clients = grep { $_->{conn} } @clients;
        push @clients, { conn => $server->connect, wake => 0 }
            while @clients < $at_once && $n_started + @clients < $n_cases + $at_once;
        for my $client (grep { !$_->{case} } @clients) {
            if ($n_started >= $n_cases) {
                $client->{conn} = undef;
                next;
            }
            $n_started++;
            start($client, new_case());
        }
        return ($n_started, $n_bytes) if $n_started >= $n_cases && !grep { $_->{conn} } @clients;
        return ($n_started, $n_bytes, 'no progress') if time > $deadline;
        for my $client (grep { $_->{conn} } await(@clients)) {
            my $done = eval { step($client) };
            return ($n_started, $n_bytes, "$@ in " . explain_case($client)) if $@;
            $n_bytes += $done || 0;
        }
    }
}

sub explain_case {
    my ($client) = @_;
    my %case = %{ $client->{case} };
    $case{body} = length $case{body};
    return join ' ', map { defined $case{$_} ? "$_=$case{$_}" : () } sort keys %case;
}

sub start {
    my ($client, $case) = @_;
    @$client{qw(case out n_in)} = ($case, request_of($case), 0);
    $client->{response}         = SprigTest::Response->new(method => $case->{method});
    $case->{until}              = time + 60;
    return;
}

# Those that may go on now.
sub await {
    my (@clients) = grep { $_->{conn} } @_;
    my ($read, $write, $n_pending) = ('', '', 0);
    my $now = time;
    for (@clients) {
        my $fd = $_->{fd} = fileno $_->{conn}->socket;
        vec($read,  $fd, 1) = 1 if $_->{wake} <= $now;
        vec($write, $fd, 1) = 1 if length $_->{out};
        $_->{has_pending} = $_->{wake} <= $now && $_->{conn}->has_pending;
        $n_pending++ if $_->{has_pending};
    }
    select $read, $write, undef, $n_pending ? 0 : 0.005;
    return
        grep { $_->{has_pending} || vec($read, $_->{fd}, 1) || vec $write, $_->{fd}, 1 } @clients;
}

# Sends and reads a bit. At the end of a case its bytes are returned.
sub step {
    my ($client) = @_;
    my ($case, $conn) = @$client{qw(case conn)};
    die "takes too long\n" if time > $case->{until};
    if (length $client->{out}) {
        my $n = $conn->put($client->{out});
        substr $client->{out}, 0, $n, '' if $n;
    }
    my $n = $conn->get($case->{at_most});
    return                                    if !defined $n && $!{EAGAIN};
    die defined $n ? "end of file\n" : "$!\n" if !$n;
    $client->{n_in} += $n;
    $client->{wake} = time + $case->{pause} if $case->{pause} && rand() < 0.3;
    if (defined $case->{gives_up} && $client->{n_in} >= $case->{gives_up}) {
        $conn->close;
        return $client->{conn} = undef;
    }
    $client->{response}->parse(\$conn->{in}, 0) or return;
    return check($client);
}

sub check {
    my ($client) = @_;
    my ($case, $response) = @$client{qw(case response)};
    die 'status ' . $response->status . "\n" if $response->status != 200;
    die "the input was not what was sent\n"  if $response->header('X-Input') ne $case->{md5};
    die "bytes behind the response\n"        if length $client->{conn}{in};
    my $expected = $case->{method} eq 'HEAD' ? '' : bytes(0, $case->{total});
    die 'got ' . length($response->body) . " bytes\n" if length $response->body != length $expected;
    die "other bytes\n"                               if $response->body ne $expected;
    $client->{case} = undef;
    return $case->{total};
}
