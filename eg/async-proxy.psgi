# A proxy that does not block while it waits for the server behind it.
#
#   sprig -p 5001 eg/time-server.psgi &
#   UPSTREAM=http://localhost:5001 sprig eg/async-proxy.psgi
#   curl -N http://localhost:5000/
#
# Needs AnyEvent::HTTP. It forwards the response as it arrives, and cancels the request when the client leaves.
use strict;
use warnings;
use AnyEvent;
use AnyEvent::HTTP qw(http_request);

my $upstream = $ENV{UPSTREAM} || 'http://localhost:5001';

# Hop-by-hop fields: they belong to one connection and are not forwarded.
my %of_the_connection = map { $_ => 1 }
    qw(connection keep-alive proxy-connection te trailer transfer-encoding upgrade content-length);

sub request_headers {
    my ($env) = @_;
    my %header = ('x-forwarded-for' => $env->{REMOTE_ADDR});
    for my $key (grep { /\AHTTP_/ } keys %$env) {
        my $name = lc(substr $key, 5) =~ tr/_/-/r;
        $header{$name} = $env->{$key} if !$of_the_connection{$name} && $name ne 'host';
    }
    $header{'content-type'} = $env->{CONTENT_TYPE} if defined $env->{CONTENT_TYPE};
    return \%header;
}

# AnyEvent::HTTP adds entries of its own, such as Status. They begin with a capital letter.
sub response_headers {
    my ($got) = @_;
    return map { $_ => $got->{$_} } grep { /\A[a-z]/ && !$of_the_connection{$_} } keys %$got;
}

sub body_of {
    my ($env) = @_;
    local $/;
    my $input = $env->{'psgi.input'};
    return $env->{CONTENT_LENGTH} ? readline $input : undef;
}

sub {
    my ($env) = @_;
    my $path  = $env->{REQUEST_URI} =~ s{\A\w+://[^/]*}{}r;
    return sub {
        my ($respond) = @_;
        my ($writer, $guard);
        $guard = http_request $env->{REQUEST_METHOD} => "$upstream$path",
            headers    => request_headers($env),
            body       => body_of($env),
            recurse    => 0,
            persistent => 0,
            on_header  => sub {
                my ($got) = @_;
                return 1 if $got->{Status} =~ /\A59/;    # the server could not be reached
                $writer = $respond->([$got->{Status}, [response_headers($got)]]);
                $writer->on_disconnect(sub { undef $guard });
                return 1;
            },
            on_body => sub { $writer->write($_[0]); return 1 },
            sub {
                my (undef, $got) = @_;
                undef $guard;
                return $writer->close if $writer && $got->{Status} !~ /\A59/;
                my $reason = "$upstream: $got->{Reason}\n";
                return $env->{'psgix.raise'}->($reason) if $writer;
                $respond->([502, ['Content-Type' => 'text/plain'], [$reason]]);
            };
    };
};
