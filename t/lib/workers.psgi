# The rest of the app that SprigTest::Workers serves; what is declared before it stands there.

use AnyEvent;
use POSIX ();
my $loader = $$;
my %kept;
my @at_load = map { int rand 1e9 } 1 .. 4;

sub later {
    my ($seconds, $do) = @_;
    my $t;
    $t = AE::timer $seconds, 0, sub { undef $t; $do->() };
    return;
}

my %app_for = (
    '/'      => sub { [200, [], [$version]] },
    '/pid'   => sub { [200, [], [$$]] },
    '/about' => sub { [200, [], ["$$ $loader $version $changed"]] },
    '/env'   => sub {
        my ($env) = @_;
        [
            200,
            [],
            [
                join ' ',
                map { $env->{$_} ? 1 : 0 } qw(psgi.multiprocess psgi.multithread psgi.run_once)
            ]
        ];
    },
    '/rand'    => sub { [200,    [], [join ' ', map { int rand 1e9 } 1 .. 4]] },
    '/at-load' => sub { [200,    [], ["@at_load"]] },
    '/ids'     => sub { [200,    [], [join '|', $<, $>, $( + 0, $) + 0, sprintf '%03o', umask]] },
    '/alive'   => sub { [$alive, [], ['probed']] },
    '/getppid' => sub { [200,    [], [getppid]] },
    '/exit'    => sub { exit $_[0]{QUERY_STRING} },
    '/loop'    => sub { note('notes', "loop $$");                        1 while 1 },
    '/block'   => sub { select undef, undef, undef, $_[0]{QUERY_STRING}; [200, [], [$$]] },
    '/orphan'  => sub {
        my $pid = fork;
        if (!$pid) { exec('sh', '-c', '(exec sleep 0.1) & exit 0') or POSIX::_exit(1) }
        waitpid $pid, 0;
        [200, [], ['left']];
    },
    '/poll' => sub {
        my ($env) = @_;
        sub {
            my ($respond) = @_;
            note('notes', "poll $$");
            later($env->{QUERY_STRING}, sub { $respond->([200, [], ["polled $$"]]) });
        };
    },
    '/stream' => sub {
        my ($env) = @_;
        my ($n, $pause) = split /x/, $env->{QUERY_STRING};
        sub {
            my $writer = $_[0]->([200, []]);
            note('notes', "stream $$");
            my $t;
            $t = AE::timer 0, $pause, sub {
                $writer->write("piece\n");
                return if --$n > 0;
                undef $t;
                $writer->close;
            };
        };
    },
    # A stream that ends when there is a file "open".
    '/gated' => sub {
        require Sprig::Worker;
        Sprig::Worker->before_leave(sub { note('notes', "leaves $$") });
        sub {
            my $writer = $_[0]->([200, []]);
            note('notes', "gated $$");
            my $t;
            $t = AE::timer 0, 0.1, sub {
                $writer->write("piece\n");
                return if !-e "$dir/open";
                undef $t;
                $writer->close;
            };
        };
    },
    '/held' => sub {
        my ($env) = @_;
        sub {
            my $writer = $_[0]->([200, []]);
            $writer->write("held\n");
            $writer->on_disconnect(sub { note('notes', "told $$"); delete $kept{$writer} });
            $kept{$writer} = $writer;
            note('notes', "held $$");
        };
    },
    '/taken' => sub {
        my ($env) = @_;
        my $fh = $env->{'psgix.io'};
        sub {
            syswrite $fh, "taken $$\n";
            my $w;
            $w = AE::io $fh, 0, sub {
                my $n = sysread $fh, my $got, 100;
                if (!$n) { undef $w; close $fh; note('notes', "taken over $$"); return }
                syswrite $fh, "echo $got";
            };
        };
    },
);
sub {
    my ($env) = @_;
    ($app_for{ $env->{PATH_INFO} } || sub { [404, [], ['no such path']] })->($env);
};
