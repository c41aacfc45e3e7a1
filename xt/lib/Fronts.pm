package Fronts;

# Reverse proxies as Debian has them, each with a configuration of its own in a scratch folder, in the
# foreground, on a free port.

use strict;
use warnings;
use IO::Socket::INET;
use POSIX ();
use SprigTest;
use Time::HiRes qw(sleep time);

# How each is started, and which ways to the server it has. DIR, PORT, SERVER are filled in.
my %front = (
    nginx => {
        ways    => [qw(tcp unix)],
        command => [qw(nginx -p DIR -e DIR/errors -c DIR/config)],
        server  => { tcp => '127.0.0.1:TCP', unix => 'unix:SOCKET' },
        config  => <<'END',
daemon off; worker_processes 1; pid DIR/pid; USER
events { worker_connections 500; }
http {
    access_log off; client_max_body_size 0; client_body_buffer_size 16k;
    client_body_temp_path DIR/b; proxy_temp_path DIR/p; fastcgi_temp_path DIR/f;
    uwsgi_temp_path DIR/u; scgi_temp_path DIR/s;
    EXAMPLE
}
END
    },
    haproxy => {
        ways    => [qw(tcp unix proxy1 proxy2)],
        command => [qw(haproxy -db -f DIR/config)],
        server  => {
            tcp    => '127.0.0.1:TCP',
            unix   => 'unix@SOCKET',
            proxy1 => '127.0.0.1:PROXY send-proxy',
            proxy2 => '127.0.0.1:PROXY send-proxy-v2'
        },
        config => <<'END',
defaults
    mode http
    option http-no-delay
    timeout connect 5s
    timeout client 30s
    timeout server 30s
frontend in
    bind 127.0.0.1:PORT
    http-request set-header X-Forwarded-For %[src]
    http-request set-header X-Forwarded-Proto http
    http-request set-header X-Forwarded-Host %[req.hdr(host)]
    http-request del-header X-Forwarded-Port
    default_backend sprig
backend sprig
    server one SERVER
END
    },
    apache2 => {
        ways    => [qw(tcp unix)],
        command => [qw(apache2 -DFOREGROUND -d DIR -f DIR/config)],
        server  => { tcp => 'http://127.0.0.1:TCP/', unix => 'unix:SOCKET|http://localhost/' },
        config  => <<'END',
ServerName localhost
Listen 127.0.0.1:PORT
PidFile DIR/pid
ErrorLog DIR/errors
DefaultRuntimeDir DIR
Mutex file:DIR
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
ProxyPreserveHost On
RequestHeader unset X-Forwarded-For early
RequestHeader unset X-Forwarded-Host early
RequestHeader unset X-Forwarded-Port early
RequestHeader set X-Forwarded-Proto http
ProxyPass / "SERVER" upgrade=websocket flushpackets=on
END
    },
    varnishd => {
        ways    => [qw(tcp unix proxy1 proxy2)],
        command => [qw(varnishd -F -j none -n DIR/work -a 127.0.0.1:PORT -f DIR/config)],
        server  => {
            tcp    => '.host = "127.0.0.1"; .port = "TCP";',
            unix   => '.path = "SOCKET";',
            proxy1 => '.host = "127.0.0.1"; .port = "PROXY"; .proxy_header = 1;',
            proxy2 => '.host = "127.0.0.1"; .port = "PROXY"; .proxy_header = 2;'
        },
        config => <<'END',
vcl 4.1;
backend sprig { SERVER }
sub vcl_recv {
    unset req.http.X-Forwarded-Port;
    set req.http.X-Forwarded-For = client.ip;
    set req.http.X-Forwarded-Proto = "http";
    set req.http.X-Forwarded-Host = req.http.Host;
    if (req.http.Upgrade ~ "(?i)websocket") { return (pipe); }
    return (pass);
}
sub vcl_pipe {
    if (req.http.upgrade) {
        set bereq.http.upgrade = req.http.upgrade;
        set bereq.http.connection = req.http.connection;
    }
}
END
    },
    caddy => {
        ways    => [qw(tcp unix)],
        command => [qw(caddy run --adapter caddyfile --config DIR/config)],
        server  => { tcp => '127.0.0.1:TCP', unix => 'unix/SOCKET' },
        config  => <<'END',
{
    admin off
    auto_https off
}
http://:PORT {
    bind 127.0.0.1
    reverse_proxy SERVER
}
END
    },
    lighttpd => {
        ways    => [qw(tcp unix)],
        command => [qw(lighttpd -D -f DIR/config)],
        server  => {
            tcp  => '"host" => "127.0.0.1", "port" => TCP',
            unix => '"host" => "SOCKET"'
        },
        config => <<'END',
server.modules = ("mod_proxy", "mod_setenv")
server.document-root = "DIR"
server.bind = "127.0.0.1"
server.port = PORT
server.errorlog = "DIR/errors"
server.upload-dirs = ("DIR")
server.stream-response-body = 2
setenv.set-request-header = ("X-Forwarded-For" => "", "Forwarded" => "", "X-Forwarded-Port" => "")
proxy.server = ("" => ((SERVER)))
proxy.header = ("upgrade" => "enable")
END
    },
);

