package SprigTest::Probe;

# What a test wants to know about the process that serves its app.
#
# In the app:   use SprigTest::Probe; routes('/path' => sub { my ($env) = @_; ... }, ...);
#               note_down('what happened');
# In the test:  my $server = start_probe(<<'APP'); counters($server); diary($server);

use strict;
use warnings;
use Exporter       qw(import);
use File::Basename qw(dirname);
use File::Spec;
use Time::HiRes qw(time);

our @EXPORT =
    qw(routes note_down start_probe get counters diary loop_of eventually comes_to_rest await_diary);

my $lib = dirname(dirname(File::Spec->rel2abs(__FILE__)));
my @diary;

# ---- in the server ----

sub note_down {
    push @diary, map { my $line = $_; $line =~ s/\n+\z//; $line } @_;
    return;
}

# An app that looks for the path in its table.
sub routes {
    my (%app_for) = @_;
    return sub {
        my ($env) = @_;
        my $path = $env->{PATH_INFO};
        return _counters() if $path eq '/probe/counters';
        return [200, [], [$AnyEvent::MODEL]]         if $path eq '/probe/loop';
        return [200, [], [join "\n", splice @diary]] if $path eq '/probe/diary';
        my $app = $app_for{$path} or return [404, [], ["no such path: $path"]];
        return $app->($env);
    };
}

sub _counters {
    my $counters = Sprig::counters();
    return [200, [], [join "\n", map { "$_ $counters->{$_}" } sort keys %$counters]];
}

# ---- in the test ----

# A server for the text of an app, which may use the functions above.
sub start_probe {
    my ($code, %option) = @_;
    require SprigTest;
    return SprigTest::start_server(
        code => "use strict; use warnings; use lib '$lib'; use AnyEvent; use SprigTest::Probe;\n"
            . "#line 1 \"app under test\"\n$code",
        %option
    );
}

# The request for a path, as bytes.
sub get {
    my ($path, @lines) = @_;
    return join("\r\n", "GET $path HTTP/1.1", 'Host: localhost', @lines) . "\r\n\r\n";
}

# The live objects of the server, less the request that asks.
sub counters {
    my ($server) = @_;
    my $text     = $server->ask(get('/probe/counters', 'Connection: close'))->body;
    my %n        = map { split / / } split /\n/, $text;
    $n{exchanges}--;
    return \%n;
}

# The class of the loop that the server runs on.
sub loop_of {
    my ($server) = @_;
    return $server->ask(get('/probe/loop', 'Connection: close'))->body;
}

# What was noted down since the last time.
sub diary {
    my ($server) = @_;
    return split /\n/, $server->ask(get('/probe/diary', 'Connection: close'))->body;
}

# Asks again and again, for a few seconds.
sub eventually (&;$) {
    my ($condition, $seconds) = @_;
    my $deadline = time + ($seconds || 30);
    while (1) {
        my $result = $condition->();
        return $result if $result || time > $deadline;
        select undef, undef, undef, 0.02;
    }
}

# The diary as soon as it has so many lines.
sub await_diary {
    my ($server, $n) = @_;
    my @lines;
    eventually { push @lines, diary($server); @lines >= $n };
    return @lines;
}

# True as soon as no object of a request is alive any more.
sub comes_to_rest {
    my ($server) = @_;
    my $n;
    my $is_idle = eventually {
        $n = counters($server);
        !grep { $n->{$_} } qw(exchanges responders writers pumps sockets);
    };
    Test::More::diag(join ', ', map { "$_ $n->{$_}" } sort keys %$n) if !$is_idle;
    return $is_idle;
}

1;
