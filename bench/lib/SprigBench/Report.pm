package SprigBench::Report;

# Medians, ratios, the table, the report and its charts.

use strict;
use warnings;
use POSIX qw(strftime uname);

my @COLUMNS = (

    # key, title, format
    ['rate',   'req/s',   '%.0f'],
    ['cpu',    'CPU us',  '%.2f'],
    ['user',   'user',    '%.2f'],
    ['system', 'system',  '%.2f'],
    ['p50',    'p50 ms',  '%.2f'],
    ['p99',    'p99 ms',  '%.2f'],
    ['rss',    'RSS KB',  '%.0f'],
    ['idle',   'B/conn',  '%.0f'],
    ['push',   'us/push', '%.2f'],
    ['fair',   'max/min', '%.2f'],
);

# $results{scenario}{server} = [measurement, ...]; each is a hash of numbers.
sub new {
    my ($class, %self) = @_;
    return bless {%self}, $class;
}

sub median {
    my (@values) = sort { $a <=> $b } grep { defined } @_;
    return if !@values;
    return @values % 2
        ? $values[$#values / 2]
        : ($values[@values / 2 - 1] + $values[@values / 2]) / 2;
}

sub value {
    my ($self, $scenario, $server, $key) = @_;
    my $value = median(map { $_->{$key} } @{ $self->{results}{$scenario}{$server} || [] });
    return defined $value && $key eq 'rss' ? $value / 1024 : $value;
}

# The ratio that a scenario is about: (number, wanted, met) for a server, or nothing.
sub verdict {
    my ($self, $scenario, $server, $target) = @_;
    my ($key, $base, $wanted) = @{ $target || $scenario->{target} || return };
    my $mine = $self->value($scenario->{name}, $server, $key);
    my $other =
        !defined $base ? 1
        : (grep { $_->{name} eq $base } @{ $self->{scenarios} })
        ? $self->value($base,             $server, $key)
        : $self->value($scenario->{name}, $base,   $key);
    return if !$mine || !$other;
    my $ratio = $mine / $other;
    return ($ratio, $wanted, $key eq 'rate' ? $ratio >= $wanted : $ratio <= $wanted);
}

sub _verdict_text {
    my ($self, $scenario, $server) = @_;
    return join '; ', grep { length }
        map { $self->_target_text($scenario, $server, $_) } grep { $_ } @$scenario{qw(target also)};
}

sub _target_text {
    my ($self, $scenario, $server, $target) = @_;
    my ($ratio, $wanted, $met) = $self->verdict($scenario, $server, $target) or return '';
    my ($key, $base) = @$target;
    my $is_own = defined $base && grep { $_->{name} eq $base } @{ $self->{scenarios} };
    my $what   = !defined $base ? '' : $is_own ? " x its $base" : " x $base";
    return sprintf '%.2f%s, wanted %s %s: %s', $ratio, $what, $key eq 'rate' ? '>=' : '<=', $wanted,
        $met ? 'met' : 'NOT MET';
}

# Rows of texts for one scenario, the first one with the titles.
sub _rows {
    my ($self, $scenario) = @_;
    my $of      = $self->{results}{ $scenario->{name} };
    my @servers = grep { $of->{$_} } @{ $self->{servers} };
    my @columns = grep {
        my $key = $_->[0];
        grep { defined $self->value($scenario->{name}, $_, $key) } @servers
    } @COLUMNS;
    my @rows = (['server', (map { $_->[1] } @columns), 'ratio']);
    for my $server (@servers) {
        my ($error) = map { $_->{error} } grep { $_->{error} } @{ $of->{$server} };
        my @cells = map {
            my $value = $self->value($scenario->{name}, $server, $_->[0]);
            defined $value ? sprintf $_->[2], $value : '-'
        } @columns;
        push @rows,
            [
            $server, @cells,
            $server eq 'sprig' ? $self->_verdict_text($scenario, $server) : $error || ''
            ];
    }
    return @rows;
}

sub table {
    my ($self, $scenario) = @_;
    my @rows = $self->_rows($scenario);
    my @width;
    for my $row (@rows) {
        for my $i (0 .. $#$row) {
            $width[$i] = length $row->[$i] if length $row->[$i] > ($width[$i] || 0);
        }
    }
    return join '', "$scenario->{name}\n", map {
        my $row = $_;
        join(
            '  ', '',
            map {
                my $w = $width[$_];
                $_ && $_ < $#$row ? sprintf "%${w}s", $row->[$_] : sprintf "%-${w}s", $row->[$_]
            } 0 .. $#$row
            )
            . "\n"
    } @rows;
}

sub machine {
    my ($cpu)  = map { /\Amodel name\s*:\s*(.*)/ ? $1 : () } _lines('/proc/cpuinfo');
    my $n      = grep { /\Aprocessor\s*:/ } _lines('/proc/cpuinfo');
    my ($load) = (_lines('/proc/loadavg'))[0] || '';
    return sprintf '%s, %d processors, %s %s, load %s', $cpu || 'unknown processor', $n,
        (uname())[0, 2],
        join ' ', (split ' ', $load)[0 .. 2];
}

sub _lines {
    my ($path) = @_;
    open my $in, '<', $path or return;
    return map { chomp; $_ } readline $in;
}

sub write_files {
    my ($self, $folder) = @_;
    my $date = strftime('%Y-%m-%d-%H%M%S', gmtime);
    my $path = "$folder/$date";
    mkdir $path or die "$path: $!";
    open my $out, '>', "$path/report.md" or die "$path/report.md: $!";
    print {$out} "# Benchmark of $date (UTC)\n\n", machine(), "\n\n";
    print {$out} "- $_ $self->{versions}{$_}\n" for @{ $self->{servers} };
    print {$out} "\n$self->{conditions}\n";

    for my $scenario (@{ $self->{scenarios} }) {
        my ($title, @rows) = $self->_rows($scenario);
        print {$out} "\n## $scenario->{name}\n\n![chart]($scenario->{name}.svg)\n\n",
            map({ '| ' . join(' | ', @$_) . " |\n" } $title, [map { '---' } @$title], @rows);
        $self->_chart($scenario, "$path/$scenario->{name}.svg");
    }
    close $out or die "$path/report.md: $!";
    return "$path/report.md";
}

my %AXIS = (
    rate => 'requests a second (more is better)',
    cpu  => 'microseconds of processor time for a request (less is better)',
    idle => 'bytes for an idle connection (less is better)',
    push => 'microseconds of processor time for a write (less is better)',
    fair =>
        'answers of the client that got most, for each of the one that got least (less is better)'
);

# Horizontal bars, one for each server.
sub _chart {
    my ($self, $scenario, $path) = @_;
    my $key  = $scenario->{target} ? $scenario->{target}[0] : 'cpu';
    my @bars = grep { $_->[1] }
        map { [$_, $self->value($scenario->{name}, $_, $key)] } @{ $self->{servers} };
    my ($max) = sort { $b <=> $a } map { $_->[1] } @bars;
    my $height = 70 + 34 * @bars;
    open my $out, '>', $path or die "$path: $!";
    print {$out}
        qq(<svg xmlns="http://www.w3.org/2000/svg" width="760" height="$height"),
        qq( font-family="sans-serif" font-size="14">\n),
        qq(<rect width="760" height="$height" fill="#ffffff"/>\n),
        qq(<text x="20" y="26" font-size="17" font-weight="bold" fill="#222222">),
        qq($scenario->{name}</text>\n),
        qq(<text x="20" y="46" fill="#666666">$AXIS{$key}</text>\n);
    for my $i (0 .. $#bars) {
        my ($server, $value) = @{ $bars[$i] };
        my $y     = 62 + 34 * $i;
        my $width = sprintf '%.1f', 500 * $value / $max;
        my $fill  = $server =~ /\A(?:sprig|plackup)\z/ ? '#2e7d32' : '#90a4ae';
        my $text  = sprintf $value >= 100 ? '%.0f' : '%.2f', $value;
        print {$out} sprintf(
            qq(<text x="120" y="%d" text-anchor="end" fill="#222222">%s</text>\n),
            $y + 17, $server
            ),
            qq(<rect x="130" y="$y" width="$width" height="24" fill="$fill"/>\n),
            sprintf(
            qq(<text x="%.1f" y="%d" fill="#222222">%s</text>\n),
            138 + $width,
            $y + 17, $text
            );
    }
    print {$out} "</svg>\n";
    close $out or die "$path: $!";
    return;
}

1;
