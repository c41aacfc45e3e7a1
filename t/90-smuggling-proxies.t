# The smuggling corpus through other readers: Node's llhttp and HTTP::Parser::XS have to agree with us
# on what each message is, as far as both take it; behind nginx and haproxy the app sees nothing but
# what these have forwarded.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Temp qw(tempdir);
use IO::Socket::INET;
use POSIX ();
use SprigTest;
use SprigTest::Client;
use SprigTest::Smuggling;
use Test::More;

my @corpus = smuggling_corpus();
my $dir    = tempdir(CLEANUP => 1);
my @pids;

my $app = <<'END';
sub {
    my ($env) = @_;
    my $body = do { local $/; readline $env->{'psgi.input'} };
    my $saw  = join ' ', @$env{qw(REQUEST_METHOD PATH_INFO)}, defined $body && length $body ? $body : ();
    print STDERR "app: $saw\n";
    return [200, [], [$saw]];
}
END

my $node = <<'END';
const http = require('http');
const server = http.createServer((req, res) => {
    let body = '';
    req.on('data', d => body += d.toString('latin1'));
    req.on('end', () => {
        const path = req.url.replace(/^http:\/\/[^\/]*/, '');
        console.log(['app:', req.method, path].concat(body.length ? [body] : []).join(' '));
        res.end('ok');
    });
});
server.listen(PORT, '127.0.0.1', () => console.log('ready'));
END

subtest "Node's llhttp" => sub {
    my $program = SprigTest::tool_path('node') or plan skip_all => 'no node';
    my $port    = free_port();
    my $script  = spew("$dir/node.js", $node =~ s/PORT/$port/r);
    my $out     = "$dir/node.out";
    run_background($out, $program, $script);
    connect_to($port)->close;
    for my $case (@corpus) {
        my ($name, $bytes, $expected) = @$case;
        my $from = -s $out;
        converse_with($port, $bytes);
        converse_with($port, "GET /sync HTTP/1.1\r\nHost: a\r\n\r\n");    # all is written then
        my @theirs = grep { $_ ne 'GET /sync' } substr(slurp($out), $from) =~ /^app: (.*)$/mg;
        my @ours   = grep { /\A[A-Z]/ } split / \| /, $expected;
        my $n      = @ours < @theirs ? @ours : @theirs;
        is("@ours[0 .. $n - 1]", "@theirs[0 .. $n - 1]", $name);
    }
};

subtest 'HTTP::Parser::XS' => sub {
    eval { require HTTP::Parser::XS; 1 } or plan skip_all => 'no HTTP::Parser::XS';
    for my $case (@corpus) {
        my ($name, $bytes, $expected) = @$case;
        next if $expected =~ /\A[0-9]/;
        my $length = HTTP::Parser::XS::parse_http_request($bytes, \my %env);
        cmp_ok($length, '>', 0, "$name: taken") or next;
        my ($first) = split / \| /, $expected;
        my ($body)  = $first =~ /\A\S+ \S+ (.*)/;
        like($first, qr/\A\Q$env{REQUEST_METHOD} \E/, "$name: the method");
        my $rest = substr $bytes, $length;
        like($rest, qr/\A(?:[0-9a-f]+[^\r]*\r\n)?\Q$body\E/, "$name: where its head ends")
            if defined $body;
    }
};

my %proxies = (
    nginx => <<'END',
daemon off; master_process off; worker_processes 1; pid DIR/nginx.pid; error_log DIR/nginx.err;
events { worker_connections 100; }
http {
    access_log off;
    log_format seen '$request_method $request_uri $upstream_addr';
    client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f; uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
    upstream app { server 127.0.0.1:BACK; keepalive 4; }
    server {
        listen 127.0.0.1:PORT;
        access_log DIR/nginx.log seen;
        underscores_in_headers on;
        ignore_invalid_headers off;
        location / {
            proxy_ignore_client_abort on; proxy_pass http://app;
            proxy_http_version 1.1; proxy_set_header Connection ""; proxy_request_buffering off;
        }
    }
}
END
    haproxy => <<'END',
global
    maxconn 100
defaults
    mode http
    timeout connect 5s
    timeout client 5s
    timeout server 5s
    http-reuse always
    log stdout format raw local0
    log-format "%HM %HP %ST %s"
frontend f
    bind 127.0.0.1:PORT
    option accept-invalid-http-request
    default_backend b
backend b
    server app 127.0.0.1:BACK
END
);

for my $name (sort keys %proxies) {
    subtest "behind $name" => sub {
        my $program = SprigTest::tool_path($name) || (grep { -x } "/usr/sbin/$name")[0]
            or plan skip_all => "no $name";
        my $server = start_server(code => $app);
        my $port   = free_port();
        my ($back, $text) = ($server->port, $proxies{$name});
        s/PORT/$port/g, s/BACK/$back/g, s/DIR/$dir/g for $text;
        spew("$dir/$name.conf", $text);
        my $log = "$dir/$name.log";
        run_background(
            $name eq 'nginx' ? "$dir/$name.out" : $log,
            $program, $name eq 'nginx' ? '-c' : '-f',
            "$dir/$name.conf"
        );
        connect_to($port)->close;
        converse_with($port, $_->[1]) for @corpus;
        ok(
            converse_with($port, "GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") =~
                /GET \/last/,
            'the last request gets its own answer'
        );
        my $forwarded = () = slurp($log)     =~ /^GET \/smuggled (?!- |-\n|.*<NOSRV>)/mg;
        my $seen      = () = $server->stderr =~ /^app: GET \/smuggled/mg;
        cmp_ok($seen, '>',  5,          "the app saw $seen of these requests");
        cmp_ok($seen, '<=', $forwarded, "$name forwarded $forwarded");
        unlike($server->stderr, qr/^app: \S+ (?!\/(?:a|b|last|smuggled)\b)/m, 'and no others');
        $server->stop_ok;
    };
}

done_testing;

# Sends the bytes, ends our side and returns what comes.
sub converse_with {
    my ($port, $bytes) = @_;
    local $SprigTest::Client::SECONDS = 3;
    my $client = connect_to($port);
    $client->send($bytes);
    $client->is_quiet(0.02);
    $client->half_close;
    my $rest = eval { $client->rest };
    $client->close;
    return defined $rest ? $rest : '';
}

sub connect_to {
    my ($port) = @_;
    for (1 .. 200) {
        my $client = eval { SprigTest::Client->connect('127.0.0.1', $port) };
        return $client if $client;
        select undef, undef, undef, 0.02;
    }
    die "nobody listens on $port\n";
}

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "port: $!";
    return $socket->sockport;
}

sub run_background {
    my ($out, @command) = @_;
    my $pid = fork;
    defined $pid or die "fork: $!";
    if (!$pid) {
        open STDOUT, '>', $out          or POSIX::_exit(127);
        open STDERR, '>', "$out.errors" or POSIX::_exit(127);
        exec { $command[0] } @command or POSIX::_exit(127);
    }
    push @pids, $pid;
    return;
}

END {
    local $?;
    kill 'KILL', @pids if @pids;
    waitpid $_, 0 for @pids;
}
