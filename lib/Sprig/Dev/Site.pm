package Sprig::Dev::Site;

use strict;
use warnings;

use Scalar::Util qw(blessed);
use Sprig::PAGI  ();

our $VERSION = '0.001';

# The site with each of its applications wrapped, and what pages ask of us beside them.
sub wrap {
    my ($dev, $site) = @_;
    my @mounts  = map { _mount($dev, $_) } $site->mounts;
    my $nothing = sub { $dev->call(\&Sprig::PAGI::Site::nothing, $_[0]) };
    push @mounts, { path => '/__sprig__', app => $nothing, is_pagi => 0, is_ours => 1 };
    return bless \@mounts, ref $site;
}

sub _mount {
    my ($dev, $mount) = @_;
    my $app = $mount->{app};
    my $wrapped =
        $mount->{is_pagi}
        ? sub { _call($dev, $app, @_) }
        : sub { $dev->call($app, $_[0]) };
    return { %$mount, app => $wrapped };
}

# Events of lifespan, WebSockets and streams have no page.
sub _call {
    my ($dev, $app, $scope, $receive, $send) = @_;
    return $app->($scope, $receive, $send) if $scope->{type} ne 'http';
    my $env    = _env_of($scope);
    my $to_app = $dev->into_events($env, $send);
    my ($is_fine, $future) = $dev->try_app($env, sub { $app->($scope, $receive, $to_app) });
    return _explain($dev, $scope, $env, $to_app, $future) if !$is_fine;
    return $future if !blessed($future) || !$future->can('else');
    return $future->else(sub {
        my @failure = @_;
        return Future->fail(@failure) if $scope->{'pagi.connection'}->response_started;
        return _explain($dev, $scope, $env, $to_app, $failure[0]);
    });
}

# Nothing has been sent yet, or the server breaks the response off and says why.
sub _explain {
    my ($dev, $scope, $env, $send, $error) = @_;
    return Future->fail($error) if $scope->{'pagi.connection'}->response_started;
    my ($status, $headers, $body) = @{ $dev->explain($error, $env) };
    my @headers = map { [@$headers[2 * $_, 2 * $_ + 1]] } 0 .. @$headers / 2 - 1;
    my %start   = (type => 'http.response.start', status => $status, headers => \@headers);
    my %body    = (type => 'http.response.body',  body   => join '', @$body);
    return $send->(\%start)->then(sub { $send->(\%body) });
}

# What there is of the scope in the words of PSGI, in which pages and the terminal tell of requests.
sub _env_of {
    my ($scope) = @_;
    my %env = (
        REQUEST_METHOD  => $scope->{method},
        SCRIPT_NAME     => '',
        PATH_INFO       => $scope->{path},
        QUERY_STRING    => $scope->{query_string},
        REQUEST_URI     => $scope->{raw_path},
        SERVER_PROTOCOL => "HTTP/$scope->{http_version}",
        REMOTE_ADDR     => $scope->{client} ? $scope->{client}[0] : '',
    );
    utf8::encode($env{PATH_INFO});
    for my $header (@{ $scope->{headers} }) {
        my $name = 'HTTP_' . uc $header->[0] =~ tr/-/_/r;
        $env{$name} = defined $env{$name} ? "$env{$name}, $header->[1]" : $header->[1];
    }
    return \%env;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Dev::Site - the part of Sprig::Dev that is about PAGI

=head1 DESCRIPTION

Used by L<Sprig::Dev> where several applications are served, or one of PAGI: requests find the same pages as those of
one PSGI application. There is nothing here for applications.

=head1 FUNCTIONS

=head2 wrap

    my $for_dev = Sprig::Dev::Site::wrap($dev, $site);

A L<Sprig::PAGI> site like this one, whose applications are called by C<$dev>.

=cut
