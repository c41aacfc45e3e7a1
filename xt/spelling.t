# No page of the manual has a word that neither the dictionary (hunspell, en_US) nor xt/words knows.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/../t/lib";
use SprigTest;
use SprigTest::Manual;
use Test::More;

my $hunspell = tool_path('hunspell') or plan skip_all => 'hunspell is not installed';
output_of($hunspell, '-D', '/dev/null') =~ m{/en_US} or plan skip_all => 'hunspell has no en_US';

my $root  = SprigTest::root();
my %known = map { lc, 1 } grep { /\A\w/ } split /\n/, slurp("$root/xt/words");
my @texts = (
    (map { [$_, prose($_)] } pages()),
    map { [$_, other($_)] } qw(SECURITY.md CONTRIBUTING.md Changes eg/README)
);

for (@texts) {
    my ($name, $text) = @$_;
    my $file  = spew(SprigTest::temp_path('text'), $text);
    my %wrong = map { $_ => 1 } grep { !$known{ lc s/'s\z//r } } split /\n/,
        output_of($hunspell, '-d', 'en_US', '-i', 'utf-8', '-l', $file);
    is join(' ', sort keys %wrong), '', $name;
}
done_testing;

# What is said, without code, names of files, links and blocks.
sub prose {
    my ($page) = @_;
    my @said   = grep { !/\A(?:[ \t]|=(?:for|encoding|over|back|cut))/ }
        map { $_->[1] } paragraphs(slurp("$root/$page"));
    my $text = join "\n\n", map { s/\A=\w+ ?//r } @said;
    $text         =~ s/[CFL]<< .*? >>/ /gs;
    1 while $text =~ s/\b[CFLE]<[^<>]*>/ /g;
    $text         =~ s/\b[BI]<-[^<>]*>/ /g;
    $text         =~ s/\b[A-Z]<+\s?|>+/ /g;
    return without_names($text);
}

sub other {
    my ($file) = @_;
    my $text   = slurp("$root/$file") =~ s/`[^`]*`/ /gr;
    $text =~ s/^ {4}\S.*/ /gm             if $file =~ /\.md\z/;
    $text =~ s/^  \S+|\S+(?:, \S+)*$/ /gm if $file =~ /README\z/;
    return without_names($text);
}

# Identifiers, paths, options and abbreviations in capitals are no words.
sub without_names {
    my ($text) = @_;
    $text =~ s/(?<![\w-])\S*[_\/\$@%&{}\[\]=:<>\d]\S*/ /g;
    $text =~ s/(?<!\w)--?[a-zA-Z][\w-]*/ /g;
    $text =~ s/\b[A-Z][A-Z0-9]+s?\b/ /g;
    return $text;
}
