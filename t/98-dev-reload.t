# sprig --dev: whoever asks after a file has been saved gets the new code, waits for it if need be, and is
# never turned away.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Dev;
use SprigTest::Load;
use SprigTest::Workers;
use Test::More;
use Time::HiRes qw(time);

# An app that answers with this text; `more` is code in front.
sub app {
    my ($text, $more) = @_;
    return ($more || '') . "sub { [200, ['Content-Type' => 'text/plain'], ['$text']] };\n";
}

sub start_app { return start_dev(code => app(1), @_) }

# Waits until / answers with this.
sub answers {
    my ($dev, $text, $name) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my $got = '';
    my $ok  = eventually(sub { ($got = $dev->body_of('/') // '') =~ $text }, SOON);
    ok($ok, $name) or diag "/ answers: $got\n", $dev->stderr;
    return $ok;
}

# How long the machine takes, as busy as it is, to load the same application in a process of its own.
sub load_seconds {
    my ($dev) = @_;
    my $start = time;
    SprigTest::output_of(SprigTest::root() . '/blib/script/sprig', '--check', $dev->path('app.psgi'));
    return time - $start;
}

subtest 'saves under load' => sub {
    my $dev   = start_app();
    my @loads = map { SprigTest::Load->start(port => $dev->port, keeps => $_, pause => 0.01) } 1, 0;
    my (@seconds, @loading);
    for my $n (2 .. 21) {
        my $code = app($n);
        $n % 2 ? spew($dev->path('app.psgi'), $code) : $dev->rewrite(code => $code);
        my $start = time;
        last if !eventually(sub { ($dev->body_of('/') // '') eq $n }, SOON);
        push @seconds, time - $start;
        push @loading, load_seconds($dev) if $n % 4 == 0;
    }
    is scalar @seconds, 20, 'twenty saves, in place and by rename, are served' or diag $dev->stderr;
    my ($middle) = (sort { $a <=> $b } @seconds)[@seconds / 2];
    my ($usual)  = (sort { $a <=> $b } @loading)[@loading / 2];
    cmp_ok $middle, '<', 1 + 5 * $usual, 'before long, as the loading of the application goes';
    diag sprintf 'from save to answer: %.2f s, loading takes %.2f s (medians)', $middle, $usual;
    no_loss_ok('twenty saves', @loads);
    is $dev->workers, 1, 'one worker is left' if eventually(sub { $dev->workers == 1 }, SOON);
    $dev->ends_ok;
};

subtest 'a request after the save gets the new code, and waits for it' => sub {
    my $dev = start_app();
    my @old = $dev->workers;
    $dev->put('app.psgi', app('slow', "select undef, undef, undef, 1;\n"));
    eventually(
        sub {
            grep { $_ != $old[0] } $dev->workers;
        },
        SOON
    );
    my $start = time;
    is $dev->body_of('/'), 'slow', 'the new code answers';
    cmp_ok time - $start, '>', 0.3, '... once it is loaded';
    $dev->ends_ok;
};

subtest 'a module of the application, one that is loaded later, and one that was missing' => sub {
    my $dev = start_app(
        prepare => sub {
            mkdir "$_" for qw(lib lib/My);
            spew('lib/My/Early.pm', 'package My::Early; sub text { "early 1" } 1;');
            spew('lib/My/Late.pm',  'package My::Late; sub text { "late 1" } 1;');
        },
        flags => ['-Ilib'],
        code  => <<'APP',
use My::Early;
sub {
    my $path = $_[0]{PATH_INFO};
    my $text = $path eq '/late' ? do { require My::Late; My::Late::text() } : My::Early::text();
    [200, ['Content-Type' => 'text/plain'], [$text]];
};
APP
    );
    is $dev->body_of('/'), 'early 1', 'the first code';
    $dev->put('lib/My/Early.pm', 'package My::Early; sub text { "early 2" } 1;');
    answers($dev, qr/\Aearly 2\z/, 'a module that has changed');
    is $dev->body_of('/late'), 'late 1', 'one that a request loads';
    my $is_seen;
    for my $n (2 .. 4)
    {    # it is watched a moment after it was loaded: see Sprig::Manual::Development
        $dev->put('lib/My/Late.pm', "package My::Late; sub text { 'late $n' } 1;");
        last
            if $is_seen = eventually(sub { ($dev->body_of('/late') // '') eq "late $n" }, SOON / 3);
    }
    ok $is_seen, '... is watched from then on';

    $dev->rewrite(code => "use My::New;\n" . app('new'));
    answers($dev, qr/locate My\/New\.pm/, 'a module that is missing');
    $dev->put('lib/My/New.pm', 'package My::New; 1;');
    answers($dev, qr/\Anew\z/, '... and is there now');
    $dev->ends_ok;
};

subtest 'what cannot be loaded is explained until it is repaired' => sub {
    my $dev = start_app(code => "use strict;\nmy \$app = sub { [200, [], ['x']] ;\n\$app;\n");
    like $dev->body_of('/'), qr/app\.psgi line 3/, 'a syntax error, at the start';
    answers($dev, qr/app\.psgi line 3/, 'as often as somebody asks');
    $dev->rewrite(code => app('good'));
    answers($dev, qr/\Agood\z/, 'repaired');
    $dev->rewrite(code => "die { code => 5 };\n");
    answers($dev, qr/HASH/, 'an exception that is no text');
    $dev->rewrite(code => "{ not => 'code' };\n");
    answers($dev, qr/must return an application/, 'no application');
    $dev->rewrite(code => "exit 3;\n");
    answers($dev, qr/exited with status 3/, 'exit');
    $dev->rewrite(code => "kill KILL => \$\$; sleep 5;\n");
    answers($dev, qr/signal 9/, 'a worker that is killed');
    unlink $dev->path('app.psgi');
    answers($dev, qr/cannot read app\.psgi/, 'no file');
    $dev->rewrite(code => app('better'));
    answers($dev, qr/\Abetter\z/, 'and a good one');
    $dev->ends_ok;
};

subtest '--watch' => sub {
    my $dev = start_app(
        prepare => sub { mkdir 'tmpl'; spew('tmpl/page.tt', 'page 1') },
        flags   => ['--watch', 'tmpl/**', '--watch', '*.conf'],
        code    => <<'APP',
use strict;
my $text = join ',', map { open my $in, '<', $_ or die $!; local $/; <$in> } glob('tmpl/*.tt *.conf');
sub { [200, ['Content-Type' => 'text/plain'], [$text]] };
APP
    );
    like $dev->stderr, qr{watching 2 files and \S+/tmpl/\*\*,\S+/\*\.conf},
        'the banner tells what is watched';
    $dev->put('tmpl/page.tt', 'page 2');
    answers($dev, qr/\Apage 2\z/, 'a template');
    spew($dev->path('new.conf'), 'conf');
    answers($dev, qr/\Apage 2,conf\z/, 'a new file');
    unlink $dev->path('new.conf');
    answers($dev, qr/\Apage 2\z/, 'and its end');
    my ($worker) = $dev->workers;
    $dev->put('tmpl/.hidden', 'x');
    spew($dev->path('notes'), 'x');
    $dev->body_of('/') for 1 .. 3;
    is join(' ', $dev->workers), $worker, 'other files do not matter';
    $dev->ends_ok;
};

subtest 'many changes at once are one reload' => sub {
    my $dev = start_app(
        prepare => sub { mkdir 'many'; spew("many/$_", 1) for 1 .. 200 },
        flags   => ['--watch', 'many']
    );
    my $from = length $dev->stderr;
    spew($dev->path("many/$_"), 22) for 1 .. 200;
    ok eventually(
        sub { substr($dev->stderr, $from) =~ qr/reloaded in .*: many\/\d+ and \d+ more/ }, SOON
        ),
        'they are told in one line'
        or diag $dev->stderr;
    my $n = () = substr($dev->stderr, $from) =~ /reloaded/g;
    cmp_ok $n, '<=', 10, 'and not by a reload for each';
    $dev->ends_ok;
};

subtest 'a file that the application writes while it loads' => sub {
    my $dev = start_app(
        flags => ['--watch', '*.cache'],
        code  => 'open my $to, ">", "made.cache" or die; print $to rand; close $to;' . app('made'),
    );
    ok $dev->stderr_like(
        qr/made\.cache changes whenever the application is loaded, so it is no longer watched/),
        'is left alone after a while'
        or diag $dev->stderr;
    answers($dev, qr/\Amade\z/, 'and the application serves');
    $dev->ends_ok;
};

subtest 'HUP' => sub {
    my $dev = start_app();
    my @old = $dev->workers;
    $dev->signal('HUP');
    ok eventually(sub { !is_running($old[0]) && $dev->workers }, SOON), 'loads all anew';
    answers($dev, qr/\A1\z/, 'and serves');
    $dev->ends_ok;
};

done_testing;
