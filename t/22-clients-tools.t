# Well-known clients get right answers: curl, ab, wrk, h2load.

use strict;
use warnings;
use Digest::SHA qw(sha1_hex);
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

my $code = <<'APP';
sub Lines::getline { shift @{ $_[0] } }
sub Lines::close { }
sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [200, ['Content-Type' => 'text/plain'], bless [map {"line $_\n"} 1 .. 3], 'Lines'] if $path eq '/lines';
    return [302, [Location => '/hello'], []] if $path eq '/moved';
    return [200, [], ['x' x 5_000_000]] if $path eq '/large';
    if ($env->{REQUEST_METHOD} eq 'POST' || $env->{REQUEST_METHOD} eq 'PUT') {
        local $/;
        my $body = readline $env->{'psgi.input'};
        return [200, [], ["$env->{CONTENT_LENGTH} ", $body]];
    }
    return [200, ['Content-Type' => 'text/plain'], ["hello\n"]];
};
APP

my $server = start_server(code => $code);

sub with_tool {
    my ($name, $code) = @_;
    subtest $name => sub {
        plan skip_all => "$name is not installed" if !tool_path($name);
        $code->();
    };
    return;
}

with_tool curl => sub {
    for my $version ('--http1.1', '--http1.0') {
        is(curl($version, $server->url('/hello')), "hello\n",                  "$version: GET");
        is(curl($version, $server->url('/lines')), "line 1\nline 2\nline 3\n", "$version: stream");
        is(curl($version, '-L', $server->url('/moved')),   "hello\n", "$version: redirect");
        is(length curl($version, $server->url('/large')),  5_000_000, "$version: large");
        is(curl($version, '-d', 'a=b', $server->url('/')), '3 a=b',   "$version: POST");
        like(
            curl($version, '-I', $server->url('/hello')),
            qr/\AHTTP\/1\.[01] 200 OK\r\n.*^Content-Length: 6\r\n/ms,
            "$version: HEAD"
        );
    }
    my $path = spew(SprigTest::temp_path('upload'), join '', map { chr $_ % 256 } 1 .. 300_000);
    my $sent = '300000 ' . slurp($path);
    is(sha1_hex(curl('-T', $path, $server->url('/'))), sha1_hex($sent), 'upload, with Expect');
    is(sha1_hex(curl('-H', 'Transfer-Encoding: chunked', '-T', $path, $server->url('/'))),
        sha1_hex($sent), 'upload in chunks');
    like(curl('--http2', '-v', $server->url('/hello')),
        qr/^hello$/m, 'an offer of HTTP/2 is answered in HTTP/1.1');
    my $both = curl('-v', $server->url('/hello'), $server->url('/lines'));
    like($both, qr/Re-using existing (?:http: )?connection/, 'a connection is used again');
};

with_tool ab => sub {
    my $url = $server->url('/hello');
    for my $case (['kept connections', '-k'], ['one for each request', '-S']) {
        my ($name, $flag) = @$case;
        my $n      = $flag eq '-S' && SprigTest::OverTls::is_on() ? 400 : 2000;    # handshakes
        my $report = output_of('ab', $flag, '-q', '-n', $n, '-c', 20, $url);
        like($report, qr/^Complete requests:\s+$n$/m, "$name: all complete");
        like($report, qr/^Failed requests:\s+0$/m,    "$name: none failed");
        unlike($report, qr/^Non-2xx/m, "$name: all good");
        like($report, qr/^Keep-Alive requests:\s+2000$/m, "$name: kept") if $flag eq '-k';
    }
    my $path   = spew(SprigTest::temp_path('post'), 'a=b' x 100);
    my $report = output_of('ab', '-q', '-k', '-n', 500, '-c', 5, '-p', $path, $url);
    like($report, qr/^Complete requests:\s+500$/m, 'POST: all complete');
    like($report, qr/^Failed requests:\s+0$/m,     'POST: none failed');
};

with_tool wrk => sub {
    for my $path (qw(/hello /lines)) {
        my $report = output_of('wrk', '-t1', '-c20', '-d1s', $server->url($path));
        like($report, qr/^\s+[1-9][0-9]* requests in/m, "$path: requests were answered");
        unlike($report, qr/Socket errors|Non-2xx/, "$path: without errors") or diag($report);
    }
};

with_tool h2load => sub {
    for my $path (qw(/hello /lines)) {
        my $report = output_of('h2load', '--h1', '-n2000', '-c10', '-m16', $server->url($path));
        like($report, qr/2000 succeeded, 0 failed, 0 errored, 0 timeout/, "$path: all succeeded")
            or diag($report);
        like($report, qr/^status codes: 2000 2xx/m, "$path: all good");
    }
};

is($server->stderr, '', 'nothing to complain about');
$server->stop_ok;
done_testing;
