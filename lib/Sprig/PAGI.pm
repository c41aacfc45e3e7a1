package Sprig::PAGI;

use strict;
use warnings;

use Scalar::Util ();
use Sprig        ();

our $VERSION = '0.001';

# What a PAGI application needs to run at all, and where it comes from.
my %package = ('Future' => 'libfuture-perl', 'Future::AsyncAwait' => 'libfuture-asyncawait-perl');

# Before the first PAGI application is loaded.
sub prepare {
    for my $module (sort keys %package) {
        next if eval "require $module; 1";
        die "PAGI applications need $module: install $package{$module}, or $module from CPAN\n"
            if $@ =~ /\ACan't locate/;
        die $@;
    }
    require Sprig::PAGI::Future;
    require Future::IO::Impl::Sprig if !$INC{'Future/IO.pm'} && eval { require Future::IO; 1 };
    return;
}

# An application as a code reference: that itself, or what an object makes by to_app.
sub to_code {
    my ($app) = @_;
    return $app if ref $app && Scalar::Util::reftype($app) eq 'CODE';
    return $app if !Scalar::Util::blessed($app) || !$app->can('to_app');
    my $code = $app->to_app;
    die "to_app of the PAGI application did not return a code reference\n"
        if !ref $code || Scalar::Util::reftype($code) ne 'CODE';
    return $code;
}

# What a server with several applications serves. It stands where an application does.
sub site {
    my ($class, @mounts) = @_;
    my @site;
    while (my ($path, $what) = splice @mounts, 0, 2) {
        my ($kind, $app) = ref $what eq 'HASH' ? %$what : ();
        die "Sprig::PAGI->site: give path => { psgi => \$app } or path => { pagi => \$app }\n"
            if !defined $kind || $kind !~ /\A(?:psgi|pagi)\z/;
        push @site, _mount($path, $kind, $app);
    }
    return bless \@site, 'Sprig::PAGI::Site';
}

sub _mount {
    my ($path, $kind, $app) = @_;
    my $place = $path =~ s{/*\z}{}r;
    die "Sprig::PAGI->site: a path begins with '/', not '$path'\n"
        if length $place && $place !~ m{\A/};
    my $is_pagi = $kind eq 'pagi' ? 1 : 0;
    prepare() if $is_pagi;
    my $code = $is_pagi ? to_code($app) : $app;
    require Sprig::Application;
    my $wrong = Sprig::Application::wrong($code);
    die "Sprig::PAGI->site: $path needs $wrong\n" if defined $wrong;
    $code = _below($place, $code)                 if !$is_pagi && length $place;
    return { path => $place, app => $code, is_pagi => $is_pagi };
}

# A PSGI application finds the path that it is mounted at in SCRIPT_NAME.
sub _below {
    my ($path, $app) = @_;
    return sub {
        my ($env) = @_;
        $env->{SCRIPT_NAME} = $path;
        $env->{PATH_INFO}   = substr $env->{PATH_INFO}, length $path;
        return $app->($env);
    };
}

package Sprig::PAGI::Site;

use overload '&{}' => sub {
    return sub { die "a Sprig::PAGI site can be served by Sprig only\n" }
    },
    bool     => sub { 1 },
    fallback => 1;

# It is an array behind the overloading.
sub mounts { return @{ $_[0] } }

# The same with more: they are given as to Sprig::PAGI->site.
sub add {
    my ($self, @mounts) = @_;
    return bless [@$self, Sprig::PAGI->site(@mounts)->mounts], ref $self;
}

# What is asked for below no path.
sub nothing {
    return [404, ['Content-Type' => 'text/plain'], ["Not Found\n"]];
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::PAGI - serve PAGI and PSGI applications side by side

=head1 SYNOPSIS

    # site.psgi
    use Sprig::PAGI;

    Sprig::PAGI->site(
        '/'     => { psgi => $psgi_app },
        '/live' => { pagi => $pagi_app },
    );

=head1 DESCRIPTION

L<Sprig::Manual::PAGI> shows how to serve a PAGI application. This module combines several applications
into one site. Start an application file that returns a site like any other: C<sprig site.psgi>.

=head1 METHODS

=head2 site

    Sprig::PAGI->site($path => { psgi => $app }, $path => { pagi => $app }, ...);

Returns a site. Each application answers the requests below its path; if several paths match, the longest
one wins. A PSGI application finds its path in C<SCRIPT_NAME>, a PAGI application in C<root_path>. A request
that matches no path gets C<404>. C<site> dies if a value is not an application.

=head1 FUNCTIONS

=head2 prepare

Loads the modules that PAGI applications need. If one is missing, it dies and names the package to install.
If L<Future::IO> is installed, it runs on Sprig's event loop from then on.

=head2 to_code

    my $code = Sprig::PAGI::to_code($app);

Returns the code reference of an application. If C<$app> is an object with a C<to_app> method, it calls that
method; a code reference comes back as it is.

=cut
