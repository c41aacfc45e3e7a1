# Responses that a server written in C can stumble over.
use strict;
use warnings;
use AnyEvent;
use Tie::Array;
use File::Basename qw(dirname);
use lib dirname(__FILE__) . '/../lib';
use SprigTest::Probe;

{

    package TiedScalar;
    sub TIESCALAR { return bless [$_[1]] }
    sub FETCH     { return $_[0][0] }

    package DyingArray;
    sub TIEARRAY  { return bless [] }
    sub FETCHSIZE { return 2 }
    sub FETCH     { die "in FETCH\n" }

    package DyingText;
    use overload '""' => sub { die "in text\n" }, fallback => 1;

    package Code;
    use overload '&{}' => sub { $_[0]{code} }, fallback => 1;

    package Lines;
    sub getline { my $next = shift @{ $_[0]{lines} }; return ref $next ? $next->() : $next }
    sub close { SprigTest::Probe::note_down("closed $_[0]{name}"); die "in close\n" if $_[0]{dies} }
    sub fileno { die "no fileno\n" }

    package TiedHandle;
    sub TIEHANDLE { return bless [] }
    sub PRINT     { my $self = shift; SprigTest::Probe::note_down("tied: @_"); return 1 }

    package Lying;
    sub TIEARRAY  { return bless { asked => 0 } }
    sub FETCHSIZE { return 1 + $_[0]{asked}++ % 3 }
    sub FETCH     { return $_[1] ? undef : 'a' }

    package Text;
    use overload '""' => sub { $_[0][0] }, fallback => 1;

    package Does;
    use overload '""' => sub { $_[0]{code}->(); 'text ' }, fallback => 1;

    package Log;
    sub print { my $self = shift; SprigTest::Probe::note_down("logged: @_"); return 1 }

    package AtEnd;
    sub DESTROY { $_[0]{code}->() }
}

my %kept;

sub body { return bless { name => shift, lines => [@_] }, 'Lines' }

# Calls code with a writer, or with the responder.
sub writer (&) {
    my ($code) = @_;
    return sub {
        my ($env) = @_;
        return sub { $code->($_[0]->([200, []]), $env) };
    };
}

sub delayed (&) {
    my ($code) = @_;
    return sub {
        my ($env) = @_;
        return sub { $code->($_[0], $env) };
    };
}

sub tied_scalar { tie my $x, 'TiedScalar', $_[0]; return \$x }
sub dying_array { tie my @x, 'DyingArray';    return \@x }
sub lying_array { tie my @x, 'Lying';         return \@x }
sub tied_array  { tie my @x, 'Tie::StdArray'; @x = @_; return \@x }
sub at_end (&)  { return bless { code => $_[0] }, 'AtEnd' }

