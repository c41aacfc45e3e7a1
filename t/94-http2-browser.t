# HTTP/2 in real browsers: a page of two hundred images, an upload, streams in both directions, an
# EventSource and a WebSocket, all on the one connection.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Browser;
use SprigTest::Http2;
use SprigTest::Probe qw(eventually);
use SprigTest::Tls;
use Test::More;

need_http2();
need_tls();

my ($N_IMAGES, $UPLOAD_BYTES) = (200, 8 << 20);

my $app = <<'APP';
my $page = join '', <DATA>;
my $svg  = '<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16"><rect width="16" height="16" fill="green"/></svg>';

# Five pieces, each when the page has got the one before.
my %next;
sub by_and_by {
    my ($path, $type, $send) = @_;
    return sub {
        my $writer = $_[0]->([200, ['Content-Type' => $type]]);
        my $n = 0;
        $next{$path} = sub {
            return $send->($writer, $n) if ++$n <= 5;
            $writer->close;
            delete $next{$path};
        };
        $next{$path}->();
    };
}

sub body_of {
    my ($env) = @_;
    my $body = '';
    1 while $env->{'psgi.input'}->read($body, 65536, length $body);
    return $body;
}

sub {
    my ($env) = @_;
    my $path = $env->{PATH_INFO};
    return [200, ['Content-Type' => 'text/html'], [$page]] if $path eq '/';
    return [200, ['Content-Type' => 'image/svg+xml'], [$svg]] if $path =~ m{\A/image/};
    return [200, [], [length body_of($env)]] if $path eq '/upload';
    return by_and_by($path, 'text/plain', sub { $_[0]->write("piece $_[1]\n") }) if $path eq '/stream';
    return by_and_by($path, 'text/event-stream', sub { $_[0]->event(data => $_[1]) }) if $path eq '/events';
    if ($path eq '/next') {
        $next{ $env->{QUERY_STRING} }->();
        return [204, [], []];
    }
    if ($path eq '/websocket') {
        my $ws = $env->{'psgix.websocket'} or return [400, [], []];
        my $over = $env->{SERVER_PROTOCOL};
        return $ws->accept(on_message => sub { $_[0]->send("$over: " . reverse $_[1]) });
    }
    if ($path eq '/report') {
        open my $out, '>', "$ENV{TEST_REPORT}.new" or die;
        print {$out} body_of($env);
        close $out;
        rename "$ENV{TEST_REPORT}.new", $ENV{TEST_REPORT};
        return [204, [], []];
    }
    return [404, [], []];
};
__DATA__
<!doctype html><title>HTTP/2</title><style>img { width: 16px; height: 16px }</style>
<h1>HTTP/2</h1><div id="images"></div><pre id="lines"></pre>
<script>
const said = [];
const say = (name, value) => {
    said.push(`${name}: ${value}`);
    document.getElementById('lines').textContent = said.join('\n');
};
const images = () => Promise.all(Array.from({ length: N_IMAGES }, (_, i) => new Promise((done) => {
    const image = new Image();
    image.onload = () => done(1);
    image.onerror = () => done(0);
    image.src = `/image/${i}`;
    document.getElementById('images').append(image);
})));
const upload = () => new Promise((done) => {
    const request = new XMLHttpRequest();
    let told = 0;
    request.upload.onprogress = (event) => { told = event.loaded; };
    request.onloadend = () => done(`${request.responseText} bytes, ${told} told`);
    request.open('POST', '/upload');
    request.send(new Uint8Array(UPLOAD_BYTES));
});
// Which no browser does over HTTP/1.1.
const streamed = async () => {
    let n = 0;
    const body = new ReadableStream({ pull(to) {
        ++n > 4 ? to.close() : to.enqueue(new Uint8Array(100000));
    } });
    return (await fetch('/upload', { method: 'POST', body, duplex: 'half' })).text();
};
const can_stream = () => {
    let asked = false;
    const request = new Request('/', {
        method: 'POST', body: new ReadableStream(), get duplex() { asked = true; return 'half'; }
    });
    return asked && !request.headers.has('content-type');
};
const stream = async () => {
    const reader = (await fetch('/stream')).body.getReader();
    let text = '';
    for (;;) {
        const { done, value } = await reader.read();
        if (done) return text.replace(/piece |\n/g, '');
        text += new TextDecoder().decode(value);
        fetch('/next?/stream');
    }
};
const events = () => new Promise((done) => {
    const source = new EventSource('/events'), got = [];
    source.onmessage = (event) => {
        got.push(event.data);
        fetch('/next?/events');
        if (got.length < 5) return;
        source.close();
        done(got.join(''));
    };
});
const websocket = () => new Promise((done) => {
    const socket = new WebSocket(`wss://${location.host}/websocket`);
    socket.onopen = () => socket.send('olleh');
    socket.onerror = () => done('failed');
    socket.onmessage = (event) => { socket.close(1000); socket.onclose = (end) => done(`${event.data} ${end.code}`); };
});
onload = async () => {
    say('images', (await images()).reduce((sum, one) => sum + one));
    say('upload', await upload());
    say('streamed upload', can_stream() ? await streamed() : 'unknown to it');
    say('stream', await stream());
    say('events', await events());
    say('websocket', await websocket());
    say('protocols', [...new Set(performance.getEntriesByType('resource').map((e) => e.nextHopProtocol))]);
    await fetch('/report', { method: 'POST', body: said.join('\n') });
};
</script>
APP
$app =~ s/(N_IMAGES)/$N_IMAGES/g;
$app =~ s/(UPLOAD_BYTES)/$UPLOAD_BYTES/g;

