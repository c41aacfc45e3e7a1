package Sprig::Program;
use strict;
use warnings;

# Before anything that could choose an event loop: the program runs on Sprig's own.
use Sprig::Loop;
use Sprig::Worker;
use File::Basename qw(dirname);
use File::Spec;
use Plack::Util;
use Sprig::Application ();

our $VERSION = '0.001';

# Settings that come several times.
my %is_list = map { $_ => 1 } qw(listen module mount Reload);

# Settings for this module; all others are options of the server.
my @own = qw(
    app eval module env default_middleware path pagi mount listen reload Reload loader check
);

# Runs the program; @ARGV is "name=value" ... "--" [app] arguments of the app. Returns the exit status.
sub main {
    my ($class) = @_;
    my $self = $class->_new(_settings(\@ARGV));
    return 0 if eval { $self->_run(\@ARGV); 1 };
    my $message = _one_line("$@");
    my $worker  = Sprig::Worker->current;
    if ($worker) {
        $worker->report($message);
    } elsif (!Sprig::Worker::_print_as_json($message)) {
        print STDERR "sprig: $message";
    }
    return 1;
}

# Takes the settings and the "--" off the list.
sub _settings {
    my ($words) = @_;
    my %settings;
    while (defined(my $word = shift @$words)) {
        last if $word eq '--';
        my ($name, $value) = split /=/, $word, 2;
        $is_list{$name} ? push @{ $settings{$name} }, $value : ($settings{$name} = $value);
        $settings{loader} = 'Restarter' if $name eq 'reload' || $name eq 'Reload';
        delete $settings{loader}        if $name eq 'reload' && !$value;
    }
    return %settings;
}

sub _one_line {
    my $message = Sprig::Worker::_without_place($_[0]);
    $message =~ s/\n*\z/\n/;
    return $message;
}

sub _new {
    my ($class, %settings) = @_;
    my %own = map { $_ => delete $settings{$_} } @own;
    return bless { %own, options => \%settings }, $class;
}

sub _run {
    my ($self, $words) = @_;
    $ENV{PLACK_ENV} = $self->{env} if defined $self->{env};
    $ENV{PLACK_ENV} = 'deployment' if !$ENV{PLACK_ENV};
    $ENV{MOJO_REACTOR} ||= 'Mojo::Reactor::Sprig';
    $self->_load_modules if !$self->_is_dev;
    $self->_choose_app($words);
    return $self->_check if $self->{check};
    my $builder = $self->_builder;
    my $loader  = $self->_loader($builder);

    require Plack::Handler::Sprig;
    my $handler = Plack::Handler::Sprig->new(
        %{ $self->{options} },
        listen       => $self->{listen},
        server_ready => sub { $self->_print_banner(@_) },
        $loader ? () : (psgi_app_builder => $builder),
    );

    $loader ? $loader->run($handler) : $handler->run;
    return;
}

sub _is_dev { return $_[0]->_option('dev') && !$_[0]{check} }

# Code that loads the application. For development it never dies: what cannot be loaded is explained in
# the browser, modules of -M included.
sub _builder {
    my ($self) = @_;
    my $load = sub { $self->_wrap($self->_load_app) };
    return $load if !$self->_is_dev;
    require Sprig::Dev;
    my $dev = Sprig::Dev->new(app => $self->{app}, live_reload => $self->_option('live_reload'));
    return sub {
        $dev->load(sub { $self->_load_modules; $load->() });
    };
}

# The value of an option of the server, wherever it was given.
sub _option { return Sprig::Service::read_option($_[0]{options}, $_[1]) }

