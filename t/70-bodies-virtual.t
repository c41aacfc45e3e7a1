# Files whose size says nothing about their length (/proc, /sys) as bodies.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my @files = grep { -r && length slurp($_) > 10 } qw(/proc/version /proc/filesystems /sys/kernel/mm/transparent_hugepage/enabled
    /sys/power/state);
@files or plan skip_all => 'no /proc and no /sys';

my $server = start_server(code => <<'APP');
{
    package WithPath;
    sub path { $_[0]{path} }
    sub getline { readline $_[0]{fh} }
    sub close { close $_[0]{fh} }
}
sub {
    my ($env) = @_;
    my %how = map { $_ => 1 } split /,/, $env->{QUERY_STRING};
    open my $fh, '<', $env->{PATH_INFO} or return [404, [], []];
    read $fh, my $skipped, 5 if $how{part};
    $fh = bless { fh => $fh, path => $env->{PATH_INFO} }, 'WithPath' if $how{path};
    return [200, [$how{range} ? ('Content-Length' => 4) : ()], $fh];
};
APP

for my $file (@files) {
    subtest $file => sub {
        my $text = slurp($file);
        for my $version ('1.0', '1.1') {
            my $body = sub {
                return $server->ask("GET $file?$_[0] HTTP/$version\r\nHost: a\r\n\r\n")->body;
            };
            is $body->(''),     $text,            "HTTP/$version: all of it";
            is $body->('path'), $text,            "HTTP/$version: an object with a path";
            is $body->('part'), substr($text, 5), "HTTP/$version: from where the handle stands";
            is $body->('part,range'), substr($text, 5, 4), "HTTP/$version: a range";
        }
    };
}

subtest 'other files are known by their length' => sub {
    my $path = SprigTest::temp_path('file');
    for my $text ('', 'x' x 10) {
        spew($path, $text);
        my $r = $server->ask("GET $path HTTP/1.1\r\nHost: a\r\n\r\n");
        is $r->body, $text, 'the bytes';
        is $r->header('Content-Length'), length $text, 'the length';
    }
};

$server->stop_ok;
done_testing;
