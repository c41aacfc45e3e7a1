# On a terminal: a line for each request, in colours; and with --dev, keys, which are read in the foreground
# only.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Fcntl qw(O_RDWR O_NOCTTY);
use IO::Socket::INET;
use POSIX ();
use SprigTest;
use SprigTest::Probe qw(eventually);
use Test::More;

# <asm-generic/ioctls.h>
use constant { TIOCSPTLCK => 0x40045431, TIOCGPTN => 0x80045430, TIOCSCTTY => 0x540E };

$^O eq 'linux' && -e '/dev/ptmx' or plan skip_all => 'no pseudo-terminals as Linux has them';
my $program = SprigTest::root() . '/blib/script/sprig';
-x $program or plan skip_all => 'the program is not built here';

my $SOON = 20;
my $dir  = SprigTest::temp_path('tty');
mkdir $dir or die "$dir: $!";
spew("$dir/app.psgi", <<'APP');
use strict; use AnyEvent; use Carp;
sub {
    my $path = $_[0]{PATH_INFO};
    confess('traced') if $path eq '/trace';
    if ($path eq '/late-trace') {
        my $t;
        $t = AE::timer 0, 0, sub { undef $t; confess('traced late') };
    }
    die 'no luck' if $path eq '/die';
    warn 'careful' if $path eq '/warn';
    select undef, undef, undef, 0.3 if $path eq '/slow';
    return [$path eq '/none' ? 404 : 200, ['Content-Type' => 'text/plain'], ["$$"]];
};
APP

# A program on a terminal of its own. Option `background`: somebody else is in its foreground.
sub on_terminal {
    my ($option, @command) = @_;
    sysopen my $master, '/dev/ptmx', O_RDWR | O_NOCTTY or plan skip_all => "no pseudo-terminal: $!";
    my ($unlocked, $number) = (pack('i', 0)) x 2;
    ioctl $master, TIOCSPTLCK, $unlocked or die "unlock: $!";
    ioctl $master, TIOCGPTN,   $number   or die "number: $!";
    my $path = '/dev/pts/' . unpack 'i', $number;
    my $pid  = fork;
    defined $pid or die "fork: $!";

    if (!$pid) {
        eval { _become($path, $option, @command) };
        POSIX::_exit(127);
    }
    return bless { pid => $pid, master => $master, text => '' };
}

sub _become {
    my ($path, $option, @command) = @_;
    POSIX::setsid();
    sysopen my $tty, $path, O_RDWR or die;
    ioctl $tty, TIOCSCTTY, my $steal = 0;
    open STDIN,  '<&', $tty or die;
    open STDOUT, '>&', $tty or die;
    open STDERR, '>&', $tty or die;
    chdir $dir or die;
    delete @ENV{qw(NO_COLOR PLACK_ENV)};
    %ENV = (%ENV, %{ $option->{env} || {} });
    my $blib = SprigTest::root() . '/blib';
    $ENV{PERL5LIB} = join ':', "$blib/lib", "$blib/arch", $ENV{PERL5LIB} || ();

    if ($option->{background}) {
        my $child = fork;
        if ($child) { waitpid $child, 0; POSIX::_exit($? >> 8) }
        setpgrp 0, 0;
    }
    exec { $command[0] } @command;
}

# Reads until the pattern has come.
sub shows {
    my ($self, $pattern, $name) = @_;
    my $ok = eventually(
        sub {
            vec(my $ready = '', fileno $self->{master}, 1) = 1;
            sysread $self->{master}, $self->{text}, 65536, length $self->{text}
                if select $ready, undef, undef, 0;
            return $self->{text} =~ $pattern;
        },
        $SOON
    );
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    ok($ok, $name) or diag $self->{text};
    return $ok;
}

sub type { return syswrite $_[0]{master}, $_[1] }

