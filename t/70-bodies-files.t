# Files as bodies: sent by the kernel, in turns, whole or not at all; and what Plack makes of them.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use Digest::MD5 ();
use File::Temp  qw(tempdir);
use SprigTest;
use SprigTest::Probe;
use Test::More;
use Time::HiRes qw(time);

my $dir   = tempdir(CLEANUP => 1);
my $bytes = join '', map { sprintf "%07d\n", $_ } 1 .. 128 * 1024;
spew("$dir/mib.txt",    $bytes);
spew("$dir/empty.txt",  '');
spew("$dir/shrink.bin", "\0" x (24 << 20));
{
    open my $sparse, '>', "$dir/sparse.bin" or die;
    seek $sparse, (4 << 30) + 5, 0;
    print $sparse 'end';
    close $sparse or die;
}

my $server = start_probe(<<"APP" . <<'APP');
my \$dir = '$dir';
APP
use Plack::App::File;
use Plack::App::Directory;
use Plack::Builder;
{ package Path; sub new { my ($class, %self) = @_; bless \%self, $class }
  sub path { my $self = shift; SprigTest::Probe::note_down('path'); ref $self->{path} ? $self->{path}->() : $self->{path} }
  sub getline { my $self = shift; $self->{n}++ ? undef : 'by getline' } sub close { SprigTest::Probe::note_down('closed') } }
{ package ByteRange; use parent 'Plack::Middleware';    # one range, as such a middleware does it
  sub call { my ($self, $env) = @_; my $res = $self->app->($env);
    my ($from, $to) = ($env->{HTTP_RANGE} || '') =~ /^bytes=(\d+)-(\d+)$/ or return $res;
    my $size = -s $res->[2]; seek $res->[2], $from, 0;
    Plack::Util::header_set($res->[1], 'Content-Length', $to - $from + 1);
    Plack::Util::header_set($res->[1], 'Content-Range', "bytes $from-$to/$size");
    return [206, @$res[1, 2]] } }
my $file = Plack::App::File->new(root => $dir)->to_app;
my $ranged = builder { enable 'ConditionalGET'; $file };
$ranged = ByteRange->wrap($ranged);
my $directory = Plack::App::Directory->new(root => $dir)->to_app;
my $static = builder { enable 'Static', path => sub { s{^/static/}{} }, root => $dir; sub { [404, [], ['not there']] } };
my @kept;
my $probe = routes(
    '/path'      => sub { [200, [], Path->new(path => "$dir/mib.txt")] },
    '/path-none' => sub { [200, [], Path->new(path => "$dir/none")] },
    '/path-dies' => sub { [200, [], Path->new(path => sub { die "no path\n" })] },
    '/path-dir'  => sub { [200, [], Path->new(path => $dir)] },
    '/part'      => sub { my ($from, $n) = split /,/, $_[0]{QUERY_STRING}; open my $fh, '<:raw', "$dir/mib.txt" or die;
        seek $fh, $from, 0; [206, ['Content-Length' => $n], $fh] },
    '/hello'     => sub { [200, [], ['hello']] },
    '/pieces'    => sub { [200, [], [map { ('', $_) } 1 .. 10_000]] },
    '/refs'      => sub { [200, [], [\"a", \'', 'b']] },
    '/zero'      => sub { sub { my $w = $_[0]->([200, []]); $w->write(''); $w->write('a', '', 'b'); $w->write(); $w->close } },
    '/shrink'    => sub { open my $fh, '<', "$dir/shrink.bin" or die; [200, ['Content-Length' => -s $fh], $fh] },
    '/reused'    => sub { sub { open my $fh, '<:raw', "$dir/mib.txt" or die; $_[0]->([200, [], $fh]);
        close $fh; open $fh, '<', "$dir/empty.txt" or die } },
    '/twice'     => sub { open my $fh, '<:raw', "$dir/mib.txt" or die; open my $same, '<&=', $fh or die; push @kept, $same;
        @kept = () if @kept > 3; [200, [], $fh] },
    '/open'      => sub { opendir my $all, '/proc/self/fd' or return [404, [], []]; [200, [], [scalar(() = readdir $all)]] },
    '/sparse'    => sub { open my $fh, '<', "$dir/sparse.bin" or die; [200, [], $fh] },
    '/endless'    => sub { open my $fh, '<', '/dev/zero' or die; [200, ['Content-Length' => 70_000], $fh] },
    '/sparse-end' => sub { open my $fh, '<', "$dir/sparse.bin" or die; seek $fh, (4 << 30) - 5, 0; [200, [], $fh] },
);
sub {
    my $env = shift;
    my ($how) = $env->{PATH_INFO} =~ m{^/(file|ranged|directory|static)/} or return $probe->($env);
    $env->{PATH_INFO} =~ s{^/\w+}{} if $how ne 'static';
    return ($how eq 'file' ? $file : $how eq 'ranged' ? $ranged : $how eq 'static' ? $static : $directory)->($env);
}
APP

