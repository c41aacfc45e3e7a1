# Does to its env what the query names, and shows the next one to whoever asks for /dump.
# With FRESH_ENV set no env can be used for a second request: this file holds each until then.

use strict;
use warnings;
use B                     ();
use Hash::Util            ();
use Hash::Util::FieldHash ();
use Scalar::Util          qw(blessed reftype weaken refaddr);

our (@kept, @weak, @refs, @destroyed, @handles, $last);

{

    package Hostile::Object;
    sub new { my ($class, $name) = @_; return bless { name => $name }, $class }

    sub DESTROY {
        push @destroyed, $_[0]{name};
        push @kept,      $_[0] if $_[0]{name} eq 'undead' && ${^GLOBAL_PHASE} ne 'DESTRUCT';
    }

    package Hostile::Scalar;
    sub TIESCALAR { return bless [], shift }
    sub FETCH     { return 'fetched' }
    sub STORE     { }

    package Hostile::Hash;
    require Tie::Hash;
    our @ISA = 'Tie::StdHash';

    package Hostile::Handle;
    sub TIEHANDLE { return bless [], shift }
    sub READLINE  { return 'tied' }
    sub READ      { $_[1] = 'tied'; return 4 }
    sub CLOSE     { return 1 }
}

my $field = {};
Hash::Util::FieldHash::fieldhash(%$field);