my $pem = certificate();

# How each comes to trust the certificate.
sub chromium { return (flags => ['--ignore-certificate-errors']) }

sub firefox {
    my ($server) = @_;
    my ($print) =
        output_of(qw(openssl x509 -noout -fingerprint -sha256 -in), $pem->{cert}) =~ /=(\S+)/;
    return (cert_override => sprintf "%s:%d:\tOID.2.16.840.1.101.3.4.2.1\t%s\t\n",
        $server->host, $server->port, $print);
}

# Runs it until its page has reported; the report, and the lines of the access log.
sub report_of {
    my ($program, $trust) = @_;
    my ($report, $log) = map { SprigTest::temp_path($_) } qw(report log);
    my $server = start_server(
        by   => 'program',
        code => $app,
        env  => { TEST_REPORT => $report },
        args => {
            host            => '127.0.0.1',
            tls_cert        => $pem->{both},
            http2_websocket => 'on',
            access_log      => $log
        }
    );
    my $browser = open_browser($program, 'https://127.0.0.1:' . $server->port . '/', $trust->($server));
    eventually { -e $report } 160;
    $browser->quit;
    $server->idle_ok;
    $server->stop_ok;
    is($server->stderr, '', 'the server has nothing to complain about');
    my %said = map { /\A([^:]+): (.*)/ ? ($1, $2) : () } -e $report ? split /\n/,
        slurp($report) : ();
    return (\%said, slurp($log));
}

for my $browser (
    [Chromium => \&chromium, 400_000],
    [Firefox  => \&firefox,  'unknown to it']
    )
{
    my ($name, $trust, $streamed) = @$browser;
    subtest $name => sub {
        my $program = find_browser($name) or plan skip_all => "no $name is installed";
        my ($said, $log) = report_of($program, $trust);
        is($said->{images}, $N_IMAGES, 'all images');
        is(
            $said->{upload},
            "$UPLOAD_BYTES bytes, $UPLOAD_BYTES told",
            'an upload, and its progress'
        );
        is($said->{'streamed upload'}, $streamed, 'one whose length is not known before');
        is($said->{stream},            '12345',   'a stream, while it comes');
        is($said->{events},            '12345',   'events');
        is($said->{websocket},         'HTTP/2: hello 1000', 'a WebSocket, on a stream as well');
        is($said->{protocols},         'h2',                 'the browser has spoken nothing else');
        my @others = grep { !m{ HTTP/2" } } split /\n/, $log;
        is_deeply(\@others, [], 'nor has the server');
        is(scalar(() = $log =~ m{"GET /websocket HTTP/2" 101 }g),
            1, 'the WebSocket was one of HTTP/2');
    };
}

done_testing;
