# The files of eg/deploy with the programs that they are for: each is accepted, and nginx, haproxy and Caddy
# serve through them: plain requests, who the client is, streams, WebSocket, and restarts without a lost
# request.

use strict;
use warnings;
use Cwd qw(realpath);
use FindBin;
use lib "$FindBin::Bin/../t/lib", "$FindBin::Bin/lib";
use Fronts;
use IO::Socket::INET;
use IO::Socket::UNIX;
use POSIX ();
use SprigTest;
use SprigTest::Client;
use SprigTest::Program;
use Test::More;
use Time::HiRes qw(sleep time);

my $root   = SprigTest::root();
my $deploy = "$root/eg/deploy";
my $dir    = SprigTest::temp_path('deploy');
mkdir $dir or die "mkdir $dir: $!";
chmod 0755, $dir;

sub have { return SprigTest::tool_path($_[0]) || -x "/usr/sbin/$_[0]" && "/usr/sbin/$_[0]" }

# The file with other places and ports in it; its path.
sub adapted {
    my ($file, %instead) = @_;
    my $text = slurp("$deploy/$file");
    for my $from (sort { length $b <=> length $a } keys %instead) {
        $text =~ s/\Q$from\E/$instead{$from}/g or fail("$file has $from");
    }
    return spew("$dir/$file", $text);
}

sub command_ok {
    my ($name, @command) = @_;
    my $out = qx{@command 2>&1};
    return ok !$?, $name || diag $out;
}

my $app = app_file(<<'END');
use AnyEvent;
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [200, [], ["$env->{REMOTE_ADDR} $env->{'psgi.url_scheme'} $env->{HTTP_HOST} $$"]] if $path eq '/who';
    if ($path eq '/events') {
        return sub {
            my $writer = $_[0]->([200, ['Content-Type' => 'text/event-stream']]);
            my ($n, $timer) = (0);
            $timer = AE::timer 0, 0.3, sub {
                return $writer->write('data: ' . $n++ . "\n\n") if $n < 3;
                undef $timer;
                $writer->close;
            };
        };
    }
    if (my $io = $path eq '/echo' && $env->{'psgix.io'}) {
        syswrite $io, join "\r\n", 'HTTP/1.1 101 Switching Protocols', 'Upgrade: websocket', 'Connection: Upgrade',
            'Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=', '', '';
        return sub {
            my $w;
            $w = AE::io $io, 0, sub { return syswrite $io, $_[0] if sysread $io, $_[0], 4096; undef $w; close $io };
        };
    }
    return [200, [], ["hello\n"]];
}
END

my @running;
END { kill TERM => @running if @running }

# A front in the foreground, as soon as it accepts.
sub front {
    my ($port, @command) = @_;
    defined(my $pid = fork) or die "fork: $!";
    if (!$pid) {
        open STDERR, '>',  "$dir/front.log";
        open STDOUT, '>&', \*STDERR;
        exec @command or POSIX::_exit(1);
    }
    push @running, $pid;
    ok SprigTest::Server::_until(
        15, sub { IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port) }
        ),
        "$command[0] is up"
        or diag slurp("$dir/front.log");
    return $pid;
}

sub gone {
    my ($pid) = @_;
    kill TERM => $pid;
    waitpid $pid, 0;
    @running = grep { $_ != $pid } @running;
    return;
}

sub get {
    my ($port, $path, @lines) = @_;
    my $client = SprigTest::Client->connect('127.0.0.1', $port);
    $client->send(join "\r\n", "GET $path HTTP/1.1", 'Host: some.host', @lines, '', '');
    return $client;
}

# What any of them has to pass on.
sub passes {
    my ($port, $remote) = @_;
    like get($port, '/who')->response->body, qr/\A\Q$remote\E http some\.host(?::\d+)? /,
        'the client, scheme and host';
    like get($port, '/who', 'X-Forwarded-For: 192.0.2.7')->response->body, qr/\A\Q$remote\E /,
        'whatever the client says of itself';
    my $client = get($port, '/events');
    my $begin  = time;
    ok SprigTest::Server::_until(5, sub { $client->poll; $client->buffered =~ /data: 0/ }),
        'the first event';
    cmp_ok time - $begin, '<', 0.5, 'at once';
    unlike $client->buffered, qr/data: 2/, 'before the last one';
    ok SprigTest::Server::_until(5, sub { $client->poll; $client->buffered =~ /data: 2/ }),
        'which comes, too';
    $client = get(
        $port, '/echo',
        'Upgrade: websocket',
        'Connection: Upgrade',
        'Sec-WebSocket-Version: 13',
        'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=='
    );
    ok SprigTest::Server::_until(
        5, sub { $client->poll; $client->buffered =~ /\AHTTP\/1\.1 101 .*\r\n\r\n/s }
        ),
        'a WebSocket opens'
        or diag $client->buffered;
    $client->send("\x81\x85\0\0\0\0hello");
    ok SprigTest::Server::_until(
        5, sub { $client->poll; $client->buffered =~ /\x81\x85\0\0\0\0hello\z/ }
        ),
        'and carries bytes both ways';
    return;
}