# The site that Sprig::Manual::Proxies shows for nginx.
sub example {
    my $pod    = slurp(SprigTest::root() . '/lib/Sprig/Manual/Proxies.pod');
    my ($site) = $pod =~ /^(    upstream .*?^    \}\n)\n/ms or die 'no example for nginx';
    $site =~ s/unix:[^;]+/SERVER/               or die 'no socket in the example';
    $site =~ s/listen 80/listen 127.0.0.1:PORT/ or die 'no port in the example';
    return $site;
}

sub names { return sort keys %front }
sub ways  { return @{ $front{ $_[1] }{ways} } }

sub path {
    my ($class, $name) = @_;
    local $ENV{PATH} = "$ENV{PATH}:/usr/sbin:/usr/local/sbin";
    return tool_path($name);
}

# Starts it in front of the server: ports for TCP and PROXY, and the path of the SOCKET.
sub start {
    my ($class, $name, $way, %server) = @_;
    my $front = $front{$name};
    my $dir   = SprigTest::temp_path("$name-$way");
    mkdir $dir or die "mkdir: $!";
    my $port = free_port();
    my $fill = sub {
        my ($text) = @_;
        $text =~ s/\bEXAMPLE\b/example()/e;
        $text =~ s/SERVER/$front->{server}{$way}/g;
        $text =~ s/\b(TCP|PROXY|SOCKET)\b/$server{$1}/g;
        $text =~ s/\bUSER\b/$> == 0 ? 'user root;' : ''/ge;    # scratch folders are private
        $text =~ s/\bDIR\b/$dir/g;
        $text =~ s/\bPORT\b/$port/g;
        return $text;
    };
    SprigTest::spew("$dir/config", $fill->($front->{config}));
    my ($program, @arguments) = map { $fill->($_) } @{ $front->{command} };
    $program = $class->path($program);
    my $pid = fork;
    defined $pid or die "fork: $!";
    if (!$pid) {
        local @ENV{qw(HOME XDG_DATA_HOME XDG_CONFIG_HOME)} = ($dir) x 3;
        open STDIN,  '<',  '/dev/null'   or POSIX::_exit(126);
        open STDOUT, '>',  "$dir/output" or POSIX::_exit(126);
        open STDERR, '>&', \*STDOUT      or POSIX::_exit(126);
        exec {$program} $program, @arguments or POSIX::_exit(127);
    }
    my $self = bless { name => $name, pid => $pid, port => $port, dir => $dir, owner => $$ },
        $class;
    my $deadline = time + 60;
    until (IO::Socket::INET->new(PeerAddr => '127.0.0.1', PeerPort => $port)) {
        die "$name does not start: ", $self->output
            if time > $deadline || waitpid($pid, POSIX::WNOHANG()) == $pid;
        sleep 0.05;
    }
    return $self;
}

sub free_port {
    my $socket = IO::Socket::INET->new(Listen => 1, LocalAddr => '127.0.0.1') or die "port: $!";
    return $socket->sockport;
}

sub name { return $_[0]{name} }
sub port { return $_[0]{port} }

sub output {
    my ($self) = @_;
    return join '', map { -e "$self->{dir}/$_" ? slurp("$self->{dir}/$_") : '' } qw(output errors);
}

sub connect { return SprigTest::Client->connect('127.0.0.1', $_[0]{port}) }

sub stop {
    my ($self) = @_;
    my $pid = delete $self->{pid} or return;
    kill TERM => $pid;
    for (1 .. 100) {
        return if waitpid($pid, POSIX::WNOHANG()) == $pid;
        sleep 0.05;
    }
    kill KILL => $pid;
    waitpid $pid, 0;
    return;
}

sub DESTROY {
    my ($self) = @_;
    local ($?, $!, $@);
    $self->stop if $self->{owner} == $$;
    return;
}

1;
