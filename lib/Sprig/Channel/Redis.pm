package Sprig::Channel::Redis;

use strict;
use warnings;

use AnyEvent         ();
use AnyEvent::Handle ();
use Carp             qw(croak);
use Scalar::Util     qw(refaddr weaken);
use Sprig::Worker    ();

our $VERSION = '0.001';

# Pauses before the next attempt to connect, in seconds.
my ($PAUSE_MIN, $PAUSE_MAX) = (0.1, 5);

# Entries that one answer brings, and publishers of which is remembered what they have said last.
my ($READ_COUNT, $MAX_PUBLISHERS) = (1000, 1000);

# Commands that may wait for their answers. What has gathered while Redis was away goes in portions: in one, it
# could be trimmed before anybody has read it.
my $WINDOW = 100;

# How long a connection may take, and how often a reader shows that it is there.
my ($CONNECT_SECONDS, $BLOCK_MS) = (5, 10_000);

# That messages were lost is told so often, of one channel.
my $QUIET_SECONDS = 60;

my %DEFAULT = (
    host      => '127.0.0.1',
    port      => 6379,
    path      => undef,
    user      => undef,
    password  => undef,
    db        => undef,
    prefix    => 'sprig:',
    maxlen    => 10_000,
    max_queue => 10_000,
    on_state  => undef,
);

sub new {
    my ($class, %option) = @_;
    exists $DEFAULT{$_} or croak "Sprig::Channel::Redis->new: there is no option '$_'" for sort keys %option;
    my $self = bless { %DEFAULT, %option, channels => {} }, $class;
    weaken(my $weak = $self);
    Sprig::Worker->after_fork(sub { $weak->_start if $weak });
    return $self;
}

# Whether messages come at present.
sub is_connected { return $_[0]{is_up} ? 1 : 0 }

# ---- what Sprig::Channel calls ----

sub subscribe {
    my ($self, $channel) = @_;
    my $name  = $channel->name;
    my $topic = $self->{channels}{$name} ||= { key => $self->{prefix} . _bytes($name), name => $name, said => {} };
    weaken($topic->{objects}{ refaddr $channel } = $channel);
    my $history = $topic->{history} || 0;
    $topic->{history} = $channel->history if $channel->history > $history;
    $self->_begin($topic)                 if $self->{reader};
    return;
}

sub unsubscribe {
    my ($self, $channel) = @_;
    my $topic = $self->{channels}{ $channel->name } or return;
    delete $topic->{objects}{ refaddr $channel };
    delete $self->{channels}{ $channel->name } if !%{ $topic->{objects} };
    return;
}

sub publish {
    my ($self, $channel, $text, %option) = @_;
    my $is_binary = delete $option{is_binary};
    my @unknown   = grep { $_ ne 'event' && $_ ne 'id' } sort keys %option;
    croak "Sprig::Channel::publish: unknown option '$unknown[0]'" if @unknown;
    for my $field (grep { defined $option{$_} } qw(event id)) {
        croak "Sprig::Channel::publish: $field has a line end or NUL in it" if $option{$field} =~ /[\r\n\0]/;
    }
    $self->_start;
    return 0 if @{ $self->{queue} } >= $self->{max_queue};
    my $bytes = defined $text ? "$text" : '';
    if (!$is_binary) {
        $bytes = _bytes($bytes);
    } elsif (!utf8::downgrade($bytes, 1)) {
        croak 'Sprig::Channel::publish_binary: wide character: binary messages are bytes';
    }
    my $maxlen = $channel->history > $self->{maxlen} ? $channel->history : $self->{maxlen};
    my $number = ++$self->{n_published};
    my $topic  = $self->{channels}{ $channel->name } || {};
    my $before = $topic->{published} || 0;
    $topic->{published} = $number;
    my @fields = (u => "$self->{token}:$number:$before", t => $bytes);
    push @fields, e => _bytes($option{event}) if defined $option{event};
    push @fields, i => _bytes($option{id})    if defined $option{id};
    push @fields, b => 1                      if $is_binary;
    push @{ $self->{queue} },
        { command => _command('XADD', $self->{prefix} . _bytes($channel->name), 'MAXLEN', '~', $maxlen, '*', @fields) };
    $self->_write;
    return 1;
}

# ---- connections ----

# Once in each process. What its parent had is the parent's.
sub _start {
    my ($self) = @_;
    return if ($self->{pid} || 0) == $$;
    delete @$self{qw(reader writer retry is_up)};
    $self->{pid}         = $$;
    $self->{token}       = join '-', $$, map { int rand 1 << 31 } 1, 2;
    $self->{n_published} = 0;
    $self->{queue}       = [];
    $self->{n_sent}      = 0;
    $self->{pause}       = $PAUSE_MIN;
    $self->_connect;
    return;
}