subtest 'systemd: the units' => sub {
    my $analyze = have('systemd-analyze') or plan skip_all => 'systemd-analyze is not installed';
    adapted($_) for qw(sprig.socket sprig-admin.socket);
    adapted('sprig.service', '/usr/local/bin/sprig' => "$root/blib/script/sprig");
    my $out =
        qx{$analyze --man=no verify $dir/sprig.service $dir/sprig.socket $dir/sprig-admin.socket 2>&1};
    is "$? $out", '0 ', 'verify says nothing';
    $out = qx{$analyze security --offline=yes --threshold=30 $dir/sprig.service 2>&1};
    my ($level) = $out =~ /Overall exposure level for sprig.service: ([0-9.]+)/;
    plan skip_all => 'this systemd has no --offline' if !defined $level;
    cmp_ok $level, '<=', 3.0, "security: $level";
};

subtest 'nginx' => sub {
    my $nginx = have('nginx') or plan skip_all => 'nginx is not installed';
    my ($port, $socket) = (Fronts::free_port(), "$dir/app.sock");
    my $server =
        start_program('-l', "unix:$socket", '--socket-mode', '666', '--trusted-proxies', 'unix',
        $app);
    my $site = adapted(
        'nginx.conf',
        'unix:/run/sprig/app.sock' => "unix:$socket",
        'listen 80'                => "listen 127.0.0.1:$port"
    );
    my $user = $> == 0 ? 'user root;' : '';
    my $main = spew("$dir/main.conf", <<"END");
daemon off; pid $dir/nginx.pid; $user
events { }
http {
    access_log off;
    client_body_temp_path $dir/b; proxy_temp_path $dir/p; fastcgi_temp_path $dir/f;
    uwsgi_temp_path $dir/u; scgi_temp_path $dir/s;
    include $site;
}
END
    command_ok('the configuration is accepted',
        $nginx, '-t', '-q', '-e', "$dir/errors", '-c', $main);
    my $pid = front($port, $nginx, '-e', "$dir/errors", '-c', $main);
    passes($port, '127.0.0.1');
    gone($pid);
    $server->stop_ok;
};

