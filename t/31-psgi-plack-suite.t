# Plack's own acceptance suite for server backends.
use strict;
use warnings;
use Test::More;
use Plack::Test::Suite;

Plack::Test::Suite->run_server_tests('Sprig');
done_testing;
