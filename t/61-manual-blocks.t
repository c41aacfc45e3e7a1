# What the manual calls complete is complete: applications answer, programs run, files of options are
# accepted. SprigTest::Manual says how blocks are marked.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Manual;
use SprigTest::Program;
use SprigTest::WebSocket;
use Test::More;

my %try = (app => \&try_app, perl => \&try_perl, compile => \&try_compile, config => \&try_config);

for my $page (pages()) {
    for my $block (blocks($page)) {
        my $kind = defined $block->{test} ? (split ' ', $block->{test})[0] : synopsis_kind($block);
        my $code = $try{$kind} or next;
        my $name = "$page, line $block->{line}";
    SKIP: {
            my ($missing) = missing_module($block);
            skip "$name: $missing is not installed", 1 if $missing;
            subtest $name => sub { $code->($block) };
        }
    }
}
done_testing;

# A SYNOPSIS in Perl that is not marked is compiled at least.
sub synopsis_kind {
    my ($block) = @_;
    return
           $block->{heading} eq 'SYNOPSIS'
        && $block->{code} =~ /^\s*(?:use|my|sub|package|BEGIN)\b/m
        && $block->{code} !~ /^\s*(?:[A-Z_0-9]+=\S+ )?(?:sprig|plackup|perl|start_server)\b/m
        ? 'compile'
        : 'none';
}

sub try_compile {
    my ($block) = @_;
    my $file    = spew(SprigTest::temp_path('block') . '.pl', "no strict; $block->{code}\n;1;\n");
    my $root    = SprigTest::root();
    like output_of($^X, "-I$root/blib/lib", "-I$root/blib/arch", '-c', $file), qr/syntax OK$/,
        'it is compiled';
    return;
}

sub try_perl {
    my ($block) = @_;
    my $root = SprigTest::root();
    my $file =
        spew(SprigTest::temp_path('block') . '.pl', "use strict; use warnings;\n$block->{code}");
    my $out = output_of($^X, "-I$root/blib/lib", "-I$root/blib/arch", $file);
    is $?, 0, 'it runs' or diag $out;
    like $out, qr/\Q$_\E/, "prints $_" for @{ $block->{lines} };
    return;
}

sub try_config {
    my ($block) = @_;
    my $file    = spew(SprigTest::temp_path('block') . '.conf', $block->{code});
    my $run     = run_program({ LOGS_DIRECTORY => '/tmp' }, '--config', $file, '--print-config');
    is $run->{status}, 0, 'the options are accepted' or diag $run->{err};
    return;
}

sub try_app {
    my ($block) = @_;
    my (undef, @flags) = split ' ', $block->{test} =~ s/\bneeds \S+//gr;
    my $server = start_server(
        by    => 'program',
        code  => "use strict; use warnings;\n$block->{code}",
        flags => \@flags
    );
    for my $line (@{ $block->{lines} }) {
        if    ($line =~ m{^STREAM (\S+) (.*)})              { try_stream($server, $1, $2) }
        elsif ($line =~ m{^WEBSOCKET (\S+) (.*?) => (.*)})  { try_websocket($server, $1, $2, $3) }
        elsif ($line =~ m{^([A-Z]+) (\S+) (\d+)(?: (.*))?}) { try_request($server, $1, $2, $3, $4) }
        else                                                { fail "unknown: $line" }
    }
    is $server->stderr, '', 'nothing is complained of';
    $server->stop_ok;
    return;
}

# The text to find may be followed by "< body".
sub try_request {
    my ($server, $method, $path, $status, $text) = @_;
    my $body = defined $text && $text =~ s/ ?< (.*)\z// ? $1 : '';
    my $extra =
        $method eq 'GET'
        ? ''
        : 'Content-Type: application/x-www-form-urlencoded'
        . "\r\nContent-Length: "
        . length($body) . "\r\n";
    my $response = $server->ask("$method $path HTTP/1.1\r\nHost: localhost\r\n$extra\r\n$body");
    is $response->status, $status, "$method $path: $status";
    like $response->body, pattern($text), '... with what it should say'
        if defined $text && length $text;
    return;
}

sub try_stream {
    my ($server, $path, $text) = @_;
    my $client = $server->connect;
    $client->send("GET $path HTTP/1.1\r\nHost: localhost\r\n\r\n");
    my $n = 1;
    1 while $client->buffered !~ pattern($text)
        && $client->wait_for_bytes(1 + length $client->buffered);
    like $client->buffered, pattern($text), "$path streams";
    $client->close;
    return;
}

sub try_websocket {
    my ($server, $path, $said, $heard) = @_;
    my $ws = SprigTest::WebSocket->open($server, $path);
    is $ws->response->status, 101, "$path is a WebSocket";
    $ws->text($said);
    is $ws->next, "text($heard)", '... that answers';
    $ws->close(1000);
    $ws->client->close;
    return;
}

# /regex/, or a text as it is.
sub pattern { return $_[0] =~ m{^/(.*)/\z} ? qr/$1/s : qr/\Q$_[0]\E/ }