subtest 'Caddy' => sub {
    my $caddy = have('caddy') or plan skip_all => 'caddy is not installed';
    command_ok('the configuration is accepted',
        $caddy, 'validate', '--adapter', 'caddyfile', '--config', adapted('Caddyfile'));
    my ($port, $socket) = (Fronts::free_port(), "$dir/caddy.sock");
    my $server = start_program('-l', "unix:$socket", '--trusted-proxies', 'unix', $app);
    my $config = adapted(
        'Caddyfile',
        'example.org'         => "http://127.0.0.1:$port",
        '/run/sprig/app.sock' => $socket
    );
    spew($config,
        "{\n\tadmin off\n}\n" . slurp($config) =~ s{http://127\.0\.0\.1:(\d+)}{http://:$1}r);
    local $ENV{HOME} = $dir;
    my $pid = front($port, $caddy, 'run', '--adapter', 'caddyfile', '--config', $config);
    passes($port, '127.0.0.1');
    gone($pid);
    $server->stop_ok;
};

# A client that goes on asking; its exit status is whether anything went wrong.
sub load {
    my ($port, $until) = @_;
    defined(my $pid = fork) or die "fork: $!";
    return $pid if $pid;
    my ($n, $n_wrong, $client) = (0, 0);
    while (!-e $until) {
        $client ||= SprigTest::Client->connect('127.0.0.1', $port);
        my $status = eval {
            $client->send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
            $client->response->status;
        } || "no answer: $@";
        $n++;
        undef $client if $client->eof || $n % 50 == 0;
        next          if $status eq 200;
        $n_wrong++;
        undef $client;
        print STDERR "# $status\n";
    }
    print STDERR "# $n requests\n";
    POSIX::_exit($n_wrong || !$n ? 1 : 0);
}

subtest 'haproxy: PROXY protocol, and restarts in turn under load' => sub {
    my $haproxy = have('haproxy') or plan skip_all => 'haproxy is not installed';
    my ($port, @ports) = map { Fronts::free_port() } 1 .. 5;
    my $text = slurp("$deploy/haproxy.cfg");
    $text =~ s/bind :80$/bind 127.0.0.1:$port/m                                or fail('bind');
    $text =~ s/127\.0\.0\.1:8081 port 9181/127.0.0.1:$ports[0] port $ports[2]/ or fail('one');
    $text =~ s/server two 127\.0\.0\.1:8082 port 9182/server two 127.0.0.1:$ports[1] port $ports[3]/
        or fail('two');
    my $config = spew("$dir/haproxy.cfg", $text);
    command_ok('the configuration is accepted', $haproxy, '-c', '-q', '-f', $config);
    my $start = sub {
        my ($i) = @_;
        return start_program('-l', "127.0.0.1:$ports[$i],proxy_protocol",
            '--workers', 2, '--trusted-proxies', '127.0.0.1', '--admin',
            "127.0.0.1:$ports[2 + $i]", $app);
    };
    my @servers = map { $start->($_) } 0, 1;
    my $pid     = front($port, $haproxy, '-db', '-f', $config);
    ok SprigTest::Server::_until(
        10,
        sub {
            eval { get($port, '/')->response->status == 200 }
        }
        ),
        'it serves';
    passes($port, '127.0.0.1');

    my $until   = "$dir/until";
    my @clients = map { load($port, $until) } 1 .. 4;
    for my $round (1 .. 10) {
        my $i = $round % 2;
        sleep 2.5;    # the other one has been found ready
        is $servers[$i]->stop, 0, "round $round: one ends";
        $servers[$i] = $start->($i);
    }
    sleep 0.5;
    spew($until, '');
    for my $client (@clients) {
        waitpid $client, 0;
        is $?, 0, 'no request was lost';
    }
    gone($pid);
    $_->stop_ok for @servers;
};

subtest 'logrotate: USR1 behind a rotation' => sub {
    my $logrotate = have('logrotate') or plan skip_all => 'logrotate is not installed';
    plan skip_all => 'needs root' if $> != 0;
    mkdir "$dir/log";
    my $log    = "$dir/log/access.log";
    my $server = start_program('-l', '127.0.0.1:0', '--workers', 2, '--access-log', $log, $app);
    $server->ask("GET /before HTTP/1.0\r\n\r\n");
    my $config = adapted(
        'logrotate',
        '/var/log/sprig'                                             => "$dir/log",
        'sprig adm'                                                  => 'root root',
        'systemctl kill --kill-who=main --signal=USR1 sprig.service' => 'kill -USR1 '
            . $server->pid,
    );
    chmod 0644, $config;
    SprigTest::Server::_until(5, sub { -s $log });
    command_ok('it rotates', $logrotate, '-f', '-s', "$dir/state", $config);
    ok SprigTest::Server::_until(
        5, sub { $server->ask("GET /behind HTTP/1.0\r\n\r\n"); slurp($log) =~ /behind/ }
        ),
        'the new file has the new lines';
    like slurp("$log.1"), qr/before/, 'the old one the old';
    $server->stop_ok;
};

subtest 'certbot-hook: copies and reloads' => sub {
    mkdir $_ for "$dir/live", "$dir/tls";
    spew("$dir/live/$_.pem", "$_\n") for qw(privkey fullchain);
    local @ENV{qw(RENEWED_LINEAGE SPRIG_TLS_FOLDER SPRIG_TLS_GROUP SPRIG_TLS_RELOAD)} =
        ("$dir/live", "$dir/tls", (split ' ', $))[0], "touch $dir/reloaded");
    is system("$deploy/certbot-hook"), 0,      'it runs';
    is slurp("$dir/tls/$_.pem"),       "$_\n", "$_.pem is there" for qw(privkey fullchain);
    is sprintf('%o', (stat "$dir/tls/privkey.pem")[2] & 0777), '640',
        'the key is not for everybody';
    ok -e "$dir/reloaded", 'the server is told';
};

subtest 'sprig.conf' => sub {
    my $config = adapted(
        'sprig.conf',
        '/srv/app/app.psgi' => $app,
        '/srv/app/lib'      => $dir,
        '/var/log/sprig/'   => "$dir/"
    );
    my $run    = run_program('--check', '--config', $config);
    is $run->{err}, '', 'nothing is wrong';
    like $run->{out}, qr{ on unix:/run/sprig/app\.sock \(4 workers, deployment\)$},
        'what would run';
};

subtest 'Dockerfile: the image has the libraries of the program' => sub {
    my $system = -e '/etc/os-release' ? slurp('/etc/os-release') : '';
    plan skip_all => 'its packages are those of Debian 12'
        if $system !~ /^ID=debian$/m || $system !~ /^VERSION_ID="12"$/m || !have('dpkg');
    my ($image) = slurp("$deploy/Dockerfile") =~ /^FROM \S+\n(.*)\z/ms;
    my @linked = grep { m{/lib(?:event|http|ssl|nghttp|perl)} }
        qx{ldd \Q$root\E/blib/script/sprig} =~ m{=> (/\S+)}g;
    cmp_ok scalar @linked, '>=', 4, 'the program is linked with them';
    for my $library (@linked) {
        my ($package) = qx{dpkg -S \Q@{[realpath($library)]}\E 2>/dev/null} =~ /\A([^:]+):/ or next;
        like $image, qr/ \Q$package\E /, "$package, for $library";
    }
};

subtest 'YAML' => sub {
    my $python = have('python3') or plan skip_all => 'python3 is not installed';
    system("$python -c 'import yaml' 2>/dev/null") == 0 or plan skip_all => 'python3 has no yaml';
    for my $file (qw(compose.yaml kubernetes.yaml)) {
        command_ok("$file parses", $python, '-c',
            q{'import sys, yaml; list(yaml.safe_load_all(open(sys.argv[1])))'},
            "$deploy/$file");
    }
};

done_testing;
