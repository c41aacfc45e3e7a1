# Serves app.psgi of the working folder by Sprig::Server with several workers.
#   perl workers.pl PORT [--option value]...

use strict;
use warnings;
use Sprig::Server;

my ($port, @flags) = @ARGV;
my %option;
while (my ($flag, $value) = splice @flags, 0, 2) {
    (my $name = $flag) =~ s/\A--//;
    $option{ $name =~ tr/-/_/r } = $value;
}

my $app = do './app.psgi' or die "app.psgi: ", $@ || $!;
Sprig::Server->new(
    host         => '127.0.0.1',
    port         => $port,
    server_ready => sub { print STDERR "ready $_[0]{host} $_[0]{port} by $$\n" },
    %option,
)->run($app);
print STDERR "run has returned\n";