sub answer { return $server->ask(get(@_)) }

subtest 'Plack::App::File, Directory, Static' => sub {
    for my $how (qw(file directory static)) {
        my $response = answer("/$how/mib.txt");
        is $response->header('Content-Length'), length $bytes, "$how: the length";
        is $response->body,                     $bytes,        'every byte';
        is answer("/$how/empty.txt")->body,     '',            'an empty file';
        is answer("/$how/none.txt")->status,    404,           'none';
    }
    like answer('/directory/')->body, qr/mib\.txt/, 'a list';
    my $date = answer('/ranged/mib.txt')->header('Last-Modified');
    my $same = answer('/ranged/mib.txt', "If-Modified-Since: $date");
    is $same->status, 304, 'If-Modified-Since: 304';
    is $same->body,   '',  'without a body';
    is answer('/part?1000,1000')->body, substr($bytes, 1000, 1000),
        'a part of a file, as Range makes it';
    my $part = answer('/ranged/mib.txt', 'Range: bytes=1000-1999');
    is $part->status, 206,                        'Range: 206';
    is $part->body,   substr($bytes, 1000, 1000), 'those bytes';
};

subtest 'path' => sub {
    diary($server);
    my $response = answer('/path');
    is $response->header('Content-Length'), length $bytes, 'the file that it names is sent';
    is $response->body,                     $bytes,        'every byte';
    is join(' ', diary($server)),           'path closed', 'asked once, closed once';
    for my $path (qw(/path-none /path-dies /path-dir)) {
        is answer($path)->body,       'by getline',  "$path: read by getline";
        is join(' ', diary($server)), 'path closed', 'closed once';
    }
};

subtest 'a handle that the application goes on using' => sub {
    my $n = answer('/open')->body;
    for my $path (qw(/reused /twice)) {
        is answer($path)->body, $bytes, "$path: every byte" for 1 .. 4;
    }
    ok eventually(sub { answer('/open')->body eq $n }), 'no descriptor stays open';
};

subtest 'pieces' => sub {
    is answer('/pieces')->body, join('', 1 .. 10_000), '20,000 of them, every other one empty';
    is answer('/refs')->body,   'ab',                  'references to strings';
    is answer('/zero')->body,   'ab',                  'empty ones by a writer';
};

subtest 'a handle that has no end' => sub {
    my $client = $server->connect;
    $client->send(get('/endless') . get('/zero'));
    is length $client->response->body, 70_000, 'is read as far as its Content-Length says';
    is $client->response->body,        'ab',   'and the connection goes on';
    $client->close;
};

subtest 'a file that shrinks while it is sent' => sub {
    my $client = $server->connect;
    my $from   = length $server->stderr;
    $client->send(get('/shrink'));
    $client->wait_for_bytes(1);
    truncate "$dir/shrink.bin", 1 << 20;
    my $n = length $client->rest;
    cmp_ok $n, '<', 24 << 20, 'less than was announced arrives';
    ok defined $client->error || $client->eof,           'and the connection is closed';
    ok $server->stderr_like(qr/shorter/, from => $from), 'the log says why';
    is answer('/hello')->body, 'hello', 'the server goes on';
    ok comes_to_rest($server), 'nothing is left';
};

subtest 'a file of more than 4 GiB' => sub {
    like answer('/sparse-end')->body, qr/\A\0{10}end\z/, 'from a place behind 4 GiB';
    not_over_http2('the client reads from the socket itself');
    not_over_tls('the kernel sends no file there');
    my $client = $server->connect;
    $client->send(get('/sparse'));
    my ($head, $n) = ('', 0);
    my $first = 1;
    my $rss   = $server->rss_kib;
    my @seconds;
    my $limit = $ENV{SPRIG_TEST_FULL} ? 4 << 30 : 256 << 20;
    my $hello = $server->connect;
    my $last  = '';
    $client->socket->blocking(1);

    while ($n < $limit) {
        my $got = sysread $client->socket, $last, 1 << 20 or last;
        $n += $got;
        ($head) = $last =~ /\A(.*?\r\n\r\n)/s if $first;
        $first = 0;
        next if $n % 7;
        my $start = time;
        $hello->send(get('/hello'));
        $hello->response;
        push @seconds, time - $start;
    }
    like $head, qr/^Content-Length: 4294967304\r$/m, 'its length';
    cmp_ok $n,                      '>=', $limit, "$n bytes of it";
    cmp_ok $server->rss_kib - $rss, '<',  1024,   'by the kernel';
    @seconds = sort { $a <=> $b } @seconds;
    note sprintf '%d hellos beside it: at most %.1f ms', scalar @seconds, $seconds[-1] * 1000;
    cmp_ok $seconds[@seconds / 2], '<', 0.2, 'others get their turn';
    $client->close;
    ok comes_to_rest($server), 'nothing is left';
};

$server->stop_ok;
done_testing;
