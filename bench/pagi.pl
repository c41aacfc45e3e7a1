# The application of PAGI that PAGI::Server is measured with.
use strict;
use warnings;
use Future::AsyncAwait;

async sub hello {
    my ($scope, $receive, $send) = @_;
    die "only http here\n" if $scope->{type} ne 'http';
    my @headers = (['content-type', 'text/plain'], ['content-length', 13]);
    await $send->({ type => 'http.response.start', status => 200, headers => \@headers });
    await $send->({ type => 'http.response.body', body => 'Hello, World!' });
    return;
}

\&hello;