my @TEXT = qw(REQUEST_METHOD REQUEST_URI PATH_INFO QUERY_STRING SCRIPT_NAME SERVER_NAME HTTP_HOST);
my %action = (
    nothing       => sub { },
    overwrite     => sub { my ($env) = @_; $env->{$_} = 'spoilt' for keys %$env },
    alias_loop    => sub { $_        = 'spoilt'                  for values %{ $_[0] } },
    add           => sub { my ($env) = @_; $env->{"added.$_"} = "x$_" for 1 .. 3 },
    add_many      => sub { my ($env) = @_; $env->{"added.$_"} = []    for 1 .. 100 },
    add_too_many  => sub { my ($env) = @_; $env->{"added.$_"} = 1     for 1 .. 2000 },
    add_headers   => sub { @{ $_[0] }{qw(HTTP_COOKIE HTTP_RANGE HTTP_X_NEW)} = ('spoilt') x 3 },
    add_utf8      => sub { $_[0]{"\x{263a}"}                                 = 1 },
    add_utf8_gone => sub { $_[0]{"\x{263a}"} = 1;  delete $_[0]{"\x{263a}"} },
    delete_all    => sub { my ($env)         = @_; delete $env->{$_} for keys %$env },
    delete_some   => sub { delete @{ $_[0] }{qw(PATH_INFO psgi.version psgi.input psgix.io)} },
    delete_again  => sub {
        my ($env) = @_;
        for (qw(PATH_INFO HTTP_HOST)) { delete $env->{$_}; $env->{$_} = 'again' }
    },
    delete_replace =>
        sub { my ($env) = @_; delete $env->{HTTP_HOST}; $env->{HTTP_COOKIE} = 'in its place' },
    clear        => sub { %{ $_[0] } = () },
    reassign     => sub { my ($env)  = @_; %$env = (%$env, extra => 1) },
    undef_hash   => sub { undef %{ $_[0] } },
    undef_values => sub { undef $_ for @{ $_[0] }{@TEXT} },
    keep_refs    => sub {
        push @refs, map { \$_[0]{$_} } sort keys %{ $_[0] };
    },
    keep_args => sub {
        push @kept, (sub { \@_ })->(values %{ $_[0] });
    },
    keep_objects => sub {
        push @kept, grep { ref } values %{ $_[0] };
    },
    keep_env     => sub { push @kept, $_[0] },
    keep_env_ref => sub { push @kept, \%{ $_[0] } },
    closure      => sub {
        my ($env) = @_;
        push @kept, sub { $env }
    },
    self        => sub { $_[0]{self} = $_[0] },
    weak_env    => sub { push @weak, $_[0]; weaken $weak[-1] },
    weak_values => sub {
        for (@TEXT) { push @weak, \$_[0]{$_}; weaken $weak[-1] }
    },
    weak_objects => sub {
        for (qw(psgi.version psgi.input psgix.io psgix.cleanup.handlers)) {
            push @weak, $_[0]{$_};
            weaken $weak[-1];
        }
    },
    weak_in_env => sub { weaken $_[0]{'psgi.version'}; weaken $_[0]{'psgi.errors'} },
    bless_env   => sub { bless $_[0], 'Hostile::Env' },
    bless_inner =>
        sub { bless $_[0]{$_}, 'Hostile::Inner' for 'psgi.version', 'psgix.cleanup.handlers' },
    bless_handles => sub {
        for (qw(psgi.input psgix.io)) {
            my $handle = $_[0]{$_}; # perl 5.16 blesses nothing by a value that has magic
            bless $handle, 'Hostile::Inner';
        }
    },
    tie_env       => sub { tie %{ $_[0] },  'Hostile::Hash' },
    tie_untie     => sub { tie %{ $_[0] },  'Hostile::Hash'; untie %{ $_[0] } },
    tie_values    =>
        sub { tie $_[0]{$_}, 'Hostile::Scalar' for @TEXT, 'psgi.streaming', 'psgi.version' },
    tie_handle   => sub { tie *{ $_[0]{'psgi.input'} },                       'Hostile::Handle' },
    tie_array    => sub { require Tie::Array; tie @{ $_[0]{'psgi.version'} }, 'Tie::StdArray' },
    lock_keys    => sub { Hash::Util::lock_keys(%{ $_[0] }) },
    lock_hash    => sub { Hash::Util::lock_hash(%{ $_[0] }) },
    unlock       => sub { Hash::Util::lock_hash(%{ $_[0] }); Hash::Util::unlock_hash(%{ $_[0] }) },
    placeholders => sub { Hash::Util::lock_keys(%{ $_[0] }); delete $_[0]{HTTP_HOST} },
    readonly       => sub { Internals::SvREADONLY($_[0]{$_},                  1) for @TEXT },
    readonly_array => sub { Internals::SvREADONLY(@{ $_[0]{'psgi.version'} }, 1) },
    fieldhash      => sub { $field->{ $_[0] } = 1 },
    fieldhash_id   =>
        sub { Hash::Util::FieldHash::register($_[0], $field); Hash::Util::FieldHash::id($_[0]) },
    local_value  => sub { local $_[0]{PATH_INFO} = 'inner'; local $_[0]{LOCAL} = 1; 1 },
    local_delete => sub { delete local $_[0]{PATH_INFO};    1 },
    local_kept   => sub { local $_[0]{PATH_INFO} = 'inner'; push @refs, \$_[0]{PATH_INFO} },
    each_half    => sub { my ($env) = @_; each %$env;             each %$env },
    each_delete  => sub { my ($env) = @_; my ($key) = each %$env; delete $env->{$key} },
    each_object  => sub {
        my ($env) = @_;
        $env->{$_} = Hostile::Object->new('lazy') for keys %$env;
        while (defined(my $key = each %$env)) {    # always the same one, where the iterator stands
            next if $key ne 'SCRIPT_NAME';
            delete $env->{$key};
            last;
        }
    },
    keys_lvalue  => sub { keys(%{ $_[0] }) = 128 },
    keys_huge    => sub { keys(%{ $_[0] }) = 4096 },
    match_pos    => sub { $_[0]{$_} =~ /./g for @TEXT },
    study_value  => sub { study $_[0]{PATH_INFO} },
    utf8_upgrade => sub { utf8::upgrade($_[0]{$_}) for @TEXT },
    utf8_wide    => sub { $_[0]{$_} = "\x{263a}"   for @TEXT },
    numeric      => sub {
        no warnings;
        my $x = $_[0]{SERVER_PORT} + $_[0]{PATH_INFO};
        $_[0]{REMOTE_ADDR} |= 0;
        ++$_[0]{SERVER_PORT};
    },
    float      => sub { $_[0]{SERVER_PORT} = 1.5; $_[0]{PATH_INFO} = -7; $_[0]{QUERY_STRING} = ~0 },
    dualvar    => sub { $_[0]{$_} = Scalar::Util::dualvar(5, 'five') for @TEXT, 'psgi.streaming' },
    vstring    => sub { $_[0]{SERVER_PROTOCOL} = v1.22.333 },
    chop_front => sub { $_[0]{$_} =~ s/^.// for @TEXT },
    lvalue_substr => sub { push @kept, \substr($_[0]{HTTP_HOST}, 0, 1) },
    lvalue_vec    => sub { push @kept, \vec($_[0]{HTTP_HOST}, 0, 8) },
    lvalue_pos    => sub { push @kept, \pos($_[0]{HTTP_HOST}) },
    glob_value    => sub { $_[0]{PATH_INFO} = *STDOUT;  $_[0]{'psgi.input'} = *STDIN },
    regexp        => sub { $_[0]{PATH_INFO} = ${qr/x/}; $_[0]{QUERY_STRING} = qr/y/ },
    references    => sub { $_[0]{$_}        = \$_[0]{SCRIPT_NAME} for qw(PATH_INFO HTTP_HOST) },
    code          => sub {
        $_[0]{$_} = sub { }
            for @TEXT;
    },
    large        => sub { $_[0]{$_} = 'x' x 100_000 for @TEXT },
    shared_cow   => sub { my $long  = 'y' x 3000; $_[0]{$_} = $long for @TEXT; push @kept, $long },
    key_as_value => sub { my ($key) = keys %{ { some_key => 1 } }; $_[0]{$_} = $key for @TEXT },
    booleans     => sub {
        my ($env) = @_;
        $env->{$_} = !$env->{$_}
            for
            grep { /^psgix?\..*(?:ing|once|multi|cleanup|harakiri|buffered)/ && !ref $env->{$_} }
            keys %$env;
    },
    booleans_read => sub {
        my ($env) = @_;
        my $x     = join ',', map { "$_" + 0 }
            grep { length && !/\D/ } grep { !ref } @{$env}{ grep { /^psgi/ } sort keys %$env };
    },
    version_push  => sub { push @{ $_[0]{'psgi.version'} }, 7 },
    version_set   => sub { $_[0]{'psgi.version'}[1] = 2 },
    version_text  => sub { my $x                    = "@{ $_[0]{'psgi.version'} }" },
    version_shift => sub { shift @{ $_[0]{'psgi.version'} }; push @{ $_[0]{'psgi.version'} }, 1 },
    version_alias => sub { push @refs, \$_[0]{'psgi.version'}[0] },
    version_other => sub { $_[0]{'psgi.version'} = [1, 1] },
    errors_other  => sub { open my $fh, '>', \my $text; $_[0]{'psgi.errors'} = $fh },
    handlers      => sub {
        push @{ $_[0]{'psgix.cleanup.handlers'} }, sub { $_[0]{cleaned} = 1 }
    },
    handlers_keep => sub {
        push @{ $_[0]{'psgix.cleanup.handlers'} }, sub { push @kept, $_[0] }
    },
    handlers_room => sub {
        $#{ $_[0]{'psgix.cleanup.handlers'} } = 500;
        @{ $_[0]{'psgix.cleanup.handlers'} } = ();
    },
    handlers_keep_io => sub {
        push @{ $_[0]{'psgix.cleanup.handlers'} }, sub { push @handles, $_[0]{'psgix.io'} }
    },
    handlers_spoil => sub {
        push @{ $_[0]{'psgix.cleanup.handlers'} }, sub { $_ = 'late' for values %{ $_[0] } }
    },
    input_read   => sub { my $in = $_[0]{'psgi.input'}; read $in, my $x, 3 },
    input_line   => sub { my $in = $_[0]{'psgi.input'}; my $x = <$in> },
    input_slurp  => sub { my $in = $_[0]{'psgi.input'}; local $/; my $x = <$in>; eof $in },
    input_keep   => sub { push @handles, $_[0]{'psgi.input'} },
    input_close  => sub { close $_[0]{'psgi.input'} },
    input_reopen =>
        sub { my $in = $_[0]{'psgi.input'}; close $in; open $in, '<', \'something else' },
    input_reopen_file => sub { my $in = $_[0]{'psgi.input'}; open $in, '<', $0 },
    input_binmode     => sub { binmode $_[0]{'psgi.input'}, ':utf8' },
    input_layer       => sub { binmode $_[0]{'psgi.input'}, ':crlf' },
    input_encoding    => sub { binmode $_[0]{'psgi.input'}, ':encoding(UTF-8)' },
    input_ungetc      => sub { $_[0]{'psgi.input'}->ungetc(65) },
    input_seek        => sub { seek $_[0]{'psgi.input'}, 100, 0 },
    input_hash        => sub { ${ *{ $_[0]{'psgi.input'} } }{attribute} = 1 },
    input_array       => sub { @{ *{ $_[0]{'psgi.input'} } }            = 1 },
    input_scalar      => sub { ${ *{ $_[0]{'psgi.input'} } }            = 1 },
    input_code        => sub {
        no warnings;
        *{ $_[0]{'psgi.input'} } = sub { }
    },
    input_glob       => sub { push @handles, \*{ $_[0]{'psgi.input'} } },
    input_io         => sub { push @handles, *{ $_[0]{'psgi.input'} }{IO} },
    input_alias      => sub { no warnings 'once'; *Hostile::IN = $_[0]{'psgi.input'} },
    input_dup        => sub { open my $copy, '<&', $_[0]{'psgi.input'}; push @handles, $copy },
    input_dup_reopen => sub {
        my $in = $_[0]{'psgi.input'};
        open my $copy, '<&', $in;
        push @handles, $copy;
        close $in;
        open $in, '<', \'yet another';
    },
    input_lineno => sub {
        $_[0]{'psgi.input'}->input_line_number;
        my $in = $_[0]{'psgi.input'};
        $. = 77;
        my $x = <$in>;
    },
    input_format =>
        sub { my $old = select $_[0]{'psgi.input'}; $= = 10; $^ = 'HEAD'; $- = 3; select $old },
    input_untaint => sub { $_[0]{'psgi.input'}->untaint },
    input_stat    => sub { no warnings; my $x  = -s $_[0]{'psgi.input'} },
    input_object  => sub { $_[0]{'psgi.input'} = Hostile::Object->new('input') },
    input_swap => sub { @{ $_[0] }{qw(psgi.input psgix.io)} = @{ $_[0] }{qw(psgix.io psgi.input)} },
    io_look    => sub { my $x = $_[0]{'psgix.io'}; my $y = ref $x; 1 },
    io_keep    => sub { push @handles, $_[0]{'psgix.io'} },
    io_close   => sub { close $_[0]{'psgix.io'} },
    io_hash    => sub { ${ *{ $_[0]{'psgix.io'} } }{io_socket_timeout} = 5 },
    io_binmode => sub { binmode $_[0]{'psgix.io'}, ':utf8' },
    io_format  => sub { my $old = select $_[0]{'psgix.io'}; $| = 1; select $old },
    guard_replace => sub { $_[0]{'psgix.exit_guard'} = $_[0]{'psgix.exit_guard'} ? [] : 'new' },
    guard_alias   => sub { push @refs, \$_[0]{'psgix.exit_guard'} },
    guard_weak    => sub { weaken $_[0]{'psgix.exit_guard'} if ref $_[0]{'psgix.exit_guard'} },
    guard_gone    => sub { delete $_[0]{'psgix.exit_guard'} },
    raise_look    => sub { my $x = ref $_[0]{'psgix.raise'}; 1 },
    raise_keep    => sub { push @kept, $_[0]{'psgix.raise'} },
    raise_alias   => sub { push @refs, \$_[0]{'psgix.raise'} },
    raise_other   => sub { $_[0]{'psgix.raise'} = sub { } },
    raise_gone    => sub { delete $_[0]{'psgix.raise'} },
    raise_weak    => sub { push @weak, $_[0]{'psgix.raise'}; weaken $weak[-1] },
    raise_local   => sub { local $_[0]{'psgix.raise'} = 1; 1 },
    inform_keep   => sub { push @kept, $_[0]{'psgix.informational'} },
    inform_other  => sub {
        $_[0]{'psgix.informational'} = sub { }
    },
    inform_bless => sub { bless $_[0]{'psgix.informational'}, 'Hostile::Inner' },
    inform_weak  => sub { push @weak, $_[0]{'psgix.informational'}; weaken $weak[-1] },
    inform_proto => sub { &Scalar::Util::set_prototype($_[0]{'psgix.informational'}, '$') },
    object       => sub {
        $_[0]{PATH_INFO} = Hostile::Object->new('gone');
        $_[0]{new}       = Hostile::Object->new('new');
    },
    undead     => sub { $_[0]{PATH_INFO} = Hostile::Object->new('undead') },
    die        => sub { $_[0]{PATH_INFO} = 'died'; $_[0]{dead} = 1; die "on purpose\n" },
    refalias   => sub { refalias($_[0]) },
    nested_env => sub { $_[0]{nested} = { env => { %{ $_[0] } } } },
);

# One scalar under two keys, constants, and a variable of ours as values.
my $refalias = <<'CODE';
use feature 'refaliasing';
no warnings;
sub refalias {
    my ($env) = @_;
    \$env->{PATH_INFO}          = \$env->{HTTP_HOST};
    \$env->{SCRIPT_NAME}        = \'constant';
    \$env->{'psgi.streaming'}   = \!!1;
    \$env->{'psgi.nonblocking'} = \my $mine;
    push @refs, \$mine;
}
1;
CODE
$refalias = 'sub refalias { } 1' if $] < 5.022;
eval $refalias or die $@;

