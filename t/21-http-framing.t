# How the client finds the end of a body whose length nobody knows, and of one that the app says it
# chunks.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my $app = <<'APP';
use File::Temp;
my $TE = ['Transfer-Encoding' => 'chunked'];
my $kept;

sub file {
    my ($bytes) = @_;
    my $fh = $kept = File::Temp->new;
    print {$fh} $bytes;
    seek $fh, 0, 0;
    return $fh;
}

my %answer = (
    '/string' => sub { [200, $TE, ['hello, ', 'world']] },
    '/digits' => sub { [200, $TE, ['cafe']] },
    '/chunks' => sub { [200, $TE, ["5\r\nhello\r\n", "0\r\n\r\n"]] },
    '/cut'    => sub { [200, $TE, ["5", "\r\nhello\r\n0\r\n", "\r\n"]] },
    '/empty'  => sub { [200, $TE, []] },
    '/file'   => sub { [200, $TE, file('a file ' x 1000)] },
    '/chunk-file' => sub { [200, $TE, file("5\r\nhello\r\n0\r\n\r\n")] },
    '/writer' => sub { sub { my $w = $_[0]->([200, $TE]); $w->write($_) for qw(one two); $w->close } },
    '/unknown' => sub { sub { my $w = $_[0]->([200, []]); $w->write($_) for qw(one two); $w->close } },
    '/known'   => sub { [200, [], ['known']] },
);
sub { $answer{ $_[0]{PATH_INFO} }->() };
APP

my $server = start_server(code => $app);

sub body_of { return $server->ask("GET $_[0] HTTP/1.1\r\nHost: a\r\n\r\n")->body }

subtest 'an app that says chunked and does not chunk' => sub {
    is body_of('/string'), 'hello, world',   'pieces';
    is body_of('/digits'), 'cafe',           'what could be the size of a chunk';
    is body_of('/empty'),  '',               'nothing';
    is body_of('/file'),   'a file ' x 1000, 'a file';
    is body_of('/writer'), 'onetwo',         'a writer';
};

subtest 'an app that chunks' => sub {
    is body_of('/chunks'),     'hello', 'whole chunks';
    is body_of('/cut'),        'hello', 'chunks that are cut anywhere';
    is body_of('/chunk-file'), 'hello', 'chunks in a file';
};
$server->stop_ok;

for my $by (qw(module program plackup)) {
    subtest "chunked_responses off ($by)" => sub {
        $server = start_server(by => $by, code => $app, args => { chunked_responses => 0 });
        my $client = $server->connect;
        $client->send("GET /unknown HTTP/1.1\r\nHost: a\r\n\r\n");
        my ($head, $body) = split /\r\n\r\n/, $client->rest, 2;
        is $body,     'onetwo',                 'the end of the connection is the end of the body';
        like $head,   qr/^Connection: close/mi, 'which is said';
        unlike $head, qr/^Transfer-Encoding/mi, 'no chunks';
        is body_of('/known'),  'known', 'a known length is told';
        is body_of('/chunks'), 'hello', 'chunks of the app pass';
        $server->stop_ok;
    };
}
done_testing;
