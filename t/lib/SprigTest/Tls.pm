package SprigTest::Tls;

# Certificates for tests, made by the program openssl, and clients of TLS.

use strict;
use warnings;
use Exporter qw(import);
use SprigTest;
use Test::More ();

our @EXPORT = qw(need_tls certificate https s_client has_tls);

# Whether the Sprig under test was built with OpenSSL.
sub has_tls {
    return SprigTest::slurp(SprigTest::root() . '/Makefile') !~ m{^SPRIG_CORE = .*/tls_none\.c}m;
}

# Skips all of a test file where something is missing.
sub need_tls {
    my (@tools) = @_;
    Test::More::plan(skip_all => 'this Sprig was built without OpenSSL') if !has_tls();
    for my $tool ('openssl', @tools) {
        Test::More::plan(skip_all => "there is no $tool") if !defined tool_path($tool);
    }
    return;
}

my %KEY = (
    ec  => [qw(-newkey ec -pkeyopt ec_paramgen_curve:P-256)],
    rsa => [qw(-newkey rsa:2048)],
);

# Asks for a certificate and signs it: OpenSSL 1.1.1 cannot do both in one step.
sub _signed {
    my ($file, $by, $days, $new, @extra) = @_;
    my ($request, $extra) = map { SprigTest::temp_path($_) } qw(request.pem extra.cnf);
    spew($extra, join "\n", @extra, '');
    return output_of(@$new, '-new', '-out', $request)
        . output_of(
        qw(openssl x509 -req -days),
        $days,       '-in',    $request,   '-out',        $file->{cert}, '-CA',
        $by->{cert}, '-CAkey', $by->{key}, '-set_serial', 1 + int rand 1e9,
        '-extfile',  $extra
        );
}

# What is added to one that signs itself. That of authorities goes by a configuration of its own: OpenSSL 1.1.1 adds
# what is in the system's, too, and takes no certificate that says twice that it is one.
sub _additions {
    my ($is_ca, @extra) = @_;
    return map { ('-addext', $_) } @extra if !$is_ca;
    my @lines =
        ('[req]', 'distinguished_name=dn', 'x509_extensions=more', '[dn]', '[more]', @extra);
    return ('-config', spew(SprigTest::temp_path('ca.cnf'), join "\n", @lines, ''));
}

# A certificate that is signed by itself: { cert, key, both } are paths, the last one of a file with
# both. Options: names (list, default localhost and 127.0.0.1), key ('ec' or 'rsa'), days, and `by`, a
# certificate that signs it.
sub certificate {
    my (%option) = @_;
    my @names    = @{ $option{names} || ['localhost', '127.0.0.1'] };
    my $alt      = join ',', map { (/\A[0-9.]+\z|:/ ? 'IP:' : 'DNS:') . $_ } @names;
    my %file     = map { $_ => SprigTest::temp_path("$_.pem") } qw(cert key both);
    my $life     = $option{days} || 30;
    my @extra    = @names ? "subjectAltName=$alt" : ();
    push @extra, 'basicConstraints=critical,CA:TRUE' if $option{is_ca};
    my @new = (
        qw(openssl req -nodes -batch),
        @{ $KEY{ $option{key} || 'ec' } },
        '-keyout' => $file{key},
        '-subj'   => '/CN=' . ($names[0] || 'nobody')
    );
    my $said =
        $option{by}
        ? _signed(\%file, $option{by}, $life, \@new, @extra)
        : output_of(@new, '-x509', '-days', $life, '-out', $file{cert},
        _additions($option{is_ca}, @extra));
    -s $file{cert} or die "openssl made no certificate:\n$said";
    spew($file{both}, slurp($file{cert}) . slurp($file{key}));
    return \%file;
}

# What curl gets from a server of TLS that has this certificate; further arguments are curl's.
sub https {
    my ($server, $certificate, $path, @arguments) = @_;
    return curl('--cacert', $certificate->{cert}, @arguments,
        'https://localhost:' . $server->port . $path);
}

# What openssl s_client says, for these bytes and arguments.
sub s_client {
    my ($server, $bytes, @arguments) = @_;
    my $file = SprigTest::spew(SprigTest::temp_path('request'), $bytes);
    my $wait = length $bytes ? '-ign_eof' : '';
    my $line = qq{exec openssl s_client "\$@" $wait <$file};
    return as_before(
        output_of(
            '/bin/sh', '-c', $line, 'sh', '-connect', '127.0.0.1:' . $server->port, @arguments
        )
    );
}

# What OpenSSL before 3.5 would have printed.
sub as_before {
    my ($said) = @_;
    $said =~ s/^(?:subject|issuer)=\K(.*)/$1 =~ s{ ?= ?}{ = }gr/gme;
    $said =~ s/^Peer signature type: \K(ecdsa|rsa_pss|rsa)\w*/uc($1) =~ tr{_}{-}r/gme;
    $said =~ s/^Peer Temp Key:/Server Temp Key:/gm;
    return $said;
}

1;
