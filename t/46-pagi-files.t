# PAGI applications: bodies from files and file handles.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Pagi;
use SprigTest::Probe qw(get await_diary eventually);
use Test::More;

needs_pagi();

my $bytes = join '', map { sprintf "%07d\n", $_ } 0 .. 99_999;
my $file  = spew(SprigTest::temp_path('file'), $bytes);

my $server = start_pagi(<<'APP', env => { TEST_FILE => $file });
my $file = $ENV{TEST_FILE};

async sub send_it {
    my ($send, $future, @event) = @_;
    await $send->({ type => 'http.response.start', status => 200 });
    await $send->({ type => 'http.response.body', @event });
    note_down('sent');
}

sub opened {
    open my $fh, '<:raw', $file or die "cannot open $file: $!";
    return $fh;
}

{
    package Tied;
    sub TIEHANDLE { my ($class, $text) = @_; return bless { text => $text, at => 0 }, $class }

    sub READ {
        my ($self, undef, $n) = @_;
        $_[1] = defined $self->{text} ? substr $self->{text}, $self->{at}, $n : "\x{263a}";
        $self->{at} += length $_[1];
        return length $_[1];
    }
    sub SEEK { my ($self, $at) = @_; $self->{at} = $at; return 1 }
}

sub tied_to {
    my ($text) = @_;
    my $fh = \do { no warnings 'once'; local *FH };
    tie *$fh, 'Tied', $text;
    return $fh;
}

paths(
    '/file'   => async sub { await send_it($_[2], 0, file => $file) },
    '/range'  => async sub { await send_it($_[2], 0, file => $file, offset => 8, length => 16) },
    '/end'    => async sub { await send_it($_[2], 0, file => $file, offset => 799_992, length => 999) },
    '/behind' => async sub { await send_it($_[2], 0, file => $file, offset => 900_000) },
    '/zero'   => async sub { await send_it($_[2], 0, file => $file, length => 0) },
    '/fh'     => async sub {
        my $fh = opened();
        await send_it($_[2], 0, fh => $fh);
        close $fh or die "close: $!";
    },
    '/fh-from' => async sub {
        my $fh = opened();
        readline $fh for 1 .. 3;
        await send_it($_[2], 0, fh => $fh, length => 8);
    },
    '/fh-offset' => async sub { await send_it($_[2], 0, fh => opened(), offset => 80, length => 8) },
    '/memory'    => async sub {
        open my $fh, '<', \(my $text = 'x' x 300_000) or die "open: $!";
        await send_it($_[2], 0, fh => $fh);
        note_down('open: ' . (defined fileno($fh) ? 1 : 0));
    },
    '/pipe' => async sub {
        open my $fh, '-|', 'printf piped' or die "pipe: $!";
        await send_it($_[2], 0, fh => $fh);
    },
    '/tied'        => async sub { await send_it($_[2], 0, fh => tied_to('y' x 300_000)) },
    '/tied-offset' => async sub { await send_it($_[2], 0, fh => tied_to('0123456789'), offset => 3, length => 4) },
    '/tied-fails'  => async sub { await send_it($_[2], 0, fh => tied_to(undef)) },
    '/recover'     => async sub {
        my ($scope, $receive, $send) = @_;
        await $send->({ type => 'http.response.start', status => 200 });
        my $wrong = wrong($send->({ type => 'http.response.body', file => "$file.none" }));
        await $send->({ type => 'http.response.body', body => "instead: $wrong" });
    },
);
APP

is $server->ask(get('/file'))->body,      $bytes,               'a whole file';
is $server->ask(get('/range'))->body,     "0000001\n0000002\n", 'a part of it';
is $server->ask(get('/end'))->body,       "0099999\n",          'up to its end';
is $server->ask(get('/behind'))->body,    '',                   'nothing behind that';
is $server->ask(get('/zero'))->body,      '',                   'no bytes';
is $server->ask(get('/fh'))->body,        $bytes,               'a handle, which the app closes';
is $server->ask(get('/fh-from'))->body,   "0000003\n",          'from where it stands';
is $server->ask(get('/fh-offset'))->body, "0000010\n",          'from an offset';
is length $server->ask(get('/memory'))->body, 300_000,          'a handle in memory';
is $server->ask(get('/pipe'))->body,          'piped',          'a pipe';
is $server->ask(get('/tied'))->body,          'y' x 300_000,    'a tied handle';
is $server->ask(get('/tied-offset'))->body,   '3456',           'a part of one';
is $server->ask(get('/tied-fails'))->body,    '',               'one that gives no bytes';
like $server->stderr, qr{GET /tied-fails: http\.response\.body: cannot read from fh}, 'is told';
like $server->ask(get('/recover'))->body, qr/\Ainstead: http\.response\.body: cannot open file/,
    'a file that is not there can be made up for';
my $head = $server->ask("HEAD /file HTTP/1.1\r\nHost: test\r\n\r\n", method => 'HEAD');
is $head->status,                                          200, 'HEAD';
is scalar(grep { $_ eq 'sent' } await_diary($server, 15)), 13,  'each future became ready';

my $before = $server->n_descriptors;
$server->ask(get('/file')) for 1 .. 20;
ok eventually { $server->n_descriptors <= $before + 2 }, 'no descriptor is left';
ok eventually { scope_counters($server) == 0 },          'no scope is left';
$server->stop_ok;

done_testing;
