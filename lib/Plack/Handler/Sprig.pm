package Plack::Handler::Sprig;
use strict;
use warnings;

our $VERSION = '0.001';

# What Twiggy::Prefork calls them.
my %name_of = (max_workers => 'workers', max_reqs_per_child => 'max_requests');

# Nothing is opened or forked here: Plack's loaders make the handler in one process and run it in others.
sub new {
    my ($class, @args) = @_;
    my %args = _add_up(@args);
    _check_names(\%args);
    for my $name (keys %name_of) {
        my $value = delete $args{$name};
        $args{ $name_of{$name} } //= $value if defined $value;
    }
    for my $flag (sort grep { /\Ano_/ && $_ ne 'no_delay' } keys %args) {
        my $value = delete $args{$flag};
        my $name  = $flag =~ s/\Ano_//r;
        die _switch_message($name, $value) if !defined $value || $value ne '1';
        $args{$name} = 0;
    }
    return bless {%args}, $class;
}

# Options that are lists of files may be repeated.
sub _add_up {
    my %args;
    while (my ($name, $value) = splice @_, 0, 2) {
        if (defined $args{$name} && $name =~ /\Atls_(?:cert|key|ocsp)\z/) {
            $value = [map { ref($_) ? @$_ : $_ } $args{$name}, $value];
        }
        $args{$name} = $value;
    }
    return %args;
}

# In the words that were used.
sub _check_names {
    my ($args) = @_;
    my $n = defined $args->{workers} ? $args->{workers} : $args->{max_workers};
    return if !$args->{max_reqs_per_child} || $args->{master} || defined $n && $n ne '1';
    my $got = defined $n ? "got '$n'" : 'which is not given';
    die
        "max_reqs_per_child needs max_workers of 2 or more, $got: one process cannot replace itself\n";
}

# plackup knows no switches: what stands behind one is its value, and not the application.
sub _switch_message {
    my ($name, $value) = @_;
    my $flag = $name =~ tr/_/-/r;
    my $got  = defined $value ? ", here '$value'" : '';
    return "plackup takes the next word for the value of --no-$flag$got: write --disable-$flag\n";
}

sub run {
    my ($self, $app) = @_;
    my %args = %$self;
    require Sprig::Server;
    require Sprig::Inherited;
    if (!Sprig::Worker->current and my @sockets = Sprig::Inherited::sockets()) {
        delete @args{qw(listen host port)};
        $args{listen_sock} = \@sockets;
    }
    return Sprig::Server->new(%args)->run(_for_dev(\%args, $app));
}

# The program has done so where it loads the application.
sub _for_dev {
    my ($args, $app) = @_;
    return $app if !$args->{dev} || $INC{'Sprig/Program.pm'};
    _stay_on_loopback($args);
    require Sprig::Dev;
    my $live    = !defined $args->{live_reload} || $args->{live_reload};
    my $dev     = Sprig::Dev->new(live_reload => $live);
    my $builder = $args->{psgi_app_builder} or return $dev->load(sub { $app });
    $args->{psgi_app_builder} = sub { $dev->load($builder) };
    return;
}

# It shows source code.
sub _stay_on_loopback {
    my ($args) = @_;
    $args->{host} = '127.0.0.1' if !defined $args->{host} || !length $args->{host};
    my @listen = @{ $args->{listen} || [] };
    s/\A(?:\*?:)?([0-9]+)(?=,|\z)/127.0.0.1:$1/ for @listen;
    $args->{listen} = \@listen if @listen;
    my ($wrong) = grep { !/\A(?:127\.[0-9.]+|localhost|\[::1\]):|\/|\A(?:unix:)?\@/ }
        @listen ? @listen : Sprig::Service::join_address($args->{host}, $args->{port} || 0);
    die "dev serves this machine only, for it shows source code: "
        . "listen on 127.0.0.1, [::1], localhost or a unix socket, not on $wrong\n"
        if defined $wrong;
    return;
}

1;

__END__

=encoding utf8

=head1 NAME

Plack::Handler::Sprig - runs an application on Sprig from plackup

=head1 SYNOPSIS

    plackup -s Sprig --listen :8080 app.psgi
    plackup -s Sprig --max-body-bytes=10M --disable-keepalive app.psgi

    # in a program
    require Plack::Loader;
    Plack::Loader->load('Sprig', host => '127.0.0.1', port => 8080)->run($app);

=head1 DESCRIPTION

Connects L<Plack> to L<Sprig::Server>, and takes all options of L<Sprig::Server/new>. C<plackup>
turns C<--max-body-bytes=10M> into C<< max_body_bytes => '10M' >>, and C<--enable-x> and
C<--disable-x> into true and false. It knows no other switches: in C<plackup --no-keepalive app.psgi>, it would take the
file as the value of the option, which Sprig refuses. Write C<--disable-keepalive>.

If L<Server::Starter> or systemd has opened sockets, Sprig listens only on those: see
L<Sprig::Inherited>.

The difference from the program L<sprig>, which takes the same options, is that the application runs in an
ordinary perl, and that C<plackup>'s loaders (C<-r>, C<-L Shotgun>, C<-L Delayed>) work. C<plackup>
compiles the application before it loads this module. If the application creates L<AnyEvent>
watchers while it is compiled, they choose the event loop, and Sprig joins that loop. To always use
Sprig's own loop, load L<Sprig::Loop> first: C<plackup -MSprig::Loop -s Sprig>.

=head1 METHODS

=head2 new

    my $handler = Plack::Handler::Sprig->new(%options);

Stores the options. It does not listen or fork yet. C<max_workers> and C<max_reqs_per_child>, the names
in Twiggy::Prefork, mean C<workers> and C<max_requests>.

=head2 run

    $handler->run($app);

Listens and serves the application, in this process or with workers, and returns after C<TERM>, C<INT> or C<QUIT>.
With C<plackup -L Delayed>, each worker compiles the application
itself, so that C<HUP> brings new code. Otherwise C<plackup> has already compiled it. Dies if an option is
wrong or an address is not available.

=head1 SEE ALSO

L<Sprig::Server>, L<sprig>, L<plackup>

=cut
