package SprigTest::PagiRules;

# What the rules of PAGI are looked at with: t/apps/pagi-rules.pl on each loop, asked over the wire.
#
#   for_each_loop(sub { my ($server) = @_; ... });    # a part for our own loop and one for IO::Async
#   my @lines = notes($server, 'wait');               # what the path noted down, up to the line `end`
#
# With SPRIG_TEST_PAGI_AT=HOST:PORT a server that runs already is asked instead.

use strict;
use warnings;
use Exporter qw(import);
use SprigTest;
use SprigTest::Pagi;
use SprigTest::Probe qw(get eventually);
use Test::More;

our @EXPORT = qw(for_each_loop notes ask_http is_other);

# Whether it is some other server.
sub is_other { return defined $ENV{SPRIG_TEST_PAGI_AT} }

sub for_each_loop {
    my ($check, %option) = @_;
    needs_pagi();
    if (is_other()) {
        my ($host, $port) = split /:/, $ENV{SPRIG_TEST_PAGI_AT};
        return $check->(bless { host => $host, port => $port }, 'SprigTest::PagiRules::Elsewhere');
    }
    delete local $ENV{PERL_ANYEVENT_MODEL};
    for my $loop ('our own loop', 'IO::Async') {
        subtest $loop => sub {
            my $is_other = $loop eq 'IO::Async';
            eval { require IO::Async::Loop; 1 }
                or plan skip_all => 'IO::Async is not installed'
                if $is_other;
            my $server = start_server(
                by    => 'program',
                app   => SprigTest::root() . '/t/apps/pagi-rules.pl',
                flags => ['--pagi'],
                env   => { $is_other ? (TEST_ON_IO_ASYNC => 1, IO_ASYNC_LOOP => 'Poll') : () },
                %option,
            );
            $check->($server);
            $server->stop_ok;
        };
    }
    return;
}

# Lines noted down for a path: at least so many, or up to `end`.
sub notes {
    my ($server, $name, $n) = @_;
    my @lines;
    eventually {
        push @lines, split /\n/, $server->ask(get("/notes/$name", 'Connection: close'))->body;
        @lines >= ($n || 1e9) || grep { $_ eq 'end' } @lines;
    }
    is_other() ? 3 : 30;
    return @lines;
}

# The response to a request of these lines.
sub ask_http {
    my ($server, $first, @lines) = @_;
    my ($method) = $first =~ /\A(\S+)/;
    my $request  = join "\r\n", "$first HTTP/1.1", 'Host: localhost', @lines, '', '';
    return $server->ask($request, method => $method);
}

package SprigTest::PagiRules::Elsewhere;

sub port    { return $_[0]{port} }
sub connect { return SprigTest::Client->connect(@{ $_[0] }{qw(host port)}) }

sub ask {
    my ($self, $bytes, %option) = @_;
    my $client = $self->connect;
    $client->send($bytes);
    return $client->response(%option);
}

sub stderr { return '' }

1;
