package Sprig::Dev::Live;

use strict;
use warnings;

use Time::HiRes ();

our $VERSION = '0.001';

# What pages ask of us; applications have nothing there.
my $PREFIX      = '/__sprig__/';
my $MAX_CLIENTS = 100;

# A page asks for the id of the worker that serves. That the worker leaves it sees by the end of the
# stream; then it connects again, which has to wait until the next worker is there. Hidden pages do not
# hold a connection: browsers have six for a host.
my $script = <<'JS';
(function () {
    if (window.__sprig__) return;
    window.__sprig__ = true;
    var me = document.currentScript, id = me && me.dataset.worker, source;
    var since = me && me.dataset.failures || 0;
    var key = 'sprig ' + location.pathname + location.search;
    function seen(value) {
        try {
            if (value === undefined) return sessionStorage.getItem(key);
            sessionStorage.setItem(key, value);
        } catch (e) { return id; }
    }
    function close() { if (source) source.close(); source = null; }
    function open() {
        if (source || document.hidden) return;
        source = new EventSource('/__sprig__/events?' + id + ':' + since);
        source.addEventListener('worker', function (e) {
            if (e.data === id || seen() === e.data) return;
            seen(e.data);
            close();
            location.reload();
        });
        source.addEventListener('failure', function (e) {
            since = e.lastEventId.split(':')[1];
            show(JSON.parse(e.data));
        });
    }
    function show(failure) {
        var old = document.getElementById('__sprig_failure__'), box = document.createElement('div');
        if (old) old.remove();
        box.id = '__sprig_failure__';
        box.setAttribute('role', 'alert');
        box.style.cssText = 'position:fixed;z-index:2147483647;left:0;right:0;bottom:0;margin:0;padding:12px 44px 12px 16px;' +
            'max-height:40vh;overflow:auto;background:#3b1210;color:#ffe3e0;border-top:3px solid #ff6a5e;' +
            'font:13px/1.5 ui-monospace,Menlo,Consolas,monospace;white-space:pre-wrap;overflow-wrap:anywhere;text-align:left';
        var link = document.createElement('a'), button = document.createElement('button');
        box.appendChild(document.createTextNode(failure.title + '\n' + failure.text + '\n'));
        link.href = '/__sprig__/failure';
        link.textContent = 'Show the source';
        link.style.cssText = 'color:#ffb4ab';
        button.textContent = '\u00d7';
        button.setAttribute('aria-label', 'Close');
        button.style.cssText = 'position:absolute;top:6px;right:10px;border:0;background:none;color:inherit;' +
            'font:22px/1 sans-serif;cursor:pointer';
        button.onclick = function () { box.remove(); };
        box.appendChild(link);
        box.appendChild(button);
        document.body.appendChild(box);
    }
    document.addEventListener('visibilitychange', function () { document.hidden ? close() : open(); });
    addEventListener('pagehide', close);
    addEventListener('pageshow', open);
    open();
})();
JS

sub new {
    my ($class) = @_;
    my $id = "$$." . int(1000 * Time::HiRes::time());
    return bless { id => $id, clients => {}, n_failures => 0 }, $class;
}

# The element that loads it; `nonce` is that of the page's policy, or undef.
sub tag {
    my ($self, $nonce) = @_;
    my $more = defined $nonce ? qq( nonce="$nonce") : '';
    my $known = $self->{n_failures} ? qq( data-failures="$self->{n_failures}") : '';
    return qq(<script src="${PREFIX}live.js" data-worker="$self->{id}"$known$more></script>);
}

# The response to a request of ours, or nothing: it is the application's.
sub answer {
    my ($self, $env) = @_;
    my $path = $env->{PATH_INFO};
    return if !defined $path || index($path, $PREFIX) != 0;
    my $name = substr $path, length $PREFIX;
    return sub { $self->_listen($_[0], $env) }
        if $name eq 'events' && keys %{ $self->{clients} } < $MAX_CLIENTS;
    return [
        200,
        ['Content-Type' => 'application/javascript; charset=utf-8', 'Cache-Control' => 'no-store'],
        [$script]
        ]
        if $name eq 'live.js';
    return $self->{page}->($env) if $name eq 'failure' && $self->{page};
    return [404, ['Content-Type' => 'text/plain'], ["There is nothing here.\n"]];
}

# What has died since the page was made is shown now: a timer of its request may have been quicker than
# the browser.
sub _listen {
    my ($self, $respond, $env) = @_;
    my $writer =
        $respond->([200, ['Content-Type' => 'text/event-stream', 'Cache-Control' => 'no-store']]);
    my $clients = $self->{clients};
    my $key     = "$writer";
    $clients->{$key} = $writer;
    $writer->on_disconnect(sub { delete $clients->{$key} }) if $writer->can('on_disconnect');
    $writer->write("retry: 100\n\nevent: worker\ndata: $self->{id}\n\n");
    $writer->write($self->{failure}) if $self->_has_missed($env);
    return;
}

