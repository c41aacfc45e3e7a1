# What the benchmarks ask for. One path each, see lib/SprigBench/Scenarios.pm.

use strict;
use warnings;

my @kilobytes = map { chr(ord('a') + $_) x 1024 } 0 .. 9;
my @html      = (
    'Content-Type'           => 'text/html; charset=utf-8',
    'Content-Length'         => 10 * 1024,
    'Cache-Control'          => 'private, max-age=0',
    'X-Frame-Options'        => 'DENY',
    'X-Content-Type-Options' => 'nosniff',
    'Set-Cookie'             => 'session=0123456789abcdef; path=/; HttpOnly',
    'Vary'                   => 'Accept-Encoding',
);
my $hello = [200, ['Content-Type' => 'text/plain', 'Content-Length' => 13], ['Hello, World!']];
my @streams;

sub send_file {
    my ($name) = @_;
    open my $fh, '<:raw', "$ENV{SPRIG_BENCH_FILES}/$name" or return [404, [], []];
    return [200, ['Content-Type' => 'application/octet-stream', 'Content-Length' => -s $fh], $fh];
}

my %answer = (
    '/ten'  => sub { [200, [@html], \@kilobytes] },
    '/post' => sub {
        my $n = $_[0]{'psgi.input'}->read(my $body, $_[0]{CONTENT_LENGTH});
        [200, ['Content-Type' => 'text/plain', 'Content-Length' => length $n], ["$n"]];
    },
    '/writer' => sub {
        return sub {
            my $writer = $_[0]->([200, ['Content-Type' => 'text/plain']]);
            $writer->write($_) for @kilobytes;
            $writer->close;
        };
    },
    '/delayed' => sub {
        require AnyEvent;
        return sub {
            my ($respond) = @_;
            my $timer;
            $timer = AE::timer(0, 0, sub { undef $timer; $respond->($hello) });
        };
    },
    '/echo' => sub {
        my $ws = $_[0]{'psgix.websocket'} or return [426, [], []];
        return $ws->accept(on_message => sub { $_[0]->send($_[1]) });
    },
    '/64k' => sub { send_file('64k') },
    '/32m' => sub { send_file('32m') },

    # Streams stay open; /push sends 100 bytes to each of them.
    '/stream' => sub {
        return sub {
            push @streams, $_[0]->([200, ['Content-Type' => 'text/plain']]);
        };
    },
    '/push' => sub {
        $_->write('x' x 100) for @streams;
        [200, ['Content-Type' => 'text/plain'], [scalar @streams]];
    },
);

sub {
    my ($env) = @_;
    return [200, ['Content-Type' => 'text/plain', 'Content-Length' => 13], ['Hello, World!']]
        if $env->{PATH_INFO} eq '/';
    my $code = $answer{ $env->{PATH_INFO} } or return [404, [], []];
    return $code->($env);
};
