# What happens behind a response: psgix.cleanup handlers, the completion callback, psgix.harakiri.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my $code = <<'APP';
use strict;
use warnings;
my @log;
{
    package Handler; use overload '&{}' => sub { my $self = shift; sub { push @log, "object:$$self" } }, fallback => 1;
    package Body; sub new { bless [@_] } sub getline { shift; undef } sub close { push @log, 'body closed' }
}
my %app = (
    one => sub { my $env = shift;
        push @{ $env->{'psgix.cleanup.handlers'} }, sub { push @log, 'cleaned ' . ($_[0] == $env ? 'env' : 'what?') };
        [200, [], ['one']] },
    several => sub { my $env = shift; my $h = $env->{'psgix.cleanup.handlers'};
        push @$h, sub { push @log, 1; push @$h, sub { push @log, 3 } }, sub { push @log, 2 }; [200, [], ['several']] },
    dies => sub { my $env = shift;
        push @{ $env->{'psgix.cleanup.handlers'} }, sub { die "in cleanup\n" }, sub { push @log, 'after' };
        [200, [], ['dies']] },
    object => sub {
        my $env = shift; my $x = 'x'; push @{ $env->{'psgix.cleanup.handlers'} }, bless \$x, 'Handler';
        [200, [], ['object']]
    },
    replaced => sub {
        my $env = shift; $env->{'psgix.cleanup.handlers'} = [sub { push @log, 'replaced' }];
        [200, [], ['replaced']]
    },
    nonsense => sub { my $env = shift; $env->{'psgix.cleanup.handlers'} = 'nonsense'; [200, [], ['nonsense']] },
    deleted => sub { my $env = shift; delete $env->{'psgix.cleanup.handlers'}; [200, [], ['deleted']] },
    app_dies => sub {
        my $env = shift; push @{ $env->{'psgix.cleanup.handlers'} }, sub { push @log, 'cleaned' };
        die "app\n"
    },
    body => sub {
        my $env = shift; push @{ $env->{'psgix.cleanup.handlers'} }, sub { push @log, 'cleaned' };
        [200, [], Body->new]
    },
    slow => sub { my $env = shift;
        push @{ $env->{'psgix.cleanup.handlers'} }, sub { select undef, undef, undef, 0.7; push @log, 'slow' };
        [200, [], ['slow']] },
    complete => sub { [200, [], ['complete'], sub { push @log, 'complete' }] },
    complete_delayed => sub { sub { $_[0]->([200, [], ['later'], sub { push @log, 'complete later' }]) } },
    complete_dies => sub { [200, [], ['x'], sub { die "in completion\n" }] },
    large => sub { my $env = shift; push @{ $env->{'psgix.cleanup.handlers'} }, sub { push @log, 'cleaned' };
        [200, [], ['x' x 20_000_000]] },
    log => sub { my $text = join ' ', @log; @log = (); [200, [], [$text]] },
    harakiri => sub {
        my $env = shift; $env->{'psgix.harakiri.commit'} = 1;
        [200, [], [$env->{'psgix.harakiri'} ? 'offered' : 'not offered']]
    },
);
sub { my ($env) = @_; $app{ $env->{QUERY_STRING} }->($env) };
APP

my $server = start_server(code => $code);
my $client = $server->connect;

# On one connection: what the next request sees was there before it.
sub get {
    my ($name) = @_;
    $client->send("GET /?$name HTTP/1.1\r\nHost: a\r\n\r\n");
    return $client->response->body;
}

sub leaves {
    my ($name, $log) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    get($name);
    return is get('log'), $log, $name;
}

subtest 'cleanup handlers' => sub {
    leaves(one      => 'cleaned env');
    leaves(several  => '1 2 3');
    leaves(object   => 'object:x');
    leaves(replaced => 'replaced');
    leaves(nonsense => '');
    leaves(deleted  => '');
    leaves(body     => 'body closed cleaned');
    leaves(app_dies => 'cleaned');
    leaves(dies     => 'after');
    ok $server->stderr_like(qr{^GET /\S*: in cleanup\n}m), 'one that dies is reported, the others run';
};

subtest 'the client does not wait for them' => sub {
    my $start = time;
    is get('slow'), 'slow', 'the answer comes first';
    cmp_ok time - $start, '<=', 1, 'at once';
    is get('log'), 'slow', 'the handler ran';
};

subtest 'they run when the kernel has the last byte' => sub {
    my $slow = $server->connect;
    $slow->send("GET /?large HTTP/1.1\r\nHost: a\r\n\r\n");
    $slow->wait_for_bytes(1000);
    is get('log'),                   '',         'not before';
    is length $slow->response->body, 20_000_000, 'the client takes all';
    is get('log'),                   'cleaned',  'now';
};

subtest 'they run when the client has gone' => sub {
    my $gone = $server->connect;
    $gone->send("GET /?large HTTP/1.1\r\nHost: a\r\n\r\n");
    $gone->wait_for_bytes(1000);
    $gone->reset;
    my $log = '';
    for (1 .. 100) {
        last if $log = get('log');
        select undef, undef, undef, 0.02;
    }
    is $log, 'cleaned', 'once';
};

subtest 'completion callback: the fourth element' => sub {
    leaves(complete         => 'complete');
    leaves(complete_delayed => 'complete later');
    leaves(complete_dies    => '');
    ok $server->stderr_like(qr{^GET /\S*: in completion\n}m), 'one that dies is reported';
};

subtest 'harakiri is not offered outside of workers' => sub {
    is get('harakiri'), 'not offered', 'psgix.harakiri is false';
    is get('log'),      '',            'and a commit does nothing';
};

$server->stop_ok;

subtest 'harakiri where it is offered' => sub {
    my $worker = start_server(code => $code, args => { harakiri => 1 });
    my $once   = $worker->connect;
    $once->send("GET /?harakiri HTTP/1.1\r\nHost: a\r\n\r\n");
    is $once->response->body, 'offered', 'the request is answered';
    ok $once->is_closed,      'then the connection ends';
    $once->close if over_http2();    # else it lingers: more frames may be on their way
    ok wait_for_end($worker), 'and so does the process';
    is $worker->stop, 0, 'properly';
};

done_testing;

sub wait_for_end {
    my ($worker) = @_;
    for (1 .. 200) {
        return 1 if !$worker->is_alive;
        select undef, undef, undef, 0.02;
    }
    return 0;
}
