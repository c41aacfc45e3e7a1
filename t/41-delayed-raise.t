# psgix.raise: a request fails from wherever its env is known, also behind middleware that wraps the
# responder, which then has no method raise.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $server = start_probe(<<'APP');
my ($timer, @late);

sub later {
    my ($code) = @_;
    my $t;
    $t = AE::timer 0.02, 0, sub { undef $t; $code->() };
}

# What Plack::Util::response_cb does, in short: the app gets a code reference of its own.
sub wrapped {
    my ($app) = @_;
    return sub {
        my $delayed = $app->(@_);
        return $delayed if ref $delayed ne 'CODE';
        return sub {
            my ($respond) = @_;
            $delayed->(sub { $respond->(@_) });
        };
    };
}

my %app = (
    '/now'     => sub { my ($env) = @_; $env->{'psgix.raise'}->('oops: now'); return [200, [], ['x']] },
    '/delayed' => sub {
        my ($env) = @_;
        return sub { my ($respond) = @_; later(sub { $env->{'psgix.raise'}->('oops: delayed') ; $respond }) };
    },
    '/streamed' => sub {
        my ($env) = @_;
        return sub {
            my $w = $_[0]->([200, []]);
            $w->write('begun');
            later(sub { $env->{'psgix.raise'}->('oops: streamed'); $w->write('more'); $w->close });
        };
    },
    '/then-answer' => sub {
        my ($env) = @_;
        return sub {
            my ($respond) = @_;
            later(sub { $env->{'psgix.raise'}->("oops: first\n"); $respond->([200, [], ['second']]) });
        };
    },
    '/after' => sub {
        my ($env) = @_;
        my $raise = $env->{'psgix.raise'};
        push @{ $env->{'psgix.cleanup.handlers'} }, sub { later(sub { $raise->('oops: after') }) };
        return [200, [], ['fine']];
    },
    '/object' => sub {
        my ($env) = @_;
        return sub { my ($respond) = @_; later(sub { $env->{'psgix.raise'}->(bless {}, 'Oops'); $respond }) };
    },
    '/copied' => sub {
        my %env = %{ $_[0] };
        return sub { my ($respond) = @_; later(sub { $env{'psgix.raise'}->('oops: copied'); $respond }) };
    },
    '/usage' => sub {
        my ($env) = @_;
        eval { $env->{'psgix.raise'}->() };
        return [200, [], [$@]];
    },
    '/kept' => sub {
        my ($env) = @_;
        $@ = 'mine'; $! = 2; $? = 3;
        $env->{'psgix.raise'}->('oops: kept');
        note_down("$@ " . ($! + 0) . " $?");
        return [200, [], []];
    },
);
{ package Oops; use overload '""' => sub { 'oops: an object' }, fallback => 1; }

wrapped(routes(%app));
APP

for my $case (
    ['/now',     'in the app itself',            qr{^GET /now: oops: now$}m],
    ['/delayed', 'a delayed response',           qr{^GET /delayed: oops: delayed$}m],
    ['/object',  'an exception object',          qr{^GET /object: oops: an object$}m],
    ['/copied',  'from a copy of the env',       qr{^GET /copied: oops: copied$}m],
    ['/then-answer', 'what is answered then does not count', qr{^GET /then-answer: oops: first$}m],
    ) {
    my ($path, $name, $message) = @$case;
    subtest $name => sub {
        my $r = $server->ask("GET $path HTTP/1.1\r\nHost: a\r\n\r\n");
        is $r->status, 500,                     'status';
        is $r->body,   'Internal Server Error', 'body';
        ok $server->stderr_like($message), 'the message went to psgi.errors';
    };
}

subtest 'a streamed response is cut' => sub {
    my $client = $server->connect;
    $client->send("GET /streamed HTTP/1.1\r\nHost: a\r\n\r\n");
    my $all = $client->rest;
    like $all,   qr/begun/,        'what was written came';
    unlike $all, qr/more|\r\n0\r\n/, 'and nothing else, nor the end';
    ok $server->stderr_like(qr{^GET /streamed: oops: streamed$}m), 'the message';
};

subtest 'behind the end there is a warning' => sub {
    is $server->ask("GET /after HTTP/1.1\r\nHost: a\r\n\r\n")->body, 'fine', 'answered';
    ok $server->stderr_like(qr/psgix\.raise called after the request was over: oops: after/), 'warned';
};

subtest 'the variables of the app are kept' => sub {
    $server->ask("GET /kept HTTP/1.1\r\nHost: a\r\n\r\n");
    is_deeply [diary($server)], ['mine 2 3'], '$@, $! and $?';
};

like $server->ask("GET /usage HTTP/1.1\r\nHost: a\r\n\r\n")->body, qr/^Usage: /, 'an error is wanted';

is counters($server)->{exchanges}, 0, 'no exchange is left';
$server->stop_ok;
done_testing;
