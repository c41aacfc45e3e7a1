# Catalyst, Dancer2 and Mojolicious applications and a WebSocket in one process.
#
#   sprig --workers 2 eg/mounted.psgi        then open http://localhost:5000/
#
# Uses Catalyst, Dancer2 and Mojolicious, and leaves out those that are not installed.
use strict;
use warnings;
use Plack::Builder;

my $style = 'max-width: 36rem; margin: 3rem auto; padding: 0 1rem; font: 16px/1.6 system-ui, sans-serif';
my $head  = '<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width">';

my $catalyst = eval <<'CATALYST';
package Shop;
use Moose;
extends 'Catalyst';
__PACKAGE__->config(name => 'Shop', disable_component_resolution_regex_fallback => 1, default_view => undef);
sub locate_components { return 'Shop::Controller::Root' }    # defined below, not in a file

package Shop::Controller::Root;
use Moose;
BEGIN { extends 'Catalyst::Controller' }
__PACKAGE__->config(namespace => '');
sub index : Path : Args(0) {
    my ($self, $c) = @_;
    $c->response->content_type('text/plain');
    $c->response->body('Hello from Catalyst, ' . $c->request->address . "\n");
}
sub stream : Local : Args(0) {
    my ($self, $c) = @_;
    $c->response->content_type('text/plain');
    $c->response->write("$_\n") for 1 .. 3;
}
sub echo : Local : Args(0) {
    my ($self, $c) = @_;
    my $ws = $c->request->env->{'psgix.websocket'} or return $c->response->status(426);
    $c->response->from_psgi_response($ws->accept(on_message => sub { $_[0]->send("Catalyst heard $_[1]") }));
}
$INC{'Shop/Controller/Root.pm'} = __FILE__;
Shop->setup;
Shop->psgi_app;
CATALYST

my $dancer = eval <<'DANCER';
package Blog;
use Dancer2;
set logger => 'null';
get '/' => sub { content_type 'text/plain'; return "Hello from Dancer2\n" };
Blog->to_app;
DANCER

my $mojo = eval <<'MOJO';
package Wiki;
use Mojolicious::Lite;
use Mojo::Server::PSGI;
app->log->level('error');
app->secrets(['an example']);
get '/' => { text => "Hello from Mojolicious\n", format => 'txt' };
Mojo::Server::PSGI->new(app => app)->to_psgi_app;
MOJO

my $echo = sub {
    my ($env) = @_;
    my $ws = $env->{'psgix.websocket'} or return [426, [], ["WebSocket only\n"]];
    return $ws->accept(on_message => sub { my ($ws, $text) = @_; $ws->send($text) });
};

my %app   = (catalyst => $catalyst, dancer2 => $dancer, mojolicious => $mojo);
my @there = grep { $app{$_} } sort keys %app;
my $links = join '', map { qq{<li><a href="/$_/">$_</a>} } @there;
my $page  = qq{$head<title>Mounted</title><body style="$style"><h1>Served by one process</h1><ul>$links</ul>};

builder {
    mount "/$_" => $app{$_} for @there;
    mount '/echo' => $echo;
    mount '/'     => sub { [200, ['Content-Type' => 'text/html; charset=utf-8'], [$page]] };
};