sub ask {
    my ($self, $path) = @_;
    my ($port) = $self->{text} =~ m{http://127\.0\.0\.1:(\d+)/} or return '';
    my $socket = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port", Timeout => $SOON)
        or return '';
    print $socket "GET $path HTTP/1.0\r\n\r\n";
    local $/;
    my $answer = readline $socket;
    return defined $answer ? $answer =~ s/.*\r\n\r\n//sr : '';
}

sub ends {
    my ($self, $name) = @_;
    my $ok     = eventually(sub { waitpid($self->{pid}, POSIX::WNOHANG()) == $self->{pid} }, $SOON);
    my $status = $?;
    kill 'KILL', $self->{pid} if !$ok;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    return is($ok && $status, 0, $name);
}

my @listen = ('-l', '127.0.0.1:0');

subtest 'without --dev' => sub {
    my $it = on_terminal({}, $program, @listen);
    $it->shows(qr/^sprig \S+: http\S+ \(1 worker, deployment\)/m, 'where it listens');
    $it->ask('/x?a=1');
    $it->shows(
        qr/\d\d:\d\d:\d\d\e\[0m GET \/x\?a=1 \e\[32m200\e\[0m \e\[\d+m\d+\.\d\d m?s\e\[0m \d+/,
        'a line for each request, in colours');
    $it->ask('/none');
    $it->shows(qr/GET \/none \e\[33m404/, 'another colour for what was not found');
    $it->ask('/slow');
    $it->shows(qr/GET \/slow \S+200\S+ \e\[3[13]m\d/, 'and for what was slow');
    $it->ask('/die');
    $it->shows(qr/^\d\d:\d\d:\d\d GET \/die: no luck at \S+app\.psgi line \d+\.\r?$/m,
        'an exception comes with time and request');
    my $from = length $it->{text};
    $it->ask($_) for qw(/trace /late-trace);
    $it->shows(
        qr/GET \/trace: traced at .*called at .*callback \(ignored\): traced late at .*called at /s,
        'a stack trace'
    );
    unlike substr($it->{text}, $from), qr/Sprig::|eval/, '... without the frames of the server';
    unlike $it->{text},                qr/and Enter/,    'no keys';
    kill 'TERM', $it->{pid};
    $it->ends('TERM ends it');
};

subtest 'told otherwise' => sub {
    my $it = on_terminal({}, $program, @listen, '--access-log=');
    $it->shows(qr/^sprig \S+: http/m, 'it listens');
    $it->ask('/x');
    $it->ask('/die');
    $it->shows(qr/GET \/die: no luck/, 'a failure is told');
    unlike $it->{text}, qr/GET \/x/, 'requests are not';
    kill 'TERM', $it->{pid};
    $it->ends('it ends');

    $it = on_terminal({ env => { NO_COLOR => 1 } }, $program, @listen);
    $it->shows(qr/^sprig \S+: http/m, 'it listens');
    $it->ask('/x');
    $it->shows(qr/^\d\d:\d\d:\d\d GET \/x 200 \d+\.\d\d m?s \d+\r?$/m, 'NO_COLOR');
    kill 'TERM', $it->{pid};
    $it->ends('it ends');
};

subtest '--dev' => sub {
    my $it = on_terminal({}, $program, '--dev', @listen);
    $it->shows(
        qr/watching 1 file; loop: libevent \(\w+\)\r?\n  r and Enter reload; q and Enter, or Ctrl-C, end/,
        'tells what is watched, the loop, and the keys'
    );
    my $worker = $it->ask('/x');
    like $worker, qr/\A\d+\z/, 'it serves';
    $it->ask('/warn');
    $it->shows(qr/GET \/warn: \e\[33mcareful at \S+app\.psgi line \d+\.\e\[0m/, 'a warning');
    $it->ask('/die');
    $it->shows(qr/GET \/die: \e\[31mno luck at /, 'a failure');
    $it->type("x\n");
    $it->shows(qr/r and Enter reload, q and Enter end/, 'a key that means nothing');
    $it->type("r\n");
    $it->shows(qr/reloaded: all workers are of generation 2/, 'r');
    my $next = $it->ask('/x');
    like $next, qr/\A\d+\z/, 'serves';
    isnt $next, $worker, 'by another worker';
    $it->type("q\n");
    $it->ends('q ends it');
};

subtest 'Ctrl-C, also while a page listens for new code' => sub {
    my $it = on_terminal({}, $program, '--dev', @listen);
    $it->shows(qr/^sprig \S+: http/m, 'it listens');
    my ($port) = $it->{text} =~ m{http://127\.0\.0\.1:(\d+)/};
    my $page = IO::Socket::INET->new(PeerAddr => "127.0.0.1:$port") or die "connect: $@";
    syswrite $page, "GET /__sprig__/events HTTP/1.1\r\nHost: localhost\r\n\r\n";
    sysread $page, my $head, 1000;
    like $head, qr/200 OK/, 'a page listens';
    $it->type("\cC");
    $it->ends('it ends');
};

subtest 'in the background' => sub {
    my $it = on_terminal({ background => 1 }, $program, '--dev', @listen);
    $it->shows(qr/^sprig \S+: http/m, 'it listens');
    my $worker = $it->ask('/x');
    $it->type("q\n");
    is $it->ask('/x'), $worker, "what is typed is somebody else's" for 1 .. 2;
    my $child = slurp("/proc/$it->{pid}/task/$it->{pid}/children") =~ /(\d+)/ ? $1 : 0;
    like slurp("/proc/$child/stat"), qr/\) [SR] /, 'it is not stopped';
    kill 'TERM', $child;
    $it->ends('it ends');
};

done_testing;
