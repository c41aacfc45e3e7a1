package SprigBench::Scenarios;

# What is measured: the load, and the ratio that is to be reached.
#
#   path       what is asked for
#   load       wrk (the default), h2load, full, resumed, unix, idle, push; steady, overload, slow: see
#              Steady.pm
#   rate       requests a second, for steady and slow
#   tls        over TLS, with a certificate of this kind: ecdsa, rsa
#   lua        what wrk does otherwise than GET
#   headers    for wrk
#   close      one connection for each request
#   clients    connections, 50 if not given
#   streams    h2load: requests at a time on each
#   only       servers that can do it; else all
#   nginx      false if nginx has nothing like it
#   target     [what, than what, at most (or at least)]: than another server, or than this one in
#              another scenario
#   also       another one

use strict;
use warnings;

my $POST = <<'LUA';
wrk.method = "POST"
wrk.body = string.rep("x", 1024)
wrk.headers["Content-Type"] = "text/plain"
LUA

my $PIPELINE = <<'LUA';
init = function(args)
  local r = {}
  for i = 1, 16 do r[i] = wrk.format("GET", "/") end
  req = table.concat(r)
end
request = function() return req end
LUA

my $agent =
      'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0'
    . ' Safari/537.36';
my @BROWSER = (
    'Connection: keep-alive',
    'sec-ch-ua: "Chromium";v="124", "Google Chrome";v="124"',
    'sec-ch-ua-mobile: ?0',
    'sec-ch-ua-platform: "Linux"',
    'Upgrade-Insecure-Requests: 1',
    "User-Agent: $agent",
    'Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8',
    'Referer: https://www.example.com/index.html',
    'Accept-Encoding: gzip, deflate, br',
    'Accept-Language: en-US,en;q=0.9,de;q=0.8',
    'Cookie: session=0123456789abcdef0123456789abcdef; theme=dark; lang=en; visits=17',
);

my @TLS   = qw(sprig);
my @ASYNC = qw(sprig plackup twiggy feersum);

my @ALL = (
    { name => 'hello', path => '/', nginx => 1, target => ['cpu', 'nginx', 1.10] },
    {
        name    => 'browser',
        path    => '/',
        nginx   => 1,
        headers => \@BROWSER,
        target  => ['cpu', 'nginx', 1.45]
    },
    { name => 'close', path => '/', nginx => 1, close => 1, target => ['cpu', 'nginx', 1.10] },
    {
        name   => 'pipelined',
        path   => '/',
        nginx  => 1,
        lua    => $PIPELINE,
        target => ['rate', 'nginx', 3]
    },
    { name => 'ten',      path => '/ten',     target => ['cpu', 'hello', 1.4] },
    { name => 'post',     path => '/post',    lua    => $POST, target => ['cpu', 'hello', 2] },
    { name => 'writer',   path => '/writer',  target => ['cpu', 'hello', 1.5] },
    { name => 'delayed',  path => '/delayed', only   => \@ASYNC, target => ['cpu', 'hello', 2.2] },
    { name => 'file-64k', path => '/64k',     nginx  => 1,       target => ['cpu', 'nginx', 1.3] },
    {
        name    => 'file-32m',
        path    => '/32m',
        nginx   => 1,
        clients => 4,
        target  => ['cpu', 'nginx', 1.3]
    },
    { name => 'steady',   path => '/', nginx => 1, load => 'steady', rate => 2000 },
    { name => 'overload', path => '/', nginx => 1, load => 'overload' },
    { name => 'slow',     path => '/', nginx => 1, load => 'slow', rate => 1000 },
    { name => 'unix',     path => '/', nginx => 1, load => 'unix' },
    {
        name    => 'idle',
        path    => '/',
        nginx   => 1,
        load    => 'idle',
        clients => 8000,
        target  => ['idle', undef, 524]
    },
    {
        name   => 'tls-hello',
        path   => '/',
        nginx  => 1,
        tls    => 'ecdsa',
        only   => \@TLS,
        target => ['cpu', 'nginx', 1.15]
    },
    {
        name    => 'tls-full',
        path    => '/',
        nginx   => 1,
        tls     => 'ecdsa',
        only    => \@TLS,
        load    => 'full',
        clients => 4,
        target  => ['cpu', 'nginx', 1.05]
    },
    {
        name    => 'tls-full-rsa',
        path    => '/',
        nginx   => 1,
        tls     => 'rsa',
        only    => \@TLS,
        load    => 'full',
        clients => 4,
        target  => ['cpu', 'nginx', 1.05]
    },
    {
        name    => 'tls-resumed',
        path    => '/',
        nginx   => 1,
        tls     => 'ecdsa',
        only    => \@TLS,
        load    => 'resumed',
        clients => 4,
        target  => ['cpu', 'nginx', 1.05]
    },
    {
        name    => 'tls-file-32m',
        path    => '/32m',
        nginx   => 1,
        tls     => 'ecdsa',
        only    => \@TLS,
        clients => 4,
        target  => ['cpu', 'nginx', 1.1]
    },
    {
        name    => 'h2-hello',
        path    => '/',
        nginx   => 1,
        tls     => 'ecdsa',
        only    => \@TLS,
        load    => 'h2load',
        streams => 10,
        target  => ['cpu', 'nginx',     1.2],
        also    => ['cpu', 'tls-hello', 1.3]
    },
    {
        name    => 'h2-fair',
        path    => '/',
        nginx   => 1,
        tls     => 'ecdsa',
        only    => \@TLS,
        load    => 'h2load',
        streams => 100,
        target  => ['fair', undef, 2]
    },
    {
        name    => 'h2-file-32m',
        path    => '/32m',
        nginx   => 1,
        tls     => 'ecdsa',
        only    => \@TLS,
        load    => 'h2load',
        clients => 4,
        streams => 1,
        target  => ['cpu', 'tls-file-32m', 1.5]
    },
    {
        name    => 'tls-idle',
        path    => '/',
        nginx   => 1,
        tls     => 'ecdsa',
        only    => \@TLS,
        load    => 'idle',
        clients => 1000,
        target  => ['idle', 'nginx', 1]
    },
    {
        name    => 'push',
        path    => '/push',
        load    => 'push',
        only    => \@ASYNC,
        clients => 1000,
        target  => ['push', undef, 5]
    },
);

sub all { return @ALL }

1;