# "worker:failures": what the page knows of, by the last event or else by its query.
sub _has_missed {
    my ($self, $env) = @_;
    my ($known) = grep { defined && length } @$env{qw(HTTP_LAST_EVENT_ID QUERY_STRING)};
    my ($id, $n) = defined $known ? $known =~ /\A([0-9.]+):([0-9]{1,9})\z/ : ();
    return defined $id && $id eq $self->{id} && $n < $self->{n_failures};
}

# Open pages show the failure; `page` is called for a request that wants to know all of it.
sub show {
    my ($self, $json, $page) = @_;
    $self->{page} = $page;
    my $id = "$self->{id}:" . ++$self->{n_failures};
    $self->{failure} = "id: $id\nevent: failure\ndata: $json\n\n";
    $_->write($self->{failure}) for values %{ $self->{clients} };
    return;
}

sub close {
    my ($self) = @_;
    my @writers = values %{ $self->{clients} };
    %{ $self->{clients} } = ();
    $_->close for @writers;
    return;
}

# ---- putting it into pages ----

my %is_validator = map { $_ => 1 } qw(etag last-modified content-md5 digest accept-ranges);

# The headers of such a page, longer by the tag, and the tag; or nothing, if it is no page.
sub _for_page {
    my ($self, $env, $status, $headers) = @_;
    return if $env->{REQUEST_METHOD} !~ /\A(?:GET|HEAD)\z/;
    my $wanted = $env->{HTTP_SEC_FETCH_DEST};
    return
           if defined $wanted && $wanted ne 'document'
        || $env->{HTTP_X_REQUESTED_WITH}
        || $env->{HTTP_HX_REQUEST};
    return if $status !~ /\A(?:200|201|203|[45]..)\z/;
    my (%value, @kept);
    for (my $i = 0; $i < $#$headers; $i += 2) {
        my ($name, $value) = (lc $headers->[$i], $headers->[$i + 1]);
        $value{$name} = defined $value{$name} ? "$value{$name}, $value" : $value;
        push @kept, $i if !$is_validator{$name};
    }
    my $type = defined $value{'content-type'} ? $value{'content-type'} : '';
    return if $type !~ m{\Atext/html\b}i || $type =~ /charset="?utf-?(?:16|32)/i;
    return if defined $value{'content-encoding'} && lc $value{'content-encoding'} ne 'identity';
    return if defined $value{'content-range'};
    my $policy = defined $value{'content-security-policy'} ? $value{'content-security-policy'} : '';
    my ($nonce) = $policy =~ m{'nonce-([A-Za-z0-9+/=_-]+)'};
    my $tag     = $self->tag($nonce);
    my @longer  = map {
        my ($name, $value) = @$headers[$_, $_ + 1];
        ($name, lc $name eq 'content-length' ? $value + length $tag : $value);
    } @kept;
    return (\@longer, $tag);
}

# Where the tag goes: before the end of the body, or -1.
sub _place_in { return rindex lc $_[0], '</body' }

