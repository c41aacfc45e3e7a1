# A form that takes two seconds to answer. Meanwhile the process serves everybody else.
#
#   sprig eg/async-echo.psgi
#   open http://127.0.0.1:5000/ in a browser, or
#   ab -n 200 -c 200 'http://127.0.0.1:5000/?field=hello'
#
# One process answers two hundred requests at once in about two seconds.

use strict;
use warnings;
use AnyEvent;
use Plack::Request;
use Plack::Util;

my $form = <<'HTML';
<!doctype html>
<title>Echo</title>
<form><input name="field" autofocus> <input type="submit"></form>
HTML

sub page {
    my ($html) = @_;
    return [200, ['Content-Type' => 'text/html; charset=utf-8'], [$html]];
}

sub {
    my ($env) = @_;
    my $field = Plack::Request->new($env)->parameters->{field};
    return page($form) if !defined $field;
    return sub {
        my ($respond) = @_;
        my $timer;
        $timer = AE::timer 2, 0, sub {
            undef $timer;
            $respond->(page($form . '<p>' . Plack::Util::encode_html($field) . "\n"));
        };
    };
};
