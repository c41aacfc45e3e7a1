package Sprig::Dev;

use strict;
use warnings;

use AnyEvent              ();
use Scalar::Util          qw(blessed reftype);
use Time::HiRes           ();
use Sprig                 ();
use Sprig::Dev::Failure   ();
use Sprig::Dev::Files     ();
use Sprig::Dev::Live      ();
use Sprig::Dev::Page      ();
use Sprig::Dev::Responder ();
use Sprig::Dev::Terminal  ();
use Sprig::Loop           ();
use Sprig::Worker         ();

our $VERSION = '0.001';

# How often modules are looked for that something else than a request has loaded.
my $LOOK_SECONDS = 2;

# Longer ones do not fit into a line to the master.
my $MAX_PATH = 1000;

# The env of the request whose application is being called.
our $CURRENT;

# Options: app (the file of the application), live_reload.
sub new {
    my ($class, %option) = @_;
    return bless {
        worker => Sprig::Worker->current,
        files  => Sprig::Dev::Files->new($option{app}),
        live   => $option{live_reload} ? Sprig::Dev::Live->new : undef,
    }, $class;
}

# The application that the code returns; one that explains why there is none, if it dies or the worker
# before this one did.
sub load {
    my ($self, $code) = @_;
    $self->_listen;
    my $failure = $self->{worker} && $self->{worker}{failure};
    my $error   = $failure;
    my $app     = defined $failure ? undef : eval { $code->() };
    $error = $@ if !defined $failure && !$app;
    $app ||= $self->_explainer($error, !defined $failure);
    $self->{worker}->tell('excuse') if $self->{worker} && defined $error;
    $self->tell_files(defined $error ? "$error" : undef);
    $self->{look} = AE::timer($LOOK_SECONDS, $LOOK_SECONDS, sub { $self->tell_files })
        if $self->{worker};
    my $is_site = blessed($app) && $app->isa('Sprig::PAGI::Site');
    require Sprig::Dev::Site if $is_site;
    return $is_site ? Sprig::Dev::Site::wrap($self, $app) : sub { $self->call($app, $_[0]) };
}

# Handlers of the application's own, which it sets later, win.
sub _listen {
    my ($self) = @_;
    Sprig::Dev::Failure::listen_to_die();
    $SIG{__WARN__} = sub { Sprig::Dev::Terminal::print_warning($_[0], $CURRENT) }
        if !$SIG{__WARN__};
    $Sprig::Loop::DIED ||= sub { $self->_callback_died($_[0]) };
    my $live = $self->{live} or return;
    Sprig::Worker->before_leave(sub { $live->close });
    return;
}

# What another process has died of is told by the master.
sub _explainer {
    my ($self, $error, $is_new) = @_;
    my $failure = Sprig::Dev::Failure->new($error, kind => 'load', files => $self->{files});
    Sprig::Dev::Terminal::print_failure($failure) if $is_new;
    return sub { $self->_page($failure, $_[0]) };
}

# The master watches them.
sub tell_files {
    my ($self, $error) = @_;
    my $worker = $self->{worker} or return;
    return if !defined $error && $self->{files}{n_known} && !$self->{files}->has_more;
    my @paths = grep { !/\n/ && length() < $MAX_PATH } $self->{files}->fresh($error);
    $worker->tell(join "\n", map { "watch $_" } @paths) if @paths;
    return;
}

# ---- requests ----

sub call {
    my ($self, $app, $env) = @_;
    my $own = $self->{live} && $self->{live}->answer($env);
    return $own if $own;
    my ($is_fine, $response) = $self->try_app($env, sub { $app->($env) });
    $response = $self->explain($response, $env) if !$is_fine;
    return $self->_finish($env, $response);
}

# Whether the application has returned, and what it has returned, or died of.
sub try_app {
    my ($self, $env, $code) = @_;
    my $returned;
    my $is_fine = do {
        local $CURRENT = $env;
        eval { $returned = $code->(); 1 };
    };
    my $error = $@;
    $self->tell_files;
    return ($is_fine, $is_fine ? $returned : $error);
}