# The response with the tag in it. What is no page, or has no body that can be told, is returned as it is.
sub into {
    my ($self,   $env,     $response) = @_;
    my ($status, $headers, $body)     = @$response;
    return $response if ref $headers ne 'ARRAY' || @$response < 3;
    my ($longer, $tag) = $self->_for_page($env, $status, $headers) or return $response;
    my @rest = @$response[3 .. $#$response];
    return [$status, $longer, _into_list($body, $tag), @rest] if ref $body eq 'ARRAY';
    return [$status, $longer, Sprig::Dev::Live::Body->new($body, $tag), @rest];
}

sub _into_list {
    my ($body, $tag) = @_;
    my @pieces = @$body;
    for my $piece (reverse @pieces) {
        last if ref $piece;
        my $at = defined $piece ? _place_in($piece) : -1;
        next if $at < 0;
        substr($piece = "$piece", $at, 0) = $tag;
        return \@pieces;
    }
    return [@pieces, $tag];
}

# The same for a response whose body comes by a writer: its head, and a sub that makes the writer to be
# given to the application.
sub into_stream {
    my ($self, $env, $response) = @_;
    my ($status, $headers) = @$response;
    my ($longer, $tag) = ref $headers eq 'ARRAY' ? $self->_for_page($env, $status, $headers) : ();
    return ($response,          undef) if !$longer;
    return ([$status, $longer], sub { Sprig::Dev::Live::Writer->new($_[0], $tag) });
}

# The same for a PAGI application: what it is given as $send.
sub into_events {
    my ($self, $env, $send) = @_;
    my $tag;
    return sub {
        my ($event)  = @_;
        my $type     = ref $event eq 'HASH' && defined $event->{type} ? $event->{type} : '';
        my $has_body = $type eq 'http.response.body' && defined $tag;
        my ($changed, $next) =
              $has_body                      ? _body_with($event, $tag)
            : $type eq 'http.response.start' ? $self->_start_for_page($env, $event)
            :                                  ();
        my $sent = $send->($changed || $event);
        $tag = $next if $changed && !$sent->is_failed;
        return $sent;
    };
}

# The event and the tag that its page is to have, or nothing; what is wrong is left to the server to say.
sub _start_for_page {
    my ($self, $env, $event) = @_;
    my $pairs = $event->{headers} || [];
    return if ref $pairs ne 'ARRAY' || !defined $event->{status};
    return if grep { ref ne 'ARRAY' || @$_ != 2 } @$pairs;
    return if grep { !defined } map { @$_ } @$pairs;
    my ($longer, $tag) = $self->_for_page($env, $event->{status}, [map { @$_ } @$pairs])
        or return;
    my @headers = map { [@$longer[2 * $_, 2 * $_ + 1]] } 0 .. @$longer / 2 - 1;
    return ({ %$event, headers => \@headers }, $tag);
}

# The event with the tag before the end of the page, or behind all of it; nothing, if that comes later.
sub _body_with {
    my ($event, $tag) = @_;
    my $is_file = defined $event->{file} || defined $event->{fh};
    my $text    = $is_file ? _bytes_of($event) : defined $event->{body} ? $event->{body} : '';
    return if !defined $text || ref $text;
    my $at = _place_in($text);
    return if $at < 0 && $event->{more} && !$is_file;
    substr $text, $at < 0 ? length $text : $at, 0, $tag;
    my %rest = %$event;
    delete @rest{qw(file fh offset length)};
    delete $rest{more} if $is_file;
    return { %rest, body => $text };
}

# Of a file, which is the end of a response; nothing, if the server is to say what is wrong.
sub _bytes_of {
    my ($event) = @_;
    my ($file, $fh, $offset, $length) = @$event{qw(file fh offset length)};
    return if defined $event->{body} || grep { defined && !/\A[0-9]+\z/ } $offset, $length;
    if (defined $file) {
        return if defined $fh || !-f $file;
        open $fh, '<:raw', $file or return;
    }
    return if !defined eval { fileno $fh } || $offset && !seek $fh, $offset, 0;
    my $text = do { local $/; readline $fh };
    $text = '' if !defined $text;
    return defined $length ? substr $text, 0, $length : $text;
}

package Sprig::Dev::Live::Body;

# A body with getline that has the tag at the end of its page.
sub new {
    my ($class, $body, $tag) = @_;
    return bless { body => $body, tag => $tag }, $class;
}

sub getline {
    my ($self) = @_;
    my $piece = $self->{body}->getline;
    return delete $self->{tag} if !defined $piece;
    my $at = defined $self->{tag} ? Sprig::Dev::Live::_place_in($piece) : -1;
    substr($piece, $at, 0) = delete $self->{tag} if $at >= 0;
    return $piece;
}

sub close { return $_[0]{body}->close }

package Sprig::Dev::Live::Writer;

our $AUTOLOAD;

# A writer that does so; all else is done by the server's.
sub new {
    my ($class, $writer, $tag) = @_;
    return bless { writer => $writer, tag => $tag }, $class;
}

sub write {
    my ($self, $piece, @more) = @_;
    my $at = defined $self->{tag} && defined $piece ? Sprig::Dev::Live::_place_in($piece) : -1;
    substr($piece, $at, 0) = delete $self->{tag} if $at >= 0;
    return $self->{writer}->write($piece, @more);
}

sub close {
    my ($self, @args) = @_;
    my $tag = delete $self->{tag};
    $self->{writer}->write($tag) if defined $tag;
    return $self->{writer}->close(@args);
}

sub can {
    my ($self, $name) = @_;
    return UNIVERSAL::can($self, $name) || ref $self && $self->{writer}->can($name);
}

sub AUTOLOAD {
    my ($self, @args) = @_;
    my $name = $AUTOLOAD =~ s/.*:://r;
    return $self->{writer}->$name(@args);
}

sub DESTROY { }

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Dev::Live - pages that load themselves again

=head1 DESCRIPTION

Used by L<Sprig::Dev>. There is nothing here for applications.

A page gets a C<script> element before the end of its body. The script listens to a stream of events of the
worker. When the worker leaves the stream ends, the browser connects again, and hears of another worker: then
it loads the page again. What dies in a callback is shown at the bottom of open pages.

=head1 METHODS

=head2 new

    my $live = Sprig::Dev::Live->new;

=head2 answer

    my $response = $live->answer($env);

To requests of the script; nothing to all others.

=head2 into, into_stream

    my $response          = $live->into($env, $response);
    my ($response, $wrap) = $live->into_stream($env, $response);

The response with the script in it, if it is a page that is not compressed. Its validators are left out and its
length is adjusted. C<$wrap>, if there is one, makes of the server's writer the one for the application.

=head2 into_events

    my $to_app = $live->into_events($env, $send);

The same for an application of PAGI: what it is given as C<$send>. A file that is a page is read into memory.

=head2 tag

The element.

=head2 show

    $live->show($json, $page);

Tells open pages of a failure; C<$page> is code that answers a request for its details.

=head2 close

Ends all streams.

=cut
