# The responder that one application has called and forgotten is given to the next request. Whoever
# keeps, changes or looks closely at it must not notice, and must not be noticed.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server = start_probe(<<'APP');
use Scalar::Util qw(refaddr reftype blessed weaken);
use Hash::Util::FieldHash;
my (@kept, $weak, %field);
Hash::Util::FieldHash::fieldhash(%field);

sub answer { [200, [], [join ' ', @_]] }

routes(
    '/look' => sub {
        sub {
            my ($respond, $socket) = @_;
            my $copy = $respond;
            $respond->(
                answer(
                    blessed($copy), reftype($copy), refaddr($copy), scalar @_,
                    defined prototype($copy) ? 'prototype' : 'plain',
                    ref \$_[1],
                    defined $socket ? 'socket' : 'none'
                )
            );
        }
    },
    '/tag'     => sub {
        sub { $_[0]->(answer(exists $field{ $_[0] } ? 'tagged' : 'tag')) }
    },
    '/quiet'   => sub { sub { $_[0]->(answer('quiet')) } },
    '/kept'    => sub { sub { push @kept, $_[0]; $_[0]->(answer('kept')) } },
    '/alias'   => sub { sub { push @kept, \$_[0], \$_[1]; $_[0]->(answer('alias')) } },
    '/weak'    => sub { sub { $weak = $_[0]; weaken $weak; $_[0]->(answer('weak')) } },
    '/is-weak' => sub { answer(defined $weak ? 'there' : 'gone') },
    '/bless'   => sub { sub { bless $_[0], 'Other'; Sprig::Responder::->can('x'); $_[0]->(answer('bless')) } },
    '/proto'   => sub { sub { &Scalar::Util::set_prototype($_[0], '$$'); $_[0]->(answer('proto')) } },
    '/field'   => sub { sub { $field{ $_[0] } = 1; $_[0]->(answer('field')) } },
    '/replace' => sub { sub { my $r = $_[0]; $_[0] = 5; $_[1] = 7; $r->(answer('replace')) } },
    '/socket'  => sub { sub { my $s = $_[1]; my $n = fileno $s; $_[0]->(answer($n ? 'socket' : 'none')) } },
    '/uncalled' => sub { sub { } },
    '/dies'    => sub { sub { $_[0]->(answer('dies')); die "afterwards\n" } },
    '/late'    => sub {
        sub {
            my $respond = shift;
            my $timer;
            $timer = AE::timer 0.01, 0, sub { undef $timer; $respond->(answer('late')) };
        }
    },
    '/call-kept' => sub {
        my $code = ref $kept[0] eq 'REF' ? ${ $kept[0] } : $kept[0];
        local $SIG{__WARN__} = sub { note_down(@_) };
        $code->(answer('of another'));
        @kept = ();
        answer('called');
    },
);
APP

sub body { return $server->ask(get($_[0], 'Connection: close'))->body }

not_over_http2('no stream has a socket of its own');
my $clean = body('/look');
like $clean, qr/\ASprig::Responder CODE \d+ 2 plain REF socket\z/, 'at first';
is body('/look'), $clean, 'the same one serves the next request';

for my $path (qw(weak bless proto field tag replace socket dies late quiet)) {
    is body("/$path"), $path, $path;
    like body('/look'), qr/\ASprig::Responder CODE \d+ 2 plain REF socket\z/,
        "... leaves nothing behind";
}
is body('/is-weak'), 'gone', 'a weak reference to it ends with the request';

for my $path (qw(kept alias)) {
    is body("/$path"),     $path,    $path;
    isnt body('/look'),    $clean,   '... it is no other request\'s' if $path eq 'kept';
    is body('/call-kept'), 'called', '... called again, it answers nobody';
    like join(' ', diary($server)), qr/responder called twice/, '... and says so';
}

is $server->ask(get('/uncalled', 'Connection: close'))->status, 500, 'one that is not called';
like $server->stderr, qr/responder dropped without a response/, '... is dropped';
like body('/look'),   qr/ REF socket\z/,                        '... and replaced';

subtest 'many requests at a time' => sub {
    my @clients = map { $server->connect } 1 .. 20;
    for my $round (1 .. 10) {
        my @paths = map { (qw(quiet late weak replace))[($_ + $round) % 4] } 0 .. $#clients;
        $clients[$_]->send(get("/$paths[$_]")) for 0 .. $#clients;
        is join(' ', map { $_->response->body } @clients), "@paths", "round $round";
    }
};

comes_to_rest($server);
is counters($server)->{responders}, 0, 'none is counted in the end';

done_testing;