# The page that says why there is no response.
sub explain {
    my ($self, $error, $env) = @_;
    return $self->_page($self->_failure($error, $env), $env);
}

# A PAGI application's $send that puts what reloads pages into them.
sub into_events {
    my ($self, $env, $send) = @_;
    return $self->{live} ? $self->{live}->into_events($env, $send) : $send;
}

sub _finish {
    my ($self, $env, $response) = @_;
    return $self->{live} ? $self->{live}->into($env, $response) : $response
        if ref $response eq 'ARRAY';
    return sub { $self->_delay($env, $response, @_) }
        if ref $response && reftype $response eq 'CODE';
    return $self->_promise($env, $response) if blessed $response && $response->can('then');
    return $response;
}

sub _delay {
    my ($self, $env, $code, $respond, @more) = @_;
    my $responder = Sprig::Dev::Responder->new($self, $env, $respond);
    my $is_fine   = do {
        local $CURRENT = $env;
        eval { $code->($responder->code, @more); 1 };
    };
    return if $is_fine;
    die $@ if $responder->is_done;    # the server breaks the response off
    $responder->raise($@);
    return;
}

# A Future wants a Future back; other promises take what they get.
sub _promise {
    my ($self, $env, $promise) = @_;
    my $is_future = $promise->isa('Future');
    my $wrap      = sub { $is_future ? Future->done($_[0]) : $_[0] };
    return $promise->then(
        sub { $wrap->($self->_finish($env, $_[0])) },
        sub { $wrap->($self->_finish($env, $self->explain($_[0], $env))) },
    );
}

# ---- failures ----

sub _failure {
    my ($self, $error, $env) = @_;
    my $failure = Sprig::Dev::Failure->new($error, env => $env, files => $self->{files});
    Sprig::Dev::Terminal::print_failure($failure);
    return $failure;
}

sub _page {
    my ($self, $failure, $env) = @_;
    my $format = Sprig::Dev::Page::format_for($env);
    return Sprig::Dev::Page::response($failure, $format);
}

# Answers with the page, by the server's responder.
sub respond_with {
    my ($self, $error, $env, $respond) = @_;
    my $page = $self->explain($error, $env);
    $respond->($self->_finish($env, $page));
    return;
}

# Of a callback nobody knows for which request it was. Open pages show it.
sub _callback_died {
    my ($self, $error) = @_;
    my $failure = Sprig::Dev::Failure->new($error, kind => 'callback', files => $self->{files});
    Sprig::Dev::Terminal::print_failure($failure);
    $self->{last_callback} = $failure;
    my $live = $self->{live} or return;
    my $json = Sprig::Dev::Page::json_of(title => 'A callback has died', text => $failure->text);
    utf8::encode($json);
    $live->show($json, sub { $self->_finish($_[0], $self->_page($failure, $_[0])) });
    return;
}

# The application has let go of the responder. If something has died meanwhile, that is why; else the
# server says so when we let go of its responder, too.
sub lost {
    my ($self, $env, $respond, $since) = @_;
    my $why = $self->{last_callback};
    return if !$why || $why->time < $since;
    $respond->($self->_finish($env, $self->_page($why->of_request($env), $env)));
    return;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Dev - the Perl part of sprig --dev

=head1 DESCRIPTION

Used by L<sprig> and L<Plack::Handler::Sprig> with the option C<dev>: it loads the application, explains
what went wrong in the browser and on the terminal, and tells the master which files to watch. There is nothing
here for applications; see L<Sprig::Manual::Development>.

=head1 METHODS

=head2 new

    my $dev = Sprig::Dev->new(app => $file, live_reload => 1);

=head2 load

    my $app = $dev->load(sub { ... });

The application that the code returns, wrapped, or one that explains why there is none. Does not die.

=head2 tell_files

    $dev->tell_files($error);

Tells the master of modules that have been loaded since the last time; C<$error> may name one that is missing.

=head2 call, try_app, explain, into_events

What L<Sprig::Dev::Site> does with several applications, and with those of PAGI.

=head2 respond_with, lost

What L<Sprig::Dev::Responder> does with a failure, and where the application gives no answer.

=cut
