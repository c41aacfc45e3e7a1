package Sprig::Channel;

use strict;
use warnings;

use Carp  qw(croak);
use Sprig ();

our $VERSION = '0.001';

my %is_option = map { $_ => 1 } qw(history backend);

sub new {
    my ($class, $name, %option) = @_;
    defined $name or croak 'Sprig::Channel->new: a name is missing';
    $is_option{$_} or croak "Sprig::Channel->new: there is no option '$_'" for sort keys %option;
    my $history = defined $option{history} ? $option{history} : 0;
    $history =~ /\A[0-9]{1,9}\z/ or croak "Sprig::Channel->new: history must be a whole number, got '$history'";
    my $self = bless { name => $name, backend => $option{backend}, history => $history }, $class;
    $self->_open($name, $history);
    $self->{backend}->subscribe($self) if $self->{backend};
    return $self;
}

sub name    { return $_[0]{name} }
sub history { return $_[0]{history} }

sub publish {
    my ($self, $text, %option) = @_;
    return $self->_publish($text, %option) if !$self->{backend};
    return $self->{backend}->publish($self, $text, %option);
}

sub publish_binary {
    my ($self, $bytes, %option) = @_;
    return $self->_publish_binary($bytes, %option) if !$self->{backend};
    return $self->{backend}->publish($self, $bytes, %option, is_binary => 1);
}

