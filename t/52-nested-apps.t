# Blocking recv inside PSGI apps: what happens to the other requests meanwhile.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest;
use Time::HiRes qw(time);

my $code = <<'CODE';
    use AnyEvent;
    my $active = my $most = 0;
    sub wait_for { my $cv = AE::cv; my $t = AE::timer $_[0], 0, sub { $cv->send }; $cv->recv }
    sub deep { wait_for(0.02); return $_[0] ? deep($_[0] - 1) : 'bottom' }
    my %paths = (
        '/model'  => sub { $AnyEvent::MODEL },
        '/blocks' => sub { wait_for(0.3); 'waited' },
        '/quick'  => sub { "quick $most" },
        '/dies'   => sub { wait_for(0.05); die "after waiting\n" },
        '/deep'   => sub { deep(5) },
    );
    sub {
        my ($env) = @_;
        if ($env->{PATH_INFO} eq '/later') {
            return sub {
                my ($respond) = @_;
                my $t; $t = AE::timer 0.1, 0, sub { undef $t; $respond->([200, [], ['later']]) };
            };
        }
        $active++;
        $most = $active if $active > $most;
        my $body = eval { $paths{$env->{PATH_INFO}}->() };
        my $error = $@;
        $active--;
        die $error if $error;
        return [200, ['X-Most' => $most], [$body]];
    };
CODE

sub get { my ($path) = @_; return "GET $path HTTP/1.1\r\nHost: x\r\n\r\n" }

# Sends a request for each path, a little apart; returns the responses and the seconds each took.
sub ask_all {
    my ($server, @paths) = @_;
    my (@asked, @responses, @took);
    for my $path (@paths) {
        my $client = $server->connect;
        $client->send(get($path));
        push @asked, [$client, time];
        select undef, undef, undef, 0.05;
    }
    for my $client (map { $_->[0] } @asked) {
        push @responses, $client->response;
    }
    return @responses;
}

for my $by ('module', 'program') {
    subtest "hold, by $by" => sub {
        my $server = start_server(code => $code, by => $by);
        is $server->ask(get('/model'))->body, 'AnyEvent::Impl::Sprig', 'on our loop';
        my $start = time;
        my ($later, $blocks, @quick) = ask_all($server, '/later', '/blocks', ('/quick') x 3);
        is $blocks->body, 'waited', 'an app may block';
        is $later->body,  'later',  'responses that are under way go on meanwhile';
        is_deeply [map { $_->body } @quick], [('quick 1') x 3], 'other apps wait for it';
        cmp_ok time - $start, '<', 1.5, 'not for long';
        is $server->ask(get('/dies'))->status, 500,      'an app that dies after it waited';
        is $server->ask(get('/deep'))->body,   'bottom', 'one wait after the other';
        $server->idle_ok;
        $server->stop_ok;
    };
}

subtest 'later responses leave while an app blocks' => sub {
    my $server  = start_server(code => $code);
    my $later   = $server->connect;
    my $blocked = $server->connect;
    $later->send(get('/later'));
    $blocked->send(get('/blocks'));
    is $later->response->body, 'later', 'the one that was asked for first';
    ok $blocked->is_quiet(0.02), 'before the blocking app has ended';
    is $blocked->response->body, 'waited', 'which then ends as well';
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'dispatch' => sub {
    my $server  = start_server(code => $code, args => { nested => 'dispatch' });
    my $blocked = $server->connect;
    $blocked->send(get('/blocks'));
    select undef, undef, undef, 0.05;
    is $server->ask(get('/quick'))->body, 'quick 2', 'apps run within the waiting one';
    ok $blocked->is_quiet(0.02), 'which still waits';
    my @responses = ask_all($server, ('/blocks') x 5);
    is_deeply [map { $_->body } @responses], [('waited') x 5], 'waits within waits';
    is $blocked->response->body, 'waited', 'the first one ends as well';
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'nested_depth' => sub {
    my $server = start_server(code => $code, args => { nested => 'dispatch', nested_depth => 2 });
    my @status = map { $_->status } ask_all($server, ('/blocks') x 3);
    is_deeply [sort @status], [200, 200, 500], 'one wait too many fails alone';
    ok $server->stderr_like(qr/recursive blocking wait attempted/), 'with the usual message';
    $server->idle_ok;
    $server->stop_ok;
};

subtest 'croak' => sub {
    my $server = start_server(code => $code, args => { nested => 'croak' });
    is $server->ask(get('/blocks'))->status, 500, 'a blocking recv in an app is an error';
    ok $server->stderr_like(qr/recursive blocking wait attempted/), 'with the usual message';
    is $server->ask(get('/later'))->body, 'later', 'the server goes on';
    $server->idle_ok;
    $server->stop_ok;
};

done_testing;
