package SprigBench::Page;

# One page for people: charts and tables of a report, without anything from elsewhere; and the table for
# README.

use strict;
use warnings;

my %WHAT = (
    hello          => '"Hello, World!" on connections that are kept',
    browser        => 'the same for the eleven headers of a browser',
    close          => 'a connection for each request',
    pipelined      => 'sixteen requests at a time on each connection',
    ten            => 'ten pieces of 1 KB in an array, and seven headers',
    post           => 'a request body of 1 KB, read by the application',
    writer         => 'ten chunks of 1 KB by a writer',
    delayed        => 'a response that a timer gives',
    'file-64k'     => 'a file of 64 KB',
    'file-32m'     => 'a file of 32 MB',
    unix           => 'hello through a unix socket',
    steady         => 'hello at a constant rate, below what the server can do',
    overload       => 'half as many requests again as the server can answer, at a constant rate',
    slow           => 'hello at a constant rate, beside 500 clients that send a byte now and then',
    idle           => 'memory for a connection that waits',
    push           => 'writing 100 bytes to each of 1,000 open streams',
    'tls-hello'    => 'hello over TLS',
    'tls-full'     => 'full handshakes with an ECDSA key',
    'tls-full-rsa' => 'full handshakes with an RSA key',
    'tls-resumed'  => 'sessions that are resumed',
    'tls-file-32m' => 'a file of 32 MB over TLS',
    'h2-hello'     => 'hello over HTTP/2, ten requests at a time on each connection',
    'h2-fair'      => 'how evenly streams of one connection are served',
    'h2-file-32m'  => 'a file of 32 MB over HTTP/2',
    'tls-idle'     => 'memory for a connection with TLS that waits',
);

my %UNIT = (
    rate => ['requests answered a second',                   'more is better'],
    cpu  => ['microseconds of processor time for a request', 'less is better'],
    idle => ['bytes for a connection',                       'less is better'],
    push => ['microseconds of processor time for a write',   'less is better'],
    p99  => ['milliseconds, 99 of 100 answers',              'less is better'],
);

# These are about waiting, not about processor time; in an overload, where each is asked for more than
# it can do, they are about what still gets done.
my %CHART_KEY = (steady => 'p99', slow => 'p99', overload => 'rate');

sub new { my ($class, $report) = @_; return bless { report => $report }, $class }

sub _key {
    my ($self, $scenario) = @_;
    my $key = $CHART_KEY{ $scenario->{name} } || $self->{report}->key_of($scenario);
    return $UNIT{$key} ? $key : 'cpu';
}

# [server, value] of the chart of a scenario.
sub _bars {
    my ($self, $scenario) = @_;
    my $key = $self->_key($scenario);
    return grep { $_->[1] }
        map     { [$_, $self->{report}->value($scenario->{name}, $_, $key)] }
        @{ $self->{report}{servers} };
}

