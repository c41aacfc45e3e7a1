package SprigTest::Load;

# A client in a process of its own that asks for / again and again until it is stopped, and tells what
# came of it. It repeats nothing: what is not answered is lost.
#
#   my $load = SprigTest::Load->start(port => 5000, keeps => 1);
#   ...
#   no_loss_ok('while ...', $load);       # stops it; $load->answers is { body => times }

use strict;
use warnings;
use Exporter qw(import);
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use SprigTest::Client;
use Test::More ();

our @EXPORT = qw(no_loss_ok);

my $get = "GET / HTTP/1.1\r\nHost: localhost\r\n";

# Options: port or path (of a unix socket); keeps: keeps its connections; pause: seconds between
# two requests.
sub start {
    my ($class, %option) = @_;
    pipe my $from, my $to or die "pipe: $!";
    my $pid = fork;
    defined $pid or die "fork: $!";
    if (!$pid) {
        close $from;
        my $done;
        local $SIG{TERM} = sub { $done = 1 };
        my $told = eval { _ask_until(\%option, \$done) } || "lost failure: $@";
        syswrite $to, $told;
        POSIX::_exit(0);
    }
    close $to;
    return bless { pid => $pid, from => $from, %option }, $class;
}

sub name { return $_[0]{keeps} ? 'kept connections' : 'new connections' }

# Ends it; what it has told. Lost requests are a list of reasons.
sub stop {
    my ($self) = @_;
    return $self if $self->{lost};
    kill 'TERM', $self->{pid};
    local $/;
    my $told = readline $self->{from};
    waitpid $self->{pid}, 0;
    @$self{qw(lost answers)} = ([], {});
    for my $line (split /\n/, $told) {
        my ($kind, $text) = split / /, $line, 2;
        $kind eq 'lost' ? push @{ $self->{lost} }, $text : $self->{answers}{$text}++;
    }
    return $self;
}

sub lost    { return @{ $_[0]->stop->{lost} } }
sub answers { return $_[0]->stop->{answers} }

sub _ask_until {
    my ($option, $done) = @_;
    my $parent = getppid;
    my ($client, @told);
    until ($$done || getppid != $parent) {    # a test that is killed takes its load along
        $client ||= _connect($option, $done, \@told) or next;
        my $is_kept = _ask($client, $option, \@told);
        $client = undef if !$is_kept;
        select undef, undef, undef, defined $option->{pause} ? $option->{pause} : 0.001;
    }
    return join '', map { "$_\n" } @told;
}

sub _connect {
    my ($option, $done, $told) = @_;
    my $socket =
        defined $option->{path}
        ? IO::Socket::UNIX->new(Peer     => $option->{path})
        : IO::Socket::INET->new(PeerAddr => "127.0.0.1:$option->{port}");
    return SprigTest::Client->adopt($socket) if $socket;
    return if $$done;    # a connect that the signal has interrupted is no loss
    push @$told, "lost cannot connect: $!";
    select undef, undef, undef, 0.01;
    return;
}

# True if the connection can be used again.
sub _ask {
    my ($client, $option, $told) = @_;
    my $is_sent  = $client->send($get . ($option->{keeps} ? "\r\n" : "Connection: close\r\n\r\n"));
    my $response = $is_sent && eval { $client->response };
    if (!$response || !$response->is_complete || $response->status != 200) {
        my $why = !$response ? $client->error || $@ : $response->error || $response->status;
        $why = 'closed without an answer' if !defined $why;
        push @$told, "lost $why" =~ s/\s+/ /gr;
        return 0;
    }
    push @$told, 'answer ' . $response->body;
    return $option->{keeps} && ($response->header('Connection') || '') ne 'close';
}

# Stops these and asserts that all was answered.
sub no_loss_ok {
    my ($name, @loads) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    for my $load (@loads) {
        my %why;
        $why{$_}++ for $load->lost;
        my $n = 0;
        $n += $_ for values %{ $load->answers };
        my $what = join ', ', map { "$_ ($why{$_})" } sort keys %why;
        Test::More::is($what, '', "$name, " . $load->name . ': no request is lost')
            or Test::More::diag("$n were answered");
        Test::More::cmp_ok($n, '>', 5, '... of more than a few');
    }
    return;
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $!, $@);
    $self->stop if $self->{pid};
    return;
}

1;