sub _connect {
    my ($self) = @_;
    delete $self->{retry};
    delete $_->{is_begun} for values %{ $self->{channels} };
    $self->{$_} = $self->_open($_) for qw(writer reader);
    return;
}

# `waiting` are what takes the answers, in the order of the commands.
sub _open {
    my ($self, $role) = @_;
    weaken(my $weak = $self);
    my $connection = { role => $role, waiting => [], buffer => '' };
    my $lost       = sub { $weak->_lost($_[2] || 'the connection was closed') if $weak };
    my @connect = defined $self->{path} ? ('unix/', $self->{path}) : ($self->{host}, $self->{port});
    my $handle  = $connection->{handle} = AnyEvent::Handle->new(
        connect    => \@connect,
        no_delay   => 1,
        keepalive  => 1,
        on_prepare => sub { $CONNECT_SECONDS },
        on_error   => $lost,
        on_eof     => $lost,
        on_read    => sub { $weak->_hear($connection) if $weak },
        $role eq 'reader' ? (rtimeout => 3 * $BLOCK_MS / 1000) : (),
    );
    my $ask = sub { push @{ $connection->{waiting} }, $_[0]; $handle->push_write(_command(@_[1 .. $#_])) };
    my $must = sub { my ($answer) = @_; $weak->_lost($$answer) if $weak && ref $answer eq 'SCALAR' };
    my @user = grep { defined } $self->{user};
    $ask->($must, 'AUTH',   @user, $self->{password}) if defined $self->{password};
    $ask->($must, 'SELECT', $self->{db})              if defined $self->{db};
    $ask->(
        sub {
            my ($id) = @_;
            return $must->($id) if ref $id;
            $connection->{id}       = $id;
            $connection->{is_ready} = 1;
            $weak->_ready($connection) if $weak;
        },
        'CLIENT',
        'ID'
    );
    return $connection;
}

sub _ready {
    my ($self, $connection) = @_;
    if ($connection->{role} eq 'writer') {

        # What was sent and not answered is sent again: readers know what they have heard already.
        $self->{n_sent} = 0;
        $self->_write;
    }
    return if grep { !$self->{$_} || !$self->{$_}{is_ready} } qw(reader writer);
    $self->{pause} = $PAUSE_MIN;
    $self->{is_up} = 1;
    my @topics = values %{ $self->{channels} };
    $_->{is_begun} = 1 for grep { defined $_->{last} } @topics;    # one question is about all of these
    $self->_read;
    $self->_begin($_) for @topics;
    $self->_tell(1);
    return;
}

# Sends what waits, as far as the window allows; when half of it is free, so that not each answer makes a packet.
sub _write {
    my ($self) = @_;
    my ($writer, $queue) = @$self{qw(writer queue)};
    return if !$writer || !$writer->{is_ready} || $self->{n_sent} > $WINDOW / 2;
    my $last = @$queue < $WINDOW ? $#$queue : $WINDOW - 1;
    my $bytes = join '', map { $_->{command} } @$queue[$self->{n_sent} .. $last];
    $self->{n_sent} = $last + 1;
    $writer->{handle}->push_write($bytes) if length $bytes;
    return;
}

sub _lost {
    my ($self, $why) = @_;
    return if $self->{retry};
    my $was_up = delete $self->{is_up};
    $self->_close;
    weaken(my $weak = $self);
    $self->{retry} = AE::timer($self->{pause}, 0, sub { $weak->_connect if $weak });
    $self->{pause} = 2 * $self->{pause} < $PAUSE_MAX ? 2 * $self->{pause} : $PAUSE_MAX;
    $self->_tell(0, $why) if $was_up || !$self->{has_told};
    return;
}

sub _close {
    my ($self) = @_;
    for my $connection (grep { defined } delete @$self{qw(reader writer)}) {
        $connection->{handle}->destroy if $connection->{handle};    # it may be gone at the end of perl
        %$connection = ();
    }
    @{ $self->{queue} } = grep { !$_->{question} } @{ $self->{queue} || [] };
    $self->{n_sent} = 0;
    return;
}

sub DESTROY {
    my ($self) = @_;
    local ($@, $!, $?);
    $self->_close if ($self->{pid} || 0) == $$;
    return;
}

sub _tell {
    my ($self, $is_up, $why) = @_;
    $self->{has_told} = 1;
    warn "Sprig::Channel::Redis: $why\n" if !$is_up && !$self->{on_state};
    $self->{on_state}->($is_up, $why) if $self->{on_state};
    return;
}

# ---- reading ----

# The reader learns what is there, and from where on it has to listen.
sub _begin {
    my ($self, $topic) = @_;
    my $reader = $self->{reader};
    return if !$reader->{is_ready} || $topic->{is_begun};
    $topic->{is_begun} = 1;
    if (defined $topic->{last}) {
        $self->_wake;
        return;
    }
    weaken(my $weak = $self);
    my $n = $topic->{history} || 0;
    $self->_ask_writer(
        sub {
            my ($entries) = @_;
            return if ref $entries ne 'ARRAY' || !$weak;
            $topic->{last} = @$entries ? $entries->[0][0] : '0-0';
            $weak->_take($topic, $_) for $n ? reverse @$entries : ();
            $weak->_wake;
        },
        'XREVRANGE',
        $topic->{key},
        '+', '-', 'COUNT',
        $n || 1
    );
    return;
}

# Questions go by the writer, since the reader waits for messages, and before what was not sent yet. They are
# asked anew by the next connection, where they are of use then.
sub _ask_writer {
    my ($self, $cb, @command) = @_;
    splice @{ $self->{queue} }, $self->{n_sent}, 0, { question => $cb, command => _command(@command) };
    $self->_write;
    return;
}

# The reader waits for too few streams: it is to begin anew. It may not have begun yet.
sub _wake {
    my ($self) = @_;
    my $reader = $self->{reader} or return;
    return $self->_read if !$reader->{reading};
    weaken(my $weak = $self);
    my $later = sub {
        $weak->_wake if $weak && $reader->{reading} && grep { !$reader->{reading}{ $_->{key} } } $weak->_topics;
    };
    $self->_ask_writer(
        sub {
            my ($is_woken) = @_;
            $reader->{later} = AE::timer(0.02, 0, $later) if !ref $is_woken && !$is_woken;
        },
        'CLIENT',
        'UNBLOCK',
        $reader->{id}
    );
    return;
}

# Those that are listened to.
sub _topics {
    my ($self) = @_;
    return grep { $_->{is_begun} && defined $_->{last} } values %{ $self->{channels} };
}

sub _read {
    my ($self) = @_;
    my $reader = $self->{reader};
    my @topics = $self->_topics;
    return if !$reader || $reader->{reading} || !@topics;
    $reader->{reading} = { map { $_->{key} => 1 } @topics };
    weaken(my $weak = $self);
    push @{ $reader->{waiting} }, sub {
        my ($answer) = @_;
        return if !$weak;
        delete $reader->{reading};
        return $weak->_lost($$answer) if ref $answer eq 'SCALAR';
        my %topic = map { $_->{key} => $_ } values %{ $weak->{channels} };
        for my $stream (@{ $answer || [] }) {
            my $topic = $topic{ $stream->[0] } or next;
            $weak->_take($topic, $_) for @{ $stream->[1] };
        }
        $weak->_read;
    };
    $reader->{handle}->push_write(
        _command(
            'XREAD', 'COUNT', $READ_COUNT, 'BLOCK', $BLOCK_MS, 'STREAMS',
            (map { $_->{key} } @topics),
            map { $_->{last} } @topics
        )
    );
    return;
}

sub _take {
    my ($self, $topic, $entry) = @_;
    my ($stream_id, $fields) = @$entry;
    $topic->{last} = $stream_id;
    my %field = @{ $fields || [] };
    my ($who, $n, $before) = defined $field{u} ? split /:/, $field{u} : ();
    if (defined $n) {
        my $heard = $topic->{said}{$who};
        return if ($heard || 0) >= $n;
        $self->_missed($topic) if defined $heard && defined $before && $before > $heard;
        $topic->{said} = {} if keys %{ $topic->{said} } >= $MAX_PUBLISHERS;
        $topic->{said}{$who} = $n;
    }
    my ($channel) = grep { defined } values %{ $topic->{objects} } or return;
    my ($ms, $seq) = split /-/, $stream_id;
    my %option = (number => ($ms << 20) + $seq, id => defined $field{i} ? _text($field{i}) : $stream_id);
    $option{event} = _text($field{e}) if defined $field{e};
    return $channel->deliver_binary($field{t}, %option) if $field{b};
    return $channel->deliver(_text($field{t}), %option);
}

# Another process has published something that this one never heard.
sub _missed {
    my ($self, $topic) = @_;
    my $now = AE::now;
    return if $now < ($topic->{quiet_until} || 0);
    $topic->{quiet_until} = $now + $QUIET_SECONDS;
    warn "Sprig::Channel::Redis: messages of the channel '$topic->{name}' were lost: Redis had trimmed its stream"
        . " before this process read it; raise maxlen ($self->{maxlen}), or publish less at once\n";
    return;
}

# ---- the protocol of Redis ----

# What has come, one answer after the other. An error is a reference to its text.
sub _hear {
    my ($self, $connection) = @_;
    my $handle = $connection->{handle};
    while ($connection->{handle}) {
        my $at = 0;
        my ($is_there, $answer) = _parse(\$handle->{rbuf}, \$at);
        last if !$is_there;
        substr $handle->{rbuf}, 0, $at, '';
        $self->_answer($connection, $answer);
    }
    return;
}

sub _answer {
    my ($self, $connection, $answer) = @_;
    if (my $cb = shift @{ $connection->{waiting} }) {
        $cb->($answer);
    } elsif ($connection->{role} eq 'writer') {
        my $asked = shift @{ $self->{queue} };
        $self->{n_sent}--;
        $self->_write;
        if ($asked->{question}) {
            $asked->{question}->($answer);
        } elsif (ref $answer eq 'SCALAR') {
            warn "Sprig::Channel::Redis: a message was refused: $$answer\n";
        }
    }
    return;
}

sub _parse {
    my ($buffer, $at) = @_;
    my $end = index $$buffer, "\r\n", $$at;
    return 0 if $end < 0;
    my $type = substr $$buffer, $$at,     1;
    my $line = substr $$buffer, $$at + 1, $end - $$at - 1;
    $$at = $end + 2;
    return (1, $line)  if $type eq '+' || $type eq ':';
    return (1, \$line) if $type eq '-';
    return (1, undef)  if $line < 0;
    if ($type eq '$') {
        return 0 if length($$buffer) < $$at + $line + 2;
        my $bytes = substr $$buffer, $$at, $line;
        $$at += $line + 2;
        return (1, $bytes);
    }
    my @list;
    for (1 .. $line) {
        my ($is_there, $item) = _parse($buffer, $at);
        return 0 if !$is_there;
        push @list, $item;
    }
    return (1, \@list);
}

sub _command { return join '', '*' . @_ . "\r\n", map { '$' . length($_) . "\r\n$_\r\n" } @_ }

sub _bytes { my ($text) = @_; utf8::encode($text); return $text }
sub _text { my ($bytes) = @_; utf8::decode($bytes); return $bytes }

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Channel::Redis - share channels between servers with Redis

=head1 SYNOPSIS

    use Sprig::Channel;
    use Sprig::Channel::Redis;

    my $redis = Sprig::Channel::Redis->new(host => 'redis.example.org');
    my $news  = Sprig::Channel->new('news', history => 100, backend => $redis);

=head1 DESCRIPTION

A backend for L<Sprig::Channel>: a message published on one machine reaches the members on all machines that use the
same Redis (5.0 or newer). Each channel is a Redis stream, whose ids are the ids of the events, so that
C<Last-Event-ID> means the same everywhere. The history comes from that stream, so it survives even if all servers
end.

Nothing waits for Redis. While Redis cannot be reached, members get nothing; published messages are kept in
order and sent when Redis is back. Each message arrives exactly once, even if the connection was lost before
Redis had confirmed it.

Each process that serves has two connections. It opens them when it starts to serve, or when it first publishes a
message, and retries after 0.1 to 5 seconds, without limit.

=head1 METHODS

=head2 new

    my $redis = Sprig::Channel::Redis->new(%options);

=over

=item host, port

[127.0.0.1, 6379]

=item path

A unix socket, instead of C<host> and C<port>.

=item user, password, db

For C<AUTH> and C<SELECT>.

=item prefix

The prefix of the Redis keys, before the channel name. [C<sprig:>]

=item maxlen

The approximate number of messages that Redis keeps for each channel. A longer C<history> takes precedence.
A process that falls behind by more than that loses messages, and warns of it. [10000]

=item max_queue

The number of messages that each process keeps while it waits for Redis. Beyond that, C<publish> returns false and the
message is lost. [10000]

=item on_state

    on_state => sub { my ($is_up, $why) = @_; ... }

Called at the start, when the connection is lost, and when it is back. You can inform the members here: C<deliver> of
a channel reaches those in this process without Redis. Without C<on_state>, Sprig warns when the connection is lost.

=back

=head2 is_connected

Returns whether this process currently receives messages.

=head2 subscribe, unsubscribe, publish

What L<Sprig::Channel/BACKENDS> asks for.

=head1 SEE ALSO

L<Sprig::Channel>

=cut
