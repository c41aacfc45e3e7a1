package SprigBench::Servers;

# The servers: where they are, which version, how they are started and what they cost.

use strict;
use warnings;
use File::Spec;
use IO::Socket::INET;
use POSIX       qw(:sys_wait_h sysconf _SC_CLK_TCK _SC_PAGESIZE);
use Time::HiRes qw(sleep time);

my $TICKS = sysconf(_SC_CLK_TCK);
my $PAGE  = sysconf(_SC_PAGESIZE);

sub _path_of {
    my ($name) = @_;
    for my $folder (File::Spec->path, '/usr/sbin', '/usr/local/sbin') {
        return "$folder/$name" if -x "$folder/$name";
    }
    return;
}

sub _module {
    my ($name) = @_;
    my $v = qx($^X -M$name -e 'print \$$name\::VERSION' 2>/dev/null);
    return $? ? undef : $v;
}

# name => [version or nothing, sub (port, unix, app, folder) { command }]
my @blib   = ('-Mblib');
my %SERVER = (
    sprig => [
        sub {
            -x 'blib/script/sprig' ? (qx(blib/script/sprig --version) =~ /(\d[\d.]*)/)[0] : undef;
        },
        sub {
            my (%at) = @_;
            return (
                'blib/script/sprig',
                '-Iblib/lib',
                '-Iblib/arch',
                '--listen',
                "127.0.0.1:$at{port}" . ($at{tls} ? ',tls' : ''),
                '--listen',
                $at{unix},
                ($at{tls} ? ('--tls-cert',   "$at{folder}/$at{tls}.pem") : ()),
                ($at{log} ? ('--access-log', "$at{folder}/access.log")   : ()),
                $at{app}
            );
        }
    ],
    plackup => [
        sub { -d 'blib/lib' ? _module('Plack') : undef },
        sub {
            my (%at) = @_;
            return ($^X, @blib, '-MSprig::Loop', _path_of('plackup'), '-E', 'deployment', '-s',
                'Sprig', '--listen', "127.0.0.1:$at{port}", $at{app});
        }
    ],
    nginx => [
        sub { my $path = _path_of('nginx') or return; (qx($path -v 2>&1) =~ m{nginx/(\S+)})[0] },
        sub { my (%at) = @_; return (_path_of('nginx'), '-p', $at{folder}, '-c', nginx_conf(%at)) }
    ],
    twiggy  => [sub { _module('Twiggy') },  sub { my (%at) = @_; return _plackup('Twiggy',  %at) }],
    feersum => [sub { _module('Feersum') }, sub { my (%at) = @_; return _plackup('Feersum', %at) }],
    starman => [
        sub { _module('Starman') },
        sub {
            my (%at) = @_;
            return (_plackup('Starman', %at), '--workers', 1, '--max-requests', 100_000_000);
        }
    ],
    starlet => [
        sub { _module('Starlet') },
        sub {
            my (%at) = @_;
            return (_plackup('Starlet', %at),
                '--max-workers', 1, '--max-keepalive-reqs', 100_000_000, '--max-reqs-per-child',
                100_000_000);
        }
    ],
    uwsgi => [
        sub {
            my $path = _path_of('uwsgi') or return;
            (qx($path --version 2>/dev/null) =~ /(\S+)/)[0];
        },
        sub {
            my (%at) = @_;
            my @plugin = -e '/usr/lib/uwsgi/plugins/psgi_plugin.so' ? ('--plugin', 'psgi') : ();
            return (_path_of('uwsgi'), @plugin, '--http11-socket', "127.0.0.1:$at{port}", '--psgi',
                $at{app}, '-L');
        }
    ],
    pagi => [
        sub { _path_of('pagi-server') && _module('PAGI::Server') },
        sub {
            my (%at) = @_;
            return ($^X, _path_of('pagi-server'), '-E', 'production', '-p', $at{port},
                'bench/pagi.pl');
        }
    ],

    # One application of Mojolicious, on its own server and on Sprig.
    hypnotoad => [
        sub { _path_of('hypnotoad') && _module('Mojolicious') },
        sub {
            my (%at) = @_;
            return (
                'env',
                "SPRIG_BENCH_LISTEN=http://127.0.0.1:$at{port}",
                "SPRIG_BENCH_PID=$at{folder}/hypnotoad.pid",
                _path_of('hypnotoad'), '-f', mojo_app()
            );
        }
    ],
    mojo => [
        sub { -x 'blib/script/sprig' && _module('Mojolicious') },
        sub {
            my (%at) = @_;
            return (
                'blib/script/sprig', '-Iblib/lib',          '-Iblib/arch',
                '--listen',          "127.0.0.1:$at{port}", mojo_app()
            );
        }
    ],
);

sub names {
    return qw(sprig plackup nginx twiggy feersum starman starlet uwsgi hypnotoad mojo pagi);
}

sub mojo_app { return File::Spec->rel2abs('bench/mojo.pl') }

