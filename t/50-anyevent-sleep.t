# An idle loop sleeps: no polling, whatever is being watched.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use File::Spec;
use File::Temp;
use Fcntl qw(F_SETFD);
use SprigTest;
use SprigTest::Client;
use Time::HiRes qw(time);

alarm 120;
my $strace = tool_path('strace') or plan skip_all => 'no strace';
my $trace  = File::Temp->new;
system("$strace -o $trace true 2>/dev/null") == 0 or plan skip_all => 'strace may not trace here';

my @perl = ($^X, map { '-I' . File::Spec->rel2abs($_) } grep { !ref } @INC);

# System calls that a perl makes between two marks, which are failing opens. It waits for some
# seconds in between.
sub calls_of {
    my ($code, $seconds) = @_;
    my $program = <<"CODE";
        use Sprig::Loop; use AnyEvent;
        die \$AnyEvent::MODEL if AnyEvent::detect() ne 'AnyEvent::Impl::Sprig';
        $code;
        my \$cv = AE::cv;
        my \$w = AE::timer $seconds, 0, sub { \$cv->send };
        open my \$no, '<', '/no/mark'; \$cv->recv; open \$no, '<', '/no/mark';
CODE
    system($strace, '-o', "$trace", @perl, '-e', $program) == 0 or return;
    my @lines = split /\n/, slurp("$trace");
    my @marks = grep { $lines[$_] =~ m{/no/mark} } 0 .. $#lines;
    return if @marks != 2;
    return map { /^(\w+)\(/ ? $1 : () } @lines[$marks[0] + 1 .. $marks[1] - 1];
}

sub sleeps_through {
    my ($what, $seconds, $code) = @_;
    my @calls = calls_of($code, $seconds);
    my $waits = grep { /^(epoll_p?wait|p?poll|select|kevent)/ } @calls;
    ok $waits >= 1 && $waits <= 3, "$what: $seconds seconds are one sleep" or diag "@calls";
    cmp_ok scalar @calls, '<', 10, "$what: hardly any system call" or diag "@calls";
    return;
}

sleeps_through('watchers of all kinds', 5, <<'CODE');
    pipe my $in, my $out;
    my @w = (AE::io($in, 0, sub { }), AE::signal(USR1 => sub { }), AE::child($$ => sub { }));
    push @w, map { AE::timer 1000 + $_, 0, sub { } } 1 .. 1000;
    $SIG{USR2} = sub { };
    AnyEvent->_poll;    # the first pass looks for children that are dead already
CODE
sleeps_through('dropped watchers', 2, <<'CODE');
    AE::timer $_ / 10, 0, sub { } for 1 .. 20;
    AE::idle(sub { });
    open my $null, '<', '/dev/null';
    AE::io $null, 0, sub { };
    AE::timer 0, 0.1, sub { };
CODE

subtest 'a server without requests' => sub {
    my $log = SprigTest::temp_path('trace');
    pipe my $ready, my $tell or die "pipe: $!";
    local $^F = 255;    # the pipe is for the server
    my $app = SprigTest::spew(SprigTest::temp_path('app'), 'sub { [200, [], ["hello"]] }');
    my $pid = fork;
    die "fork: $!" if !defined $pid;
    if (!$pid) {
        fcntl $tell, F_SETFD, 0;
        exec $strace, '-D', '-ttt', '-o', $log, @perl, 't/lib/serve.pl', fileno $tell, $app or die;
    }
    close $tell;
    my ($host, $port) = split ' ', readline $ready;
    my $client = SprigTest::Client->connect($host, $port);
    $client->send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    is $client->response->body, 'hello', 'served, and the connection is kept';
    select undef, undef, undef, 0.5;
    my $from = time;
    select undef, undef, undef, 5;
    my $to    = time;
    my @calls = grep { /^([0-9.]+) / && $1 > $from && $1 < $to } split /\n/, slurp($log);
    is scalar @calls, 0, 'five seconds without a system call' or diag join "\n", @calls;
    $client->send("GET / HTTP/1.1\r\nHost: x\r\n\r\n");
    is $client->response->body, 'hello', 'and still there';
    kill TERM => $pid;
    waitpid $pid, 0;
};

done_testing;
