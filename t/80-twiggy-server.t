# What programs that make a Twiggy::Server rely on: options, methods, attributes, addresses. Server and
# client live in this process.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Sprig::Compat::Twiggy;
use Twiggy::Server 0.1010;
use AnyEvent;
use AnyEvent::Handle;
use AnyEvent::Socket qw(tcp_connect);
use AnyEvent::Util   ();
use Scalar::Util     qw(weaken);
use SprigTest;
use SprigTest::Leftovers;
use Test::More;

AnyEvent::detect();
my $before = SprigTest::Leftovers->new;
my @made;

my $hello = sub {
    my ($env) = @_;
    return [200, [], [join ' ', map { $env->{$_} } qw(SERVER_NAME SERVER_PORT)]];
};

# A server that is ended with the others.
sub make {
    my ($class, @option) = @_;
    my $server = $class->new(@option);
    weaken($made[@made] = $server);
    return $server;
}

sub serve {
    my (%args) = @_;
    my $app    = delete $args{app}   || $hello;
    my $class  = delete $args{class} || 'Twiggy::Server';
    my @ready;
    my $server = make($class, server_ready => sub { push @ready, $_[0] }, %args);
    $server->register_service($app);
    return ($server, @ready);
}

# All that comes back for these bytes; undef if there is nobody.
sub talk {
    my ($ready, $bytes) = @_;
    return begin_talk($ready, $bytes)->recv;
}

sub begin_talk {
    my ($ready, $bytes) = @_;
    my $cv = AE::cv;
    tcp_connect $ready->{host}, $ready->{port}, sub {
        my $fh = shift or return $cv->send(undef);
        my ($h, $got) = (undef, '');
        $h = AnyEvent::Handle->new(
            fh       => $fh,
            on_read  => sub { $got .= delete $_[0]{rbuf} },
            on_error => sub { undef $h; $cv->send($got) },
        );
        $h->push_write($bytes);
    };
    return $cv;
}

my $get   = "GET / HTTP/1.0\r\n\r\n";
my %local = (host => '127.0.0.1', port => 0);

subtest '1.1 host, port' => sub {
    for my $port (0, undef, '') {
        my ($server, @ready) = serve(host => '127.0.0.1', port => $port);
        is @ready, 1, 'one listener';
        cmp_ok $ready[0]{port}, '>', 0, 'port ' . (defined $port ? "'$port'" : 'undef') . ' is any';
    }
    my ($server, $ready) = serve(port => 0);
    is $ready->{host}, '0.0.0.0', 'no host is all addresses';
};

subtest '1.1 listen' => sub {
    my ($server, @ready) = serve(%local, listen => ['127.0.0.1:0', '127.0.0.1:0']);
    is @ready,            2,               'overrides host and port';
    isnt $ready[0]{port}, $ready[1]{port}, 'each has its own port';
    like talk($_, $get), qr/127\.0\.0\.1 $_->{port}\z/, 'SERVER_NAME and SERVER_PORT are its own'
        for @ready;
};

# Serves this option and gives the server and its listener.
sub serves_with {
    my (@option) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my ($server, $ready) = serve(%local, @option);
    like talk($ready, $get), qr/\AHTTP\/1\.[01] 200 /, "serves with $option[0] $option[1]";
    return ($server, $ready);
}

subtest '1.1 no_delay' => sub {
    serves_with(no_delay => $_) for 0, 1;
};

subtest '1.1 timeout' => sub {
    my ($impatient, $where) = serve(%local, timeout => 0.1);
    like talk($where, 'GET '), qr/\A(?:HTTP\/1\.1 408 .*)?\z/s, 'timeout ends an incomplete head';
    my ($patient) = serves_with(timeout => 0);
    is $patient->{timeout}, 0, '0 is none';
};

subtest '1.1 read_chunk_size' => sub { serves_with(read_chunk_size => 100) };

subtest '1.1 backlog' => sub {
    serves_with(backlog => $_) for 0, 5;
};

subtest '1.1 socket, daemonize, unknown keys' => sub {
    my ($server) = serves_with(anything => 'goes', daemonize => 1, socket => undef);
    is $server->{anything}, 'goes', 'kept in the object';
};

