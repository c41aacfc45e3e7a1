# $@, $! and $? belong to the app: no method of an object that it gets changes them.
use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Test::More;
use SprigTest;
use SprigTest::Probe;

my $code = <<'APP';
use Sprig::Worker;
my $n_bytes = 300_000;    # more than a socket takes at once

# Calls the code with values in place; notes down which of them were lost.
sub kept {
    my ($name, $call) = @_;
    my @now;
    { local ($@, $!, $?) = ('mine', 2, 3); $call->(); @now = ($@, $! + 0, $?) }
    s/\n/ /g for @now;
    note_down("$name: " . ("@now" eq 'mine 2 3' ? 'kept' : "@now"));
    return;
}

sub writer {
    my ($respond, $io, $where) = @_;
    my $w;
    kept('respond', sub { $w = $respond->([200, []]) });
    kept('write',            sub { $w->write('x') });
    kept('write, much',      sub { $w->write('x' x $n_bytes) });
    kept('write, an object', sub { $w->write(bless [], 'Text') });
    kept('buffered',         sub { $w->buffered });
    kept('on_drain',         sub { $w->on_drain(sub { eval { die "drained\n" } }) });
    kept('on_disconnect',    sub { $w->on_disconnect(sub { }) });
    kept('poll_cb',          sub { my $n = 0; $w->poll_cb(sub { eval { die }; $_[0]->write('p') if !$n++ }) });
    kept('poll_cb, none',    sub { $w->poll_cb(undef) });
    kept('flush',            sub { $w->flush if $w->can('flush') });
    kept('socket',           sub { $w->socket });
    my $handle;
    kept('handle',           sub { $handle = $w->{handle} });
    kept('handle push_write', sub { $handle->push_write('x') });
    kept("handle $_",        do { my $m = $_; sub { $handle->$m(sub { }) } }) for qw(on_drain on_error on_eof);
    kept("handle $_",        do { my $m = $_; sub { $handle->$m } }) for qw(destroyed fh no_delay);
    kept('handle push_shutdown', sub { $handle->push_shutdown });
    kept('close',            sub { $w->close });
    kept('write, closed',    sub { local $SIG{__WARN__} = sub { }; $w->write('x') });
    kept('DESTROY',          sub { undef $w });
}

sub dropped {
    my ($respond) = @_;
    my $w = $respond->([200, []]);
    kept('drop a writer', sub { undef $w });
}

sub body {
    my ($respond) = @_;
    kept('respond, a handle', sub { $respond->([200, [], Body->new]) });
    kept('respond again', sub {
        local $SIG{__WARN__} = sub { };
        $respond->([200, [], []]);
    });
}

sub ill {
    my ($respond) = @_;
    kept('respond, ill', sub {
        local $SIG{__WARN__} = sub { };
        $respond->(['what', [], []]);
    });
}

sub reader {
    my ($env, $respond) = @_;
    my $r = $env->{'psgix.input.reader'} or die 'no reader';
    kept('reader on_data',  sub { $r->on_data(sub { eval { die } }) });
    kept('reader on_error', sub { $r->on_error(sub { }) });
    kept('reader pause',    sub { $r->pause });
    kept('reader resume',   sub { $r->resume });
    kept('reader on_end',   sub { $r->on_end(sub { eval { die "end\n" }; $respond->([200, [], ['read']]) }) });
}

sub ae {
    kept("AE $_", do { my $m = $_; sub { AE->can($m)->() } }) for qw(now time now_update);
    kept('AE timer',  sub { my $t = AE::timer(5, 0, sub { }); undef $t });
    pipe my $in, my $out or die;
    kept('AE io',     sub { my $w = AE::io($in, 0, sub { }); undef $w });
    kept('AE signal', sub { my $w = AE::signal('USR2', sub { }); undef $w });
    kept('AE child',  sub { my $w = AE::child($$, sub { }); undef $w });
    kept('AE idle',   sub { my $w = AE::idle(sub { }); undef $w });
    kept('AE cv',     sub { my $cv = AE::cv; $cv->begin; $cv->end; $cv->recv });
    kept('AE postpone', sub { AnyEvent::postpone(sub { eval { die "later\n" } }) });
}

sub around {
    my ($env, $respond) = @_;
    kept('informational', sub { $env->{'psgix.informational'}->(103, [Link => '</a>']) });
    kept('psgix.io',        sub { my $fd = fileno $env->{'psgix.io'} });
    kept('psgi.errors',     sub { $env->{'psgi.errors'}->print('') });
    kept('psgi.input seek', sub { seek $env->{'psgi.input'}, 0, 0 });
    ae() if $AnyEvent::MODEL =~ /Sprig/;    # others are not ours
    kept('responder raise', sub {
        local $SIG{__WARN__} = sub { };
        $respond->raise("raised\n");
    });
}

sub raise {
    my ($env) = @_;
    kept('psgix.raise', sub { $env->{'psgix.raise'}->(bless [], 'Text') });
}

