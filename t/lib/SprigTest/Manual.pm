package SprigTest::Manual;

# The manual as its readers see it: pages, the blocks of code in them, and what these are to do.
#
# A block that is complete has a paragraph in front of it that says how it is tried:
#
#   =for test app --streaming-input /upload
#   GET / 200 hello
#   POST /upload 200 3 bytes < abc
#   STREAM / the first line
#   WEBSOCKET /chat hello => you said hello
#
#       sub { ... }
#
# "app" is served by sprig, with these options, and asked; STREAM reads until the text has come.
# "perl" is a program that is run to its end, "compile" is only compiled. "file NAME" is written to the
# folder in which the sessions of the page run, "config" has to be accepted by sprig --config.
# "session" is typed into a shell, line by line that begins with "$ "; what is below has to come out,
# "..." standing for anything, and any number for any other. "needs MODULE" behind any of these words
# leaves the block out where the module is missing.

use strict;
use warnings;
use Exporter   qw(import);
use File::Find ();
use SprigTest;

our @EXPORT = qw(pages blocks paragraphs missing_module);

# Paths below the root, in order.
sub pages {
    my $root  = SprigTest::root();
    my @found = map { substr $_, 1 + length $root } glob "$root/*.pod $root/bin/*.pod";
    File::Find::find(
        sub { push @found, substr $File::Find::name, 1 + length $root if /\.(?:pm|pod)\z/ },
        "$root/lib");
    return grep { slurp("$root/$_") =~ /^=head1/m } sort @found;
}

# { line, heading, test, lines, code } for each block; test is nothing, or its words.
sub blocks {
    my ($page) = @_;
    my ($heading, $spec, $block, @blocks) = ('');
    for my $paragraph (paragraphs(slurp(SprigTest::root() . "/$page"))) {
        my ($line, $text) = @$paragraph;
        if ($text =~ /\A[ \t]/) {
            if (!$block) {
                $block = new_block($line, $heading, $spec);
                push @blocks, $block;
            }
            $block->{code} .= "\n" x ($line - $block->{end}) . "$text\n";
            $block->{end} = $line + ($text =~ tr/\n//) + 1;
            next;
        }
        $block   = undef;
        $spec    = $text       =~ /\A=for test\s+(.*)/s ? $1 : undef;
        $heading = $1 if $text =~ /\A=head\d\s+(.*)/;
    }
    for my $found (@blocks) {
        my ($indent) = $found->{code} =~ /\A([ \t]+)/;
        $found->{code} =~ s/^$indent//mg;
    }
    return @blocks;
}

# [line, text] of each paragraph of POD.
sub paragraphs {
    my ($text) = @_;
    my ($n, $in_pod, @found) = (0, 0);
    my $is_open = 0;
    for my $line (split /\n/, $text) {
        $n++;
        $in_pod = $1 ne 'cut' if $line =~ /^=([a-z]+)/;
        if   (!$in_pod || $line !~ /\S/) { $is_open = 0; next }
        if   ($is_open)                  { $found[-1][1] .= "\n$line" }
        else                             { push @found, [$n, $line]; $is_open = 1 }
    }
    return @found;
}

sub new_block {
    my ($line, $heading, $spec) = @_;
    my ($words, @lines) = defined $spec ? split /\n/, $spec : ();
    my %block = (line => $line, end => $line, heading => $heading, code => '');
    return { %block, test => $words, lines => \@lines };
}

# The module that a block needs and that is not there, if any.
sub missing_module {
    my ($block) = @_;
    my @modules = ($block->{test} || '') =~ /\bneeds (\S+)/g;
    my @used = grep { !/\bSprig\b/ } $block->{code} =~ /^\s*use ([A-Z]\w*(?:::\w+)*)/mg;
    return ((grep { !eval "require $_; 1" } @modules), grep { !is_there($_) } @used);
}

sub is_there {
    my ($module) = @_;
    my $file = $module =~ s{::}{/}gr . '.pm';
    return scalar grep { -e "$_/$file" } @INC;
}

1;