subtest '1.1 listen_sock' => sub {
    require IO::Socket::INET;
    my $socket = IO::Socket::INET->new(Listen => 5, LocalAddr => '127.0.0.1') or die "listen: $!";
    my ($server, $ready) = serve(listen_sock => $socket);
    is $ready->{port}, $socket->sockport, 'a socket that listens already';
    like talk($ready, $get), qr/200 OK/, 'is served';
};

subtest '1.1 server_ready' => sub {
    my @calls;
    my $server = make(
        'Twiggy::Server',
        listen       => ['127.0.0.1:0', '127.0.0.1:0'],
        server_ready => sub { push @calls, $_[0] }
    );
    $server->register_service($hello);
    is @calls, 2, 'once per listener';
    is_deeply [sort keys %{ $calls[0] }], [qw(host port proto server_software)], 'a hash';
    is $calls[0]{host}, '127.0.0.1', 'the bound host';
    cmp_ok $calls[0]{port}, '>', 0, 'the bound port';
};

subtest '1.2 new, start_listen, register_service' => sub {
    my $server = make('Twiggy::Server', %local);
    is ref $server,                    'Twiggy::Server', 'class';
    is Scalar::Util::reftype($server), 'HASH',           'a hash';
    ok !$server->{listen_guards}, 'new binds nothing';
    my $ready;
    $server->{server_ready} = sub { $ready = shift };
    $server->start_listen($hello);
    ok !$server->{exit_guard}, 'start_listen makes no exit guard';
    like talk($ready, $get), qr/200 OK/, 'but serves';
};

subtest '1.2 going out of scope' => sub {
    my ($ready) = (serve(%local))[1];
    like talk($ready, $get), qr/200 OK/, 'goes on serving';
};

subtest '1.2 run' => sub {
    my $pid = fork;
    if (!$pid) {
        my $server = Twiggy::Server->new(%local, server_ready => sub { kill QUIT => $$ });
        $server->run($hello);
        POSIX::_exit(7);
    }
    waitpid $pid, 0;
    is $? >> 8, 7, 'returns after QUIT';
};

subtest '1.2 {listen_guards}' => sub {
    my ($server, $ready) = serve(%local);
    is ref $server->{listen_guards},  'ARRAY', 'an array';
    is @{ $server->{listen_guards} }, 1,       'of a guard for each listener';
    delete $server->{listen_guards};
    ok !defined talk($ready, $get), 'deleting it stops listening';
    $server->{exit_guard}->recv;
    pass 'and ends the server';

    my $path = SprigTest::temp_path('guard.sock');
    my ($on_unix) = serve(listen => [$path]);
    ok -S $path, 'a unix socket is there';
    delete $on_unix->{listen_guards};
    ok !-e $path, 'and goes with its guard';
};

subtest '1.2 {exit_guard}' => sub {
    my $respond;
    my ($server, $ready) = serve(
        %local,
        app => sub {
            sub { $respond = shift }
        }
    );
    isa_ok $server->{exit_guard}, 'AnyEvent::CondVar';
    my $answer = begin_talk($ready, $get);
    my $wait   = AE::cv;
    my $poll   = AE::timer 0, 0.01, sub { $wait->send if $respond };
    $wait->recv;
    $server->{exit_guard}->begin;
    $server->{exit_guard}->end;
    ok !$server->{exit_guard}->ready, 'begin and end cancel each other out';
    $server->{exit_guard}->end;
    my $timer = AE::timer 0.05, 0, sub { $respond->([200, [], ['late']]) };
    $server->{exit_guard}->recv;
    like $answer->recv, qr/late\z/, 'end, recv: waits for what is in flight';
    ok !defined talk($ready, $get), 'nobody listens any more';

    my ($busy, $there) = serve(%local);
    $busy->{exit_guard}->begin;
    $busy->shutdown;
    my $has_ended;
    my $later = AE::timer 0.05, 0, sub { $has_ended = 1; $busy->{exit_guard}->end };
    $busy->{exit_guard}->recv;
    ok $has_ended, 'begin by the app puts the end off';
};

