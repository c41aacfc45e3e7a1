# What applications written for Twiggy return, and what they look at.
use strict;
use warnings;
use AnyEvent;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../lib';
use SprigTest::Probe;
use Scalar::Util qw(reftype);
my (%kept, $completed);

{

    package Text;
    use overload '""' => sub { $_[0][0] }, fallback => 1;

    package Lines;
    sub getline { shift @{ $_[0]{lines} } }
    sub close   { main::note_down('closed') }

    package StringRef;
    sub string_ref { \$_[0]{text} }
    sub tell       { $_[0]{at} }
    sub getline    { my $s = shift; return if $s->{done}++; substr $s->{text}, $s->{at} }

    package OnlyStringRef;
    sub string_ref { \$_[0]{text} }
    sub tell       { $_[0]{at} }
    sub close      { main::note_down('closed') }
}
*main::note_down = \&note_down;

sub delayed (&) {
    my $code = shift;
    return sub {
        my $env = shift;
        return sub { $code->(@_, $env) }
    }
}

my %env_test = (
    psgi_version => sub { join '.', @{ $_[0]{'psgi.version'} } },
    flags        => sub {
        my $e = shift;
        join ' ',
            map { $_ . '=' . ($e->{"psgi.$_"} ? 1 : 0) }
            qw(nonblocking streaming run_once multithread multiprocess);
    },
    url_scheme => sub { $_[0]{'psgi.url_scheme'} },
    strings    => sub {
        my $e = shift;
        join ' ',
            map { defined $e->{$_} && !ref $e->{$_} ? 'ok' : $_ }
            qw(REQUEST_METHOD REQUEST_URI PATH_INFO QUERY_STRING SERVER_PROTOCOL SCRIPT_NAME REMOTE_ADDR
            REMOTE_PORT SERVER_NAME SERVER_PORT);
    },
    errors => sub { $_[0]{'psgi.errors'}->print("said\n"); 'printed' },
    input  => sub {
        my $in = $_[0]{'psgi.input'};
        join ' ', reftype($in), fileno($in), scalar <$in> // 'undef', $in->seek(0, 0),
            $in->read(my $x, 10);
    },
    input_closed => sub { close $_[0]{'psgi.input'}; 'closed' },
    io           => sub {
        my $io = $_[0]{'psgix.io'};
        join ' ', reftype($io), $io->opened ? 'open' : 'closed', $io->peerhost;
    },
    assignable   => sub { my $e = shift; $e->{$_} = 'x' for keys %$e; %$e = (); 'ok' },
    kept_headers => sub {
        my $e = shift;
        join ' ', map { "$_=" . ($e->{$_} // '') } qw(HTTP_CONNECTION HTTP_UPGRADE);
    },
    buffered => sub { $_[0]{'psgix.input.buffered'} },
);

routes(
    (
        map {
            my $test = $env_test{$_};
            ("/env/$_" => sub { [200, [], [$test->($_[0])]] })
        } keys %env_test
    ),
    '/read' => sub {
        my $got = '';
        while ($_[0]{'psgi.input'}->read(my $b, 7)) { $got .= $b }
        [200, [], [length($got) . " $got"]];
    },
    '/array' => sub { [
        200,
        ['X-Num' => 5, 'Set-Cookie' => 'a=1', 'Set-Cookie' => 'b=2'],
        ['a', '0', '', undef, 'b']
    ] },
    '/phrase'       => sub { ["200 Fine", [],                       ['ok']] },
    '/odd-status'   => sub { [299,        [],                       ['ok']] },
    '/undef-header' => sub { [200,        ['X-A' => undef],         ['ok']] },
    '/odd-headers'  => sub { [200,        ['X-A'],                  ['ok']] },
    '/split'        => sub { [200,        ['X-A' => "a\r\nX-B: b"], ['ok']] },
    '/objects'      =>
        sub { [
        bless(['200'], 'Text'), ['X-A' => bless(['obj'], 'Text')], [bless ['body'], 'Text']
        ] },
    '/latin'     => sub { my $s = "\xe9"; utf8::upgrade($s); [200, ['X-A' => $s], [$s]] },
    '/wide'      => sub { [200, [], ["\x{263a}"]] },
    '/string'    => sub { [200, [], 'plain string'] },
    '/lines'     => sub { [200, [], bless { lines => ['a', '', 'b'] }, 'Lines'] },
    '/io-string' => sub { [200, [], bless { text => 'skipped text', at => 8 }, 'StringRef'] },
    '/string-ref' => sub { [200, [], bless { text => 'skipped text', at => 8 }, 'OnlyStringRef'] },
    '/file'      => sub { open my $fh, '<', $0; [200, ['X-Size' => -s $fh], $fh] },
    '/seeked'    => sub { open my $fh, '<', $0; seek $fh, 10, 0; [200, ['X-Size' => -s $fh], $fh] },
    '/none-204'  => sub { [204, [], []] },
    '/completion' => delayed {
        $_[0]->([200, [], ['done'], sub { note_down('completed') }])
    },
    '/second-argument' => delayed {
        my ($r, $io) = @_;
        $r->(
            [
                200,
                [],
                [
                    join ' ', reftype($io),
                    $io->opened              ? 'open'     : 'closed',
                    $io == $_[2]{'psgix.io'} ? 'the same' : 'another'
                ]
            ]
        )
    },
    '/condvar' => sub {
        my $cv = AE::cv;
        $kept{t} = AE::timer 0.01, 0, sub { $cv->send([200, [], ['by condvar']]) };
        $cv;
    },
    '/undef-body' =>
        delayed { my $w = $_[0]->([200, [], undef]); $w->write('streamed'); $w->close },
    '/returns' => delayed {
        my @w = $_[0]->([200, [], []]);
        note_down('returned ' . (defined $w[0] ? 'something' : 'undef'))
    },
    '/few' => delayed {
        eval { $_[0]->([200]); 1 } or note_down("died");
    },
    '/never' => sub {
        sub { }
    },
    '/kept-io' => delayed { $kept{io} = $_[1]; },
    '/use-io'  => sub {
        my $io = $kept{io};
        syswrite $io, "HTTP/1.0 200 OK\r\n\r\nby hand";
        close $io;
        delete $kept{io};
        [200, [], []];
    },
    '/twice'  => delayed { $_[0]->([200, [], ['first']]); $_[0]->([500, [], ['second']]) },
    '/writer' => delayed {
        my $w = $_[0]->([200, []]);
        note_down(ref $w, reftype $w, $w->isa('Twiggy::Writer') ? 'isa' : 'is not');
        $w->write($_) for 'a', '', undef, 'b';
        $w->write;
        $w->{mine} = 1;
        $w->close;
        $w->close;
        note_down('after close: ' . (eval { $w->write('x') } ? 'true' : $@ ? 'died' : 'false'))
    },
    '/writer-wide' => delayed {
        my $w = $_[0]->([200, []]);
        eval { $w->write("\x{263a}"); 1 } or note_down('died');
        $w->write('on');
        $w->close
    },
    '/writer-dropped' => delayed { my $w = $_[0]->([200, []]); $w->write('all'); undef $w },
    '/writer-patched' => delayed {
        no warnings 'once';
        local *Twiggy::Writer::shout = sub { $_[0]->write(uc $_[1]) };
        my $w = $_[0]->([200, []]);
        $w->shout('loud');
        $w->close
    },
    '/writer-handle' => delayed {
        my $w = $_[0]->([200, []]);
        $w->{handle}{rbuf_max} = 5;
        $w->{handle}->low_water_mark(0);
        $w->{handle}->on_error(sub { note_down('on_error'); $w->close });
        $w->{handle}->on_eof(sub { $w->close });
        $w->{handle}->push_write('by handle');
        note_down(fileno($w->{handle}->fh) > 2 ? 'fh' : 'no fh');
        $w->{handle}->push_shutdown
    },
    '/left' => delayed {
        my $w = $kept{w} = $_[0]->([200, []]);
        $w->write('x');
        $w->{handle}->on_error(
            sub { my ($h, $fatal, $msg) = @_; note_down("$fatal $msg " . ($! + 0 ? 'errno' : '')); }
        )
    },
    '/write-left' => sub {
        my $r    = eval { $kept{w}->write('more') };
        my $text = $@ ? 'died' : $r ? 'true' : 'false';
        delete $kept{w};
        [200, [], [$text]];
    },
    '/hook' => sub {
        my $env = shift;
        Plack::Util::response_cb(
            [200, [], ['x']],
            sub {
                sub { defined $_[0] ? uc $_[0] : undef }
            }
        );
    },
    '/hook-stream' => sub {
        Plack::Util::response_cb(
            sub { my $w = $_[0]->([200, []]); $w->write('abc'); $w->close },
            sub {
                sub { return if !defined $_[0]; return uc $_[0] }
            }
        );
    },
    '/dies'         => sub { die "with a message\n" },
    '/dies-object'  => sub { die bless ['an object'], 'Text' },
    '/false'        => sub { 0 },
    '/hash'         => sub { +{} },
    '/empty'        => sub { [] },
    '/dies-delayed' => delayed { die "in the callback\n" },
    '/dies-later' => delayed { my $w = $_[0]->([200, []]); $w->write('some'); die "after some\n" },
    '/dies-timer' => delayed {
        my $r = shift;
        $kept{timer} = AE::timer 0, 0, sub { delete $kept{timer}; die "in a timer\n"; $r->() }
    },
    '/errors-replaced' => sub {
        open my $fh, '>', \my $text;
        $kept{text} = \$text;
        $_[0]{'psgi.errors'} = $fh;
        die "elsewhere\n";
    },
    '/errors-read' => sub { [200, [], [${ $kept{text} }]] },
    '/recv'        => sub {
        my $cv = AE::cv;
        my $t  = AE::timer 0.02, 0, sub { $cv->send('waited') };
        [200, [], [$cv->recv]];
    },
    '/hints' => sub {
        my $e = shift;
        note_down($e->{'psgix.informational'}->(103, [Link => '</a.css>; rel=preload'])
            ? 'sent'
            : 'not sent');
        eval { $e->{'psgix.informational'}->(200, []); 1 } or note_down('refused');
        $kept{inform} = $e->{'psgix.informational'};
        [200, [], ['final']];
    },
    '/hints-late'  => sub { [200, [], [$kept{inform}->(103, []) ? 'sent' : 'not sent']] },
    '/scalar-refs' => sub {
        my $e   = shift;
        my $big = 'y' x 100_000;
        [200, [], [\'by ', \'reference ', $e->{'psgix.body.scalar_refs'} ? 'told ' : '', \$big]];
    },
    '/scalar-refs-writer' =>
        delayed { my $w = $_[0]->([200, []]); my $s = 'by reference'; $w->write(\$s); $w->close },
);
