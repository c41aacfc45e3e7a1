# Sprig::Worker->after_fork and ->before_exit: in each process that serves, however it was started.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use SprigTest;
use SprigTest::Worker;

my $app = <<'APP';
    use Sprig::Worker;
    my ($number, $random);
    rand;
    print STDERR "compiled $$\n";
    Sprig::Worker->after_fork(sub {
        my ($worker) = @_;
        $number = $worker->number;
        $random = rand;
        print STDERR "after_fork $$\n";
    });
    Sprig::Worker->after_fork(sub { print STDERR "second $$\n" });
    Sprig::Worker->before_exit(sub { print STDERR "before_exit $$\n" });
    Sprig::Worker->before_exit(sub { die "on purpose $$\n" });
    END { print STDERR "END $$\n" }
    sub {
        my ($env) = @_;
        exit 3 if $env->{PATH_INFO} eq '/exit';
        if ($env->{PATH_INFO} eq '/fork') {
            my $pid = fork;
            exit 0 if !$pid;
            waitpid $pid, 0;
            print STDERR "child $pid\n";
        }
        if ($env->{PATH_INFO} eq '/late') {
            my $said = '';
            Sprig::Worker->after_fork(sub { $said = 'at once' });
            return [200, [], [$said]];
        }
        select undef, undef, undef, 0.02 if $env->{PATH_INFO} eq '/slow';
        return [200, [], ["$$ $number $random"]];
    };
APP

# What a process has printed, in order.
sub said_by {
    my ($server, $pid) = @_;
    return join ' ', $server->stderr =~ /^(?:before_exit: )?(.*) \Q$pid\E$/mg;
}

# Each of the processes that answer: pid => [number, random]
sub processes {
    my ($server, $n) = @_;
    my %seen;
    for (1 .. 100) {
        my @clients = map { $server->connect } 1 .. 2 * $n;
        $_->send("GET /slow HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n") for @clients;
        for my $client (@clients) {
            my ($pid, @rest) = split / /, $client->response->body;
            $seen{$pid} = \@rest;
        }
        last if keys %seen == $n;
    }
    return \%seen;
}

my $all = 'after_fork second before_exit on purpose END';

for my $by (qw(module program plackup)) {
    subtest "$by, one process" => sub {
        my $server = start_server(by => $by, code => $app);
        my $seen   = processes($server, 1);
        my ($pid)  = keys %$seen;
        is $pid,             $server->pid, 'itself';
        is $seen->{$pid}[0], 1,            'is number 1';
        my $get = sub {
            $server->ask("GET $_[0] HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")->body;
        };
        is $get->('/late'), 'at once', 'a hook that comes late is run at once';
        $get->('/fork');
        my ($child) = $server->stderr =~ /^child ([0-9]+)$/m;
        is said_by($server, $child), 'END child', 'a child that ends runs no hooks';
        $server->stop_ok;
        is said_by($server, $pid), "compiled $all", 'hooks in order';
    };
}

my %several = (
    'program'          => [by => 'program', compiled => 'compiled '],
    'program, preload' => [by => 'program', flags    => ['--preload-app']],
    'plackup'          => [by => 'plackup'],
    'plackup, Delayed' => [by => 'plackup', flags => [qw(-L Delayed)], compiled => 'compiled '],
    'module'           => [by => 'module'],
);

for my $name (sort keys %several) {
    subtest "$name, three workers" => sub {
        my %option   = @{ $several{$name} };
        my $compiled = delete $option{compiled} || '';
        my $server   = start_server(%option, code => $app, args => { workers => 3 });
        my $seen     = processes($server, 3);
        is keys %$seen, 3, 'all of them serve';
        ok !$seen->{ $server->pid }, 'the master does not';
        is join(' ', sort map { $_->[0] } values %$seen), '1 2 3', 'their numbers';
        my %random = map { $_->[1] => 1 } values %$seen;
        is keys %random, 3, 'each draws numbers of its own';
        $server->stop_ok;
        is said_by($server, $_), "$compiled$all", 'hooks in order' for keys %$seen;
        unlike said_by($server, $server->pid), qr/after_fork|before_exit/, 'none in the master';
    };
}

subtest 'an app that exits' => sub {
    my $server = start_server(code => $app);
    my $client = $server->connect;
    $client->send("GET /exit HTTP/1.1\r\nHost: a\r\n\r\n");
    $client->is_closed;
    is $server->stop,                  3 << 8,          'ends with its status';
    is said_by($server, $server->pid), "compiled $all", 'after before_exit';
};

subtest 'a hook that dies' => sub {
    my $hello  = 'Sprig::Worker->after_fork(sub { die "no handle\n" }); sub { [200, [], []] }';
    my $server = eval { start_server(code => $hello, by => 'program') };
    ok !$server, 'no server';
    like $@, qr/^sprig: no handle$/m, 'and the reason';
};

done_testing;