{

    package My::Server;
    our @ISA = ('Twiggy::Server');

    sub new {
        my ($class, @args) = @_;
        my $self = $class->SUPER::new(@args);
        $self->{mine} = 1;
        return $self;
    }

    sub start_listen {
        my ($self, $app) = @_;
        $self->{listen} = ['127.0.0.1:0'];
        return $self->SUPER::start_listen(sub { [200, [], ['wrapped ' . $app->(@_)->[2][0]]] });
    }
}

subtest '1.2 subclasses' => sub {
    my ($server, $ready) = serve(class => 'My::Server');
    is $server->{mine}, 1, 'new';
    like talk($ready, $get), qr/wrapped 127\.0\.0\.1/, 'start_listen, {listen}';
};

subtest '1.2 aliases' => sub {
    require AnyEvent::Server::PSGI;
    require Plack::Handler::Twiggy;
    my ($server, $ready) = serve(%local, class => 'AnyEvent::Server::PSGI');
    isa_ok $server, $_ for qw(Twiggy::Server Sprig::Server);
    like talk($ready, $get), qr/200 OK/, 'AnyEvent::Server::PSGI serves';
    is_deeply { %{ Plack::Handler::Twiggy->new(port => 1) } }, { port => 1 },
        'Plack::Handler::Twiggy is a hash of its options';
};

subtest '1.3 forms of addresses' => sub {
    my %is_bound_to = (
        '127.0.0.1:0' => '127.0.0.1',
        ':0'          => '0.0.0.0',
        '*:0'         => '0.0.0.0',
        'localhost:0' => qr/\A(?:127\.0\.0\.1|::1)\z/,
    );
    for my $spec (sort keys %is_bound_to) {
        my ($server, $ready) = serve(listen => [$spec]);
        like $ready->{host}, qr/\A$is_bound_to{$spec}\z/, $spec;
    }
    my $path = SprigTest::temp_path('form.sock');
    my ($server, $ready) = serve(listen => [$path]);
    is $ready->{host}, 'unix/', 'everything else is a path';
    is $ready->{port}, $path,   'told as the port';
    like talk($ready, $get), qr{unix/ \Q$path\E\z}, 'and SERVER_NAME, SERVER_PORT';
};

subtest '1.3 a path that another server left behind' => sub {
    my $path = SprigTest::temp_path('left.sock');
    my $pid  = fork;
    if (!$pid) {
        serve(listen => [$path]);
        kill KILL => $$;
    }
    waitpid $pid, 0;
    ok -S $path, 'is there';
    my ($server, $ready) = serve(listen => [$path]);
    like talk($ready, $get), qr/200 OK/, 'is taken over';
};

subtest '1.3 SO_REUSEADDR' => sub {
    my ($server, $ready) = serve(%local);
    talk($ready, $get);
    $server->shutdown(my $done = AE::cv);
    $done->recv;
    ok eval { serve(%local, port => $ready->{port}); 1 }, 'the port is free again at once'
        or diag $@;
};

subtest '1.3 names and [v6]:port' => sub {
    my ($server, $ready) = serve(listen => ['localhost:0']);
    like $ready->{host}, qr/\A(?:127\.0\.0\.1|::1)\z/, 'a name';
    return if !eval { ($server, $ready) = serve(listen => ['[::1]:0']) };
    is $ready->{host}, '::1', '[::1]:0';
    like talk($ready, $get), qr/200 OK/, 'serves';
};

subtest '1.3 several listeners' => sub {
    my $path = SprigTest::temp_path('several.sock');
    my ($server, @ready) = serve(listen => ['127.0.0.1:0', $path]);
    like talk($_, $get), qr/\Q$_->{host} $_->{port}\E\z/, "SERVER_NAME, SERVER_PORT: $_->{host}"
        for @ready;
};

subtest '1.9 shutdown, stop_listening' => sub {
    my ($server, $ready) = serve(%local);
    $server->stop_listening;
    ok !defined talk($ready, $get), 'stop_listening';
    ($server, $ready) = serve(%local);
    $server->shutdown(my $done = AE::cv);
    $done->recv;
    ok !defined talk($ready, $get), 'shutdown calls back';
};

subtest 'nothing is left' => sub {
    for my $server (grep { $_ } @made) {
        $server->shutdown(my $done = AE::cv);
        $done->recv;
    }
    nothing_is_left($before);
};

done_testing;
