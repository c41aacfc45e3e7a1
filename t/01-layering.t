# Who may include whom. The table is the architecture: a file knows what is below it or beside it in
# its own layer, and nothing above.
use strict;
use warnings;
use Test::More;

# The folders of csrc, bottom up.
my @LAYERS = qw(base loop net http serve h1 h2 ws channel protocols process);

# The public headers on top are types and contracts: files from this folder on may read them.
my %FACES = ('sprig.h' => 'loop', 'websocket.h' => 'ws', 'channel.h' => 'channel', 'master.h' => 'process');

# What a folder has no business with although it stands below.
my %KNOWS_NO = (net => [qw(loop)]);

# Headers of the core that the bridge and the program may include.
my %PUBLIC = map { $_ => 1 }
    qw(sprig.h master.h base/cloexec.h base/config_file.h base/list.h base/number.h base/privileges.h base/utf8.h net/inherited.h
    serve/banner.h http/sse.h process/pidfile.h process/daemon.h process/origin.h process/quit.h process/init.h);
$PUBLIC{$_} = 1 for qw(base/stats.h channel.h process/admin_thread.h);
$PUBLIC{$_} = 1 for qw(base/peek.h net/listen_spec.h process/admin.h process/admin_config.h process/title.h);
my %ALSO = ('bin/command.c' => 'http/parser.h');    # the name of the library, for --version
$PUBLIC{$_} = 1 for qw(websocket.h process/orphans.h http/chars.h net/sockets.h base/log_start.h);

my %PARSER_LIBRARY = (
    'csrc/http/parser_http_parser.c' => 'http_parser.h',
    'csrc/http/parser_llhttp.c'      => 'llhttp.h'
);

my %layer_of;
@layer_of{@LAYERS} = 0 .. $#LAYERS;

my @core   = sort glob 'csrc/*.[ch] csrc/*/*.[ch]';
my @bridge = grep { !m{^xs/Sprig\.c$} } sort glob '{xs,bin}/*.[ch] xs/*.xs';
my %source = map  { $_ => without_comments($_) } @core, @bridge;

ok @core > 1, 'there is a core';

subtest 'every file of the core has its place' => sub {
    for my $file (@core) {
        my $folder = folder($file);
        ok defined $folder ? defined $layer_of{$folder} : $FACES{ $file =~ s{^csrc/}{}r }, $file;
    }
};

subtest 'the core includes what is below or beside' => sub {
    for my $file (@core) {
        my $own = folder($file) // next;
        for my $header (quoted_includes($file)) {
            ok -e "csrc/$header", "$file: $header is a header of the core" or next;
            my $needs = folder("csrc/$header") // $FACES{$header};
            ok $layer_of{$needs} <= $layer_of{$own}, "$file may include $header";
            ok !(grep { $_ eq $needs && folder("csrc/$header") } @{ $KNOWS_NO{$own} || [] }),
                "$file knows no $header";
        }
    }
};

subtest 'headers of the core form no circle' => sub {
    my %done;
    for my $header (grep { /\.h$/ } @core) {
        my @circle = circle($header, {}, \%done);
        ok !@circle, $header or diag join ' includes ', @circle;
    }
};

subtest 'the core knows no Perl' => sub {
    for my $file (@core) {
        unlike $source{$file}, qr/\b(?:EXTERN|perl|XSUB|ppport)\.h|\bpTHX|\bdTHX|\bSV\s*\*/, $file;
    }
};

subtest 'only the back ends include the parser library' => sub {
    for my $file (sort keys %source) {
        my @found =
            $source{$file} =~ /^\s*#\s*include\s*[<"](?:\w+\/)?(http_parser\.h|llhttp\.h)/mg;
        my @expected = $PARSER_LIBRARY{$file} || ();
        is "@found", "@expected", $file;
    }
};

subtest 'the bridge knows the core by its public header' => sub {
    for my $file (@bridge) {
        for my $header (quoted_includes($file)) {
            ok -e "xs/$header"
                || -e "bin/$header"
                || $PUBLIC{$header}
                || $header eq ($ALSO{$file} || ''),
                "$file may include $header";
        }
    }
};

subtest 'Perl is entered in one place' => sub {
    my @sites;
    for my $file (@bridge) {
        push @sites,
            ($file) x (() = $source{$file} =~ /\b(?:call|eval)_(?:sv|pv|method|argv)\s*\(/g);
    }
    is "@sites", 'xs/call.c', 'one call_sv';
};

subtest 'libevent is run in one place' => sub {
    my @sites = grep { $source{$_} =~ /\bevent_base_(?:loop|dispatch)\s*\(/ } sort keys %source;
    is "@sites", 'csrc/loop/loop.c', 'one event_base_loop';
};

subtest 'objects of the core refer to no symbol of perl' => sub {
    my @objects = grep { -e s/\.c$/.o/r } grep { /\.c$/ } @core;
    plan skip_all => 'not built here' if !@objects;
    plan skip_all => 'no nm'          if system 'nm --version >/dev/null 2>&1';
    for my $object (map { s/\.c$/.o/r } @objects) {
        my @perl = grep { /\s_?(?:Perl|PL|perl)_/ } `nm -u $object`;
        is "@perl", '', $object;
    }
};

done_testing;

# The folder of a file of the core; nothing for the public headers.
sub folder {
    my ($file) = @_;
    return $file =~ m{^csrc/(\w+)/} ? $1 : undef;
}

sub quoted_includes {
    my ($file) = @_;
    return $source{$file} =~ /^\s*#\s*include\s*"([^"]+)"/mg;
}

# The headers of a circle of includes through this one, or nothing.
sub circle {
    my ($header, $above, $done) = @_;
    return $header if $above->{$header};
    return         if $done->{$header}++;
    local $above->{$header} = 1;
    for my $next (map { "csrc/$_" } quoted_includes($header)) {
        my @circle = exists $source{$next} ? circle($next, $above, $done) : ();
        return ($header, @circle) if @circle;
    }
    return;
}

sub without_comments {
    my ($file) = @_;
    open my $in, '<', $file or die "$file: $!";
    my $text = do { local $/; <$in> };
    $text =~ s{/\*.*?\*/}{ }gs;
    $text =~ s{//[^\n]*}{}g;
    return $text;
}
