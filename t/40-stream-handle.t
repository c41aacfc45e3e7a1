# $writer->{handle}: what apps written for Twiggy reach for.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server = start_probe(<<'APP');
my (%kept);

sub stream (&) {
    my ($code) = @_;
    return sub {
        return sub { my $r = shift; my $w = $r->([200, []]); $code->($w) };
    };
}

routes(
    '/push' => stream {
        my $h = $_[0]{handle};
        note_down(ref $h, $h == $_[0]{handle} ? 'the same each time' : 'another');
        $h->push_write('by the handle');
        $h->push_shutdown;
        $h->push_shutdown;
    },
    '/pull' => stream {
        my $w = shift;
        my $n = 0;
        $w->{handle}->low_water_mark(10);
        $w->{handle}->on_drain(sub {
            my $h = shift;
            $n < 100 ? $h->push_write('x' x 1000) : $h->destroy;
            $n++;
        });
        $kept{pull} = $w;
    },
    '/on-error' => stream {
        my $w = shift;
        $w->write('begun');
        $w->{handle}->on_error(sub {
            my ($h, $fatal, $message) = @_;
            note_down("on_error: fatal $fatal, $message, " . ($!{EPIPE} ? 'EPIPE' : "$!"));
            delete $kept{error};
            $h->destroy;
        });
        $kept{error} = $w;
    },
    '/on-eof' => stream {
        my $w = shift;
        $w->write('begun');
        $w->{handle}->on_error(sub { note_down('on_error') });
        $w->{handle}->on_eof(sub { note_down('on_eof'); %kept = () });
        $kept{eof} = $w;
    },
    '/fh'    => stream { my $w = shift; note_down(ref $w->{handle}->fh); $w->close },
    '/never' => stream { my $w = shift; $w->write('never looked at'); $w->close },
    '/ended' => stream {
        my $w = shift;
        $kept{ended} = $w->{handle};
        $kept{ended}{rbuf_max} = 1;
        $w->write('whole');
        $w->close;
    },
    '/use-ended' => sub {
        my $h = delete $kept{ended};
        $h->push_write('late');
        $h->on_error(sub { });
        $h->destroy;
        [200, [], [defined $h->fh ? 'a handle' : 'no handle']];
    },
    '/types' => stream {
        my $w = shift;
        eval { $w->{handle}->push_write(json => {}) };
        note_down($@ =~ /^(.*?) at /);
        $w->close;
    },
);
APP

sub ask { return $server->ask(get($_[0])) }

is(ask('/push')->body, 'by the handle', 'push_write and push_shutdown');
is_deeply([diary($server)], ['Sprig::Writer::Handle', 'the same each time'], 'one object');
is(length ask('/pull')->body, 100_000,           'pulled by on_drain');
is(ask('/never')->body,       'never looked at', 'nobody looks');
subtest 'fh' => sub {
    not_over_http2('no stream has a socket of its own');
    ask('/fh');
    is_deeply([diary($server)], [over_tls() ? 'IO::Socket::UNIX' : 'IO::Socket::INET'],
        'the socket');
};
is(ask('/ended')->body,     'whole',     'kept beyond the end');
is(ask('/use-ended')->body, 'no handle', 'to no effect');
ask('/types');
is_deeply([diary($server)], ['push_write: only plain strings can be written to a response'],
    'types');

for my $case (['/on-error', 'on_error: fatal 1, Broken pipe, EPIPE'], ['/on-eof', 'on_eof']) {
    my $client = $server->connect;
    $client->send(get($case->[0]));
    $client->wait_for_bytes(10);
    $client->close;
    is_deeply([await_diary($server, 1)], [$case->[1]], "the client leaves: $case->[0]");
}

ok(comes_to_rest($server), 'nothing is left over');
$server->stop_ok;
done_testing;