sub _text {
    my ($text) = @_;
    my %entity = ('&' => '&amp;', '<' => '&lt;', '>' => '&gt;', '"' => '&quot;');
    $text =~ s/([&<>"])/$entity{$1}/g;
    return $text;
}

sub _number {
    my ($value) = @_;
    my $text    = sprintf $value >= 100 ? '%.0f' : $value >= 10 ? '%.1f' : '%.2f', $value;
    1 while $text =~ s/\A(\d+)(\d{3})/$1,$2/;
    return $text;
}

# ---- the page

# Horizontal bars, one for each server.
sub _chart {
    my ($self, $scenario) = @_;
    my @bars   = $self->_bars($scenario);
    my ($max)  = sort { $b <=> $a } map { $_->[1] } @bars;
    my $height = 30 * @bars + 4;
    my @svg    = (
        qq(<svg viewBox="0 0 720 $height" role="img" aria-label="),
        _text("$scenario->{name}: " . join ', ', map { "$_->[0] " . _number($_->[1]) } @bars),
        qq(">\n)
    );
    for my $i (0 .. $#bars) {
        my ($server, $value) = @{ $bars[$i] };
        my $y     = 30 * $i + 4;
        my $width = sprintf '%.1f', 480 * $value / $max || 1;
        my $class = $server =~ /\A(?:sprig|plackup|mojo)\z/ ? 'ours' : 'theirs';
        push @svg,
            sprintf(qq(<text class="name" x="104" y="%d">%s</text>\n), $y + 16, _text($server)),
            qq(<rect class="$class" x="114" y="$y" width="$width" height="22" rx="3"/>\n),
            sprintf(qq(<text x="%.1f" y="%d">%s</text>\n), 122 + $width, $y + 16, _number($value));
    }
    return @svg, "</svg>\n";
}

sub _table {
    my ($self,  $scenario) = @_;
    my ($title, @rows)     = $self->{report}->rows($scenario);
    my $cell = sub {
        my ($tag, @texts) = @_;
        map { "<$tag>" . _text($_) . "</$tag>" } @texts;
    };
    return (
        qq(<div class="wide"><table>\n<tr>),
        $cell->('th', @$title),
        "</tr>\n", (map { ('<tr>', $cell->('td', @$_), "</tr>\n") } @rows),
        "</table></div>\n"
    );
}

sub _section {
    my ($self, $scenario) = @_;
    my ($unit, $which)    = @{ $UNIT{ $self->_key($scenario) } };
    my $what = $WHAT{ $scenario->{name} };
    return (
        qq(<section id="$scenario->{name}">\n<h2>$scenario->{name}</h2>\n),
        defined $what ? '<p>' . _text(ucfirst $what) . ".</p>\n" : '',
        qq(<p class="unit">$unit; $which</p>\n),
        $self->_chart($scenario),
        $self->_table($scenario),
        "</section>\n"
    );
}

# Where Sprig is not the best: [scenario, server, how many times better].
sub _losses {
    my ($self) = @_;
    my @losses;
    for my $scenario ($self->{report}->measured) {
        my %value   = map { @$_ } $self->_bars($scenario);
        my $mine    = $value{sprig} or next;
        my $is_more = $self->_key($scenario) eq 'rate';
        for my $server (grep { !/\A(?:sprig|plackup|mojo)\z/ } sort keys %value) {
            my $times = $is_more ? $value{$server} / $mine : $mine / $value{$server};
            push @losses, [$scenario, $server, $times] if $times > 1.005;
        }
    }
    return @losses;
}

sub _where_others_are_better {
    my ($self) = @_;
    my @items = map {
        my ($scenario, $server, $times) = @$_;
        my ($unit) = @{ $UNIT{ $self->_key($scenario) } };
        sprintf qq(<li><a href="#%s">%s</a>: %s, by %.0f %% (%s)</li>\n), $scenario->{name},
            $scenario->{name}, _text($server), 100 * ($times - 1), $unit
    } $self->_losses;
    return ("<h2>Where others are better</h2>\n",
        @items ? ("<ul>\n", @items, "</ul>\n") : "<p>Nowhere, in this run.</p>\n");
}

sub html {
    my ($self, $date) = @_;
    my %about   = $self->{report}->about;
    my @servers = map {
              '<tr><td>'
            . join('</td><td>', map { _text($_ || '') } @$_{qw(name version)})
            . '</td><td><code>'
            . _text($_->{command} || '')
            . "</code></td></tr>\n"
    } @{ $about{servers} };
    return (
        qq(<!DOCTYPE html>\n<html lang="en">\n<meta charset="utf-8">\n),
        qq(<meta name="viewport" content="width=device-width, initial-scale=1">\n),
        "<title>Sprig beside other servers, $date</title>\n<style>\n",
        _style(),
        "</style>\n",
        "<h1>Sprig beside other servers</h1>\n",
        (map { '<p class="unit">' . _text($_) . "</p>\n" } @{ $about{runs} }),
        "<p>Each server ran alone, the load on another processor. Only ratios within one scenario mean\n",
        "anything: absolute figures change from machine to machine and from day to day. The ratio is\n",
        "what Sprig's own budget asks for; the spread is that of the rounds.</p>\n",
        $self->_where_others_are_better,
        (map { $self->_section($_) } $self->{report}->measured),
        qq(<h2>Servers</h2>\n<div class="wide"><table>\n),
        "<tr><th>server</th><th>version</th><th>command</th></tr>\n",
        @servers,
        "</table></div>\n</html>\n"
    );
}

sub _style {
    return <<'END';
:root { color-scheme: light dark; --text: #1c2420; --soft: #5b6660; --page: #fff; --line: #dfe5e1;
        --ours: #2e7d32; --theirs: #9aaab1; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e4e9e6; --soft: #9aa6a0; --page: #14181a; --line: #2c3437; --ours: #66bb6a;
          --theirs: #5b6d75; }
}
body { font: 16px/1.5 system-ui, sans-serif; color: var(--text); background: var(--page);
       max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.7rem; } h2 { font-size: 1.2rem; margin: 2.2rem 0 0.2rem; }
p { margin: 0.3rem 0; } .unit { color: var(--soft); font-size: 0.9rem; } a { color: inherit; }
svg { width: 100%; max-width: 45rem; margin: 0.5rem 0; font-size: 14px; }
svg text { fill: var(--text); } .name { text-anchor: end; }
.ours { fill: var(--ours); } .theirs { fill: var(--theirs); }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: 0.85rem; }
th, td { text-align: right; padding: 0.15rem 0.6rem; border-bottom: 1px solid var(--line);
         white-space: nowrap; font-variant-numeric: tabular-nums; }
th:first-child, td:first-child, td:last-child, th:last-child { text-align: left; }
th { color: var(--soft); font-weight: normal; }
END
}

# ---- the table for README: processor time beside that of Sprig

sub pod {
    my ($self)  = @_;
    my $report  = $self->{report};
    my @servers = grep { !/\A(?:plackup|mojo)\z/ } @{ $report->{servers} };
    my @rows    = (['', @servers], ['version', map { $report->{versions}{$_} || '-' } @servers]);
    for my $scenario (grep { $self->_key($_) =~ /\A(?:cpu|push)\z/ } $report->measured) {
        my %value = map { @$_ } $self->_bars($scenario);
        my $mine  = $value{sprig} or next;
        push @rows, [
            $scenario->{name},
            map {
                $value{$_}
                    ? sprintf $value{$_} / $mine < 9.95 ? '%.1f' : '%.0f', $value{$_} / $mine
                    : '-'
            } @servers
        ];
    }
    my @width = map {
        my $i = $_;
        (sort { $b <=> $a } map { length $_->[$i] } @rows)[0]
    } 0 .. @servers;
    return map {
        my $row = $_;
        join('  ',
            '',
            sprintf("%-$width[0]s", $row->[0]),
            map { sprintf "%$width[$_]s", $row->[$_] } 1 .. @servers)
            . "\n"
    } @rows;
}

1;
