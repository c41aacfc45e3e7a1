# Plack::App::Proxy in front of whatever the environment variable names.
use strict;
use warnings;
use Plack::App::Proxy;

Plack::App::Proxy->new(remote => $ENV{PROXY_REMOTE}, backend => 'AnyEvent::HTTP')->to_app;
