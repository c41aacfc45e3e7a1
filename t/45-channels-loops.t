# Channels over workers whose event loop is another one.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Events;
use SprigTest::Workers;
use Test::More;

-d '/proc/self' or plan skip_all => 'no /proc';

my $app = <<'APP';
use strict; use warnings; use AnyEvent; use Sprig::Channel;
my $channel = Sprig::Channel->new('all', history => 10);
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [200, [], [$$]] if $path eq '/about';
    return [200, [], [$AnyEvent::MODEL]] if $path eq '/loop';
    if ($path eq '/block') { select undef, undef, undef, $env->{QUERY_STRING}; return [200, [], [$$]] }
    if ($path eq '/publish') { $channel->publish($env->{QUERY_STRING}); return [200, [], [$$]] }
    return sub {
        my $w = $_[0]->([200, ['Content-Type' => 'text/event-stream', 'X-Worker' => $$]]);
        $channel->join($w, since => 0);
    };
};
APP

for my $loop (qw(EV IOAsync Perl)) {
    my %module = (EV => 'EV', IOAsync => 'IO::Async::Loop');
    subtest $loop => sub {
        plan skip_all => "$module{$loop} is not installed" if $module{$loop} && !eval "require $module{$loop}";
        my $master = start_workers(
            workers => 2,
            code    => $app,
            by      => 'plackup',
            prepare => sub { $ENV{PERL_ANYEVENT_MODEL} = $loop }
        );
        is scalar($master->serving(2)), 2, 'two workers serve';
        like $master->body_of('/loop'), qr/::$loop\z/, "on $loop";
        my @streams = map { open_events($master->connect, '/') } 1 .. 12;
        my %on      = map { $_->head =~ /X-Worker: ([0-9]+)/ ? ($1 => 1) : () } @streams;
        my %by      = map { $master->body_of("/publish?$_") => 1 } 1 .. 20;
        note scalar(keys %on), ' workers have members, ', scalar(keys %by), ' publish';
        is $_->texts(20), join(' ', 1 .. 20), 'a stream gets all' for @streams;
        $_->client->close for @streams;
        $master->ends_ok;
    };
}

done_testing;
