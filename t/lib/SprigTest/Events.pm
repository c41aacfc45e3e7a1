package SprigTest::Events;

# A client of an event stream: asks for it, reads its head and chunks strictly, and collects events.
#
#   my $stream = open_events($server->connect, '/stream', 'Last-Event-ID: 7');
#   my @events = $stream->events(3);     # waits until there are 3; { id, event, data }

use strict;
use warnings;
use Exporter    qw(import);
use Time::HiRes qw(time);

our @EXPORT = qw(open_events);

my $SECONDS = 30;

# Returns when the head is there.
sub open_events {
    my ($client, $path, @lines) = @_;
    my $self = bless { client => $client, text => '', events => [], last_id => undef }, __PACKAGE__;
    $client->send(join("\r\n", "GET $path HTTP/1.1", 'Host: test', @lines) . "\r\n\r\n");
    $self->_wait(sub { $client->{in} =~ s/\A(HTTP.*?\r\n\r\n)//s and $self->{head} = $1 });
    return $self;
}

sub client  { return $_[0]{client} }
sub head    { return $_[0]{head} }
sub last_id { return $_[0]{last_id} }

# The response is complete: its last chunk has come.
sub is_complete { return $_[0]{is_complete} }

# The connection is over, one way or the other.
sub is_over {
    my ($self) = @_;
    $self->poll;
    return $self->{is_complete} || $self->{client}->eof;
}

# Takes in what is there.
sub poll {
    my ($self) = @_;
    my $client = $self->{client};
    $client->poll;
    while (!$self->{is_complete} && $client->{in} =~ /\A([0-9a-f]+)\r\n/) {
        my ($n, $start) = (hex $1, $+[0]);
        last if length $client->{in} < $start + $n + 2;
        $self->{text} .= substr $client->{in}, $start, $n;
        $self->{raw} = substr $client->{in}, $start, $n if $n;    # the last chunk
        substr($client->{in}, $start + $n, 2) eq "\r\n" or die "a chunk does not end with CRLF\n";
        substr $client->{in}, 0, $start + $n + 2, '';
        $self->{is_complete} = 1 if $n == 0;
    }
    $self->_take($1) while $self->{text} =~ s/\A(.*?)\n\n//s;
    return;
}

sub _take {
    my ($self, $block) = @_;
    my %event;
    for my $line (split /\n/, $block) {
        my ($name, $value) = $line =~ /\A([a-z]*): ?(.*)\z/s or die "not a line of an event: '$line'\n";
        next if $name eq '';
        $event{$name} = $name eq 'data' && defined $event{data} ? "$event{data}\n$value" : $value;
    }
    $self->{last_id} = $event{id} if defined $event{id};
    push @{ $self->{events} }, \%event if defined $event{data};
    return;
}

# All events so far, when there are n at least; fewer if they do not come in time.
sub events {
    my ($self, $n) = @_;
    $self->_wait(sub { $self->poll; @{ $self->{events} } >= $n || $self->is_over }) if $n;
    $self->poll;
    return @{ $self->{events} };
}

# Their data, with a blank between them.
sub texts {
    my ($self, $n) = @_;
    return join ' ', map { $_->{data} } $self->events($n);
}

# Waits until the data of one matches.
sub await {
    my ($self, $pattern) = @_;
    my $n = 0;
    return $self->_wait(
        sub {
            $self->poll;
            my $events = $self->{events};
            while ($n < @$events) {
                return 1 if $events->[$n++]{data} =~ $pattern;
            }
            return 0;
        }
    );
}

sub _wait {
    my ($self, $done) = @_;
    my $deadline = time + $SECONDS;
    until ($done->()) {
        return 0 if time > $deadline || ($self->{client}->eof && !length $self->{client}{in});
        $self->{client}->_wait(0, 0.05);
        $self->{client}->poll;
    }
    return 1;
}

1;
