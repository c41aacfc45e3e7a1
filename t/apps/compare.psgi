# Answers of all kinds, for the comparison of servers; every other path tells what was asked.
use strict;
use warnings;
use AnyEvent;

my $dump = do "$ENV{DUMP_APP}" or die "cannot load $ENV{DUMP_APP}: $@$!";

{

    package Lines;
    sub getline { return shift @{ $_[0] } }
    sub close   { return }
}

sub later {
    my ($respond, @response) = @_;
    my $t;
    $t = AE::timer 0.01, 0, sub { undef $t; $respond->(@response) };
    return;
}

my %answer_of = (
    '/array'       => sub { [200,        ['X-A' => 1],       ['a', '', 'b']] },
    '/zero'        => sub { [200,        [],                 ['0']] },
    '/empty'       => sub { [200,        [],                 []] },
    '/created'     => sub { [201,        [Location => '/x'], ['made']] },
    '/moved'       => sub { [302,        [Location => '/x'], []] },
    '/gone'        => sub { [410,        [],                 ['gone']] },
    '/strange'     => sub { [299,        [],                 ['strange']] },
    '/phrase'      => sub { ['200 Fine', [],                 ['fine']] },
    '/string'      => sub { [200,        [],                 'a string'] },
    '/latin'       => sub { my $s = "\xe4"; utf8::upgrade($s); [200, [], [$s]] },
    '/undef-value' => sub { no warnings; [200, ['X-A' => undef], ['ok']] },
    '/long'        => sub { [200, [], ['x' x 3_000_000]] },
    '/glob'        => sub { open my $fh, '<', $ENV{DUMP_APP}; [200, [], $fh] },
    '/memory'      => sub { open my $fh, '<', \"in memory";   [200, [], $fh] },
    '/lines'       => sub { [200, [], bless ['a', '', "b\n"], 'Lines'] },
    '/delayed'     => sub {
        sub { later($_[0], [200, [], ['late']]) }
    },
    '/now' => sub {
        sub { $_[0]->([200, [], ['now']]) }
    },
    '/stream' => sub {
        sub { my $w = $_[0]->([200, []]); $w->write($_) for 1 .. 5; $w->close }
    },
    '/slow' => sub {
        sub {
            my $w = $_[0]->([200, []]);
            $w->write('one ');
            later(sub { $w->write('two'); $w->close });
        }
    },
    '/dropped' => sub {
        sub { my $w = $_[0]->([200, []]); $w->write('all'); undef $w }
    },
    '/condvar' => sub {
        my $cv = AE::cv;
        later(sub { $cv->send([200, [], ['cv']]) });
        $cv;
    },
    '/by-hand' => sub {
        my $io = $_[0]{'psgix.io'};
        sub { syswrite $io, "HTTP/1.0 200 OK\r\n\r\nby hand"; shutdown $io, 1 }
    },
    '/dies'       => sub { die "on purpose\n" },
    '/false'      => sub { 0 },
    '/no-content' => sub { [204, [],                       []] },
    '/unchanged'  => sub { [304, [ETag => '"a"'],          []] },
    '/body-204'   => sub { [204, [],                       ['unwanted']] },
    '/wide'       => sub { [200, [],                       ["\x{263a}"]] },
    '/split'      => sub { [200, ['X-A' => "a\r\nX-B: b"], ['split']] },
    '/odd'        => sub { [200, ['X-A'],                  ['odd']] },
    '/hash'       => sub { +{} },
    '/nothing'    => sub { [] },
    '/dies-late'  => sub {
        sub { die "on purpose\n" }
    },
    '/never' => sub {
        sub { }
    },
    '/dies-amid' => sub {
        sub { my $w = $_[0]->([200, []]); $w->write('some'); die "on purpose\n" }
    },
    '/recv' => sub {
        my $cv = AE::cv;
        later(sub { $cv->send });
        $cv->recv;
        [200, [], ['waited']];
    },
);

sub {
    my ($env) = @_;
    my $answer = $answer_of{ $env->{PATH_INFO} } || $dump;
    return $answer->($env);
};
