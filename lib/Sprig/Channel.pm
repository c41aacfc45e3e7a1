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

Sprig::Channel - send one message to many clients, in all workers

=head1 SYNOPSIS

    use Sprig::Channel;

    my $prices = Sprig::Channel->new('prices', history => 100);

    my $app = sub {
        my ($env) = @_;
        if ($env->{REQUEST_METHOD} eq 'POST') {
            $env->{'psgi.input'}->read(my $text, 1000);
            utf8::decode($text);
            $prices->publish($text);
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
(L<Sprig::WebSocket>). Whatever you publish reaches all members, including those in other workers.

=over

=item *

A message is encoded once and queued in C. No Perl code runs for the members, so thousands of them cost
little more than their system calls.

=item *

All workers deliver all messages in the same order, and each member gets each message once.

=item *

If a worker is killed, only its own members are lost. When these clients reconnect, the history of the channel has
what they have missed.

=item *

A member that does not read holds up nobody: see L</join>.

=back

The objects are handles: there is one channel of each name, however many objects refer to it. It disappears
with the last object, unless it has members. A new object of that name may still find its history, as long as the memory
of the server (option C<channel_bytes>) has room for it.

=head1 METHODS

=head2 new

    my $channel = Sprig::Channel->new($name, history => 100, backend => $backend);

The name is a string of characters that takes 1 to 200 bytes in UTF-8. C<history> is the number of messages to
remember; the default is none. If several objects give different numbers, the largest counts. For C<backend>, see
L</BACKENDS>.

You can create channels at any time, even in an application that is loaded before the workers are forked.

=head2 publish

    $channel->publish($text, event => $name, id => $id);

Sends a text to all members. The text consists of characters, not bytes (see L<Sprig::Writer/event> for what that means
for JSON). C<event> is the name of the event for event streams.

If the channel has a history and you give no C<id>, the message gets a number as its id. These numbers increase, across
all channels and workers and from one start of the server to the next. So one C<Last-Event-ID> works for a
stream that is a member of several channels. If you give ids, give one to every message of the channel.

Returns true, or false with a warning if other processes are stuck. Dies if the text is longer than an eighth of
C<channel_bytes>, if it contains something that is not a Unicode character, or if there is a line end in C<event> or
C<id>.

You can call it in any process forked from the server or its workers, with or without an event loop.

=head2 publish_binary

    $channel->publish_binary($bytes);

The same for bytes. Event streams cannot carry bytes and are skipped.

=head2 join

    $channel->join($writer, since => $env->{HTTP_LAST_EVENT_ID}, slow => 'close', queue_bytes => 100_000);
    $channel->join($websocket, since => $number);

Makes a client a member until its connection ends or it leaves. The writer's response must be a
C<text/event-stream>, and a WebSocket must have been accepted. The channel keeps the object alive, so you do not have
to. If the client of a writer closes its side, the response ends.

=over

=item since

The id of the last message that the client has seen. The messages after it are sent first, as far as the channel
remembers them. An unknown id, such as 0 or one that is no longer remembered, means the whole history. If it is
undefined or empty, nothing is repeated. A client can tell that it has missed messages if the ids are numbers that you
count yourself: the first one that it gets is then not the next one.

=item slow

What happens to the member when more than C<queue_bytes> are waiting for it. C<close> ends its connection without a
last chunk; an C<EventSource> reconnects by itself and catches up. C<drop> leaves out messages until it has
read. C<spill> stores them in a temporary file, up to C<max_output_bytes>. The default is the option
C<channel_slow>.

=item queue_bytes

The default is the option C<channel_queue_bytes>. Messages repeated because of C<since> do not count.

=back

A WebSocket takes only C<since>; you set what happens to a slow one when you accept it. It receives
the text of a message but not its id, so put a number into the text if a page should be able to catch up.

Returns true, or false if the client has already left. Joining again has no effect.

=head2 leave

    $channel->leave($writer_or_websocket);

The member gets no more messages, but its response or connection continues. If nothing else refers to the object, it
ends. Returns false if it was not a member.

=head2 members

The number of members in all workers.

=head2 on_publish

    $channel->on_publish(sub { my ($text, $event, $id, $is_binary) = @_; ... });

Calls the code in this process, shortly afterwards, for each message published anywhere from now on. The object has one
callback as long as it exists; C<undef> removes it. If it dies, Sprig warns.

=head2 name, history

The values given to C<new>.

=head2 deliver, deliver_binary

    $channel->deliver($text, event => $name, id => $id, number => $number);

For backends: sends a message to the members in this process, and to no other.

=head1 WORKERS

Messages pass through memory that the workers share, in the order in which they were published. If an
application blocks its worker for so long that C<channel_bytes> of new messages overwrite unread ones, the members in
that worker lose them, and Sprig warns.

The history is in that memory, too. It survives when workers are replaced, and also an upgrade with C<USR2>: while old
and new workers serve side by side, messages published in any of them reach all members. (An upgrade starts with an
empty history if C<channel_bytes> has changed, if there are many more workers, or if the new version of Sprig uses
another layout.) It does not survive the end of the master.

All this works with C<reuseport>, and on any event loop.

=head1 BACKENDS

A backend carries messages beyond the workers of one server. L<Sprig::Channel::Redis> is one. You can write others, for
example for NATS or PostgreSQL's NOTIFY, as objects with these methods:

=over

=item subscribe($channel)

Called when the channel is created in this process. The backend may keep the object, but only as a weak reference. From
then on, it passes messages published elsewhere to C<deliver>, in each process separately. It can use
L<Sprig::Worker/after_fork> to learn when a process begins to serve.

=item publish($channel, $text, %option)

Called instead of L</publish> and L</publish_binary> (then with C<< is_binary => 1 >>), which return whatever it
returns. It must not wait. It must also deliver the message to this process, with C<deliver>.

=item unsubscribe($channel)

Called when the object is about to be destroyed.

=back

C<id> and C<number> of C<deliver> should be the same in all processes, so that C<Last-Event-ID> means the same
in all of them. Numbers increase with time. For ids of the form C<MILLISECONDS-NUMBER>, use the numbers C<<
($milliseconds << 20) + $number >>. Messages that arrive late are sorted into the history by their number.

=head1 SEE ALSO

L<Sprig::Manual::Realtime>, L<Sprig::Writer>, L<Sprig::WebSocket>, L<sprig/Channels>

=cut
