# Sprig::Server in a program of its own: what it listens on, what keeps it alive, how it ends. Server
# and client live in this process, on one loop.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use AnyEvent;
use AnyEvent::Handle;
use AnyEvent::Socket qw(tcp_connect);
use SprigTest;
use Test::More;
use Time::HiRes qw(time);

use Sprig::Server;

my $app = sub {
    my ($env) = @_;
    return [200, [], [join ' ', map { $env->{$_} } qw(SERVER_NAME SERVER_PORT REMOTE_ADDR)]];
};

# A server, and what server_ready was told for each listener.
sub serve {
    my (%args) = @_;
    my @ready;
    my $server = Sprig::Server->new(server_ready => sub { push @ready, $_[0] }, %args);
    $server->register_service($args{app} || $app);
    return ($server, @ready);
}

# Sends bytes and resolves to all that came until the end, or to undef if there was no connection.
sub talk {
    my ($host, $port, $bytes) = @_;
    my $done = AE::cv;
    my $in   = '';
    my $handle;
    tcp_connect $host, $port, sub {
        my ($fh) = @_ or return $done->send(undef);
        my $end = sub { undef $handle; $done->send($in) };
        $handle = AnyEvent::Handle->new(fh => $fh, on_error => $end, on_eof => $end);
        $handle->on_read(sub { $in .= delete $_[0]{rbuf} });
        $handle->push_write($bytes);
    };
    return $done;
}

my $request = "GET / HTTP/1.0\r\n\r\n";

sub get {
    my ($ready) = @_;
    my $answer = talk($ready->{host}, $ready->{port}, $request)->recv;
    return defined $answer && $answer =~ /\AHTTP\/1\.0 200 OK\r\n.*?\r\n\r\n(.*)\z/s ? $1 : undef;
}

sub soon {
    my ($condition) = @_;
    my $deadline = time + 5;
    until ($condition->()) {
        return 0 if time > $deadline;
        my $cv = AE::cv;
        my $t  = AE::timer 0.01, 0, $cv;
        $cv->recv;
    }
    return 1;
}

subtest 'options are checked by new' => sub {
    my %wrong = (
        port => [[70_000, 'abc', '-1'], qr/^Sprig::Server->new: port must be 0\.\.65535, got/],
        max_headers    => [['many'], qr/^Sprig::Server->new: max_headers must be .*, got 'many'/],
        header_timeout =>
            [['soon'], qr/^Sprig::Server->new: header_timeout must be .*, got 'soon'/],
        timeout => [['soon'],      qr/^Sprig::Server->new: header_timeout must be .*, got 'soon'/],
        nested  => [['sometimes'], qr/^Sprig::Server->new: nested must be .*, got 'sometimes'/],
        listen  => [[':80'],       qr/^Sprig::Server->new: listen must be an array reference/],
    );
    for my $name (sort keys %wrong) {
        for my $value (@{ $wrong{$name}[0] }) {
            ok !eval { Sprig::Server->new($name => $value); 1 }, "$name => $value dies";
            like $@, $wrong{$name}[1],    'and says why';
            like $@, qr/ at \Q$0\E line/, 'and where';
        }
    }
    my $server = Sprig::Server->new(
        port           => '',
        something      => 'else',
        keepalive      => '',
        max_body_bytes => '1M'
    );
    is ref $server,          'Sprig::Server', 'good ones are taken';
    is $server->{something}, 'else',          'keys that are no options are kept';
};

subtest 'addresses' => sub {
    for my $args (
        { host   => '127.0.0.1', port => 0 },
        { host   => '127.0.0.1', port => undef },
        { host   => '127.0.0.1', port => '' },
        { listen => ['127.0.0.1:0'] },
        { host   => '127.0.0.1', port => 0, listen => [] },
        { listen => ['localhost:0'] }
        )
    {
        my ($server, $ready) = serve(%$args);
        cmp_ok $ready->{port}, '>', 0, 'the system chooses a port';
        is $ready->{proto},           'http',  'proto';
        is $ready->{server_software}, 'Sprig', 'server_software';
        is get($ready), "$ready->{host} $ready->{port} $ready->{host}",
            'the app is told the bound address';
    }
    my ($any, $ready) = serve(port => 0);
    like $ready->{host}, qr/\A(?:0\.0\.0\.0|::)\z/, 'no host is every host';
    ok get({ host => '127.0.0.1', port => $ready->{port} }), 'and answers';
};

