# What CPAN is told: META names what is needed and offered, Changes has the form that tools read, and
# the archive is the same whoever packs it.
use strict;
use warnings;
use Digest::SHA;
use File::Temp qw(tempdir);
use Test::More;

eval { require CPAN::Meta; 1 } or plan skip_all => 'CPAN::Meta is not installed';
-d '.git' || -f '.git'         or plan skip_all => 'not a checkout';

# Packed in copies, so that the build here is left alone.
my $folder = tempdir(CLEANUP => 1);

sub pack_dist {
    my ($umask) = @_;
    my $copy = "$folder/$umask";
    system
        qq{umask $umask && git clone -q --shared . $copy && cd $copy && $^X Makefile.PL >log 2>&1}
        . ' && make dist >>log 2>&1';
    my ($archive) = glob "$copy/Sprig-*.tar.gz" or return;
    return $archive;
}

my ($archive, $again) = map { pack_dist($_) } qw(022 077);
ok $archive, 'it is packed' or BAIL_OUT('see above');
SKIP: {
    skip 'tar is not that of GNU', 1 if `tar --version 2>&1` !~ /GNU tar/;
    my ($first, $second) = map { Digest::SHA->new(256)->addfile($_, 'b')->hexdigest } $archive,
        $again;
    is $second, $first, 'and the second time it is the same to the byte';
}

my $meta  = CPAN::Meta->load_json_string(scalar `tar xzOf $archive --wildcards '*/META.json'`);
my $needs = $meta->effective_prereqs;
ok $needs->requirements_for($_->[0], 'requires')->required_modules, "$_->[0] needs something"
    for ['runtime'], ['configure'], ['test'];
ok $meta->provides->{'Sprig::Server'}, 'it provides Sprig::Server';
ok $meta->resources->{$_},             "it has a $_" for qw(repository bugtracker license homepage);
ok $meta->custom('x_libraries')->{requires}{libevent}{'Debian/Ubuntu'}, 'and names the C libraries';

SKIP: {
    eval { require CPAN::Changes; 1 } or skip 'CPAN::Changes is not installed', 2;
    my $changes = CPAN::Changes->load('Changes');
    my ($latest) = reverse $changes->releases;
    is $latest->version, $meta->version, 'the newest entry of Changes is for this version';
    cmp_ok scalar(map { @$_ } values %{ $latest->changes }), '>', 10, 'with its changes';
}
done_testing;
