# Sprig::Server->run with workers in a program of one's own.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest;
use SprigTest::Client;

# Runs a program, asks it n times as soon as it listens, or until n different answers have come, and
# ends it; its output, and the answers.
sub run_program {
    my ($code, $n, $is_different) = @_;
    my $file =
        SprigTest::spew(SprigTest::temp_path('program') . '.pl', "use Sprig::Server;\n$code");
    my $root = SprigTest::root();
    my $pid  = open my $out, '-|';
    defined $pid or die "fork: $!";
    if (!$pid) {
        open STDERR, '>&', \*STDOUT;
        exec 'timeout', 30, $^X, "-I$root/blib/lib", "-I$root/blib/arch", $file;
    }
    my $said = '';
    my @bodies;
    while (defined(my $line = readline $out)) {
        $said .= $line;
        my ($port) = $line =~ /^ready ([0-9]+)$/ or next;
        my %seen;
        while ($is_different ? keys %seen < $n && @bodies < 5000 : @bodies < $n) {
            my $client = SprigTest::Client->connect('127.0.0.1', $port);
            $client->send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
            push @bodies, $client->response->body;
            $seen{ $bodies[-1] } = 1;
        }
        kill 'TERM', $pid;
    }
    close $out;
    return ($said, @bodies);
}

my $run = <<'CODE';
    $| = 1;
    print "master $$\n";
    my $server = Sprig::Server->new(
        host         => '127.0.0.1',
        workers      => 2,
        server_ready => sub { print "ready $_[0]{port}\n" },
        OPTIONS
    );
    $server->run(APP);
    print "over $$\n";
    END { print "END $$\n" }
CODE

sub program {
    my ($options, $app) = @_;
    return $run =~ s/OPTIONS/$options/r =~ s/APP/$app/r;
}

subtest 'an application' => sub {
    my ($said, @bodies) = run_program(program('', 'sub { [200, [], ["pid $$"]] }'), 2, 1);
    my ($master) = $said =~ /^master ([0-9]+)$/m;
    is scalar(grep { !/\Apid [0-9]+\z/ || $_ eq "pid $master" } @bodies), 0, 'workers answer';
    is scalar(my @ready = $said =~ /^ready/mg), 1, 'server_ready is called once';
    like $said, qr/^over $master\nEND $master\n\z/m, 'the master comes back, last of all';
    is scalar(my @over = $said =~ /^over/mg), 1, 'nobody else does';
    is scalar(my @end  = $said =~ /^END/mg),  3, 'all run END blocks';
};

subtest 'a builder' => sub {
    my $builder =
        'psgi_app_builder => sub { print "built $$\n"; my $b = $$; sub { [200, [], ["$b $$"]] } },';
    my ($said, @bodies) = run_program(program($builder, ''), 2, 1);
    is scalar(my @built = $said =~ /^built/mg),     2, 'is called in each worker';
    is scalar(grep { !/\A([0-9]+) \1\z/ } @bodies), 0, 'which serves what it has built';
    ($said, @bodies) = run_program(program("$builder preload_app => 1,", ''), 2);
    my ($master) = $said =~ /^master ([0-9]+)$/m;
    is_deeply [$said =~ /^built ([0-9]+)/mg], [$master], 'with preload_app once, in the master';
    is scalar(grep { /\A$master / } @bodies), 2, 'for all';
};

subtest 'max_requests' => sub {
    my ($said, @bodies) =
        run_program(program('max_requests => 5,', 'sub { [200, [], ["pid $$"]] }'), 6, 1);
    is scalar(grep { !/\Apid/ } @bodies), 0, 'no request fails';
    my %pid = map { $_ => 1 } @bodies;
    is keys %pid, 6, 'by and by many workers answer';
};

subtest 'a program that forks while it loads' => sub {
    my $path = SprigTest::temp_path('socket');
    my $builder =
          "listen => ['127.0.0.1:0', '$path'], preload_app => 1, psgi_app_builder => sub {"
        . " if (!fork) { exit 0 } wait; print -e '$path' ? qq(stays\n) : qq(gone\n);"
        . ' sub { [200, [], ["x"]] } },';
    my $code = program($builder, '') =~ s/my \$server/our \$server/r;
    my ($said, @bodies) = run_program($code, 1);
    like $said, qr/^stays$/m, 'its child does not take the socket away';
    is "@bodies", 'x', 'and it serves';
    ok !-e $path, 'until the end';
};

subtest 'what cannot be' => sub {
    my ($said) = run_program(program('listen => ["/nonexistent/socket"],', 'sub { }'), 0);
    like $said,
        qr{^cannot listen on (?:unix:)?/nonexistent/socket: No such file or directory at \S+/program\S+ line}m,
        'an address';
    ($said) = run_program(program('pid => "/nonexistent/pid",', 'sub { }'), 0);
    like $said, qr{/nonexistent/pid.*No such file}m, 'a pid file';
    ($said) = run_program(program('workers => 1, max_requests => 5,', 'sub { }'), 0);
    like $said, qr{max_requests needs master, or workers of 2 or more}, 'max_requests in one process';
};

done_testing;