routes(
    '/tied-value'  => sub { [200, ['X-A' => ${ tied_scalar('a') }], [${ tied_scalar('body') }]] },
    '/tied-dies'   => sub { [200, ['X-A' => 'a'],                   dying_array()] },
    '/text-dies'   => sub { [200, ['X-A' => bless {}, 'DyingText'], ['body']] },
    '/magic-write' => writer {
        my ($w) = @_;
        my $x = 'xyzabc';
        $w->write(substr $x, 3);
        'q-def' =~ /-(.*)/;
        $w->write($1);
        $w->write(${ tied_scalar('ghi') });
        $w->close;
    },
    '/utf8' => sub {
        my $s = "\xe4\xf6";
        utf8::upgrade($s);
        $kept{s} = \$s;
        [200, [], [$s, 'x']];
    },
    '/utf8-kept'  => sub { [200, [], [utf8::is_utf8(${ $kept{s} }) ? 'as it was' : 'changed']] },
    '/wide-write' => writer {
        my ($w) = @_;
        $w->write('begun');
        $w->write("\x{263a}");
    },
    (
        map {
            my $name = $_;
            ("/header/" . unpack('H*', $name) => sub { [200, [$name => 'a'], ['ok']] })
        } '',
        'a:b', 'a b',
        "a\n"
    ),
    (
        map {
            my $value = $_;
            ("/value/" . unpack('H*', $value) => sub { [200, ['X-A' => $value], ['ok']] })
        } "a\r\nb",
        "a\nb", "a\0b",
        "a\r\n b",
        "a\x07"
    ),
    (
        map {
            my $status = $_;
            ("/status/$status" => sub { [$status, [], []] })
        } 0,
        99, 100, 103, 1000, 'none', 599,
        799
    ),
    '/order' => sub {
        [200, ['Set-Cookie' => 'b', 'X-A' => 1, 'Set-Cookie' => 'a', 'X-A' => 2], []]
    },
    '/no-body' => delayed { my $w = $_[0]->([200, [], undef]); $w->write('by writer'); $w->close },
    '/lines'   => sub { [200, [], body('lines', 'a', '', ('') x 20, 'b')] },
    '/lines-die'  => sub { [200, [], body('dying', 'a', sub { die "in getline\n" })] },
    '/close-dies' => sub { [200, [], bless { name => 'it', lines => ['a'], dies => 1 }, 'Lines'] },
    '/lines-204'  => sub { [204, [], body('204',     'a')] },
    '/lines-304'  => sub { [304, [], body('304',     'a')] },
    '/endless'    => sub { [200, [], body('endless', map { 'x' x 100_000 } 1 .. 500)] },
    '/seeked'     => sub { open my $fh, '<', __FILE__; readline $fh; [200, [], $fh] },
    '/separator'  => sub {
        my $b = body('separator', sub { $kept{rs} = ref $/ ? ${$/} : $/; 'x' });
        [200, [], $b];
    },
    '/separator-kept' => sub { [200, [], [join ' ', $/ eq "\n" ? 'newline' : 'other', $kept{rs}]] },
    '/output-variables' => sub { local ($\, $,) = ('E', 'S'); [200, [], ['a', 'b']] },
    '/die-amid'         => writer { my ($w) = @_; $w->write('begun'); die "amid\n" },
    '/caught'           => writer {
        my ($w) = @_;
        $w->write('all');
        eval { die "caught\n" };
        $w->close
    },
    '/empty-write' =>
        writer { my ($w) = @_; $w->write(''); $w->write('a'); $w->write(''); $w->close },
    '/twice'        => delayed { $_[0]->([200, [], ['first']]); $_[0]->([200, [], ['second']]) },
    '/from-destroy' => delayed {
        my ($r) = @_;
        my $x   = bless { code => sub { $r->([200, [], ['from DESTROY']]) } }, 'AtEnd';
        undef $x;
    },
    '/reentrant' => writer {
        my ($w) = @_;
        $w->on_drain(sub { $w->on_drain(undef); $w->write('within'); $w->close });
        $w->write('before ');
    },
    '/late-respond' => delayed { $kept{r} = $_[0] },
    '/respond-now'  => sub {
        my $r = delete $kept{r};
        my $w = eval { $r->([200, []]) };
        $w->write('x') if $w;
        [200, [], [$@ || 'ok']];
    },
    '/env-spoil' => sub {
        my ($env) = @_;
        $_ = 'spoilt' for grep { !ref } values %$env;
        push @{ $env->{'psgi.version'} }, 7;
        $env->{'psgix.cleanup.handlers'} = 'none';
        [200, [], ['spoilt']];
    },
    '/env-clear' => sub { %{ $_[0] } = (); [200, [], ['cleared']] },
    '/env-look'  => sub {
        my ($env) = @_;
        [200, [], [join ' ', @{ $env->{'psgi.version'} }, @$env{qw(REMOTE_ADDR REQUEST_METHOD)}]];
    },
    '/last' => sub { no warnings; last; },
    '/fork' => sub {
        my $pid = fork;
        if (!$pid) { open STDERR, '>', '/dev/null'; exit 3 }
        waitpid $pid, 0;
        [200, [], [$? >> 8]];
    },
    '/system' => sub { [200, [], [system($^X, '-e', 'exit 5') >> 8]] },
    '/alarm'  => sub {
        my $caught = 'nothing';
        eval {
            local $SIG{ALRM} = sub { die "alarm\n" };
            alarm 1;
            AE::cv->recv;
        };
        [200, [], [$@]];
    },
    '/pipe-handler' => sub { [200, [], [ref $SIG{PIPE} ? 'code' : $SIG{PIPE} || 'default']] },
    '/tied-stderr'  => sub {
        tie *STDERR, 'TiedHandle';
        $kept{untie} = AE::timer 0.05, 0, sub { untie *STDERR };
        die "to the tied handle\n";
    },
    '/code-object' => sub {
        bless { code => sub { $_[0]->([200, [], ['object']]) } }, 'Code';
    },
    '/close-io' => sub {
        my ($env) = @_;
        sub {
            my ($r, $io) = @_;
            syswrite $io, "HTTP/1.0 200 OK\r\n\r\nmine";
            close $io;
            open $kept{fh}, '<', '/dev/null';
        };
    },
    '/read-ahead' => sub {
        my ($env) = @_;
        sub {
            my ($r, $io) = @_;
            read $io, my $got, 5;
            syswrite $io, "HTTP/1.0 200 OK\r\n\r\n[$got]";
            close $io;
        };
    },
    '/topic'         => sub { $_ = 'mine'; local $@ = 'kept'; [200, [], [$_]] },
    '/tied-all'      => sub { tied_array(200, tied_array('X-A' => 'a'), tied_array('b', 'c')) },
    '/lies'          => sub { [200, [],            lying_array()] },
    '/lies-headers'  => sub { [200, lying_array(), ['a']] },
    '/dies-response' => sub { dying_array() },
    '/dies-headers'  => sub { [200, dying_array(), ['a']] },
    '/objects'       => sub {
        [(bless ['201'], 'Text'), ['X-A', bless ['a'], 'Text'], [bless ['b'], 'Text']]
    },
    '/status-dies'    => sub { [bless({}, 'DyingText'), [], ['body']] },
    '/element-dies'   => sub { [200,                    [], ['body', bless {}, 'DyingText']] },
    '/wide'           => sub { [200,                    [], ['a', "\x{263a}"]] },
    '/wide-header'    => sub { [200,                    ['X-A' => "\x{263a}"],          ['a']] },
    '/undef-header'   => sub { [200,                    ['X-A' => undef, 'X-B' => 'b'], ['ok']] },
    '/odd'            => sub { [200,                    ['X-A'],                        ['ok']] },
    '/fine'           => sub { ['200 Fine',             [],                             ['ok']] },
    '/in-memory'      => sub { open my $fh, '<',      \'in memory'; [200, [], $fh] },
    '/layered'        => sub { open my $fh, '<:crlf', $kept{crlf};  [200, [], $fh] },
    '/layered-file'   => sub { $kept{crlf} = $_[0]{QUERY_STRING}; [200, [], []] },
    '/announced'      => sub { open my $fh, '<', __FILE__; [200, ['Content-Length' => 5], $fh] },
    '/respond-within' => delayed {
        my ($r) = @_;
        my $w = $r->([200, []]);
        $w->write(bless { code => sub { $w->write('within '); $r->([500, [], ['again']]) } },
            'Does');
        $w->close;
    },
    '/at-destruction' => delayed { our $at_destruction = $_[0] },
    '/env-delete'     => sub {
        my ($env) = @_;
        delete @$env{qw(REMOTE_ADDR HTTP_CONNECTION REQUEST_METHOD SERVER_PROTOCOL psgi.errors)};
        $env->{$_} = undef for 'psgi.input', 'psgix.io';
        [200, [], ['deleted']];
    },
    '/env-delete-dies' => sub { delete $_[0]{'psgi.errors'}; die "without psgi.errors\n" },
    '/errors-replaced' => sub { $_[0]{'psgi.errors'} = bless [], 'Log'; die "to a log\n" },
    '/destroy-dies'    => sub {
        my $x = at_end { die "in DESTROY\n" };
        local $@ = 'mine';
        undef $x;
        [200, [], [$@]];
    },
    '/late-destroy-dies' => sub {
        $_[0]{'my.guard'} = at_end {
            eval { 1 };
            die "in a late DESTROY\n"
        };
        [200, [], ['ok']];
    },
    '/next'    => sub { no warnings; next; },
    '/goto'    => sub { no warnings; goto NOWHERE; },
    '/handler' => sub {
        $SIG{USR1} = sub { note_down('USR1') };
        [200, [], ['set']];
    },
    '/pending' => delayed {
        my ($r) = @_;
        $kept{pending} = AE::timer 0.05, 0,
            sub { delete $kept{pending}; $r->([200, [], ['first']]) };
    },
    '/watch' => delayed {
        my ($w) = $_[0]->([200, ['Content-Length' => 5]]);
        $w->on_disconnect(sub { note_down('left') });
        $kept{watch} = AE::timer 0.05, 0, sub { $w->write('watch'); $w->close; undef $w };
    },
    '/read-to-end' => sub {
        sub {
            my ($r, $io) = @_;
            my $got = '';
            syswrite $io, 'go ';
            $kept{io} = AE::io $io, 0, sub {
                my $n = sysread $io, $got, 100, length $got;
                return if $n || !defined $n;
                delete $kept{io};
                syswrite $io, "[$got]";
                close $io;
            };
        };
    },
    '/order-of-end' => sub {
        my ($env) = @_;
        $env->{'my.guard'} = at_end { note_down('env') };
        my $b = body('body', 'a');
        $b->{guard} = at_end { note_down('body') };
        [200, [], $b];
    },
    '/local-topic' => sub {
        local $_ = 'mine';
        my $cv = AE::cv;
        my $t  = AE::timer 0.05, 0, sub { $cv->send };
        $cv->recv;
        [200, [], [$_]];
    },
);
