package SprigTest::Pagi;

# A server for a PAGI application under test, with the probes of SprigTest::Probe.
#
# In the app:   paths('/path' => async sub { my ($scope, $receive, $send) = @_; ... }, ...);
#               await answer($send, 'text');
#               my $why = wrong($send->({ ... }));     # what a future failed with
#               await a_moment();                      # while the loop goes on
# In the test:  needs_pagi(); my $server = start_pagi(<<'APP');

use strict;
use warnings;
use Exporter       qw(import);
use File::Basename qw(dirname);
use File::Spec;
use SprigTest::Probe ();

our @EXPORT = qw(paths answer wrong a_moment start_pagi needs_pagi scope_counters);

my $lib = dirname(dirname(File::Spec->rel2abs(__FILE__)));

# ---- in the server ----

# An app that looks for the path in its table; `lifespan` is a path of it. Written without async, so
# that this file can be loaded where there is none.
sub paths {
    my (%app_for) = @_;
    my $probes = SprigTest::Probe::routes();
    return sub {
        my ($scope, $receive, $send) = @_;
        my $path = $scope->{type} eq 'lifespan' ? 'lifespan' : $scope->{path};
        my $app  = $app_for{$path};
        return $app->(@_)                  if $app;
        die "this app knows no lifespan\n" if $scope->{type} eq 'lifespan';
        my $response = $probes->({ PATH_INFO => $path });
        return answer($send, $response->[2][0], $response->[0]);
    };
}

# The whole response.
sub answer {
    my ($send, $text, $status, @headers) = @_;
    return $send->({
        type    => 'http.response.start',
        status  => $status || 200,
        headers => [['content-length', length $text], @headers],
    })->then(sub { $send->({ type => 'http.response.body', body => $text }) });
}

# Why a future failed; '' if it did not, 'pending' if it is not ready.
sub wrong {
    my ($future) = @_;
    return 'pending' if !$future->is_ready;
    my $failure = $future->failure;
    return defined $failure ? $failure : '';
}

# A future that is done a little later.
sub a_moment {
    my $future = Sprig::PAGI::Future->new;
    my $timer;
    $timer = AE::timer(0.05, 0, sub { undef $timer; $future->done });
    return $future;
}

# ---- in the test ----

sub needs_pagi {
    for my $module (qw(Future Future::AsyncAwait)) {
        eval "require $module; 1" or Test::More::plan(skip_all => "$module is not installed");
    }
    return;
}

# A server for the text of an app, which may use the functions above.
sub start_pagi {
    my ($code, %option) = @_;
    require SprigTest;
    return SprigTest::start_server(
        code =>
            "use strict; use warnings; use lib '$lib'; use Future::AsyncAwait; use SprigTest::Probe;\n"
            . "use SprigTest::Pagi;\n#line 1 \"app under test\"\n$code",
        %option,
        args => { pagi => 1, %{ $option{args} || {} } },
    );
}

# Calls of applications that are not over, less the one that asks.
sub scope_counters {
    my ($server) = @_;
    return SprigTest::Probe::counters($server)->{scopes} - 1;
}

1;
