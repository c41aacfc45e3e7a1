# App values and callbacks that end the very thing that is at work with them.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Probe;
use Test::More;

my $code = <<'APP';
{
    # Runs code when somebody asks for its text.
    package Text;
    use overload '""' => sub { $_[0]{code}->(); 'text' }, fallback => 1;
    sub new { my ($class, $code) = @_; return bless { code => $code }, $class }
}
{
    package AtEnd;
    sub new { my ($class, $code) = @_; return bless { code => $code }, $class }
    sub DESTROY { $_[0]{code}->() }
}
{
    # A body that names a file, which is not there.
    package Path;
    sub new { my ($class, $code) = @_; return bless { code => $code }, $class }
    sub path { $_[0]{code}->(); return '/nonexistent' }
    sub getline { return $_[0]{n}++ ? undef : 'line' }
    sub close { return }
}
{
    package Lines;
    sub new { my ($class, @lines) = @_; return bless [@lines], $class }
    sub getline { return shift @{ $_[0] } }
    sub close { return }
}

sub wait_for { my $cv = AE::cv; my $t = AE::timer $_[0], 0, $cv; $cv->recv; return }

# Runs the loop until no exchange is left but so many.
sub wait_for_exchanges {
    my ($n) = @_;
    for (1 .. 200) { last if Sprig::counters()->{exchanges} <= $n; wait_for(0.01) }
    return;
}

my %kept;
routes(
    '/ok' => sub { [200, [], ['ok']] },

    # The client leaves while a piece of the body is turned into text.
    '/getline-text' => sub {
        note_down('asked');
        [200, [], Lines->new('first', Text->new(sub { wait_for_exchanges(0); note_down('text') }), 'last')];
    },

    # The writer's last reference goes while it writes, or closes.
    '/write-drops-writer' => sub {
        sub {
            my $writer = $_[0]->([200, []]);
            my $w = \$writer;
            $writer->write(Text->new(sub { undef $$w }));
            note_down('written');
        };
    },
    '/close-drops-writer' => sub {
        my ($env) = @_;
        sub {
            my $writer = $_[0]->([200, ['Content-Length' => 10]]);
            push @{ $env->{'psgix.cleanup.handlers'} }, sub { undef $writer };
            $writer->write('short');
            $writer->close;
            note_down('closed');
        };
    },

    # The response goes while it is read.
    '/path-drops-response' => sub {
        sub {
            my ($respond) = @_;
            my $response;
            $response = [200, ['X-A' => 'kept'], Path->new(sub { undef $response })];
            $respond->($response);
        };
    },

    # The exchange ends within on_disconnect, which then dies.
    '/disconnect-ends' => sub {
        sub {
            my $writer = $_[0]->([200, ['Content-Length' => 10]]);
            $writer->write('some');
            $writer->on_disconnect(sub { $_[0]->close; delete $kept{disconnect}; die "told\n" });
            $kept{disconnect} = $writer;
            note_down('waiting');
        };
    },

    # An exception whose text outlives its request.
    '/exception-text' => sub {
        note_down('asked');
        die Text->new(sub { wait_for_exchanges(0); note_down('text') });
    },

    # While a server stops, the end of one request answers another one.
    '/stop/keep' => sub { sub { $kept{respond} = $_[0]; note_down('kept') } },
    '/stop/last' => sub {
        my ($env) = @_;
        push @{ $env->{'psgix.cleanup.handlers'} }, sub {
            my $writer = (delete $kept{respond})->([200, []]);
            $writer->write('too late');
            undef $writer;
            delete $kept{last};
            note_down('cleaned up');
        };
        sub { $kept{last} = $_[0]; note_down('kept') };
    },
);
APP

# An app with a second server in the same process, which it stops.
my $two = <<'APP';
use Sprig;
my ($second, $port);
my $inner = do { %s };
my $service = Sprig::Service->new($inner, {}, sub { });
my $info = $service->listen('127.0.0.1:0');
sub {
    my ($env) = @_;
    return [200, [], [$info->{port}]] if $env->{PATH_INFO} eq '/port';
    if ($env->{PATH_INFO} eq '/stop') { $service->stop; undef $service; return [200, [], ['stopped']] }
    return $inner->($env);
};
APP

my $server  = start_probe($code);
my $is_ours = loop_of($server) eq 'AnyEvent::Impl::Sprig';

subtest 'a client leaves while its body becomes text' => sub {
    plan skip_all => 'other loops refuse a nested recv' if !$is_ours;
    my $client = $server->connect;
    $client->send(get('/getline-text'));
    $client->wait_for_bytes(1);
    $client->reset;
    is_deeply([await_diary($server, 2)], ['asked', 'text'], 'the text was asked for');
    ok comes_to_rest($server), 'nothing is left';
};

subtest 'a client leaves while its exception becomes text' => sub {
    plan skip_all => 'other loops refuse a nested recv' if !$is_ours;
    my $client = $server->connect;
    $client->send(get('/exception-text'));
    select undef, undef, undef, 0.05;
    $client->reset;
    is_deeply([await_diary($server, 2)], ['asked', 'text'], 'the text was asked for');
    ok comes_to_rest($server), 'nothing is left';
};

subtest 'a writer goes while it is at work' => sub {
    $server->ask(get('/write-drops-writer'));
    ok !$server->ask(get('/close-drops-writer'))->is_complete, 'a short body is no whole one';
    is_deeply([await_diary($server, 2)], ['written', 'closed'], 'both calls return');
    ok comes_to_rest($server), 'nothing is left';
};

subtest 'a response goes while it is read' => sub {
    my $response = $server->ask(get('/path-drops-response'));
    is $response->body,          'line', 'its body is sent';
    is $response->header('X-A'), 'kept', 'and its headers were';
};

subtest 'on_disconnect ends its exchange and dies' => sub {
    my $client = $server->connect;
    $client->send(get('/disconnect-ends'));
    is_deeply([await_diary($server, 1)], ['waiting'], 'a stream');
    $client->reset;
    ok $server->stderr_like(qr{^GET /\S*: told$}m), 'what it died of is reported';
    is $server->ask(get('/ok'))->body, 'ok', 'and the server goes on';
};

$server->stop_ok;

subtest 'a server is stopped' => sub {
    my $outer   = start_probe(sprintf $two, $code);
    my $port    = $outer->ask(get('/port'))->body;
    my @clients = map { SprigTest::Client->connect('127.0.0.1', $port) } 1 .. 2;
    for my $i (0, 1) {
        $clients[$i]->send(get(qw(/stop/last /stop/keep) [$i]));
        is_deeply([await_diary($outer, 1)], ['kept'], 'a request waits');
    }
    is $outer->ask(get('/stop'))->body, 'stopped', 'their server is stopped';
    is_deeply([await_diary($outer, 1)], ['cleaned up'], 'the end of one answers the other');
    is $_->rest, '', 'a client sees the end' for @clients;
    ok comes_to_rest($outer), 'nothing is left';
    $outer->stop_ok;
};

done_testing;