subtest 'several listeners' => sub {
    my $path = SprigTest::temp_path('socket');
    my ($server, @ready) = serve(listen => ['127.0.0.1:0', $path, '127.0.0.1:0']);
    is scalar @ready, 3, 'each is told of';
    is get($_), "$_->{host} $_->{port} 127.0.0.1", 'an answer with its own address'
        for @ready[0, 2];
    is $ready[1]{host},                      'unix/',             'a unix socket has this host';
    is $ready[1]{port},                      $path,               'and its path as port';
    is get($ready[1]),                       "unix/ $path unix/", 'the app sees the same';
    is scalar @{ $server->{listen_guards} }, 3,                   'a guard for each';
    ok -S $path, 'the path exists';
    delete $server->{listen_guards};
    ok !-e $path, 'and is removed with its guard';
    is get($_), undef, 'nobody answers any more' for @ready;
};

subtest 'what cannot be listened on' => sub {
    my ($server, $ready) = serve(host => '127.0.0.1', port => 0);
    ok !eval { serve(host => '127.0.0.1', port => $ready->{port}); 1 }, 'a port in use dies';
    like $@, qr/^cannot listen on 127\.0\.0\.1:$ready->{port}: .+ at \Q$0\E line/,
        'with address, reason and place';
    ok get($ready), 'the first one serves on';
};

subtest 'out of scope' => sub {
    my $ready;
    {
        (my $server, $ready) = serve(host => '127.0.0.1', port => 0);
    }
    ok get($ready), 'it serves on';
};

subtest 'two apps in one process' => sub {
    my ($one, $ready1) = serve(host => '127.0.0.1', port => 0, app => sub { [200, [], ['one']] });
    my ($two, $ready2) = serve(host => '127.0.0.1', port => 0, app => sub { [200, [], ['two']] });
    is get($ready1), 'one', 'the first';
    is get($ready2), 'two', 'the second';
};

subtest 'listen_sock' => sub {
    my $socket = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1', Proto => 'tcp')
        or die;
    my ($server, @ready) = serve(host => '127.0.0.1', port => 0, listen_sock => $socket);
    is $ready[-1]{port}, $socket->sockport,                               'told of as well';
    is get($ready[-1]),  '127.0.0.1 ' . $socket->sockport . ' 127.0.0.1', 'answers';
};

my $respond;
my $waiting = sub {
    return sub { $respond = shift };
};

