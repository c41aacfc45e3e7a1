package SprigBench::Report;

# Medians, ratios, tables, and the files of a report.

use strict;
use warnings;
use JSON::PP ();
use POSIX    qw(strftime uname);
use SprigBench::Page;

my @COLUMNS = (

    # key, title, format
    ['rate',   'req/s',   '%.0f'],
    ['cpu',    'CPU us',  '%.2f'],
    ['user',   'user',    '%.2f'],
    ['system', 'system',  '%.2f'],
    ['p50',    'p50 ms',  '%.2f'],
    ['p99',    'p99 ms',  '%.2f'],
    ['p999',   'p99.9',   '%.2f'],
    ['worst',  'worst',   '%.2f'],
    ['asked',  'asked/s', '%.0f'],
    ['failed', 'failed',  '%.0f'],
    ['rss',    'RSS KB',  '%.0f'],
    ['idle',   'B/conn',  '%.0f'],
    ['push',   'us/push', '%.2f'],
    ['fair',   'max/min', '%.2f'],
    ['spread', 'spread',  '%.0f %%'],
);

# results{scenario}{server} = [measurement, ...]; each is a hash of numbers.
sub new {
    my ($class, %self) = @_;
    return bless { results => {}, runs => [], %self }, $class;
}

sub add {
    my ($self, $scenario, $server, $measurement) = @_;
    push @{ $self->{results}{$scenario}{$server} }, $measurement;
    return;
}

sub forget { my ($self, $scenario) = @_; delete $self->{results}{$scenario}; return }

# What the folder of an earlier report says.
sub add_run {
    my ($self, $folder) = @_;
    open my $in, '<', "$folder/results.json" or die "$folder/results.json: $!\n";
    local $/;
    my $run = JSON::PP->new->decode(readline $in);
    $self->{results}{$_}  = $run->{results}{$_}  for keys %{ $run->{results} };
    $self->{commands}{$_} = $run->{commands}{$_} for keys %{ $run->{commands} };
    $self->{versions}{$_} ||= $run->{versions}{$_} for keys %{ $run->{versions} };
    my %known = map { $_ => 1 } @{ $self->{servers} };
    push @{ $self->{servers} }, grep { !$known{$_} } @{ $run->{servers} };
    my %listed = map { $_ => 1 } @{ $self->{runs} };
    push @{ $self->{runs} }, grep { !$listed{$_} } @{ $run->{runs} };
    return;
}

# Scenarios that something is known of.
sub measured {
    my ($self) = @_;
    return grep { $self->{results}{ $_->{name} } } @{ $self->{scenarios} };
}

sub median {
    my (@values) = sort { $a <=> $b } grep { defined } @_;
    return if !@values;
    return @values % 2
        ? $values[$#values / 2]
        : ($values[@values / 2 - 1] + $values[@values / 2]) / 2;
}

# What was measured. Looking does not make an entry: one without measurements would hide another run's.
sub _rounds {
    my ($self, $scenario, $server) = @_;
    my $of = $self->{results}{$scenario} or return;
    return @{ $of->{$server} || [] };
}

sub value {
    my ($self, $scenario, $server, $key) = @_;
    return $self->_spread($scenario, $server) if $key eq 'spread';
    my $value = median(map { $_->{$key} } $self->_rounds($scenario, $server));
    return defined $value && $key eq 'rss' ? $value / 1024 : $value;
}

# The figure that a scenario is about.
sub key_of {
    my ($self, $scenario) = @_;
    return $scenario->{target} ? $scenario->{target}[0] : 'cpu';
}

# From the least to the most of the rounds, in percent of the median.
sub _spread {
    my ($self, $name, $server) = @_;
    my ($scenario) = grep { $_->{name} eq $name } @{ $self->{scenarios} };
    my @values = sort { $a <=> $b }
        grep { defined }
        map { $_->{ $self->key_of($scenario) } } $self->_rounds($name, $server);
    my $median = median(@values);
    return @values > 1 && $median ? 100 * ($values[-1] - $values[0]) / $median : undef;
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
sub rows {
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
    if (!grep { length $_->[-1] } @rows[1 .. $#rows]) {
        pop @$_ for @rows;
    }
    return @rows;
}

sub table {
    my ($self, $scenario) = @_;
    my @rows = $self->rows($scenario);
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

# All that page and files tell about this run.
sub about {
    my ($self) = @_;
    return (
        machine    => machine(),
        conditions => $self->{conditions},
        runs       => $self->{runs},
        servers    => [
            map { {
                name    => $_,
                version => $self->{versions}{$_},
                command => $self->{commands}{$_}
            } } @{ $self->{servers} }
        ],
    );
}

sub _write {
    my ($path, @text) = @_;
    open my $out, '>:utf8', $path or die "$path: $!";
    print {$out} @text;
    close $out or die "$path: $!";
    return;
}

sub write_files {
    my ($self, $folder) = @_;
    my $date = strftime('%Y-%m-%d-%H%M%S', gmtime);
    my $path = "$folder/$date";
    mkdir $path or die "$path: $!";
    push @{ $self->{runs} }, "$date UTC, " . machine() . ": $self->{conditions}";
    my %all = map { $_ => $self->{$_} } qw(results versions servers commands runs);
    _write("$path/results.json", JSON::PP->new->canonical->pretty->encode(\%all));
    _write("$path/report.md",    $self->_markdown($date));
    my $page = SprigBench::Page->new($self);
    _write("$path/index.html", $page->html($date));
    _write("$path/readme.pod", $page->pod);
    return "$path/index.html";
}

sub _markdown {
    my ($self, $date) = @_;
    my @text = ("# Benchmark of $date (UTC)\n\n", map { "$_\n\n" } @{ $self->{runs} });
    push @text,
        map { "- $_ $self->{versions}{$_}: `" . ($self->{commands}{$_} || '') . "`\n" }
        @{ $self->{servers} };
    for my $scenario ($self->measured) {
        my ($title, @rows) = $self->rows($scenario);
        push @text, "\n## $scenario->{name}\n\n",
            map({ '| ' . join(' | ', @$_) . " |\n" } $title, [map { '---' } @$title], @rows);
    }
    return @text;
}

1;
