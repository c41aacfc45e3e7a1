package Sprig::Dev::Page;

use strict;
use warnings;

our $VERSION = '0.001';

# Names for SPRIG_EDITOR. Others are templates themselves.
my %editor = (
    vscode   => 'vscode://file/__FILE__:__LINE__',
    vscodium => 'vscodium://file/__FILE__:__LINE__',
    cursor   => 'cursor://file/__FILE__:__LINE__',
    zed      => 'zed://file/__FILE__:__LINE__',
    subl     => 'subl://open?url=file://__FILE__&line=__LINE__',
    textmate => 'txmt://open?url=file://__FILE__&line=__LINE__',
    idea     => 'idea://open?file=__FILE__&line=__LINE__',
    emacs    => 'emacs://open?url=file://__FILE__&line=__LINE__',
);

my %title = (
    load     => 'The application cannot be loaded',
    request  => 'The application has died',
    callback => 'A callback has died',
    lost     => 'The application has not answered',
);

# Escapes for HTML, and for values of attributes.
sub escape {
    my ($text) = @_;
    $text = '' if !defined $text;
    $text =~ s/&/&amp;/g;
    $text =~ s/</&lt;/g;
    $text =~ s/>/&gt;/g;
    $text =~ s/"/&quot;/g;
    $text =~ s/'/&#39;/g;
    $text =~ s/([\x00-\x08\x0b\x0c\x0e-\x1f\x7f])/sprintf '\\x%02X', ord $1/ge;
    return $text;
}

# The URL that opens an editor there, or nothing.
sub editor_url {
    my ($file, $line) = @_;
    my ($template) = grep { defined && length } @ENV{qw(SPRIG_EDITOR PLUG_EDITOR)};
    return                         if !defined $template || $file !~ m{\A/};
    $template = $editor{$template} if $editor{$template};
    return
        if $template !~ /\A[a-z][a-z0-9+.-]*:/i || $template =~ /\A(?:javascript|data|vbscript):/i;
    utf8::encode(my $path = $file);
    $path     =~ s{([^A-Za-z0-9_./~-])}{sprintf '%%%02X', ord $1}ge;
    $template =~ s/__FILE__/$path/g;
    $template =~ s/__LINE__/$line/g;
    return $template;
}

# What the client wants: html, json or text.
sub format_for {
    my ($env) = @_;
    my $accept = defined $env->{HTTP_ACCEPT} ? lc $env->{HTTP_ACCEPT} : '';
    return 'html' if $accept =~ m{text/html|application/xhtml};
    return 'json' if $accept =~ m{[/+]json\b};
    return 'text';
}

# The response: status, headers and body.
sub response {
    my ($failure, $format, %option) = @_;
    my ($type, $body) =
          $format eq 'html' ? ('text/html; charset=utf-8', html($failure, %option))
        : $format eq 'json' ? ('application/json', json($failure))
        :                     ('text/plain; charset=utf-8', text($failure));
    utf8::encode($body);
    my @headers = (
        'Content-Type'   => $type,
        'Content-Length' => length $body,
        'Cache-Control'  => 'no-store'
    );
    return [500, \@headers, [$body]];
}

# ---- text ----

sub _place {
    my ($frame) = @_;
    my $sub = defined $frame->{sub} ? " ($frame->{sub})" : '';
    return "$frame->{file} line $frame->{line}$sub";
}

sub text {
    my ($failure) = @_;
    my $name = $failure->request_name;
    my @lines =
        ($title{ $failure->kind } . (defined $name ? ": $name" : ''), '', $failure->text, '');
    for my $frame ($failure->frames) {
        push @lines, 'at ' . _place($frame);
        next if !$frame->{own};
        my ($source) = grep { $_->[0] == $frame->{line} } $failure->source($frame);
        push @lines, '    ' . $source->[1] =~ s/\A\s+//r if $source;
    }
    return join("\n", @lines) . "\n";
}

# ---- JSON ----