# Whatever was kept is used to reach into what the server does now.
sub poke {
    no warnings;
    eval { ${$_} = 'LEAK' } for @refs;
    for my $thing (@kept) {
        my $type = reftype($thing) || '';
        if ($type eq 'HASH') {
            eval { $thing->{LEAK} = 1; $_ = 'LEAK' for values %$thing }
        } elsif ($type eq 'ARRAY') {
            eval { push @$thing, 'LEAK'; $_ = 'LEAK' for @$thing }
        } elsif ($type eq 'CODE') {
            eval { $thing->()->{LEAK} = 1 }
        } elsif ($type =~ /SCALAR|LVALUE/) {
            eval { $$thing = 'L' }
        }
    }
    eval { read $_, my $x, 5; seek $_, 2, 0; close $_ } for @handles;
    eval { ${$_} = 'LEAK' if reftype($_) eq 'SCALAR' }  for grep { defined } @weak;
}

sub scalar_of {
    my ($ref) = @_;
    my $sv    = B::svref_2object($ref);
    my $flags = $sv->FLAGS & ~0xff;       # all but the type: a string may have room for a number
    my $value = $$ref;
    return join ' ', sprintf('%x', $flags), $sv->REFCNT,
        defined $value ? ref $value || "'$value'" : 'undef';
}

