# An app that fails: what the client gets, what psgi.errors gets, and that the server goes on.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my $code = <<'APP';
use strict;
use warnings;
open my $copy, '>&', \*STDERR or die;
{
    package Log; sub new { bless {} } sub print { shift; print {*STDERR} 'logged: ', @_ }
    package DyingLog; sub new { bless {} } sub print { die "in the log\n" }
    package TiedErr; sub TIEHANDLE { bless [] } sub PRINT { shift; syswrite $copy, join '', 'tied: ', @_ }
    package Error; use overload '""' => sub { 'an error object' }, fallback => 1;
    package DyingError; use overload '""' => sub { die "in the error\n" }, 'bool' => sub { die "in bool\n" };
    package FalseError; use overload 'bool' => sub { 0 }, '""' => sub { 'a false error' };
    package Guard; sub new { bless [$_[1]] } sub DESTROY { eval { die "inner\n" }; $_[0][0]->() }
    package Pass; sub TIEHASH { bless {} } sub FETCH { die "in FETCH\n" }
}
my %answer = (
    die => sub { die "said by die\n" },
    die_line => sub { die 'without newline' },
    die_object => sub { die bless {}, 'Error' },
    die_hash => sub { die { code => 1 } },
    die_false => sub { die bless {}, 'FalseError' },
    die_dying => sub { die bless {}, 'DyingError' },
    die_empty => sub { die '' },
    die_guard => sub { my $g = Guard->new(sub { }); die "behind a guard\n" },
    die_hook => sub { local $SIG{__DIE__} = sub { die "hooked: $_[0]" }; die "in the app\n" },
    die_ors => sub { local $\ = 'ORS'; local $, = 'OFS'; die "one line\n" },
    fatal_warning => sub { use warnings FATAL => 'all'; my $x = undef . 'x'; [200, [], []] },
    last => sub { no warnings; last },
    next => sub { no warnings; next },
    redo => sub { no warnings; redo },
    goto => sub { no warnings; goto NOWHERE },
    goto_sub => sub { goto &{ sub { [200, [], ['gone to']] } } },
    deep => sub { no warnings 'recursion'; my $f; $f = sub { $_[0] ? $f->($_[0] - 1) : die "deep down\n" }; $f->(5000) },
    hash => sub { { a => 1 } },
    scalar => sub { \'x' },
    string => sub { 'a string' },
    wide_string => sub { "\x{263a}" },
    undef => sub { undef },
    empty => sub { return },
    object => sub { bless {}, 'Something' },
    empty_list => sub { [] },
    two => sub { [200, []] },
    five => sub { [200, [], [], undef, 1] },
    body_hash => sub { [200, [], {}] },
    body_object => sub { [200, [], bless {}, 'Something'] },
    own_log => sub { $_[0]{'psgi.errors'} = Log->new; die "to the log\n" },
    dying_log => sub { $_[0]{'psgi.errors'} = DyingLog->new; die "to a dying log\n" },
    no_log => sub { delete $_[0]{'psgi.errors'}; die "to no log\n" },
    silly_log => sub { $_[0]{'psgi.errors'} = 'no handle'; die "to a silly log\n" },
    tied_env => sub { tie %{ $_[0] }, 'Pass'; die "to a tied env\n" },
    warn_dies => sub { delete $_[0]{'psgi.errors'}; $SIG{__WARN__} = sub { delete $SIG{__WARN__}; die "in warn\n" }; die "x\n" },
    tied_stderr => sub { tie *STDERR, 'TiedErr'; die "to a tied STDERR\n" },
    untie => sub { untie *STDERR; [200, [], ['untied']] },
    delayed => sub { sub { die "in the delayed callback\n" } },
    delayed_late => sub { sub { $_[0]->([200, [], ['answered']]); die "after the answer\n" } },
    delayed_bad => sub { sub { $_[0]->('nonsense') } },
    fine => sub { [200, [], ['fine']] },
);
sub { my ($env) = @_; $answer{ $env->{QUERY_STRING} }->($env) };
APP

my $server = start_server(code => $code, env => { SPRIG_TEST_KEEPS => 1 });   # a handle for its log

sub answer {
    my ($name) = @_;
    return $server->ask("GET /?$name HTTP/1.1\r\nHost: a\r\n\r\n");
}

# A 500 of which nothing comes from the app, and a message.
sub fails {
    my ($name, $message) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $response = answer($name);
    is join('|', $response->status, scalar $response->header('Content-Type'), $response->body),
        '500|text/plain|Internal Server Error', "$name: 500";
    ok $server->stderr_like($message), "$name: says $message" or diag $server->stderr;
    return $response;
}