sub _json_string {
    my ($text) = @_;
    return 'null' if !defined $text;
    $text =~ s/(["\\])/\\$1/g;
    $text =~ s/\n/\\n/g;
    $text =~ s/([\x00-\x1f\x7f])/sprintf '\\u%04x', ord $1/ge;
    return qq("$text");
}

sub _json_pairs {
    return '{' . join(',', map { _json_string($_->[0]) . ':' . $_->[1] } @_) . '}';
}

# An object of these strings.
sub json_of {
    my (@pairs) = @_;
    my @list;
    while (my ($name, $text) = splice @pairs, 0, 2) {
        push @list, [$name, _json_string($text)];
    }
    return _json_pairs(@list);
}

sub json {
    my ($failure) = @_;
    my @frames = map {
        _json_pairs(
            [file => _json_string($_->{file})],
            [line => $_->{line} + 0],
            [sub  => _json_string($_->{sub})],
            [own  => $_->{own} ? 'true' : 'false'],
        )
    } $failure->frames;
    my $request = $failure->request;
    my @headers =
        map { [$_->[0], _json_string($_->[1])] } @{ $request && $request->{headers} || [] };
    return _json_pairs(
        [error  => _json_string($failure->text)],
        [kind   => _json_string($failure->kind)],
        [class  => _json_string($failure->class)],
        [frames => '[' . join(',', @frames) . ']'],
        $request
        ? (
            [method  => _json_string($request->{REQUEST_METHOD})],
            [url     => _json_string($request->{REQUEST_URI})],
            [headers => _json_pairs(@headers)]
            )
        : (),
    ) . "\n";
}

# ---- HTML ----

my $style = <<'CSS';
:root{--back:#fff;--text:#1d2129;--soft:#667;--line:#dde1e8;--code:#f6f7f9;--mark:#ffe9e6;--red:#b3261e;--link:#0a58b5}
@media(prefers-color-scheme:dark){:root{
--back:#16181d;--text:#e4e6eb;--soft:#9aa2b1;--line:#2e333d;--code:#1e2128;--mark:#4a2320;--red:#ff8a80;--link:#7db4ff}}
*{box-sizing:border-box}
body{margin:0;background:var(--back);color:var(--text);font:15px/1.5 system-ui,sans-serif}
main{max-width:70rem;margin:0 auto;padding:1.5rem 1rem 3rem}
header p{margin:0;color:var(--soft);overflow-wrap:anywhere}
h1{margin:.2rem 0 .6rem;color:var(--red);font-size:1.35rem;line-height:1.35;overflow-wrap:anywhere;white-space:pre-wrap}
header .details{white-space:pre-wrap;font:13px/1.55 ui-monospace,Menlo,Consolas,monospace}
h2{margin:2rem 0 .5rem;font-size:1rem}
a{color:var(--link)}
.frame{margin:1rem 0;border:1px solid var(--line);border-radius:6px;overflow:hidden}
.frame>p,.others li{margin:0;padding:.45rem .8rem;overflow-wrap:anywhere}
.frame>p{border-bottom:1px solid var(--line)}
.sub{color:var(--soft)}
pre{margin:0;padding:.4rem 0;background:var(--code);overflow-x:auto;tab-size:4;
font:13px/1.55 ui-monospace,Menlo,Consolas,monospace}
pre span{display:block;padding:0 .8rem;min-width:max-content}
pre .here{background:var(--mark)}
pre i{display:inline-block;width:3.2em;padding-right:1em;color:var(--soft);font-style:normal;text-align:right;user-select:none}
details{margin:1rem 0}summary{cursor:pointer;color:var(--soft)}
.others{margin:.3rem 0 0;padding:0;list-style:none;font-size:.9rem;color:var(--soft)}
table{width:100%;border-collapse:collapse;font-size:.9rem}
td{padding:.3rem .6rem .3rem 0;border-top:1px solid var(--line);vertical-align:top;overflow-wrap:anywhere}
td:first-child{width:12rem;color:var(--soft)}
@media(max-width:40rem){td,td:first-child{display:block;width:auto;padding:.1rem 0}
td+td{border:0;padding-bottom:.4rem}}
CSS

sub _frame_title {
    my ($frame) = @_;
    my ($file, $line) = @$frame{qw(file line)};
    my $place = escape($frame->{name}) . ':' . escape($line);
    my $url   = editor_url($file, $line);
    my $sub   = $frame->{sub};
    $place = '<a href="' . escape($url) . qq(">$place</a>) if defined $url;
    $place .= ' <span class="sub">' . escape($sub) . '</span>' if defined $sub;
    return $place;
}

# Several frames are places in one file.
sub _own_frame {
    my ($failure, @frames) = @_;
    my (%line, %is_meant);
    for my $frame (@frames) {
        $is_meant{ $frame->{line} } = 1;
        $line{ $_->[0] } = $_->[1] for $failure->source($frame);
    }
    my @lines = map {
        my $class = $is_meant{$_} ? ' class="here"' : '';
        "<span$class><i>$_</i>" . escape($line{$_}) . "</span>";
    } sort { $a <=> $b } keys %line;
    my $source = @lines ? '<pre>' . join('', @lines) . '</pre>' : '';
    return '<section class="frame"><p>' . _frame_title($frames[0]) . "</p>$source</section>\n";
}

# Places that the message names, such as those of several mistakes, are shown together.
sub _is_beside {
    my ($frame, $before) = @_;
    return $before && !length $frame->{package} && !length $before->{package}
        && $frame->{file} eq $before->{file};
}

# Runs of frames that are not the application's are folded.
sub _frames {
    my ($failure) = @_;
    my ($html, @others, @own) = '';
    for my $frame ($failure->frames, undef) {
        if (@own && !(defined $frame && $frame->{own} && _is_beside($frame, $own[-1]))) {
            $html .= _own_frame($failure, @own);
            @own = ();
        }
        if (defined $frame && !$frame->{own}) {
            push @others, $frame;
            next;
        }
        if (@others) {
            my $what = @others == 1 ? 'one frame' : @others . ' frames';
            $html .=
                  "<details><summary>$what of installed modules</summary><ul class=\"others\">"
                . join('', map { '<li>' . _frame_title($_) . '</li>' } @others)
                . "</ul></details>\n";
            @others = ();
        }
        push @own, $frame if defined $frame;
    }
    return $html;
}

sub _table {
    my (@rows) = @_;
    return '<table>'
        . join('',
        map { '<tr><td>' . escape($_->[0]) . '</td><td>' . escape($_->[1]) . '</td></tr>' } @rows)
        . "</table>\n";
}

sub _query_rows {
    my ($query) = @_;
    my @rows;
    for my $pair (split /[&;]/, defined $query ? $query : '') {
        my ($name, $value) = map { tr/+/ /; s/%([0-9a-fA-F]{2})/chr hex $1/ger } split /=/, $pair,
            2;
        utf8::decode($_) for grep { defined } $name, $value;
        push @rows, [$name, $value];
    }
    return @rows;
}

sub _request {
    my ($failure) = @_;
    my $request   = $failure->request or return '';
    my @query     = _query_rows($request->{QUERY_STRING});
    return "<h2>Request</h2>\n"
        . _table(
        [
            'Request',
            "$request->{REQUEST_METHOD} $request->{REQUEST_URI} $request->{SERVER_PROTOCOL}"
        ],
        ['Client', $request->{REMOTE_ADDR}],
        @{ $request->{headers} || [] }
        )
        . (@query ? "<h2>Query</h2>\n" . _table(@query) : '')
        . '<details><summary>Environment</summary>'
        . _table(@{ $request->{env} || [] })
        . "</details>\n";
}

# Option `script`: HTML to be put at the end.
sub html {
    my ($failure, %option) = @_;
    my $title = $title{ $failure->kind };
    my $name  = $failure->request_name;
    my @head = ($title, defined $name ? $name : (), defined $failure->class ? $failure->class : ());
    my $details = $failure->details;
    $details = defined $details ? '<p class="details">' . escape($details) . '</p>' : '';
    my @time = localtime $failure->time;
    push @head, sprintf '%02d:%02d:%02d', @time[2, 1, 0];
    return
          "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
        . '<meta name="viewport" content="width=device-width,initial-scale=1">'
        . '<title>'
        . escape(substr $failure->message, 0, 100)
        . "</title>\n<style>\n$style</style></head>\n"
        . '<body><main><header><p>'
        . join(' &middot; ', map { escape($_) } @head)
        . '</p><h1>'
        . escape($failure->message)
        . "</h1>$details</header>\n"
        . _frames($failure)
        . _request($failure)
        . '</main>'
        . (defined $option{script} ? $option{script} : '')
        . "</body></html>\n";
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Dev::Page - shows a failure as HTML, JSON or text

=head1 DESCRIPTION

Used by L<Sprig::Dev>. There is nothing here for applications.

=head1 FUNCTIONS

=head2 response

    my $response = Sprig::Dev::Page::response($failure, $format, script => $html);

=head2 format_for

    my $format = Sprig::Dev::Page::format_for($env);

C<html>, C<json> or C<text>, as the client accepts it.

=head2 html, json, text

The body, in characters.

=head2 json_of

    my $json = Sprig::Dev::Page::json_of(name => $text, ...);

=head2 editor_url

    my $url = Sprig::Dev::Page::editor_url($file, $line);

What C<SPRIG_EDITOR> or C<PLUG_EDITOR> makes of the place; see L<Sprig::Manual::Development/"The editor">.

=head2 escape

Makes text fit for HTML.

=cut
