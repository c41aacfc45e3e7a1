package SprigTest::Admin;

# The admin listener of a server: asked over its socket, without a library.
#
#   my ($status, $body) = ask($master->path('ctl'), '/readyz');
#   my $answer = ask('127.0.0.1:9145', 'POST /reload', 'Sprig-Control: 1');    # the whole text

use strict;
use warnings;
use Exporter qw(import);
use IO::Socket::INET;
use IO::Socket::UNIX;
use JSON::PP ();

our @EXPORT = qw(ask numbers metrics);

my $MAX_SECONDS = 30;

# The answer to one request, in list context status and body.
sub ask {
    my ($where, $what, @fields) = @_;
    $what = "GET $what" if $what !~ /^[A-Z]+ /;
    my $socket =
          $where =~ m{^/}
        ? IO::Socket::UNIX->new(Peer => $where)
        : IO::Socket::INET->new(PeerAddr => $where);
    $socket or die "cannot connect to $where: $!";
    push @fields, 'Host: localhost' if !grep { /^Host:/ } @fields;
    print {$socket} join "\r\n", "$what HTTP/1.1", @fields, '', '';
    my $answer = '';
    while (1) {
        vec(my $bits = '', fileno $socket, 1) = 1;
        select($bits, undef, undef, $MAX_SECONDS) or die "$where does not answer $what";
        sysread $socket, $answer, 65536, length $answer or last;
    }
    return $answer if !wantarray;
    my ($status) = $answer =~ m{\AHTTP/1\.1 (\d+) };
    return ($status, $answer =~ s/\A.*?\r\n\r\n//sr);
}

# stats.json, decoded.
sub numbers {
    my ($where) = @_;
    my ($status, $body) = ask($where, '/stats.json');
    return JSON::PP::decode_json($body);
}

# /metrics as a hash: name with labels => value.
sub metrics {
    my ($where) = @_;
    my ($status, $body) = ask($where, '/metrics');
    return { $body =~ /^([^#\n]\S*) (\S+)$/mg };
}

1;
