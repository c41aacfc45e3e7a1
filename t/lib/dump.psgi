# Answers with what it was asked: one line KEY=value for each interesting key of the env (sorted,
# bytes outside printable ASCII as \xHH), an empty line, the body as it came.

use strict;
use warnings;

my $key = qr/\A(?:REQUEST_METHOD|REQUEST_URI|PATH_INFO|QUERY_STRING|SCRIPT_NAME|SERVER_PROTOCOL
    |CONTENT_.*|HTTP_.*)\z/xs;

sub {
    my ($env) = @_;
    my $text = '';
    for my $name (sort grep { $_ =~ $key } keys %$env) {
        my $value = $env->{$name};
        $value = defined $value ? $value : '(undef)';
        $value =~ s/([^\x20-\x5b\x5d-\x7e])/sprintf '\\x%02x', ord $1/ge;
        $text .= "$name=$value\n";
    }
    my $body = '';
    while (my $n = $env->{'psgi.input'}->read(my $piece, 65536)) {
        $body .= $piece;
    }
    my $status = $env->{REQUEST_METHOD} eq 'CONNECT' ? 501 : 200;    # 2xx would promise a tunnel
    return [$status, ['Content-Type' => 'text/plain'], ["$text\n$body"]];
};
