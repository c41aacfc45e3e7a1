# The smallest page.
#
#   sprig eg/hello.psgi       then open http://localhost:5000/

use strict;
use warnings;

my $page = <<'HTML';
<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<title>Hello from Sprig</title>
<body style="font-family: sans-serif; margin: 4em">
<h1>Hello, world</h1>
<p>This page was served by Sprig.</p>
</html>
HTML

sub {
    return [200, ['Content-Type' => 'text/html; charset=utf-8'], [$page]];
};