# -M as perl does it: Module, -Module, Module=import,list or 'Module qw(import list)'.
sub _load_modules {
    my ($self) = @_;
    for my $module (@{ $self->{module} || [] }) {
        my ($name, $imports) = split /=/, $module, 2;
        my $use = ($name =~ s/\A-// ? 'no ' : 'use ') . $name;
        $use .= " split(/,/, q\0$imports\0)" if defined $imports;
        eval "package main; no strict; no warnings; $use; 1" and next;
        die "cannot load $name: " . ($@ =~ s/(?: at \(eval \d+\) line 1\.)?\nBEGIN failed.*/\n/sr);
    }
}

# The application is that of -e, -a or the first word; the words left over stay in @ARGV.
sub _choose_app {
    my ($self, $words) = @_;
    $self->{app} = shift @$words if !defined $self->{app} && @$words;
    $self->{app} = $self->{pagi} ? 'app.pagi' : 'app.psgi'
        if !defined $self->{app} && !defined $self->{eval};
    return;
}

# ---- PAGI, and several applications ----

sub _is_pagi_file { return $_[0] =~ /\.pagi\z/ }

sub _is_pagi {
    my ($self) = @_;
    return $self->{pagi} || defined $self->{app} && _is_pagi_file($self->{app});
}

# The application with those of --mount beside it.
sub _site {
    my ($self, $app) = @_;
    require Sprig::PAGI;
    my @mounts = map { $self->_load_mount($_) } @{ $self->{mount} || [] };
    return $app->add(@mounts) if ref $app eq 'Sprig::PAGI::Site';
    my $path = $self->_is_pagi && defined $self->{path} ? $self->{path} : '/';
    return Sprig::PAGI->site($path => { ($self->_is_pagi ? 'pagi' : 'psgi') => $app }, @mounts);
}

sub _load_mount {
    my ($self, $mount) = @_;
    my ($path, $file)  = $mount =~ m{\A(/[^=]*)=(.+)\z}
        or die "option --mount is PATH=FILE, as in /live=live.pagi, not '$mount'\n";
    my $kind = _is_pagi_file($file) ? 'pagi' : 'psgi';
    Sprig::PAGI::prepare() if $kind eq 'pagi';
    my $app   = _load_file($file);
    my $wrong = Sprig::Application::wrong($kind eq 'pagi' ? Sprig::PAGI::to_code($app) : $app);
    die "$file must return $wrong\n" if defined $wrong;
    return ($path => { $kind => $app });
}

sub _load_app {
    my ($self) = @_;
    my ($code, $file) = @$self{qw(eval app)};
    if ($self->_is_pagi) {
        require Sprig::PAGI;
        Sprig::PAGI::prepare();
    }
    my $app = defined $code ? _load_code($code, $file) : _load_file($file);
    $app = Sprig::PAGI::to_code($app) if $self->_is_pagi;
    my $wrong = Sprig::Application::wrong($app);
    _suggest_pagi($file) if !defined $wrong && ref $app eq 'CODE' && !$self->_is_pagi;
    return $app          if !defined $wrong;
    my $source = defined $code ? 'the code of -e' : $file;
    die "$source must return $wrong\n";
}

# Compiles a file in a package of its own. Unlike Plack::Util::load_psgi it leaves @ARGV alone: what
# stands there was given on the command line for this application.
sub _load_file {
    my ($name) = @_;
    my $file = _find_file($name);
    (my $package = $file) =~ s/([^A-Za-z0-9_])/sprintf '_%2x', ord $1/ge;
    $0 = $file;
    Sprig::Worker::_keep_name();
    my $app = eval "package Plack::Sandbox::$package;"
        . 'my $app = do $file; die $@ if !defined $app && $@; $app';
    die "cannot load $name: ", _as_line($@) if !defined $app && $@;
    return $app;
}

# The absolute path of a file, or of a module that is the application.
sub _find_file {
    my ($name) = @_;
    if ($name =~ /\A\w+(?:::\w+)*\z/ && !-e $name) {
        my $module = Plack::Util::class_to_file($name);
        my ($file) = grep { -f } map { "$_/$module" } grep { !ref } @INC;
        return File::Spec->rel2abs($file) if defined $file;
    }
    open my $fh, '<', $name or die "cannot read $name: $!" . _hint_of($name) . "\n";
    -d $fh and die "cannot read $name: it is a folder\n";
    return File::Spec->rel2abs($name);
}

# As PSGI, each request of such an application would be an error that does not say why.
sub _suggest_pagi {
    my ($name) = @_;
    return if !defined $name || !-f $name || -s _ > 1_000_000;
    open my $fh, '<', $name or return;
    my $text = do { local $/; readline $fh };
    print STDERR "sprig: $name looks like a PAGI application: give --pagi, or call it .pagi\n"
        if $text =~ /['"]http\.response\.start['"]/;
    return;
}

# For somebody who has not given a file, or has taken the first word for a command.
sub _hint_of {
    my ($name) = @_;
    return '' if -e $name || $name =~ m{/|::} || $name =~ /\./ && $name !~ /\Aapp\.p\w+\z/;
    return '; give the file of your application: sprig FILE (see sprig --help)';
}

# Code of -e within Plack::Builder's builder {}, around the application of the file if there is one.
sub _load_code {
    my ($code, $file) = @_;
    my $inner = defined $file ? 'Sprig::Program::_load_file($file)' : '';
    my $app   = eval "package main; no strict; no warnings; use Plack::Builder; &builder(sub {\n"
        . "#line 1 \"-e\"\n$code;\n$inner})";
    die _as_line($@) if !defined $app && $@;
    return $app;
}

sub _as_line {
    my ($message) = @_;
    return $message =~ /\n\z/ ? $message : "$message\n";
}

# Mounts it at --path, and adds the middleware of the environment, as plackup does.
sub _wrap {
    my ($self, $app) = @_;
    return $self->_site($app) if $self->_is_pagi || ref $app eq 'Sprig::PAGI::Site';
    $app = $self->_wrap_psgi($app);
    return $self->{mount} ? $self->_site($app) : $app;
}

sub _wrap_psgi {
    my ($self, $app) = @_;
    if (defined $self->{path}) {
        require Plack::App::URLMap;
        my $map = Plack::App::URLMap->new;
        $map->mount($self->{path} => $app);
        $app = $map->to_app;
    }
    for my $class ($self->_default_middleware) {
        $app = Plack::Util::load_class($class, 'Plack::Middleware')->wrap($app);
    }
    return $app;
}

sub _default_middleware {
    my ($self) = @_;
    return        if $ENV{PLACK_ENV} ne 'development';
    return        if defined $self->{default_middleware} && !$self->{default_middleware};
    return 'Lint' if $self->_is_dev;
    return ('Lint', 'StackTrace', length $self->_option('access_log') ? () : 'AccessLog');
}

# ---- loaders: -r, -R, -L ----

# Signals that mean the process that serves, and not the one that watches.
my @passed_on = qw(HUP USR1 USR2);

# The loader of Plack that was asked for, if any; it calls the builder when it wants the application.
sub _loader {
    my ($self, $builder) = @_;
    my $name   = $self->{loader} or return;
    my $loader = eval { Plack::Util::load_class($name, 'Plack::Loader')->new };
    die "cannot load the loader $name: ", _as_line($@) if !$loader;
    $loader->watch($self->_watched);
    my $restarts = $loader->isa('Plack::Loader::Restarter');
    $self->_prepare_restarts($loader) if $restarts;

    # Sockets of systemd are for this process. It leaves them to the one that is to serve.
    my $has_sockets = ($ENV{LISTEN_PID} || 0) eq $$;
    $loader->preload_app(sub {
        $ENV{LISTEN_PID} = $$ if $has_sockets;

        # Handlers of the one that watches are not for this one.
        Sprig::Worker::_quit_open();
        @SIG{@passed_on} = ('DEFAULT') x @passed_on if $restarts;
        $builder->();
    });
    return $loader;
}

# What plackup watches: the file, and the folder lib beside it.
sub _watched {
    my ($self)  = @_;
    my @watched = map { split /,/ } @{ $self->{Reload} || [] };
    my $file    = defined $self->{app}                    ? _find_file($self->{app}) : undef;
    my $lib     = defined $file && !defined $self->{eval} ? dirname($file) . '/lib'  : 'lib';
    return (-e $lib ? $lib : (), defined $file ? $file : (), @watched);
}

# The process that watches ends its child at TERM only. And it waits until that child has left: nobody
# wants to wait for a stream that a browser keeps open.
sub _prepare_restarts {
    my ($self, $loader) = @_;
    my $watcher = $$;
    for my $signal (@passed_on) {
        $SIG{$signal} = sub { kill $signal, $loader->{pid} if $$ == $watcher && $loader->{pid} };
    }
    for my $signal (qw(INT QUIT)) {
        $SIG{$signal} = sub { $$ == $watcher ? kill TERM => $watcher : exit 0 };
    }
    my $options = $self->{options};
    $options->{option_defaults} = { graceful_timeout => 1 };
    return;
}

# ---- --check ----

# All that can go wrong before anything is listened on; dies if it does.
sub _check {
    my ($self) = @_;
    require Sprig::Server;
    Sprig::Server->new(%{ $self->{options} }, listen => $self->{listen});
    $self->_wrap($self->_load_app);
    my $workers = $self->_option('workers');
    printf "sprig: OK: %s on %s (%s, %s)\n",
        defined $self->{eval} ? 'the code of -e' : $self->{app},
        join(', ', @{ $self->{listen} }), $workers == 1 ? '1 worker' : "$workers workers",
        $ENV{PLACK_ENV};
    return;
}

# ---- where it listens ----

# The line that tells where it listens. What the application has done to STDERR is not for it.
sub _print_banner {
    my ($self, $ready) = @_;
    Sprig::_print_banner(
        @$ready{qw(host port)}, $self->_option('workers'),
        $ENV{PLACK_ENV},        $ready->{proto} eq 'https'
    );
    return;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Program - the Perl part of the program sprig

=head1 DESCRIPTION

The program L<sprig> reads its command line in C and leaves the rest to this module: it loads the
application and what was asked to be loaded before it, wraps it in middleware, and hands it to
L<Plack::Handler::Sprig>. There is nothing here for applications; use L<Sprig::Server> to run a
server in a program of your own.

=head1 METHODS

=head2 main

    exit Sprig::Program->main;

Takes C<name=value> settings from C<@ARGV> up to C<-->, and the file of the application behind it.
Returns the exit status once the server has ended: 0, or 1 after a message on C<STDERR>.

=cut
