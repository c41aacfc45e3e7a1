# Responses that change while they are read: an overloaded value, or the handler of a warning, may be
# code that empties the very arrays it stands in.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my $server = start_server(code => <<'APP');
{
    package Changing;
    use overload '""' => sub { $_[0][0]->(); 'text' }, fallback => 1;
    sub new { my ($class, $code) = @_; return bless [$code], $class }
}
my $junk;

# Frees what the arrays have, and uses the memory for something else.
sub empty { @$_ = () for @_; $junk = [map { 'junk' x $_ } 1 .. 200]; return }

my %app = (
    '/header' => sub {
        my @headers;
        @headers = ('X-A', 'a' . rand, 'X-B', Changing->new(sub { empty(\@headers) }), 'X-C', 'c' . rand);
        return [200, \@headers, ['body']];
    },
    '/headers-gone' => sub {
        my $response;
        $response = [200, ['X-A', 'a' . rand, 'X-B', Changing->new(sub { empty($response) })], ['body']];
        return $response;
    },
    '/body' => sub {
        my @body;
        @body = ('first' . rand, Changing->new(sub { empty(\@body) }), 'last' . rand);
        return [200, [], \@body];
    },
    '/body-gone' => sub {
        my $response;
        $response = [200, [], ['first' . rand, Changing->new(sub { empty($response) }), 'last']];
        return $response;
    },
    '/interim' => sub {
        my ($env) = @_;
        my @headers;
        @headers = ('X-A', 'a' . rand, 'X-B', Changing->new(sub { empty(\@headers) }));
        eval { $env->{'psgix.informational'}->(103, \@headers) };
        my $ref;
        $ref = ['X-A', 'a' . rand, 'X-B', Changing->new(sub { undef $ref; empty() })];
        eval { $env->{'psgix.informational'}->(103, $ref) };
        return [200, [], ['final']];
    },
    '/write' => sub {
        sub {
            my $w = $_[0]->([200, []]);
            my @values;
            @values = ('first' . rand, Changing->new(sub { empty(\@values) }));
            $w->write(@values, 'last');
            $w->close;
        }
    },
    '/write-array' => sub {
        sub {
            my $w = $_[0]->([200, []]);
            our @all = ('first' . rand, Changing->new(sub { empty(\@all) }), 'last' . rand);
            $w->write(@all);
            $w->close;
        }
    },
    '/warned' => sub {
        my $response = [200, ['Content-Length', 3], [map { 'x' x 20_000 } 1 .. 50]];
        $SIG{__WARN__} = sub { empty($response->[2], $response) if $response };
        return $response;
    },
    '/undef'      => sub { [200, [], undef] },
    '/undef-list' => sub { my @none; return [200, [], $none[0]] },
);
sub { $app{ $_[0]{PATH_INFO} }->(@_) };
APP

sub ask { return $server->ask("GET $_[0] HTTP/1.1\r\nHost: a\r\n\r\n") }

subtest 'while a header becomes text' => sub {
    my $r = ask('/header');
    is $r->status, 200, 'answered';
    like $r->header('X-A'), qr/\Aa0/, 'a value before it is as it was';
    is $r->header('X-B'), 'text', 'the value itself';
    like ask('/headers-gone')->header('X-A'), qr/\Aa0/, 'the response goes';
};

subtest 'while a piece of the body becomes text' => sub {
    like ask('/body')->body, qr/\Afirst[\d.e-]+text/, 'the pieces before it';
    like ask('/body-gone')->body, qr/\Afirst[\d.e-]+text/, 'the response goes';
};

subtest 'while an interim header becomes text' =>
    sub { is ask('/interim')->body, 'final', 'the final response' };

subtest 'while a written value becomes text' => sub {
    like ask('/write')->body,       qr/\Afirst[\d.e-]+textlast\z/,       'before and behind';
    like ask('/write-array')->body, qr/\Afirst[\d.e-]+textlast[\d.e-]+\z/, 'what the stack borrows';
};

# What is longer than its Content-Length is cut off over HTTP/2.
subtest 'while a warning is handled' =>
    sub { is ask('/warned')->body, over_http2() ? '' : 'xxx', 'what was announced' };

for my $path ('/undef', '/undef-list') {
    subtest "an undefined body is an error ($path)" => sub {
        my $r = ask($path);
        is $r->status, 500,                     'status';
        is $r->body,   'Internal Server Error', 'body';
        ok $server->stderr_like(qr/PSGI response has an undefined body/), 'the reason';
    };
}

ok $server->is_alive, 'the server is there';
$server->stop_ok;
done_testing;