sub DESTROY {
    my ($self) = @_;
    local ($@, $!, $?);
    $self->{backend}->unsubscribe($self) if $self->{backend};
    return;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Channel - one message to many clients, in all workers

=head1 SYNOPSIS

    use Sprig::Channel;

    my $prices = Sprig::Channel->new('prices', history => 100);

    my $app = sub {
        my ($env) = @_;
        if ($env->{REQUEST_METHOD} eq 'POST') {
            $prices->publish(read_body($env));
            return [204, [], []];
        }
        return sub {
            my ($respond) = @_;
            my $writer = $respond->([200, ['Content-Type' => 'text/event-stream']]);
            $writer->heartbeat(20);
            $prices->join($writer, since => $env->{HTTP_LAST_EVENT_ID});
        };
    };

=head1 DESCRIPTION

A channel has a name and members: event streams (L<Sprig::Writer/event>) and WebSockets
(L<Sprig::WebSocket>). What is published in it reaches all members, those of the other workers included.

=over

=item *

A message is encoded once and queued in C. Perl is not called for the members, so that thousands of them cost
little more than their system calls.

=item *

All workers deliver all messages in the same order; each member gets each message once.

=item *

A worker that is killed takes its own members along, and nothing else. Those of its clients that come back
find what they missed in the history of the channel.

=item *

Nobody waits for a member that does not read: see L</join>.

=back

The objects are handles: there is one channel of each name, however many objects there are for it. It is gone
when the last object is, unless it has members; but what it remembers may be found again, as long as the memory
of the server (option C<channel_bytes>) has room for it.

=head1 METHODS

=head2 new

    my $channel = Sprig::Channel->new($name, history => 100, backend => $backend);

A name is characters, of 1 to 200 bytes in UTF-8. C<history> is how many messages are
remembered; without it, none. If several objects say different numbers, the largest counts. C<backend>: see
L</BACKENDS>.

Channels may be made at any time, also in an application that is loaded before the workers are forked.

=head2 publish

    $channel->publish($text, event => $name, id => $id);

Sends a text to all members. It is characters, not bytes (see L<Sprig::Writer/event> for what that means for
JSON). C<event> is the name of the event for event streams.

Without an C<id> a message gets a number as its id, if the channel has a history. These numbers grow, over all
channels of all workers and from one start of the server to the next. So one C<Last-Event-ID> is good for a
stream that is a member of several channels. If you give ids, give them to all messages of a channel.

Returns true, or false with a warning if other processes are stuck. Dies if the text is longer than an eighth of
C<channel_bytes>, has what is no Unicode character, or if there is a line end in name or id.

May be called in any process that was forked from the server or its workers, with or without an event loop.

=head2 publish_binary

    $channel->publish_binary($bytes);

The same for bytes. Event streams cannot carry them and are passed over.

=head2 join

    $channel->join($writer, since => $env->{HTTP_LAST_EVENT_ID}, slow => 'close', queue_bytes => 100_000);
    $channel->join($websocket, since => $number);

Makes a client a member, until its connection ends or it leaves. The writer's response has to be a
C<text/event-stream>; a WebSocket has to be accepted. The channel keeps the object: nobody else needs to. If the
client of a writer closes its side, the response ends.

=over

=item since

The id of the message that the client has seen last: those behind it, as far as the channel remembers them, are sent
first. What is unknown, such as 0, means all that it remembers. Undefined or empty: nothing is repeated.

=item slow

What becomes of the member when more than C<queue_bytes> wait to be read by it: C<close> ends its connection without a
last chunk, and an C<EventSource> comes back by itself and catches up; C<drop> leaves messages out until it has
read; C<spill> stores them in a temporary file, up to C<max_output_bytes>. If it is not given, the option
C<channel_slow> counts.

=item queue_bytes

If it is not given, the option C<channel_queue_bytes> counts. What is repeated by C<since> is not counted.

=back

WebSockets have C<since> only: what becomes of those that do not read is told when they are accepted. They get
the text, and not the id of a message; a page that is to come back without a loss has to find a number in it.

Returns true, or false if the client has left already. Joining twice is joining once.

=head2 leave

    $channel->leave($writer_or_websocket);

It gets no more messages; its response or connection goes on. If nobody else has the object, that ends.
Returns false if it was no member.

=head2 members

How many members the channel has in all workers.

=head2 on_publish

    $channel->on_publish(sub { my ($text, $event, $id, $is_binary) = @_; ... });

Calls back, in this process, for each message that is published anywhere from now on, a little later. The object has one
callback, as long as it exists; C<undef> removes it. If it dies, that is a warning.

=head2 name, history

What C<new> was given.

=head2 deliver, deliver_binary

    $channel->deliver($text, event => $name, id => $id, number => $number);

For backends: sends a message to the members in this process, and to no other.

=head1 WORKERS

Messages pass through memory that the workers share, in the order in which they were published. A worker whose
application keeps the event loop for so long that C<channel_bytes> of new messages overwrite those that it has not
read loses them for its members; there is a warning then.

What channels remember is in that memory, too. It survives workers that end and are replaced, by a reload or
otherwise, and an upgrade by C<USR2>: while old and new workers serve side by side, what is published in one reaches
the members of all. (An upgrade begins anew if C<channel_bytes> has changed, if many more workers are asked for, or if
the new version of Sprig has another layout.) It does not survive the end of the master.

C<reuseport> and the kind of loop do not matter.

=head1 BACKENDS

A backend carries messages further than the workers of one server. L<Sprig::Channel::Redis> is one. Others, on
NATS or on NOTIFY of PostgreSQL for instance, are objects with these methods:

=over

=item subscribe($channel)

The channel was made in this process. The backend may keep the object, but only weakly. It begins to pass on
what is published elsewhere by C<deliver>, in each process for itself; L<Sprig::Worker/after_fork> tells it
when a process begins to serve.

=item publish($channel, $text, %option)

Called in place of L</publish> and L</publish_binary> (then with C<< is_binary => 1 >>). What it returns is
what they return. It must not wait. The message has to come back to this process as well, by C<deliver>.

=item unsubscribe($channel)

The object is about to go.

=back

C<id> and C<number> of C<deliver> should be the same in all processes, so that C<Last-Event-ID> means the same
in all of them. Numbers grow with time; ids of the form C<MILLISECONDS-NUMBER> go with numbers C<<
($milliseconds << 20) + $number >>. Messages that arrive late take their place in the history by their number.

=head1 SEE ALSO

L<Sprig::Manual::Realtime>, L<Sprig::Writer>, L<Sprig::WebSocket>, L<sprig/Channels>

=cut
