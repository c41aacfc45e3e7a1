# Mojo::IOLoop on our loop: by the rules of Mojo::Reactor, and inside of the program.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Socket qw(AF_UNIX PF_UNSPEC SOCK_STREAM);
use SprigTest;
use Test::More;

BEGIN { $ENV{MOJO_REACTOR} = 'Mojo::Reactor::Sprig' }
plan skip_all => 'Mojolicious is not installed' if !eval { require Mojo::IOLoop; 1 };
require Mojo::Promise;

my $reactor = Mojo::IOLoop->singleton->reactor;
isa_ok $reactor, 'Mojo::Reactor::Sprig', 'the singleton';
is ref(Mojo::Reactor::Sprig->new), 'Mojo::Reactor::Poll', 'a second one polls by itself';

subtest 'timers' => sub {
    my @seen;
    $reactor->timer(0.02 => sub { push @seen, 'later' });
    $reactor->timer(0    => sub { push @seen, 'soon' });
    $reactor->next_tick(sub { push @seen, 'tick' });
    my $removed = $reactor->timer(0 => sub { push @seen, 'never' });
    ok $reactor->remove($removed), 'a timer is removed';
    $reactor->start;
    is "@seen", 'soon tick later', 'in order; the loop ends with the last one';

    my $n = 0;
    my $id;
    $id = $reactor->recurring(0.005 => sub { $reactor->remove($id) if ++$n == 3 });
    $reactor->start;
    is $n, 3, 'recurring until removed';

    my $is_run;
    $id = $reactor->timer(60 => sub { $is_run = 1 });
    $reactor->again($id, 0.01);
    $reactor->start;
    ok $is_run,                           'again takes a new time';
    ok !eval { $reactor->again($id); 1 }, 'again dies for what is gone';
    like $@, qr/Timer not active/, 'and says so';
};

subtest 'handles' => sub {
    socketpair my $one, my $two, AF_UNIX, SOCK_STREAM, PF_UNSPEC or die $!;
    my @seen;
    $reactor->io(
        $one => sub {
            my (undef, $is_write) = @_;
            push @seen, $is_write ? 'w' : 'r';
            $is_write ? $reactor->watch($one, 1, 0) : $reactor->remove($one);
        }
    );
    $reactor->timer(0.02 => sub { syswrite $two, 'x' });
    $reactor->start;
    is "@seen", 'w r', 'writable, then readable';
    ok !eval { $reactor->watch($one, 1, 1); 1 }, 'watch dies for what is gone';
};

subtest 'one_tick, stop, errors' => sub {
    my ($n, @errors) = (0);
    $reactor->recurring(0 => sub { $n++ });
    $reactor->one_tick;
    is $n, 1, 'one tick is one event';
    $reactor->timer(0.01 => sub { $reactor->stop });
    $reactor->start;
    ok $n > 1,                'start goes on until stop';
    ok !$reactor->is_running, 'not running any more';
    $reactor->reset;
    my $cb = $reactor->on(error => sub { push @errors, $_[1] });
    $reactor->timer(0 => sub { die "oops\n" });
    $reactor->start;
    like "@errors", qr{oops}, 'errors become events';
    $reactor->unsubscribe(error => $cb);
    my $inner = 0;
    $reactor->timer(
        0 => sub {
            $reactor->timer(0 => sub { $inner++ });
            $reactor->one_tick;
        }
    );
    $reactor->start;
    is $inner, 1, 'ticks may be nested';
};

subtest 'promises and connections' => sub {
    my $got = '';
    my $id  = Mojo::IOLoop->server(
        { address => '127.0.0.1' },
        sub {
            my ($loop, $stream) = @_;
            $stream->on(
                read => sub {
                    $_[0]->write("echo $_[1]" => sub { $_[0]->close });
                }
            );
        }
    );
    my $port = Mojo::IOLoop->acceptor($id)->port;
    Mojo::IOLoop->client(
        { port => $port },
        sub {
            my ($loop, $error, $stream) = @_;
            $stream->on(read  => sub { $got .= $_[1] });
            $stream->on(close => sub { Mojo::IOLoop->stop });
            $stream->write('hello');
        }
    );
    Mojo::IOLoop->timer(5 => sub { Mojo::IOLoop->stop });
    Mojo::IOLoop->start;
    is $got, 'echo hello', 'server and client in one process';
    my $value;
    Mojo::Promise->timer(0.01 => 'kept')->then(sub { $value = shift })->wait;
    is $value, 'kept', 'a promise is waited for';
};

subtest 'in the program' => sub {
    my $server = start_server(by => 'program', code => <<'APP');
use Mojo::IOLoop;
use Mojo::Promise;
sub {
    my ($env) = @_;
    return [200, [], [ref Mojo::IOLoop->singleton->reactor]] if $env->{PATH_INFO} eq '/reactor';
    return Mojo::Promise->timer(0.05 => [200, [], ['promised']]);
}
APP
    my $client = $server->connect;
    $client->send("GET /reactor HTTP/1.1\r\nHost: a\r\n\r\n");
    is $client->response->body, 'Mojo::Reactor::Sprig', 'the reactor is ours';
    $client->send("GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    is $client->response->body, 'promised', 'Mojo::Promise as a response';
    $server->stop_ok;
};

done_testing;
