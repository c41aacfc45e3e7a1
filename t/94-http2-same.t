# The same request over HTTP/1.1 and HTTP/2: applications see the same environment but for
# SERVER_PROTOCOL, clients get the same response.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Http2;
use Test::More;

need_http2();

my $app = <<'APP';
my %own = map { $_ => 1 } qw(SERVER_PROTOCOL REMOTE_PORT psgix.io psgix.trailers);

sub seen {
    my ($env) = @_;
    my $body = '';
    1 while $env->{'psgi.input'}->read($body, 8192, length $body);
    my @trailers = $env->{'psgix.trailers'} ? @{ $env->{'psgix.trailers'} } : ();
    my @lines = map { "$_=" . (ref $env->{$_} || $env->{$_}) } grep { !$own{$_} } sort keys %$env;
    return join "\n", @lines, "trailers=@trailers", $body;
}

my %answer = (
    empty      => sub { [200, [], []] },
    twice      => sub { [200, ['X-A' => 1, 'X-A' => 2, 'Set-Cookie' => 'a', 'Set-Cookie' => 'b'], ['abc']] },
    spaces     => sub { [200, ['X-A' => "a\tb", 'X-B' => ''], ['abc']] },
    latin      => sub { [200, ['X-A' => "\xe9"], ["\xe9"]] },
    no_content => sub { [204, [], ['abc']] },
    unchanged  => sub { [304, ['ETag' => '"a"', 'Content-Length' => 5], ['abc']] },
    own        => sub { [200, ['Date' => 'today', 'Server' => 'me'], ['abc']] },
    hop        => sub { [200, ['Connection' => 'close', 'Keep-Alive' => 'x'], ['abc']] },
    events     => sub { [200, ['Content-Type' => 'text/event-stream'], ["data: x\n\n"]] },
    length     => sub { [200, ['Content-Length' => 3], ['a', 'bc']] },
    short      => sub { [200, ['Content-Length' => 9], ['abc']] },
    handle     => sub { open my $in, '<', \"abc\ndef\n" or die; [200, [], $in] },
    odd        => sub { [200, ['X-A'], ['abc']] },
    newline    => sub { [200, ['X-A' => "a\nb"], ['abc']] },
    name       => sub { [200, ['X A' => 1], ['abc']] },
    pseudo     => sub { [200, [':status' => 200], ['abc']] },
    lengths    => sub { [200, ['Content-Length' => 3, 'Content-Length' => 4], ['abc']] },
    below      => sub { [99, [], ['abc']] },
    above      => sub { [1000, [], ['abc']] },
    switching  => sub { [101, [], []] },
    wide       => sub { [200, [], ["\x{263a}"]] },
    text       => sub { 'abc' },
    dies       => sub { die "no\n" },
    delayed    => sub { sub { $_[0]->([200, ['X-A' => 1], ['abc']]) } },
    dropped    => sub { sub { } },
    written    => sub { sub { my $w = $_[0]->([200, []]); $w->write($_) for 'abc', '', 'def'; $w->close } },
    broken     => sub { sub { my $w = $_[0]->([200, []]); $w->write('abc'); die "no\n" } },
    left       => sub { sub { my $w = $_[0]->([200, []]); $w->write('abc') } },
    hints      => sub { $_[0]{'psgix.informational'}->(103, ['Link' => '</a>']); [200, [], ['abc']] },
);

sub {
    my ($env) = @_;
    my ($name) = $env->{PATH_INFO} =~ m{\A/answer/(.+)} or return [200, [], [seen($env)]];
    return $answer{$name}->($env);
}
APP

my $server = start_server(by => 'program', code => $app, flags => ['--listen', '127.0.0.1:0,h2c']);

my %IS_OF_HTTP_1 = map { $_ => 1 } qw(connection transfer-encoding date);

# How a response looks whatever brought it.
sub told {
    my ($status, $fields, $body, $interim, $is_whole) = @_;
    my @lines;
    while (my ($name, $value) = splice @$fields, 0, 2) {
        push @lines, lc($name) . ": $value" if !$IS_OF_HTTP_1{ lc $name } && $name ne ':status';
    }
    my $end = $is_whole ? 'whole' : 'cut';
    return join "\n", "$status (@$interim)", @lines, $end, $is_whole ? $body : ();
}