# How one is started, for people: without the names of our scratch files.
sub shown_command {
    my ($class, $name, %at) = @_;
    my @command =
        $SERVER{$name}[1]
        ->(%at, port => 'PORT', unix => 'SOCKET', folder => $at{folder}, tls => undef);
    my $text = join ' ', @command;
    $text =~ s/\Q$at{folder}\E/FOLDER/g;
    return $text;
}

sub version { my ($class, $name) = @_; return $SERVER{$name} ? $SERVER{$name}[0]->() : undef }

sub _plackup {
    my ($handler, %at) = @_;
    return (
        $^X,          _path_of('plackup'),   '-E',
        'deployment', '-s',                  $handler,
        '--listen',   "127.0.0.1:$at{port}", $at{app}
    );
}

sub nginx_conf {
    my (%at) = @_;
    my $path = "$at{folder}/nginx.conf";
    my $tls  = '';
    $tls =
          "ssl_certificate $at{folder}/$at{tls}.pem; ssl_certificate_key $at{folder}/$at{tls}.pem; "
        . 'ssl_protocols TLSv1.2 TLSv1.3;'
        if $at{tls};
    my $ssl = $at{tls} ? ' ssl http2' : '';
    open my $out, '>', $path or die "$path: $!";
    print {$out} <<"END";
worker_processes 1;
daemon off;
pid $at{folder}/nginx.pid;
error_log $at{folder}/nginx.log crit;
events { worker_connections 20000; }
http {
    access_log off;
    keepalive_requests 100000000;
    sendfile on;
    tcp_nopush on;
    client_body_temp_path $at{folder}/nginx-body;
    proxy_temp_path $at{folder}/nginx-proxy;
    fastcgi_temp_path $at{folder}/nginx-fastcgi;
    uwsgi_temp_path $at{folder}/nginx-uwsgi;
    scgi_temp_path $at{folder}/nginx-scgi;
    server {
        listen 127.0.0.1:$at{port}$ssl;
        $tls
        listen unix:$at{unix};
        default_type text/plain;
        location = / { return 200 'Hello, World!'; }
        location / { root $at{files}; }
    }
}
END
    close $out or die "$path: $!";
    return $path;
}

# Starts a server on one processor; waits until it accepts.
sub start {
    my ($class, $name, %at) = @_;
    my $probe = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "listen: $!";
    $at{port} = $probe->sockport;
    close $probe;
    $at{unix} = "$at{folder}/$name.sock";
    unlink $at{unix};
    my @command = (
        $at{pin} ? ('taskset', '-c', $at{cpu}) : (),
        @{ $at{wrapper} || [] },
        $SERVER{$name}[1]->(%at)
    );
    my $pid = fork;
    defined $pid or die "fork: $!";

    if (!$pid) {
        setpgrp;
        $ENV{SPRIG_BENCH_FILES} = $at{files};
        open STDIN,  '<',  File::Spec->devnull;
        open STDOUT, '>>', "$at{folder}/$name.out";
        open STDERR, '>&', \*STDOUT;
        exec @command or POSIX::_exit(127);
    }
    my $self =
        bless { name => $name, pid => $pid, port => $at{port}, unix => $at{unix}, tls => $at{tls} },
        $class;
    my $deadline = time + ($at{patience} || 20);
    while (!IO::Socket::INET->new("127.0.0.1:$at{port}")) {
        die "$name did not start, see $at{folder}/$name.out\n"
            if time > $deadline || waitpid($pid, WNOHANG) > 0;
        sleep 0.05;
    }
    return $self;
}

sub port { return $_[0]{port} }
sub unix { return $_[0]{unix} }
sub url  { return ($_[0]{tls} ? 'https' : 'http') . "://127.0.0.1:$_[0]{port}" }

sub has_tls { return defined $_[0]{tls} }

# The processes of the group that the server leads.
sub _processes {
    my ($self) = @_;
    my @found;
    for my $file (glob '/proc/[0-9]*/stat') {
        open my $in, '<', $file or next;
        my $line = readline $in;
        defined $line && $line =~ s/\A(\d+) \(.*\) //s or next;
        my ($pid, @field) = ($1, split / /, $line);
        push @found, \@field if $field[2] == $self->{pid};
    }
    return @found;
}

# Seconds of processor time so far: user, system.
sub cpu {
    my ($self) = @_;
    my ($user, $system) = (0, 0);
    for my $process ($self->_processes) {
        $user   += $process->[11] / $TICKS;
        $system += $process->[12] / $TICKS;
    }
    return ($user, $system);
}

# Resident bytes of the largest of its processes.
sub rss {
    my ($self) = @_;
    my ($most) = sort { $b <=> $a } map { $_->[21] * $PAGE } $self->_processes;
    return $most || 0;
}

sub stop {
    my ($self)   = @_;
    my $pid      = delete $self->{pid} or return;
    my $deadline = time + 10;
    kill TERM => $pid;
    while (waitpid($pid, WNOHANG) == 0) {
        kill KILL => -$pid if time > $deadline;
        sleep 0.02;
    }
    return;
}

sub DESTROY { my ($self) = @_; local ($?, $!, $@); $self->stop; return }

1;