subtest 'shutdown lets requests finish' => sub {
    my ($server, $ready) = serve(host => '127.0.0.1', port => 0, app => $waiting);
    my $idle   = talk($ready->{host}, $ready->{port}, '');
    my $answer = talk($ready->{host}, $ready->{port}, "GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    ok soon(sub { $respond }), 'a request waits';
    my $is_down = 0;
    $server->shutdown(sub { $is_down++ });
    is $idle->recv, '',    'idle connections are closed';
    is get($ready), undef, 'new ones are refused';
    is $is_down,    0,     'it is not down yet';
    $respond->([200, [], ['at last']]);
    undef $respond;
    like $answer->recv, qr/^Connection: close\r\n.*at last\z/ms,
        'the answer comes, and says that it is the last';
    ok soon(sub { $is_down }),       'down';
    ok $server->{exit_guard}->ready, 'the exit guard is sent';
    $server->shutdown(my $again = AE::cv);
    $again->recv;
    pass 'a second shutdown calls back as well';
};

subtest 'shutdown has an end' => sub {
    my ($server, $ready) =
        serve(host => '127.0.0.1', port => 0, app => $waiting, graceful_timeout => 0.2);
    my $answer = talk($ready->{host}, $ready->{port}, $request);
    ok soon(sub { $respond }), 'a request waits';
    $server->shutdown(my $down = AE::cv);
    my $start = time;
    $down->recv;
    cmp_ok time - $start, '<', 3, 'not for ever';
    is $answer->recv, '', 'the connection is closed';
    undef $respond;
};

subtest 'shutdown before anything was started' => sub {
    my $server = Sprig::Server->new;
    $server->shutdown(my $down = AE::cv);
    $down->recv;
    pass 'calls back';
};

subtest 'dropping the guards ends it' => sub {
    my ($server, $ready) = serve(host => '127.0.0.1', port => 0);
    my $idle = talk($ready->{host}, $ready->{port}, '');
    ok get($ready), 'it serves';
    $server->stop_listening;
    $server->{exit_guard}->recv;
    is $idle->recv, '', 'connections are closed';
};

# run() with signals and timers that end it.
sub run_until {
    my ($end, %args) = @_;
    my $path   = SprigTest::temp_path('socket');
    my $server = Sprig::Server->new(listen => [$path], %args);
    my $timer  = AE::timer 0.05, 0, sub { $end->($server) };
    $server->run($args{app} || $app);
    ok !-e $path, 'the path is removed';
    return $server;
}

subtest 'run' => sub {
    for my $signal (qw(TERM QUIT INT)) {
        local $SIG{$signal} = sub { };
        my $before = $SIG{$signal};
        run_until(sub { kill $signal, $$ });
        pass "$signal ends it";
        is $SIG{$signal}, $before, 'and the handler is what it was';
    }
    run_until(sub { $_[0]{exit_guard}->end });
    pass 'so does the end of the exit guard';
    run_until(sub { $_[0]->shutdown });
    pass 'and shutdown';
};

subtest 'a second signal ends what the first one let go on' => sub {
    my $path = SprigTest::temp_path('socket');
    my ($answer, $has_ended);
    my $server = Sprig::Server->new(
        listen       => [$path],
        server_ready => sub { $answer = talk('unix/', $path, $request) }
    );
    my $poll = AE::timer 0.02, 0.02, sub {
        return if !$respond || $has_ended;    # then a signal would be the end of this test
        kill TERM => $$;
        pass 'a signal';
    };
    my $start = time;
    $server->run($waiting);
    $has_ended = 1;
    cmp_ok time - $start, '<', 5, 'it ends';
    is $answer->recv, '', 'the request that was waiting is given up';
    undef $poll;
    undef $respond;
};

subtest 'one server does not wait for sockets that another one has given away' => sub {
    my $taken;
    my ($giver, $ready) = serve(
        listen => ['127.0.0.1:0'],
        app    => sub {
            my $io = $_[0]{'psgix.io'};
            return sub { syswrite $io, "yours\n"; $taken = $io };
        }
    );
    my ($other) = serve(listen => ['127.0.0.1:0']);
    my $held = talk($ready->{host}, $ready->{port}, $request);
    ok soon(sub { $taken }), 'the application has a socket of the one';
    my ($giver_ended, $other_ended);
    $other->shutdown(sub { $other_ended = 1 });
    ok soon(sub { $other_ended }), 'the other one ends';
    $giver->shutdown(sub { $giver_ended = 1 });
    my $pause = AE::cv;
    my $timer = AE::timer 0.3, 0, $pause;
    $pause->recv;
    ok !$giver_ended, 'the one waits';
    close $taken;
    undef $taken;
    ok soon(sub { $giver_ended }), 'until the application has closed it';
    is $held->recv, "yours\n", 'its client saw the end then';
};

subtest 'told to end once more when all is over' => sub {
    my @warnings;
    local $SIG{__WARN__} = sub { push @warnings, @_ };
    my $server = Sprig::Server->new(host => '127.0.0.1');
    $server->register_service(sub { });
    local $server->{service} = $server->{service};
    $server->{service}->stop;
    $server->shutdown;
    is "@warnings", '', 'nothing to warn of';
};

subtest 'nothing is left alive' => sub {
    my $counters = Sprig::counters();
    is $counters->{$_}, 0, $_ for qw(exchanges responders writers pumps sockets);
};

SKIP: {
    skip_on_other_loop('that was asked for', 1);
    is $AnyEvent::MODEL, 'AnyEvent::Impl::Sprig', 'all this on our own loop';
}
done_testing;
