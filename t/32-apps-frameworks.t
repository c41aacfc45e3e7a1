# Small applications of Dancer2, Catalyst and Mojolicious, fetched by curl over HTTP/1.1 and HTTP/1.0,
# served by plackup -s Sprig and by the program.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

plan skip_all => 'curl is not installed' if !tool_path('curl');

my %app = (
    Dancer2 => <<'APP',
package Small;
use Dancer2;
set logger => 'null';
get '/'          => sub {'hello'};
get '/name/:who' => sub { 'hello ' . route_parameters->get('who') };
post '/form'     => sub { 'got ' . body_parameters->get('field') };
get '/large'     => sub { 'x' x 300_000 };
get '/gone'      => sub { status 410; 'gone' };
get '/stream'    => sub {
    delayed { flush; content "line $_\n" for 1 .. 3; done };
};
package main;
Small->to_app;
APP
    Catalyst => <<'APP',
{
    package Small::Controller::Root;
    BEGIN { $INC{'Small/Controller/Root.pm'} = 1 }
    use Moose;
    BEGIN { extends 'Catalyst::Controller' }
    __PACKAGE__->config(namespace => '');
    sub index : Path Args(0) { $_[1]->res->body('hello') }
    sub default : Path { $_[1]->res->status(404); $_[1]->res->body('none') }
    sub name : Local Args(1) { $_[1]->res->body("hello $_[2]") }
    sub form : Local POST { $_[1]->res->body('got ' . $_[1]->req->body_parameters->{field}) }
    sub large : Local { $_[1]->res->body('x' x 300_000) }
    sub gone : Local { $_[1]->res->status(410); $_[1]->res->body('gone') }
    sub stream : Local { $_[1]->res->write("line $_\n") for 1 .. 3 }
    package Small;
    BEGIN { $INC{'Small.pm'} = 1 }
    use Moose;
    use Catalyst;
    extends 'Catalyst';
    __PACKAGE__->config(name => 'Small', disable_component_resolution_regex_fallback => 1);
    __PACKAGE__->setup_component('Small::Controller::Root');
    sub setup_components { $_[0]->components->{'Small::Controller::Root'} = $_[0]->setup_component('Small::Controller::Root') }
    __PACKAGE__->log(Catalyst::Log->new('error', 'fatal'));
    __PACKAGE__->setup;
}
Small->psgi_app;
APP
    Mojolicious => <<'APP',
use Mojolicious::Lite;
app->log->level('fatal');
app->secrets(['a test']);
get '/'          => sub { $_[0]->render(text => 'hello') };
get '/name/:who' => sub { $_[0]->render(text => 'hello ' . $_[0]->param('who')) };
post '/form'     => sub { $_[0]->render(text => 'got ' . $_[0]->param('field')) };
get '/large'     => sub { $_[0]->render(text => 'x' x 300_000) };
get '/gone'      => sub { $_[0]->render(text => 'gone', status => 410) };
get '/stream'    => sub {
    my ($c) = @_;
    my @lines = map {"line $_\n"} 1 .. 3;
    my $next;
    $next = sub { my $line = shift @lines; $line ? $_[0]->write($line, $next) : $_[0]->write('') };
    $c->res->headers->content_type('text/plain');
    $c->$next;
};
app->start;
APP
);

for my $name (sort keys %app) {
    subtest $name => sub {
        plan skip_all => "$name is not installed" if !eval "require $name; 1";
        for my $by (qw(plackup program)) {
            my $server = start_server(code => "use strict;\nuse warnings;\n$app{$name}", by => $by);
            for my $version ('--http1.1', '--http1.0') {
                subtest "$by $version" => sub {
                    my $fetch = sub { my $path = pop; curl($version, @_, $server->url($path)) };
                    is($fetch->('/'),            'hello',                 'a page');
                    is($fetch->('/name/anyone'), 'hello anyone',          'a part of the path');
                    is($fetch->('-d', 'field=a%20b', '/form'), 'got a b', 'a form');
                    is(length $fetch->('/large'),              300_000,   'a large page');
                    like($fetch->('-i', '/gone'), qr/\AHTTP\/1\.[01] 410 /, 'a status');
                    like($fetch->('-i', '/none'), qr/\AHTTP\/1\.[01] 404 /, 'no such page');
                    is($fetch->('/stream'), "line 1\nline 2\nline 3\n", 'a stream');
                    like($fetch->('-I', '/'), qr/^Content-Length: 5\r$/m, 'HEAD');
                };
            }
            $server->stop_ok;
        }
    };
}

done_testing;
