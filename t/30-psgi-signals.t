# Perl's own signal handlers run at once although the loop sleeps in C.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;
use Time::HiRes qw(time);

my $code = <<'APP';
use strict;
use warnings;
use AnyEvent;
my %at;
my $early = 0;
$SIG{USR1} = sub { print {*STDERR} "USR1 ran\n" };
my %app = (
    late => sub { $SIG{USR2} = sub { print {*STDERR} "USR2 ran\n" }; [200, [], ['set']] },
    dies => sub { $SIG{HUP} = sub { die "HUP died\n" }; [200, [], ['set']] },
    alarm => sub {
        my $got = eval { local $SIG{ALRM} = sub { die "timeout\n" }; alarm 1; AE::cv->recv; 1 };
        [200, [], [$got ? 'returned' : $@]];
    },
    alarm_perl => sub {
        my $got = eval { local $SIG{ALRM} = sub { die "timeout\n" }; alarm 1; 1 while 1; };
        [200, [], [$got ? 'returned' : $@]];
    },
    system => sub { my $status = system $^X, '-e', 'exit 3'; [200, [], [$status >> 8]] },
    fork => sub {
        my $pid = fork;
        if (!$pid) { exit 4 }
        waitpid $pid, 0;
        [200, [], [$? >> 8]];
    },
    kept => sub {
        $@ = 'error'; $! = 2; $? = 512; local $_ = 'topic';
        my $cv = AE::cv;
        my $t = AE::timer 0.05, 0, sub { $_ = 'other'; $@ = 'x'; $! = 3; $? = 1; eval { die 'y' }; $cv->send };
        $cv->recv;
        [200, [], [join ',', $@, $! + 0, $?, $_]];
    },
    fine => sub { [200, [], ['fine']] },
);
sub { my ($env) = @_; $app{ $env->{QUERY_STRING} }->($env) };
APP

my $server = start_server(code => $code);

sub answer {
    my ($name) = @_;
    return $server->ask("GET /?$name HTTP/1.1\r\nHost: a\r\n\r\n")->body;
}

sub runs_promptly {
    my ($signal) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $start = time;
    kill $signal, $server->pid;
    ok $server->stderr_like(qr/$signal ran/), "$signal: the handler runs";
    return cmp_ok time - $start, '<', 1, "$signal: while nothing else happens";
}

subtest 'handlers of %SIG' => sub {
    runs_promptly('USR1');
    is answer('late'), 'set', 'one that is set later';
    runs_promptly('USR2');
};

subtest 'alarm ends what it is around' => sub {
  SKIP: {
        skip_on_other_loop('AnyEvent lets no callback block in recv', 1);
        is answer('alarm'), "timeout\n", 'a blocking recv';
    }
    is answer('alarm_perl'), "timeout\n", 'a loop of Perl';
    is answer('fine'),       'fine',      'the server goes on';
};

subtest 'processes of the app' => sub {
    is answer('system'), 3,      'system';
    is answer('fork'),   4,      'fork and exit';
    is answer('fine'),   'fine', 'the connections of the parent live on';
};

SKIP: {
    skip_on_other_loop('AnyEvent lets no callback block in recv', 1);
    is answer('kept'), 'error,2,512,topic', 'a nested pass keeps $@, $!, $? and $_';
}

$server->stop_ok;

subtest 'a handler that dies ends the program, as in any loop of Perl' => sub {
    skip_on_other_loop('it has its own way with what dies');
    my $other = start_server(code => $code);
    $other->ask("GET /?dies HTTP/1.1\r\nHost: a\r\n\r\n");
    kill HUP => $other->pid;
    ok $other->stderr_like(qr/HUP died/), 'with its message';
    isnt $other->stop, 0, 'and a status that says so';
};

done_testing;
