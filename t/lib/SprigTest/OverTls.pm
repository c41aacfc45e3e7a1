package SprigTest::OverTls;

# A SprigTest::Client that speaks TLS. With
#
#   SPRIG_TEST_TLS=1 prove -b -It/lib t/20-http-requests.t
#
# the servers of tests that say nothing of TLS have a certificate, and are asked by this client. It sees as
# much as the plain one: an end without close_notify is an error, as a reset is. A test that makes no sense
# there says so by not_over_tls.

use strict;
use warnings;
use Errno qw(EAGAIN ECONNRESET EIO);
use SprigTest::Client;
use Time::HiRes qw(time);

our @ISA = ('SprigTest::Client');

my $ctx;
my $certificate;

# Whether the tests run over TLS.
sub is_on { return $ENV{SPRIG_TEST_TLS} }

# Adds to the options of SprigTest::start_server what makes a server of TLS. False: it is to be left alone.
sub serve {
    my ($option) = @_;
    my $args     = $option->{args} || {};
    return 0 if !is_on() || grep { defined $args->{$_} } qw(tls_cert listen);
    return 0 if grep { /^(?:-l|--listen|--tls)/ } @{ $option->{flags} || [] };
    require SprigTest::Tls;
    require Net::SSLeay;
    $certificate ||= _trusted(SprigTest::Tls::certificate());
    $option->{args} = { tls_cert => $certificate->{both}, http2 => 0, %$args };
    return 1;
}

# For curl, node, python and AnyEvent; Mojolicious trusts everybody.
sub _trusted {
    my ($made) = @_;
    $ENV{$_} = $made->{cert}
        for qw(CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS SSL_CERT_FILE PERL_ANYEVENT_CA_FILE);
    $ENV{MOJO_INSECURE} = 1;
    return $made;
}

sub _ctx {
    return $ctx if $ctx;
    Net::SSLeay::load_error_strings();
    Net::SSLeay::SSLeay_add_ssl_algorithms();
    Net::SSLeay::randomize();
    $ctx = Net::SSLeay::CTX_new() or die 'no SSL_CTX';
    Net::SSLeay::CTX_set_mode($ctx, 3);    # partial writes, of buffers that move
    return $ctx;
}

# The handshake takes its time; afterwards nothing blocks.
sub adopt {
    my ($class, $socket) = @_;
    my $self = $class->SUPER::adopt($socket);
    my $ssl  = $self->{ssl} = Net::SSLeay::new(_ctx()) or die 'no SSL';
    $self->{is_ended} = 0;
    $socket->blocking(1);
    Net::SSLeay::set_fd($ssl, fileno $socket);
    local $SIG{PIPE} = 'IGNORE';
    local $SIG{ALRM} = sub { die "the handshake takes too long\n" };
    alarm $SprigTest::Client::SECONDS;
    my $rc = Net::SSLeay::connect($ssl);
    alarm 0;

    if ($rc != 1) {
        $self->{error} =
            'no handshake: ' . (Net::SSLeay::ERR_error_string(Net::SSLeay::ERR_get_error()) || $!);
        $self->{eof} = 1;
    }
    $socket->blocking(0);
    return $self;
}

# As syswrite does: how many bytes were taken, or undef and $!.
sub put {
    my ($self, $bytes, $at) = @_;
    local $SIG{PIPE} = 'IGNORE';
    return _broken() if $self->{eof} && defined $self->{error};
    my $n = Net::SSLeay::write($self->{ssl}, substr $bytes, $at || 0, 1 << 14);
    return $n > 0 ? $n : $self->_fail($n);
}

# As sysread does, to the end of the buffer; a read of OpenSSL gives one record at most.
sub get {
    my ($self, $at_most) = @_;
    local $SIG{PIPE} = 'IGNORE';
    my $n = 0;
    $at_most ||= 1 << 18;
    while ($n < $at_most) {
        my ($bytes, $rc) = Net::SSLeay::read($self->{ssl}, $at_most - $n);
        if (!defined $bytes || !length $bytes) {
            return $n || $self->_fail(defined $rc ? $rc : -1);
        }
        $self->{in} .= $bytes;
        $n += length $bytes;
    }
    return $n;
}

sub _broken { $! = ECONNRESET; return }

# 0: the end, in good order.
sub _fail {
    my ($self, $rc) = @_;
    my $errno = $! + 0;
    my $why   = Net::SSLeay::get_error($self->{ssl}, $rc);
    Net::SSLeay::ERR_clear_error();
    return 0 if $why == Net::SSLeay::ERROR_ZERO_RETURN();
    my $is_later =
        $why == Net::SSLeay::ERROR_WANT_READ() || $why == Net::SSLeay::ERROR_WANT_WRITE();
    $! = $is_later ? EAGAIN : $errno && $why == Net::SSLeay::ERROR_SYSCALL() ? $errno : ECONNRESET;
    return;
}

# In OpenSSL, of which the socket does not tell.
sub has_pending { return Net::SSLeay::pending($_[0]{ssl}) > 0 }

sub _wait {
    my ($self, @rest) = @_;
    return 1 if $self->has_pending;
    return $self->SUPER::_wait(@rest);
}

# What comes may be TLS's own: tickets.
sub is_quiet {
    my ($self, $seconds) = @_;
    my $deadline = time + $seconds;
    until (length $self->{in} || $self->{eof}) {
        my $left = $deadline - time;
        return 1        if $left <= 0;
        $self->_receive if $self->_wait(0, $left);
    }
    return 0;
}

sub _end {
    my ($self) = @_;
    local $SIG{PIPE} = 'IGNORE';
    Net::SSLeay::shutdown($self->{ssl}) if !$self->{is_ended}++ && !$self->{error};
    Net::SSLeay::ERR_clear_error();
    return;
}

sub half_close {
    my ($self) = @_;
    $self->_end;
    return $self->SUPER::half_close;
}

sub close {
    my ($self) = @_;
    $self->_end;
    return $self->SUPER::close;
}

# Without a word of TLS.
sub reset {
    my ($self) = @_;
    $self->{is_ended}++;
    return $self->SUPER::reset;
}

sub DESTROY {
    my ($self) = @_;
    local ($@, $!);
    Net::SSLeay::free(delete $self->{ssl}) if $self->{ssl};
    return;
}

1;
