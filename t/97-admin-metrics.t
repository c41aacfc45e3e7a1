# The metrics: well-formed, and each is explained in the manual.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Admin;
use SprigTest::Workers;
use Test::More;

-d '/proc/self' or plan skip_all => 'no /proc';

my $MANUAL = SprigTest::root() . '/lib/Sprig/Manual/Operations.pod';

my $master = start_workers(flags => ['--admin', 'unix:ctl']);
$master->serving(2);
my ($status, $text) = ask($master->path('ctl'), '/metrics');
my ($open, $open_text) =
    ask($master->path('ctl'), '/metrics', 'Accept: application/openmetrics-text; version=1.0.0');
$master->ends_ok;

subtest 'each is documented' => sub {
    my %type = $text =~ /^# TYPE (\S+) (\S+)$/mg;
    my %help = $text =~ /^# HELP (\S+) (.*)$/mg;
    my %documented;
    my $manual = slurp($MANUAL);
    while ($manual =~ /^=item C<(\w+)> \((counter|gauge|histogram)\)\n\n(.+?)\n\n/msg) {
        my ($name, $kind, $what) = ($1, $2, $3);
        $documented{$name} = [$kind, $what =~ s/\s+/ /gr];
    }
    cmp_ok keys %type, '>=', 40, 'at least forty';
    is_deeply [sort keys %documented], [sort keys %type], 'the manual has the same';
    is_deeply $documented{$_}, [$type{$_}, $help{$_}], $_ for sort keys %type;
};

subtest 'the text' => sub {
    my @wrong = grep { !/^(?:# (?:HELP|TYPE) \w+ .*|\w+(?:\{\w+="[^"]*"(?:,\w+="[^"]*")*\})? [-+.e0-9]+)$/ }
        split /\n/, $text;
    is "@wrong", '', 'each line has the form';
    my @names = $text =~ /^# TYPE (\S+)/mg;
    my %seen;
    $seen{$_}++ for @names;
    is_deeply [grep { $seen{$_} > 1 } keys %seen], [], 'no name comes twice';
    like $open_text, qr/^# TYPE sprig_requests_started counter\nsprig_requests_started_total \d+$/m,
        'OpenMetrics: the family of a counter has no _total';
};

subtest 'promtool' => sub {
    my $promtool = tool_path('promtool') or plan skip_all => 'promtool (package prometheus) is not installed';
    my $file = spew(SprigTest::temp_path('metrics'), $text);
    my $said = `$promtool check metrics <$file 2>&1`;
    is "$said$?", '0', 'has nothing to say';
};

subtest 'eg/deploy/prometheus-rules.yml' => sub {
    my $file  = SprigTest::root() . '/eg/deploy/prometheus-rules.yml';
    my $rules = slurp($file) =~ s/\A(?:#.*\n)+//r;
    my ($told) = slurp(SprigTest::root() . '/lib/Sprig/Manual/Operations.pod') =~
        /^(    groups:\n.*?)\n\n=head2 /ms;
    is $rules, ($told =~ s/^    //mgr) . "\n", 'is what the manual says';
    my %is_there = map { $_ => 1 } $text =~ /^# TYPE (\S+)/mg;
    my @unknown  = grep { !$is_there{$_} } $rules =~ /\b(sprig_\w+)/g;
    is "@unknown", '', 'a server has each of its metrics';
    like $text, qr/^sprig_worker_restarts_total\{reason="$_"\} /m, "... and the reason $_"
        for $rules =~ /reason=~"([\w|]+)"/ ? split /\|/, $1 : 'none';
SKIP: {
        my $promtool = tool_path('promtool')
            or skip 'promtool (package prometheus) is not installed', 1;
        my $said = `$promtool check rules $file 2>&1`;
        like $said, qr/SUCCESS: 7 rules found/, 'promtool understands it';
    }
};

done_testing;
