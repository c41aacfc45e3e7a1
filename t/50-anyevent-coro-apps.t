# Apps that answer from Coro threads, which block as they like.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest;
use Time::HiRes qw(time);

BEGIN {
    plan skip_all => 'no Coro' if !eval { require Coro; require Coro::AnyEvent; 1 };
}

my $code = <<'CODE';
    use Coro;
    use Coro::AnyEvent;
    use AnyEvent;

    {
        package Lines;
        sub new { my ($class, @lines) = @_; return bless [@lines], $class }
        sub getline { my $line = shift @{ $_[0] }; return ref $line ? $line->() : $line }
        sub close { return }
    }

    # Blocks the thread only.
    sub wait_for { my $cv = AE::cv; my $t = AE::timer $_[0], 0, $cv; $cv->recv }
    my %paths = (
        '/waits'  => sub { wait_for(0.1); $_[0]->([200, [], ["waited in $AnyEvent::MODEL"]]) },
        '/sleeps' => sub { Coro::AnyEvent::sleep 0.1; $_[0]->([200, [], ['slept']]) },
        '/dies'   => sub { my ($respond) = @_; wait_for(0.01); die "in a thread\n" },
        '/body'      => sub { $_[0]->([200, [], Lines->new('one ', sub { wait_for(0.2); 'two' })]) },
        '/body-dies' => sub {
            my $own = $_[0];
            $own->([200, [], Lines->new('one', sub { wait_for(0.1); die "in a body\n" })]);
        },
        '/stream' => sub {
            my $writer = $_[0]->([200, []]);
            for my $n (1 .. 5) { $writer->write("$n "); wait_for(0.02) }
            $writer->close;
        },
    );
    sub {
        my ($env) = @_;
        my $code = $paths{$env->{PATH_INFO}} or return [200, [], ['at once']];
        return sub { my ($respond) = @_; async_pool { $code->($respond) }; return };
    };
CODE

sub get { my ($path) = @_; return "GET $path HTTP/1.1\r\nHost: x\r\n\r\n" }

for my $by ('module', 'program') {
    subtest "by $by" => sub {
        my %keeps  = (env => { SPRIG_TEST_KEEPS => 1 });               # Coro keeps a watcher
        my $server = start_server(code => $code, by => $by, %keeps);
        for my $path ('/waits', '/sleeps') {
            my $body = $path eq '/sleeps' ? 'slept' : 'waited in AnyEvent::Impl::Sprig';
            my ($took, @bodies);
            for (1 .. 3) {    # a busy machine may spoil one
                my $start   = time;
                my @clients = map { my $c = $server->connect; $c->send(get($path)); $c } 1 .. 5;
                @bodies = map { $_->response->body } @clients;
                $took   = time - $start;
                last if $took < 0.2;
            }
            is_deeply \@bodies, [($body) x 5], "$path: five requests";
            cmp_ok $took, '<', 0.2, 'in the time of two at most';
        }
        is $server->ask(get('/'))->body,        'at once',    'an app without threads';
        is $server->ask(get('/stream'))->body,  '1 2 3 4 5 ', 'a stream from a thread';
        is $server->ask(get('/dies'))->status,  500,          'a thread that dies';
        is $server->ask(get('/waits'))->status, 200,          'harms no other';
        my @bodies = map { my $c = $server->connect; $c->send(get($_)); $c } '/body-dies', '/body';
        ok !$bodies[0]->response->is_complete, 'a body that dies in its thread';
        is $bodies[1]->response->body, 'one two', 'while another one waits';
        $server->stop_ok;
    };
}

done_testing;
