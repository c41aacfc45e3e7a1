# Options by the environment: SPRIG_ and the name, in each way to start a server.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Program;
use Test::More;

my $hello = 'sub { [200, [], ["hello\n"]] }';

# The status of a request with this many header lines.
sub status_of {
    my ($server, $n) = @_;
    my $head = join '', map { "X-$_: y\r\n" } 1 .. $n;
    return $server->ask("GET / HTTP/1.0\r\n$head\r\n")->status;
}

for my $by (qw(module program plackup)) {
    subtest "a limit, by $by" => sub {
        my $server = start_server(by => $by, code => $hello, env => { SPRIG_MAX_HEADERS => 5 });
        is status_of($server, 5), 200, 'at the limit';
        is status_of($server, 6), 431, 'one past it';
        $server->stop_ok;
    };
    subtest "what the caller says wins, by $by" => sub {
        my $server = start_server(
            by   => $by,
            code => $hello,
            args => { max_headers       => 6 },
            env  => { SPRIG_MAX_HEADERS => 5 },
        );
        is status_of($server, 6), 200, 'at the limit of the argument';
        is status_of($server, 7), 431, 'one past it';
        $server->stop_ok;
    };
    subtest "what is no option means nothing, by $by" => sub {
        my %env = (
            SPRIG_PORT         => 'tcp://10.0.0.1:80',
            SPRIG_SERVICE_HOST => '10.0.0.1',
            SPRIG_MAX_HEADERS  => '',
        );
        my $server = start_server(by => $by, code => $hello, env => \%env);
        is status_of($server, 6), 200, 'it serves';
        $server->stop_ok;
    };
}

subtest 'timeout, as Twiggy calls it, wins over SPRIG_HEADER_TIMEOUT' => sub {
    require Sprig::Server;
    local $ENV{SPRIG_HEADER_TIMEOUT} = 7;
    is(Sprig::Server->new->_setting('header_timeout'), 7, 'the environment');
    is(Sprig::Server->new(timeout => 8)->_setting('header_timeout'), 8, 'the constructor');
};

# SPRIG_DEV is for building, and nobody is to show source code by accident.
my @names = grep { $_ ne 'dev' } map { $_->[0] } grep { $_->[1] ne 'PLACK' } option_rows();

subtest 'SPRIG_DEV is not --dev' => sub {
    local $ENV{SPRIG_DEV} = 1;
    is(Sprig::Server->new->_setting('dev'), 0, 'the option');
};

subtest 'a wrong value of any option is told with its variable' => sub {
    cmp_ok @names, '>', 30, 'there are options';
    for my $name (@names) {
        local $ENV{"SPRIG_\U$name"} = "\1";
        eval { Sprig::Server->new };
        like $@, qr/SPRIG_\U$name\E: $name must be .* got '\\x01'/, $name;
    }
};

subtest 'the program says it, too, and with the status of a wrong flag' => sub {
    my $run = run_program({ SPRIG_MAX_HEADERS => 'many' }, '-o', '127.0.0.1', '-p', 0, app_file($hello));
    is $run->{status}, 2, 'status';
    like $run->{err}, qr/\Asprig: SPRIG_MAX_HEADERS: max_headers must be .*, got 'many'\n\z/, 'message';
};

subtest 'workers, their probe and the access log' => sub {
    my $log    = SprigTest::temp_path('log');
    my $server = start_program(
        { SPRIG_WORKERS => 2, SPRIG_ACCESS_LOG => $log, SPRIG_PROBE => '/' },
        '-o', '127.0.0.1', '-p', 0, app_file($hello)
    );
    like $server->stderr, qr/\(2 workers, deployment\)/, 'two of them';
    is status_of($server, 1), 200, 'they serve';
    $server->stop_ok;
    like slurp($log), qr{"GET / HTTP/1\.0" 200}, 'a line for the request';
};

subtest 'one process writes its pid file once' => sub {
    my $pid    = SprigTest::temp_path('pid');
    my $server = start_program({ SPRIG_PID => $pid }, '-o', '127.0.0.1', '-p', 0, app_file($hello));
    is slurp($pid) + 0, $server->pid, 'its number';
    $server->stop_ok;
    ok !-e $pid, 'and takes it away';
};

my $writes = <<'END';
use AnyEvent;
my $diary;
sub {
    my ($env) = @_;
    return [200, [], [$diary // 'nothing yet']] if $env->{PATH_INFO} eq '/diary';
    return sub {
        my $writer = $_[0]->([200, []]);
        my ($timer, $n);
        $timer = AE::timer 0.02, 0.02, sub {
            return if eval { $writer->write('x' x 1000); 1 } && ++$n < 100;
            $diary = $@ ? "died: $@" : 'lived';
            undef $timer;
        };
    };
};
END

sub diary_of {
    my (%start) = @_;
    my $server = start_server(by => 'plackup', code => $writes, %start);
    my $client = $server->connect;
    $client->send("GET / HTTP/1.0\r\n\r\n");
    $client->close;
    my $diary;
    for (1 .. 200) {
        $diary = $server->ask("GET /diary HTTP/1.0\r\n\r\n")->body;
        last if $diary ne 'nothing yet';
        select undef, undef, undef, 0.05;
    }
    $server->stop_ok;
    return $diary;
}

subtest 'under Sprig::Compat::Twiggy a write to a client that left dies' => sub {
    my @compat = (perl => ['-MSprig::Compat::Twiggy']);
    like diary_of(@compat), qr/\Adied: Broken pipe/, 'by default';
    is diary_of(@compat, env  => { SPRIG_DIE_ON_DISCONNECT => 0 }), 'lived', 'not by the environment';
    is diary_of(@compat, args => { die_on_disconnect       => 0 }), 'lived', 'not by an argument';
    is diary_of(), 'lived', 'nor without it';
    like diary_of(env => { SPRIG_DIE_ON_DISCONNECT => 1 }), qr/\Adied: /, 'but by the environment';
};

done_testing;

# [name, type] of each row of the table.
sub option_rows {
    my ($file) = grep { -e } map { SprigTest::root() . "/csrc$_/config.c" } '', '/base';
    my ($table) = slurp($file) =~ /struct sprig_option options\[\] = \{(.*?)^\};/ms;
    my @rows;
    push @rows, [$1, 'PLACK']   while $table =~ /PLACK\((\w+),/g;
    push @rows, [$2, $1]        while $table =~ /FIELD\((\w+), (\w+),/g;
    push @rows, [$1, 'SECONDS'] while $table =~ /SECONDS\((\w+),/g;
    push @rows, [$1, $2]        while $table =~ /\{"(\w+)", [^,]+, SPRIG_OPTION_(\w+)/g;
    return @rows;
}