sub loop {
    my ($respond) = @_;
    my ($io, @w);
    pipe my $in, my $out or die;
    syswrite $out, 'x';
    my %own = (
        'Loop poll_fd' => sub { Sprig::Loop::poll_fd() if $ENV{PERL_ANYEVENT_MODEL} },
        'Loop io'     => sub { push @w, Sprig::Loop::io($in, 0, sub { eval { die } }) },
        'Loop timer'  => sub { push @w, Sprig::Loop::timer(0, 0, sub { eval { die } }) },
        'Loop signal' => sub { push @w, Sprig::Loop::signal('USR1', sub { }) },
        'Loop idle'   => sub { push @w, Sprig::Loop::idle(sub { eval { die } }) },
        'Loop child'  => sub { push @w, Sprig::Loop::child($$, sub { }) },
        map { my $name = $_; ("Loop $name" => sub { Sprig::Loop->can($name)->() }) }
            qw(time now now_update depth may_wait counters attach register),
    );
    kept($_, $own{$_}) for sort keys %own;
    kept('Loop pass', sub { Sprig::Loop::pass(0) for 1 .. 3 });
    my $other;
    push @w, Sprig::Loop::timer(0, 0.01, sub { eval { die } });
    kept('Loop poll', sub { Sprig::Loop::poll() });
    kept('recv', sub {
        my $cv = AE::cv;
        my $t = AE::timer(0.02, 0, sub { eval { die "in\n" }; $! = 5; $cv->send });
        $cv->recv;
    }) if $AnyEvent::MODEL =~ /Sprig/;
    kept('drop own watchers', sub { @w = () });
    $respond->([200, [], ['looped']]);
}

sub server {
    my ($respond) = @_;
    my $s;
    kept('Server new', sub { $s = Sprig::Server->new(host => '127.0.0.1', port => 0, server_ready => sub { eval { die } }) });
    kept('Server start_listen', sub { $s->start_listen(sub { [200, [], []] }) });
    kept('Server listen_guards', sub { my @g = @{ $s->{listen_guards} || [] } });
    kept('Server stop_listening', sub { $s->stop_listening });
    kept('Server drop', sub { undef $s });
    kept('Server register_service', sub {
        $s = Sprig::Server->new(host => '127.0.0.1', port => 0, server_ready => sub { eval { die } });
        $s->register_service(sub { [200, [], []] });
    });
    kept('Server exit_guard', sub { my $g = $s->{exit_guard} });
    kept('Server shutdown', sub { $s->shutdown(sub { eval { die } }) if $s->can('shutdown') });
    kept('Server drop again', sub { undef $s });
    my $worker;
    kept('Worker current', sub { $worker = Sprig::Worker->current });
    kept('Worker after_fork', sub { Sprig::Worker->after_fork(sub { eval { die } }) });
    kept('Worker before_exit', sub { Sprig::Worker->before_exit(sub { eval { die } }) });
    kept("Worker $_", do { my $m = $_; sub { $worker->$m if $worker } }) for qw(number generation is_daemon);
    $respond->([200, [], ['served']]);
}

{ package Text; use overload '""' => sub { eval { die "inner\n" }; $! = 7; $? = 9; 'text' }, fallback => 1; }
{
    package Body;
    sub new     { return bless { n => 0 }, shift }
    sub getline { my ($self) = @_; eval { die }; $! = 7; return $self->{n}++ < 3 ? 'line' : undef }
    sub close   { eval { die }; $! = 7; return }
}

my %with_env = ('/reader' => \&reader, '/around' => \&around);
my %plain = (
    '/writer' => \&writer, '/dropped' => \&dropped, '/body' => \&body, '/ill' => \&ill,
    '/loop' => \&loop, '/server' => \&server,
);
my %app;
for my $when ('app', 'timer') {
    my $at = sub {
        my ($run) = @_;
        return $run->() if $when eq 'app';
        my $t;
        $t = AE::timer 0, 0, sub { undef $t; $run->() };
        return;
    };
    for my $path (keys %plain) {
        my $code = $plain{$path};
        $app{"$path/$when"} = sub { sub { my ($respond) = @_; $at->(sub { $code->($respond) }); return } };
    }
    for my $path (keys %with_env) {
        my $code = $with_env{$path};
        $app{"$path/$when"} = sub {
            my ($env) = @_;
            return sub { my ($respond) = @_; $at->(sub { $code->($env, $respond) }); return };
        };
    }
    $app{"/raise/$when"} = sub {
        my ($env) = @_;
        return sub { my ($respond) = @_; $at->(sub { raise($env); undef $respond }); return };
    };
}
routes(%app);
APP

my @paths = qw(/writer /dropped /body /ill /reader /around /raise /loop /server);
my %env   = (
    'our own loop'                      => {},
    'a loop of others, by descriptor'   => { PERL_ANYEVENT_MODEL => 'Perl' },
    'a loop of others, by its watchers' =>
        { PERL_ANYEVENT_MODEL => 'Perl', SPRIG_LOOP_INTEREST => 1 },
);

for my $mode (sort keys %env) {
    subtest $mode => sub {
        my $server = start_probe(
            $code,
            env  => $env{$mode},
            args => { streaming_input => '/reader/' }
        );
        for my $path (map { ("$_/app", "$_/timer") } @paths) {
            my $client = $server->connect;
            $client->send(get($path, 'Connection: close', 'Content-Length: 4') . 'body');
            $client->rest;
            my @lines = diary($server);
            ok scalar @lines, "$path was called" or diag $server->stderr;
            is_deeply [grep { !/: kept$/ } @lines], [], "$path: each method keeps them";
        }
        ok $server->is_alive, 'the server lives';
    };
}

done_testing;
