# An upload with a progress bar: the server reports what has arrived so far, to every page that watches.
#
#   sprig --streaming-input /upload eg/upload.psgi      then open http://localhost:5000/
#   curl --data-binary @FILE 'http://localhost:5000/upload?id=1'
#
# The file is never stored: the server computes its SHA-256 as the pieces arrive. Send a gigabyte and watch the memory
# of the process.
use strict;
use warnings;
use Digest::SHA;
use JSON::PP ();
use Sprig::Channel;

my $json = JSON::PP->new->canonical;
my $page = do { local $/; <DATA> };
close DATA;

sub channel_of { return Sprig::Channel->new("upload $_[0]") }

sub receive {
    my ($env, $id) = @_;
    my $reader = $env->{'psgix.input.reader'};
    my $total  = $env->{CONTENT_LENGTH} || 0;
    return [411, [], ["Send a body.\n"]] if !$reader && !$total;
    return [501, [], ["Start the server with --streaming-input /upload.\n"]] if !$reader;
    my $channel = channel_of($id);
    my $sha     = Digest::SHA->new(256);
    my ($n, $told) = (0, -1);
    return sub {
        my ($respond) = @_;
        $reader->on_data(sub {
            my ($reader, $bytes) = @_;
            $n += length $bytes;
            $sha->add($bytes);
            my $percent = $total ? int 100 * $n / $total : 0;
            return if $percent == $told;
            $told = $percent;
            $channel->publish($json->encode({ percent => $percent, bytes => $n }));
        });
        $reader->on_end(sub {
            my $result = $json->encode({ bytes => $n, sha256 => $sha->hexdigest });
            $respond->([200, ['Content-Type' => 'application/json'], [$result]]);
        });
        $reader->on_error(sub { $channel->publish('{"failed":true}') });
    };
}

sub watch {
    my ($id) = @_;
    return sub {
        my ($respond) = @_;
        my $writer = $respond->([200, ['Content-Type' => 'text/event-stream']]);
        $writer->heartbeat(15);
        $writer->comment('watching');
        channel_of($id)->join($writer);
    };
}

sub {
    my ($env)   = @_;
    my ($id)    = $env->{QUERY_STRING} =~ /\bid=(\w{1,40})/;
    my $path    = $env->{PATH_INFO};
    return [200, ['Content-Type' => 'text/html; charset=utf-8'], [$page]] if $path eq '/';
    return [404, [], ["Not found\n"]] if !defined $id || $path !~ m{\A/(?:upload|progress)\z};
    return $path eq '/upload' ? receive($env, $id) : watch($id);
};

__DATA__
<!doctype html>
<html lang="en">
<meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>Upload</title>
<style>
* { box-sizing: border-box }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; padding: 1rem; background: #f2f4f8;
  color: #1c2733; font: 16px/1.5 system-ui, sans-serif }
main { width: 100%; max-width: 34rem; padding: 1.8rem; border-radius: 1rem; background: #fff; box-shadow: 0 2px 12px #0002 }
h1 { margin: 0 0 1rem; font-size: 1.3rem }
label { display: block; padding: 1.6rem 1rem; border: 2px dashed #aab8c8; border-radius: .8rem; text-align: center;
  cursor: pointer; overflow-wrap: anywhere }
label:hover, label.over { border-color: #2563c9; background: #f3f7fe } input { display: none }
progress { width: 100%; height: .7rem; margin: 1.2rem 0 .4rem; accent-color: #2563c9 }
#said { min-height: 3em; font-variant-numeric: tabular-nums; overflow-wrap: anywhere } code { font-size: .72rem }
</style>
<main>
<h1>Upload with live progress</h1>
<label id="drop"><span id="name">Choose a file, or drop it here</span><input type="file" id="file"></label>
<progress id="bar" max="100" value="0"></progress>
<div id="said">Nothing has arrived yet.</div>
</main>
<script>
const $ = id => document.getElementById(id), size = n => (n / 1048576).toFixed(1) + ' MB';
function send(file) {
  const id = Math.random().toString(36).slice(2), source = new EventSource('/progress?id=' + id);
  $('name').textContent = file.name;
  source.onmessage = event => {
    const { percent, bytes } = JSON.parse(event.data);
    $('bar').value = percent;
    $('said').textContent = 'The server has ' + size(bytes) + ' of ' + size(file.size) + '.';
  };
  source.onopen = async () => {
    const response = await fetch('/upload?id=' + id, { method: 'POST', body: file });
    source.close();
    if (!response.ok) return $('said').textContent = await response.text();
    const answer = await response.json();
    $('bar').value = 100;
    $('said').innerHTML = 'All ' + size(answer.bytes) + ' have arrived. SHA-256:<br><code>' + answer.sha256 + '</code>';
  };
}
$('file').onchange = () => send($('file').files[0]);
$('drop').ondragover = event => { event.preventDefault(); $('drop').className = 'over' };
$('drop').ondragleave = () => $('drop').className = '';
$('drop').ondrop = event => { event.preventDefault(); send(event.dataTransfer.files[0]) };
</script>
