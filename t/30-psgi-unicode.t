# PERL_UNICODE (perl -C) gives the standard handles, and those that are opened later, a layer of UTF-8.
# Bytes of requests and responses are bytes all the same.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $bytes = join '', map { chr } 0 .. 255;
my $code  = <<'APP';
sub {
    my ($env) = @_;
    my $got = do { local $/; readline $env->{'psgi.input'} };
    my %body = (
        '/echo'   => [$got],
        '/length' => [length $got],
        '/path'   => [unpack 'H*', $env->{PATH_INFO} =~ s{^/path/}{}r],
    );
    return [200, [], $body{ $env->{PATH_INFO} =~ s{^(/path)/.*}{$1}sr }]
        if $env->{PATH_INFO} !~ m{^/(?:print|writer|die)};
    die "caf\xe9 \x{2603}\n" if $env->{PATH_INFO} eq '/die';
    $env->{'psgi.errors'}->print("caf\xe9\n") if $env->{PATH_INFO} eq '/print';
    return sub { my $w = $_[0]->([200, []]); $w->write($got); $w->close };
}
APP

sub post {
    my ($path) = @_;
    return "POST $path HTTP/1.1\r\nHost: a\r\nContent-Length: 256\r\n\r\n$bytes";
}

for my $by (qw(program plackup)) {
    subtest $by => sub {
        my $server = start_server(by => $by, code => $code, env => { PERL_UNICODE => 'SDA' });
        my $body   = sub { return $server->ask($_[0])->body };
        is $body->(post('/echo')),   $bytes, 'a body comes back as it was';
        is $body->(post('/length')), 256,    'a byte is a character';
        is $body->(post('/writer')), $bytes, 'by a writer, too';
        is $body->(get("/path/%e9\xe9")), 'e9e9', 'a path has bytes';
        is $server->ask(post('/print'))->status, 200, 'psgi.errors takes text';
        is $server->ask(post('/die'))->status,   500, 'as does the message of an exception';
        ok $server->stderr_like(qr/caf\xc3\xa9 \xe2\x98\x83$/m), 'which comes as UTF-8, once'
            or diag $server->stderr;
        $server->stop_ok;
    };
}

done_testing;
