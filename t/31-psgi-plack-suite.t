# Plack's own acceptance suite for server backends.
use strict;
use warnings;
use Test::More;

BEGIN {
    eval { require HTTP::Request; 1 } or plan skip_all => "HTTP::Request cannot be loaded: $@";
}
use Plack::Test::Suite;

Plack::Test::Suite->run_server_tests('Sprig');
done_testing;
