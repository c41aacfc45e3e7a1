# What shells complete: asked of the shells themselves.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use SprigTest::Program;
use Test::More;

my %script = map { $_ => run_program('--completion', $_)->{out} } qw(bash zsh fish);
my @flags  = flags();

subtest 'every option is known to every shell' => sub {
    cmp_ok @flags, '>', 60, 'there are options';
    for my $flag (@flags) {
        like $script{bash}, qr/ --\Q$flag\E[ ']/, "bash: --$flag";
        like $script{zsh},  qr/'\*--\Q$flag\E\[/, "zsh: --$flag";
        like $script{fish}, qr/ -l \Q$flag\E /,   "fish: $flag";
    }
    unlike $script{$_}, qr/--server[ '\[]|-l server /, "$_: what is refused is not offered"
        for sort keys %script;
};

# The long flags of the table.
sub flags {
    my ($table) =
        slurp(SprigTest::root() . '/csrc/base/config.c') =~
        /struct sprig_option options\[\] = \{(.*?)^\};/ms;
    my @names = $table =~ /^ +(?:PLACK\(|SECONDS\(|FIELD\(\w+, |\{")(\w+)/mg;
    return grep { $_ ne 'server' } map { tr/_/-/r } @names;
}

# What a shell offers behind these words.
sub offered {
    my ($shell, @words) = @_;
    my $file = spew(SprigTest::temp_path($shell), $script{$shell});
    my $n    = $#words;
    my $list = join ' ', map { "'$_'" } @words;
    my %code = (
        bash =>
            "compopt() { :; }; source $file; COMP_WORDS=($list); COMP_CWORD=$n; _sprig; printf '%s\\n' \"\${COMPREPLY[\@]}\"",
        fish => "source $file; complete -C \"@words\"",
    );
    my $tool      = SprigTest::tool_path($shell) or return;
    my @arguments = $shell eq 'bash' ? ('--norc', '--noprofile') : ('--no-config');
    open my $in, '-|', $tool, @arguments, '-c', $code{$shell} or die "$shell: $!";
    chomp(my @lines = <$in>);
    close $in;
    return map { s/\t.*//r } @lines;
}

# What the tabulator makes of these lines in a terminal of zsh.
sub typed_in_zsh {
    my ($zsh, $file, @lines) = @_;
    my $code = spew(SprigTest::temp_path('zsh'), <<'END' =~ s/FILE/$file/r);
zmodload zsh/zpty
zpty shell zsh -f -i
zpty -w shell 'PS1=; autoload -U compinit; compinit -D -u; source FILE'
zpty -w shell 'tab() { zle complete-word; print -r -- "<$BUFFER>"; BUFFER= }; zle -N tab; bindkey "^I" tab'
zpty -w shell 'print -r -- "<"ready">"'
zpty -r -m shell text '*<ready>*'
for line; do
    zpty -w -n shell "$line"$'\t'
    zpty -r -m shell text '*<*>*'
    print -r -- "${${text##*<}%%>*}"
done
zpty -d shell
END
    open my $in, '-|', 'timeout', 60, $zsh, '-f', $code, @lines or die "$zsh: $!";
    chomp(my @made = <$in>);
    close $in;
    return @made;
}

for my $shell (qw(bash fish)) {
    subtest $shell => sub {
        SprigTest::tool_path($shell) or plan skip_all => "$shell is not installed";
        is_deeply [sort(offered($shell, 'sprig', '--max-h'))],
            [qw(--max-header-bytes --max-headers)], 'names';
        is_deeply [sort(offered($shell, 'sprig', '--nested', ''))], [qw(croak dispatch hold)],
            'choices';
        my @switch = grep { /reuseport/ } offered($shell, 'sprig', '--no-re');
        is_deeply \@switch, ['--no-reuseport'], 'a switch';
        ok + (grep { $_ eq 'reload' } offered($shell, 'sprig', 'ctl', 'rel')), 'verbs of ctl';
        is_deeply [sort(offered($shell, 'sprig', 'ctl', 'worker', ''))], [qw(add kill remove)],
            'what worker takes';
        is_deeply [offered($shell, 'sprig', 'ctl', 'status', '--')], ['--json'], 'and status'
            if $shell eq 'bash';
        ok + (grep { $_ eq '--admin' } offered($shell, 'sprig', 'ctl', '--adm')), 'options of ctl';
        my $dir = SprigTest::temp_path('apps');
        mkdir $dir;
        spew("$dir/$_", '') for qw(one.psgi other.txt);
        is_deeply [offered($shell, 'sprig', "$dir/o")], ["$dir/one.psgi"], 'applications'
            if $shell eq 'bash';
        is_deeply [sort(offered($shell, 'sprig', '--access-log', "$dir/o"))],
            ["$dir/one.psgi", "$dir/other.txt"], 'files';
    };
}

subtest 'zsh' => sub {
    my $zsh  = SprigTest::tool_path('zsh') or plan skip_all => 'zsh is not installed';
    my $file = spew(SprigTest::temp_path('_sprig'), $script{zsh});
    my $out  = qx{$zsh -f -n $file 2>&1};
    is "$? $out", '0 ', 'the script is one of zsh';
    my $dir = SprigTest::temp_path('apps');
    mkdir $dir;
    spew("$dir/one.psgi", '');
    my @typed = ('sprig --access-log-form', 'sprig --nested cr', 'sprig ctl und', 'sprig ctl worker k',
        "sprig $dir/o", "sprig ctl --config $dir/o");
    is_deeply [typed_in_zsh($zsh, $file, @typed)],
        ['sprig --access-log-format ', 'sprig --nested croak ', 'sprig ctl undrain ', 'sprig ctl worker kill ',
        "sprig $dir/one.psgi ", "sprig ctl --config $dir/one.psgi "], 'what the tabulator makes of lines';
};

my $run = run_program('--completion', 'tcsh');
is $run->{status}, 2, 'another shell: status';
is $run->{err}, "sprig: completion must be one of bash|zsh|fish, got 'tcsh'\n",
    'another shell: message';

done_testing;
