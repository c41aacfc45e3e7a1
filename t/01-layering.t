# Who may include whom. The table is the architecture: a file knows what is below it or beside it in
# its own layer, and nothing above.
use strict;
use warnings;
use Test::More;

# Bottom up. A name stands for its header, its .c and all files that extend it: conn covers
# conn_input.c.
my @LAYERS = (
    [qw(span list err log invariant date status chars tempfile cidr board path origin number
        elements)],
    [qw(config logformat privileges request target proxy fields parser chunk body transport outq
        inherited pidfile daemon quit init)],
    [qw(sprig listen_spec)],
    [qw(loop courier interest timer signals watcher response head sockets banner)],
    [qw(refusals)],
    [qw(conn protocol listener server admission exchange accesslog alone)],
    [qw(master crew notices roster succession)],
);

# What a file has no business with although it stands below it or beside it.
my %KNOWS_NO = (
    outq => [qw(request target fields parser chunk body)],
    map { $_ => [qw(request target fields parser chunk body outq transport response)] }
        qw(loop interest timer signals watcher courier),
);

# Headers of the core that the bridge and the program may include.
my %PUBLIC =
    map { $_ => 1 }
    qw(sprig.h banner.h list.h master.h origin.h inherited.h pidfile.h daemon.h privileges.h
    quit.h init.h);
my %ALSO = ('bin/command.c' => 'parser.h');    # the name of the library, for --version

my %PARSER_LIBRARY =
    ('csrc/parser_http_parser.c' => 'http_parser.h', 'csrc/parser_llhttp.c' => 'llhttp.h');

my %layer_of;
for my $i (0 .. $#LAYERS) {
    $layer_of{$_} = $i for @{ $LAYERS[$i] };
}

my @core   = sort glob 'csrc/*.[ch]';
my @bridge = grep { !m{^xs/Sprig\.c$} } sort glob '{xs,bin}/*.[ch] xs/*.xs';
my %source = map  { $_ => without_comments($_) } @core, @bridge;

ok @core > 1, 'there is a core';

subtest 'every file of the core has its place' => sub {
    ok defined noun($_), $_ for @core;
};

subtest 'the core includes what is below or beside' => sub {
    for my $file (@core) {
        my $own = noun($file) // next;
        for my $header (quoted_includes($file)) {
            my $noun = noun("csrc/$header");
            ok -e "csrc/$header", "$file: $header is a header of the core" or next;
            ok defined $noun && $layer_of{$noun} <= $layer_of{$own}, "$file may include $header";
            ok !(grep { $_ eq $noun } @{ $KNOWS_NO{$own} || [] }),   "$file knows $noun";
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
            ok -e "xs/$header" || -e "bin/$header" || $PUBLIC{$header} || $header eq ($ALSO{$file} || ''),
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
    is "@sites", 'csrc/loop.c', 'one event_base_loop';
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

# The name in the table that this file goes by.
sub noun {
    my ($file) = @_;
    my ($name) = $file =~ m{^csrc/(\w+)\.[ch]$} or return;
    while (!exists $layer_of{$name}) {
        $name =~ s/_[^_]*$// or return;
    }
    return $name;
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