subtest 'exceptions' => sub {
    fails(die        => qr{^GET /: said by die\n}m);
    fails(die_line   => qr{^GET /: without newline at .* line [0-9]+\.\n}m);
    fails(die_object => qr{^GET /: an error object\n}m);
    fails(die_hash   => qr{^GET /: HASH\(0x}m);
    fails(die_false  => qr{^GET /: a false error\n}m);
    fails(die_dying  => qr/cannot be turned into text/);
    fails(die_empty  => qr{^GET /: Died at }m);
    fails(die_guard  => qr{^GET /: behind a guard\n}m);
    fails(die_hook   => qr{^GET /: hooked: in the app\n}m);
    fails(die_ors    => qr{^GET /: one line\n}m);
    unlike $server->stderr, qr/ORS/, '$\ does not get into the log';
    fails(fatal_warning => qr{^GET /: Use of uninitialized}m);
    fails(deep          => qr{^GET /: deep down\n}m);
};

subtest 'jumps out of the app' => sub {
    fails(last => qr/Can't "last" outside a loop block/);
    fails(next => qr/Can't "next" outside a loop block/);
    fails(redo => qr/Can't "redo" outside a loop block/);
    fails(goto => qr/Can't find label NOWHERE/);
    is answer('goto_sub')->body, 'gone to', 'goto &sub is a call';
};

subtest 'values that are no response' => sub {
    fails(hash   => qr/application returned a hash reference, expected \[status, headers, body\]/);
    fails(scalar => qr/application returned a reference to SCALAR/);
    fails(string => qr/application returned the string 'a string'/);
    fails(wide_string => qr/application returned the string/);
    fails(undef       => qr/application returned undef/);
    fails(empty       => qr/application returned undef/);
    fails(object      => qr/application returned an object of class Something/);
    fails(empty_list  => qr/response has 0 elements/);
    fails(two         => qr/response has 2 elements/);
    fails(five        => qr/response has 5 elements/);
    fails(body_hash   => qr/a reference to HASH as its body/);
    fails(body_object => qr/an object of class Something as its body/);
};

subtest 'where the message goes' => sub {
    fails(own_log   => qr/^logged: to the log\n/m);
    fails(dying_log => qr/^to a dying log\n/m);
    fails(no_log    => qr/^to no log\n/m);
    fails(silly_log => qr/^to a silly log\n/m);
    fails(tied_env  => qr/^to a tied env\n/m);
    is answer('warn_dies')->status, 500, 'a $SIG{__WARN__} that dies is survived';
    fails(tied_stderr => qr/^tied: to a tied STDERR\n/m);
    is answer('untie')->body, 'untied', 'and back';
};

subtest 'delayed responses' => sub {
    fails(delayed     => qr{^GET /: in the delayed callback\n}m);
    fails(delayed_bad => qr/response is not an array reference/);
    is answer('delayed_late')->body, 'answered', 'an answer that was given stands';
    ok $server->stderr_like(qr{^GET /: after the answer\n}m), 'what died after it is reported';
};

subtest 'the connection goes on after a 500' => sub {
    my $client = $server->connect;
    for my $name (qw(die fine die fine)) {
        $client->send("GET /?$name HTTP/1.1\r\nHost: a\r\n\r\n");
        is $client->response->status, $name eq 'die' ? 500 : 200, $name;
    }
};

$server->stop_ok;

subtest 'exit in the app ends the process as in any perl' => sub {
    my $quitter = start_server(code => <<'APP');
END { print {*STDERR} "END ran\n" }
{ package Object; sub DESTROY { print {*STDERR} "DESTROY ran\n" } }
our $object = bless [], 'Object';
sub { exit 7 };
APP
    my $client = $quitter->connect;
    $client->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    ok $client->is_closed, 'the connection is closed';
    is $quitter->stop >> 8, 7, 'with its status';
    like $quitter->stderr, qr/END ran\nDESTROY ran\n/, 'END blocks and destructors run';
};

subtest 'the query of a request is in no message, other bytes are printable' => sub {
    my $failing = start_server(code => 'sub { die "no\n" }');
    $failing->ask("GET /a\xff%20?secret=1 HTTP/1.1\r\nHost: a\r\n\r\n");
    ok $failing->stderr_like(qr{^GET /a\\xFF%20: no\n}m), 'which is the path' or diag $failing->stderr;
    unlike $failing->stderr, qr/secret/, 'and not more';
    $failing->ask('GET /' . 'x' x 1000 . " HTTP/1.1\r\nHost: a\r\n\r\n");
    ok $failing->stderr_like(qr{^GET /x{100,250}\.\.\.: no\n}m), 'nor a long one all of it';
};

subtest 'exit in a request' => sub {
    my $told = qr/^\S+ \[\d+ error\] sprig: the application called exit\(3\) during GET \/x$/m;
    my %app  = (
        'in the app'           => 'exit 3',
        'in a delayed answer'  => 'return sub { exit 3 }',
        'deep down in an eval' => 'eval { (sub { exit 3 })->() }',
    );
    for my $name (sort keys %app) {
        my $quitter = start_server(code => "sub { $app{$name} }");
        my $client  = $quitter->connect;
        $client->send("GET /x?y HTTP/1.1\r\nHost: a\r\n\r\n");
        ok $client->is_closed, "$name: the connection is closed";
        is $quitter->stop >> 8, 3, 'with its status';
        like $quitter->raw_stderr, $told, 'and a line';
    }
    my $forks = start_server(code => <<'END');
sub { my $pid = fork // die; exit 3 if !$pid; waitpid $pid, 0; [200, [], [$? >> 8]] }
END
    is $forks->ask("GET / HTTP/1.1\r\nHost: a\r\n\r\n")->body, 3, 'a child of the app may exit';
    $forks->stop_ok;
    unlike $forks->stderr, qr/called exit/, 'and nothing is said';
};

done_testing;
