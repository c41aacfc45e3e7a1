# Links between the pages of the manual lead somewhere, files that it names are there, and the options
# that it names exist.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Manual;
use Test::More;

my $root         = SprigTest::root();
my %page         = map { page_name($_) => { path => $_, text => slurp("$root/$_") } } pages();
my %known_option = map { $_ => 1 } options(), plackup_options(), ctl_options();

cmp_ok scalar(keys %page), '>', 20, 'there are pages';

for my $name (sort keys %page) {
    my ($path, $text) = @{ $page{$name} }{qw(path text)};
    my @wrong = (
        (map { "L<$_>" } grep { !leads_somewhere($name, $_) } links($text)),
        (map { "F<$_>" } grep { !-e "$root/$_" } files($text)),
        (grep { !$known_option{$_} } options_named($text)),
    );
    is join(', ', @wrong), '', $path;
}

my $index = slurp("$root/lib/Sprig/Manual.pod");
is join(', ', grep { /^Sprig::Manual::/ && $index !~ /L<\Q$_\E>/ } sort keys %page), '',
    'the index of the manual has all of its pages';

my $extensions = slurp("$root/lib/Sprig/Manual/Extensions.pod");
my %key        = map { $_ => 1 } map { slurp($_) =~ /"(psgix\.[a-z_.]+)"/g } glob "$root/xs/*.[ch]";
cmp_ok scalar(keys %key), '>', 10, 'the server has keys of its own';
is join(', ', grep { $extensions !~ /^=item.*C<\Q$_\E>/m } sort keys %key), '',
    'each of them is explained';

done_testing;

sub page_name {
    my ($path) = @_;
    my $name = $path =~ s{\A(?:lib|bin)/|\.\w+\z}{}gr =~ s{/}{::}gr;
    return $name;
}

# What stands in L<...>, without a text of its own.
sub links {
    my ($text) = @_;
    my @found = map { s/\s+/ /gr } $text =~ /\bL<<* *([^<>]*?) *>/g;
    s/\A[^|]*\|// for @found;
    return grep { !/\A\w+:/ || /\A\w+::/ } @found;
}

# Only what is ours can be looked at.
sub leads_somewhere {
    my ($from, $link)    = @_;
    my ($name, $section) = $link =~ m{\A([^/]*?)(?:\(\d\))?(?:/(.*))?\z} or return 0;
    $name = $from if $name eq '';
    return $name !~ /\A(?:Sprig|sprig|HACKING|README)\b/ if !$page{$name};
    return 1                                             if !defined $section;
    $section =~ s/\A"|"\z//g;
    my $wanted = plain($section);
    return scalar grep { $_ eq $wanted }
        map { plain($_) } $page{$name}{text} =~ /^=(?:head\d|item)\s+(.*)/mg;
}

sub plain {
    return $_[0] =~ s/[A-Z]<+ *//gr =~ s/ *>+//gr =~ s/[^A-Za-z0-9:_]+/ /gr =~ s/\A | \z//gr;
}

# Files of the distribution.
sub files {
    my ($text) = @_;
    return grep { !/[*\$]/ && m{\A(?:eg|t|xt|dev|bench|csrc|xs|bin)/\w} } $text =~ /\bF<([^<>]*)>/g;
}

# Those of code that begins with one, and of lines that run sprig.
sub options_named {
    my ($text) = @_;
    my @places = (
        ($text =~ /\b[BC]<(--[^<>]*)>/g),
        (map { /^\s[^#|]*?\bsprig (.*)/ ? $1 : () } split /\n/, $text =~ s/\\\n\s*/ /gr),
    );
    my %found;
    for my $place (@places) {
        $place =~ s/\s#.*//;
        $found{$1}++ while $place =~ /(?<![\w-])(--[a-zA-Z][a-zA-Z0-9-]+)(?![*\w-])/g;
    }
    return sort keys %found;
}

sub options {
    my %flag;
    for my $item ($page{sprig}{text} =~ /^=item (B<-.*)/mg) {
        for my $name ($item =~ /--((?:\[no-\])?[\w-]+)/g) {
            if ($name =~ s/\A\[no-\]//) {
                $flag{"--$_$name"}++ for '', 'no-', 'enable-', 'disable-';
            } else {
                $flag{"--$name"}++;
            }
        }
    }
    return keys %flag;
}

# What other servers and plackup call them.
sub plackup_options {
    return
        qw(--http --http-socket --http11-socket --max-workers --max-reqs-per-child --server
        --deploy-hook --init --enable-x --disable-x --verbose);
}
sub ctl_options { return qw(--json --wait --admin --token-file --pid --config) }
