# A form, and the page that answers it.
#
#   sprig eg/form.psgi        then open http://localhost:5000/
#
# With /?post, the page submits the form by itself.

use strict;
use warnings;
use Plack::Request;
use Plack::Util;

my $form = <<'HTML';
<h1>A form</h1>
<form id="form" method="post" action="/greet">
<p><label>Your name <input name="name" value="Käthe &amp; Søren"></label>
<p><label>A colour <input name="colour" value="dark + green"></label>
<p><button>Send</button>
</form>
HTML

my $post_itself = "<script>document.getElementById('form').submit()</script>\n";

sub page {
    my ($title, $body) = @_;
    my $html = <<"HTML";
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>$title</title>
<body style="font-family: sans-serif; margin: 4em">
$body</html>
HTML
    return [200, ['Content-Type' => 'text/html; charset=utf-8'], [$html]];
}

sub greet {
    my ($request) = @_;
    my ($name, $colour) =
        map { Plack::Util::encode_html($request->body_parameters->get($_) // '') } qw(name colour);
    return page('An answer',
        "<h1 id=\"answer\">Hello, $name!</h1>\n<p>You like <em>$colour</em>.</p>\n");
}

sub {
    my ($env) = @_;
    my $request = Plack::Request->new($env);
    return greet($request) if $request->method eq 'POST' && $request->path eq '/greet';
    return page('A form', $form . ($request->query_string eq 'post' ? $post_itself : ''))
        if $request->path eq '/';
    return [404, ['Content-Type' => 'text/plain'], ["There is nothing here.\n"]];
};
