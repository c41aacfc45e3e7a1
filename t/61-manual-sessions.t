# The terminal sessions of the manual, typed again: what is said to come out does.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use IO::Socket::INET;
use POSIX ();
use SprigTest;
use SprigTest::Manual;
use SprigTest::Shell;
use Test::More;

my $root = SprigTest::root();
my $bash = tool_path('bash') or plan skip_all => 'there is no bash';
tool_path('curl')            or plan skip_all => 'there is no curl';
-x "$root/blib/script/sprig" or plan skip_all => 'the program sprig was not built';

for my $page (pages()) {
    my @blocks = grep { defined $_->{test} && $_->{test} =~ /^(?:session|file)\b/ } blocks($page);
    next if !grep { $_->{test} =~ /^session/ } @blocks;
SKIP: {
        my ($missing) = map { missing_module($_) } @blocks;
        skip "$page: $missing is not installed", 1 if $missing;
        subtest $page => sub { replay(@blocks) };
    }
}
done_testing;

sub replay {
    my (@blocks) = @_;
    my $folder = SprigTest::temp_path('session');
    mkdir $folder or die "$folder: $!";
    my $shell = open_shell($folder);
    for my $block (@blocks) {
        if ($block->{test} =~ /^file (\S+)/) {
            spew("$folder/$1", $shell->with_ports($block->{code}));
            next;
        }
        for my $step (SprigTest::Shell::steps($block->{code})) {
            my ($command, $expected) = @$step or fail("line $block->{line}: no command"), next;
            $shell->type($command, $expected, "line $block->{line}: $command");
        }
    }
    $shell->close;
    return;
}

# A shell in a folder of its own, with the sprig that was built, and ports that are free.
sub open_shell {
    my ($folder) = @_;
    spew("$folder/.curlrc", "silent\nshow-error\n");
    my %port = map { $_ => free_port() } 5000, 8080, 8443;
    return SprigTest::Shell->open(
        command  => [$bash, '--norc'],
        out      => "$folder.out",
        port     => \%port,
        in_child => sub {
            chdir $folder or POSIX::_exit(126);
            $ENV{PATH}      = "$root/blib/script:$ENV{PATH}";
            $ENV{PERL5LIB}  = join ':', "$root/blib/lib", "$root/blib/arch", $ENV{PERL5LIB} || ();
            $ENV{PORT}      = $port{5000};
            $ENV{CURL_HOME} = $folder;       # its .curlrc turns the progress meter off
        },
    );
}

sub free_port {
    my $socket = IO::Socket::INET->new(LocalAddr => '127.0.0.1', Listen => 1) or die "listen: $!";
    return $socket->sockport;
}