sub handle_of {
    my ($fh) = @_;
    my $gv   = B::svref_2object(\*$fh);
    my @line = (
        ref $fh,
        B::svref_2object($fh)->REFCNT,
        tied(*$fh) ? 'tied' : 'plain',
        $gv->NAME,
        map({
                my $slot = *{$fh}{$_};
                defined $slot && $_ ne 'SCALAR' ? $_ : ()
        } qw(SCALAR ARRAY HASH CODE IO)),
        blessed(*{$fh}{IO}),
        *{$fh}{IO}->can('getline') ? 'can' : 'cannot',
    );
    return "@line";
}

sub show {
    my ($env) = @_;
    my @lines;
    my $hv = B::svref_2object($env);
    push @lines, sprintf 'env %x %d %s', $hv->FLAGS & ~0x02000000, $hv->REFCNT,
        blessed($env) || 'plain';
    push @lines, 'last line ' . (defined $. ? $. : 'undef');
    push @lines, 'iterator ' . (sort keys %$env)[0];
    for my $key (sort keys %$env) {
        next if $key eq 'REMOTE_PORT' || $key eq 'SERVER_PORT';
        push @lines, "$key " . scalar_of(\$env->{$key});
        my $value = $env->{$key};
        my $type  = reftype($value) || next;
        push @lines,
              "  ["
            . join(', ', map { scalar_of(\$_) } @$value) . '] '
            . B::svref_2object($value)->REFCNT
            if $type eq 'ARRAY';
        push @lines, '  ' . (prototype($value) || 'none') . ' ' . B::svref_2object($value)->REFCNT
            if $type eq 'CODE';
        undef $value if $type ne 'GLOB' || $key eq 'psgi.errors';
        push @lines, "  " . handle_of($value) if $value;
    }
    my $in = $env->{'psgi.input'};
    push @lines, 'input ' . join ' ', tell($in), eof($in) ? 1 : 0, $in->opened ? 1 : 0,
        join(',', PerlIO::get_layers($in)),
        "'" . do { local $/; my $all = <$in>; defined $all ? $all : 'undef' }
        . "'";
    push @lines, 'weak ' . grep({ defined } @weak) . ' destroyed ' . join ',', sort @destroyed;
    @$_ = () for \(@kept, @weak, @refs, @destroyed, @handles);
    return @lines;
}

sub {
    my ($env) = @_;
    undef $last;
    if ($env->{PATH_INFO} eq '/dump') {
        my $counters = Sprig::counters();
        poke();
        my @lines = eval { show($env) };
        push @lines, "died: $@" if $@;
        $last = $env if $ENV{FRESH_ENV};
        return [
            200,
            ['X-Built' => $counters->{env_built}, 'X-Recycled' => $counters->{env_recycled}],
            [map { "$_\n" } @lines]
        ];
    }
    $last = $env if $ENV{FRESH_ENV};
    my @errors;
    for my $name (split /,/, $env->{QUERY_STRING}) {
        my $code = $action{$name} or return [404, [], ["no action $name"]];
        eval { $code->($env); 1 } or push @errors, "$name: $@";
        die $@ if $name eq 'die';
    }
    return [200, [], [join "\n", sort keys %action]]
        if $env->{PATH_INFO} && $env->{PATH_INFO} eq '/list';
    return [200, [], [@errors ? "@errors" : 'done']];
};
