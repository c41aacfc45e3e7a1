package Sprig::Dev::Files;

use strict;
use warnings;

use Config         ();
use Cwd            ();
use File::Basename qw(dirname);
use File::Spec     ();

our $VERSION = '0.001';

# Folders of what is installed: files there do not change while somebody works on an application.
sub _installed {
    my @config =
        grep { defined && length }
        @Config::Config{qw(privlibexp archlibexp sitelibexp sitearchexp vendorlibexp vendorarchexp)
        };
    return (@config, map { _with_own($_) } grep { length } split /:/,
        defined $ENV{PERL5LIB} ? $ENV{PERL5LIB} : '');
}

# The folder and those in it that perl adds by itself.
sub _with_own {
    my ($folder) = @_;
    my ($version, $arch) = @Config::Config{qw(version archname)};
    return ($folder, map { "$folder/$_" } "$version/$arch", $version, $arch);
}

# `app` is the file of the application, or undef.
sub new {
    my ($class, $app) = @_;
    my $folder = Cwd::getcwd();
    my $self   = bless { folder => $folder, told => {} }, $class;
    $self->{installed} = { map { _plain($_, $folder) => 1 } _installed() };
    $self->{app}       = _plain($app, $folder) if defined $app;
    $self->{below}     = [$folder eq '/' ? () : $folder, defined $app ? dirname($self->{app}) : ()];
    return $self;
}

sub _plain {
    my ($path, $folder) = @_;
    return File::Spec->canonpath(File::Spec->rel2abs($path, $folder));
}

# The absolute path, and how it looks from the working folder.
sub absolute { return _plain($_[1], $_[0]{folder}) }

sub short {
    my ($self, $path) = @_;
    return $path =~ s{\A\Q$self->{folder}\E/}{}r;
}

# Where modules of the application can be: what -I and `use lib` have added, too.
sub _roots {
    my ($self) = @_;
    my @added  = grep { !$self->{installed}{$_} }
        map { _plain($_, $self->{folder}) } grep { !ref && length } @INC;
    return (@{ $self->{below} }, @added);
}

# Whether the file may be part of what is being worked on: it is not installed.
sub is_own {
    my ($self, $file) = @_;
    my $path = $self->absolute($file);
    return $self->_is_below($path,  $self->_roots)
        || !$self->_is_below($path, keys %{ $self->{installed} });
}

sub _is_below {
    my ($self, $path, @roots) = @_;
    return !!grep { index($path, $_ eq '/' ? '/' : "$_/") == 0 } @roots;
}

# Where it would be: a module that could not be loaded has no path, or one that is not there yet.
sub _places_of {
    my ($self, $name, @roots) = @_;
    my @places = map { "$_/$name" }
        grep { !$self->{installed}{$_} } map { _plain($_, $self->{folder}) } grep { !ref } @INC;
    my ($found) = grep { -e } @places;
    return defined $found ? $found : grep { $self->_is_below($_, @roots) } @places;
}

# Paths of the application and all that it has loaded, those left out that were returned before.
# `error` may name a module that is missing.
sub fresh {
    my ($self, $error) = @_;
    my @roots = $self->_roots;
    my @paths = $self->{app};
    for my $name (keys %INC) {
        my $path = $INC{$name};
        push @paths,
              ref $path     ? ()
            : defined $path ? _plain($path, $self->{folder})
            :                 $self->_places_of($name, @roots);
    }
    if (defined $error && $error =~ /Can't locate (\S+\.p[ml]) in \@INC/) {
        push @paths, $self->_places_of($1, @roots);
    }
    $self->{n_known} = keys %INC;
    return grep { defined && !$self->{told}{$_}++ && $self->_is_below($_, @roots) } @paths;
}

# More has been loaded since.
sub has_more { return keys %INC != $_[0]{n_known} }

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Dev::Files - which files an application consists of

=head1 DESCRIPTION

Used by L<Sprig::Dev>: the files that C<sprig --dev> watches. There is nothing here for applications.

=head1 METHODS

=head2 new

    my $files = Sprig::Dev::Files->new($app_file);

=head2 fresh

    my @paths = $files->fresh($error);

Absolute paths of the application's file and of all modules that are loaded from below the working folder, the
folder of that file, or a folder that C<-I> or C<use lib> has added; each once. If C<$error> says that a
module is missing, the places where it is looked for are among them.

=head2 has_more

Whether modules have been loaded since C<fresh> was called.

=head2 absolute, short

    my $path = $files->absolute($file);
    my $name = $files->short($path);

The path of a file, and how it looks from the working folder.

=head2 is_own

    my $is_own = $files->is_own($path);

Whether a file may belong to the application: it is below one of these folders, or is not installed.

=cut