sub over_http_1 {
    my ($path, %ask) = @_;
    my @fields = @{ $ask{fields} || [] };
    my $host   = $ask{host} || 'localhost';
    my $in     = "$ask{method} $path HTTP/1.1\r\nHost: $host\r\n";
    my $body   = $ask{body};
    while (my ($name, $value) = splice @fields, 0, 2) { $in .= "$name: $value\r\n" }
    if ($ask{trailers}) {
        my ($name, $value) = @{ $ask{trailers} };
        $in .= "Transfer-Encoding: chunked\r\n";
        $body = sprintf "%x\r\n%s\r\n0\r\n%s: %s\r\n\r\n", length $body, $body, $name, $value;
    }
    my $r       = $server->ask("$in\r\n" . (defined $body ? $body : ''), method => $ask{method});
    my @got     = map { @$_ } @{ $r->{headers} };
    my @interim = map { $_->{status} } @{ $r->interim };
    return told($r->status, \@got, $r->body, \@interim, $r->is_complete);
}

sub over_http_2 {
    my ($path, %ask) = @_;
    my $h2     = SprigTest::Http2->connect($server);
    my @given  = @{ $ask{fields} || [] };
    my @fields = map { $_ % 2 ? $given[$_] : lc $given[$_] } 0 .. $#given;
    my @pseudo = (':method' => $ask{method}, ':authority' => $ask{host} || 'localhost');
    my $id     = $h2->request(
        $path,
        fields => [@pseudo, @fields],
        body   => $ask{body},
        open   => $ask{trailers}
    );
    $h2->trailers($id, map { lc } @{ $ask{trailers} }) if $ask{trailers};
    my $r = $h2->response($id);
    $h2->close;
    return told($r->{status}, $r->{fields}, $r->{body}, $r->{interim}, !$r->{reset});
}

sub same {
    my ($name, $path, %ask) = @_;
    $ask{method} ||= 'GET';
    my ($one, $two) = map { $_->($path, %ask) } \&over_http_1, \&over_http_2;
    return is($two, $one, $name);
}

subtest 'requests' => sub {
    for my $path (qw(/ // //a/b /a/../b /%2e%2e/x /a%2Fb /% /%zz /%00 /a? /a?b?c /a;b),
        '/a#c', "/\xc3\xa9", '/a"<>\\^`{|}', '/' . 'x' x 9000)
    {
        same('path ' . substr($path, 0, 20), $path);
    }
    same("method $_", '/',             method => $_) for qw(POST DELETE get FOO M-SEARCH), 'A' x 33;
    same('OPTIONS *', '*',             method => 'OPTIONS');
    same('HEAD',      '/answer/' . $_, method => 'HEAD') for qw(twice no_content length written);
    same("host $_",   '/',             host   => $_)
        for qw(LOCALHOST a.b:80 [::1]:80 [::1 a_b a..b a: a:0 a:99999 u@h %41), 'a,b';
    for my $fields (
        ['X-A'            => ''],
        ['X-A'            => 1,      'X-A'           => 2],
        ['X_A'            => 1,      'X-B'           => "a\tb"],
        ['X-A'            => "\xe9", 'X.B'           => '"'],
        ['Cookie'         => 'a=1',  'X-A'           => 'b', 'Cookie' => 'c=2'],
        ['Accept'         => 'a',    'Accept'        => 'b'],
        ['Content-Type'   => 'a/b',  'Content-Type'  => 'c/d'],
        ['Proxy'          => 'x',    'Authorization' => 'Basic x'],
        ['Expect'         => 'something'],
        ['Content-Length' => 0],
        [map { ("X-$_" => $_) } 1 .. 200]
        )
    {
        same("$fields->[0] " . @$fields / 2, '/', fields => $fields);
    }
};

subtest 'bodies' => sub {
    for my $body ('', 'a', 'hello' x 4000, "\0\r\n\r\n") {
        my $n = length $body;
        same("$n bytes", '/', method => 'POST', body => $body, fields => ['Content-Length' => $n]);
        same("$n bytes with GET", '/', body => $body, fields => ['Content-Length' => $n]);
    }
    same(
        'invited', '/',
        method => 'PUT',
        body   => 'abc',
        fields => ['Content-Length' => 3, 'Expect' => '100-continue']
    );
    for my $name (qw(X-A X_A Host Content-Length Authorization Trailer Set-Cookie)) {
        same("trailer $name", '/', method => 'POST', body => 'abc', trailers => [$name, 3]);
    }
};

subtest 'responses' => sub {
    my @names = $app =~ /^    (\w+) +=> sub/mg;
    cmp_ok(scalar @names, '>', 20, 'there are some');
    same($_, "/answer/$_") for @names;
};

$server->stop_ok;
done_testing;
