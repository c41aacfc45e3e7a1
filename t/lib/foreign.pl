# Serves an app of asynchronous answers in the event loop of another module.
#   perl foreign.pl 'NAME'        (see SprigTest::Host); prints "MODEL PORT"

use strict;
use warnings;
no warnings qw(once);
use File::Basename qw(dirname);
use lib dirname(__FILE__);
use SprigTest::Host;

alarm 60;
$| = 1;
my $host = SprigTest::Host->load($ARGV[0]);
require Sprig::Server;
require AnyEvent;

my ($running, %keep) = ('no');

# A timer of the host's own, whatever that is.
my %host_timer = (
    'IO::Async' => sub { IO::Async::Loop->new->watch_time(after => $_[0], code => $_[1]) },
    'Mojo'      => sub { Mojo::IOLoop->timer($_[0], $_[1]) },
    'EV'        => sub {
        my ($seconds, $code) = @_;
        my $w;
        $w = EV::timer($seconds, 0, sub { $code->(); undef $w });
    },
);

sub later {
    my ($seconds, $code) = @_;
    my $id = \my $watcher;
    $keep{$id} = AE::timer($seconds, 0, sub { delete $keep{$id}; $code->() });
    return;
}

sub host_later {
    my ($seconds, $code) = @_;
    my ($base) = $host->{name} =~ /^(IO::Async|Mojo|EV)/;
    if (my $timer = $host_timer{ $base || '' }) {
        $timer->($seconds, $code);
    } else {
        later($seconds, $code);
    }
    return;
}

sub text { return [200, ['Content-Type' => 'text/plain'], [@_]] }

sub stream {
    my ($respond) = @_;
    my $writer = $respond->([200, ['Content-Type' => 'text/plain']]);
    my ($n, $next) = (0);
    $next = sub {
        $writer->write("chunk $n\n");
        return later(0.02, $next) if ++$n < 5;
        $writer->close;
        undef $next;
    };
    $next->();
    return;
}

# What arrives is counted; the answer ends when the client has gone.
sub until_gone {
    my ($respond) = @_;
    my $writer = $respond->([200, []]);
    $writer->on_disconnect(sub { $keep{gone}++ });
    $writer->write('here');
    $keep{writer} = $writer;
    return;
}

my %paths = (
    '/now'   => sub { text('now') },
    '/later' => sub {
        my ($env) = @_;
        return sub {
            my ($respond) = @_;
            later(0.1, sub { $respond->(text("later $env->{QUERY_STRING}")) });
        };
    },
    '/host-timer' => sub {
        return sub {
            my ($respond) = @_;
            host_later(0.05, sub { $respond->(text('host')) });
        };
    },
    '/stream'     => sub { return \&stream },
    '/until-gone' => sub { return \&until_gone },
    '/gone'       => sub { text($keep{gone} || 0) },
    '/large'      => sub { text('x' x 5_000_000) },
    '/echo'       => sub { my ($env) = @_; $env->{'psgi.input'}->read(my $body, 1e7); text($body) },
    '/runs'       => sub { text($host->is_running ? 'yes' : 'no') },
    '/passes'     => sub { text($Sprig::Loop::N_PASSES) },
    '/die'        => sub {
        my ($env) = @_;
        open my $errors, '>', \my $text or die $!;    # it is meant to fail
        $env->{'psgi.errors'} = $errors;
        return sub {
            my ($respond) = @_;
            later(0, sub { my $held = $respond; die "late\n" });
        };
    },
    '/stop' => sub {
        later(0.01, sub { $host->stop });
        text('bye');
    },
);

$SIG{__WARN__} = sub { };
my $server = Sprig::Server->new(
    host         => '127.0.0.1',
    server_ready => sub { print AnyEvent::detect(), " $_[0]{port}\n" },
);
$server->register_service(sub {
    my ($env) = @_;
    my $answer = $paths{ $env->{PATH_INFO} } or return [404, [], []];
    return $answer->($env);
});
$host->run;
print "stopped\n";
