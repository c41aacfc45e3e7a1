package Sprig::PAGI::Server;

use strict;
use warnings;

use Carp          qw(croak);
use Sprig::PAGI   ();
use Sprig::Server ();

our $VERSION = '0.001';

# What runners pass to any server, and means nothing here or something of its own.
my %is_common = map { $_ => 1 } qw(app quiet access_log loop_type);

sub new {
    my ($class, %options) = @_;
    croak "$class->new: app is missing" if !defined $options{app};
    Sprig::PAGI::prepare();
    for my $name (sort grep { !$is_common{$_} } keys %options) {
        croak "$class->new: there is no option '$name'" if !_is_option($name);
    }
    return bless {%options}, $class;
}

sub _is_option {
    my ($name) = @_;
    return 1 if $name =~ /\A(?:host|port|listen|listen_sock|server_ready)\z/;
    return defined Sprig::Service::read_option({}, $name);
}

sub run {
    my ($self) = @_;
    my %options = %$self;
    my ($app, $quiet, $log) = delete @options{qw(app quiet access_log loop_type)};
    $options{access_log} = ref $log ? _path_of($log) : $log if defined $log;
    $options{host} = '127.0.0.1' if !grep { defined $options{$_} } qw(host listen listen_sock);
    $options{port} = 5000        if !grep { defined $options{$_} } qw(port listen listen_sock);
    $options{server_ready} ||= \&_print_banner if !$quiet;
    Sprig::Server->new(%options, pagi => 1)->run($app);
    return;
}

# The log is written without Perl.
sub _path_of {
    my ($log) = @_;
    my $fd = fileno $log;
    return '-' if defined $fd && $fd == 1;
    my $path = defined $fd ? readlink "/proc/self/fd/$fd" : undef;
    return $path if defined $path && $path =~ m{\A/} && -f $path;
    croak 'access_log: give a path, or the handle of a file or of the standard output';
}

sub _print_banner {
    my ($ready) = @_;
    Sprig::_print_banner(
        @$ready{qw(host port)}, 1,
        $ENV{PLACK_ENV} || 'deployment',
        $ready->{proto} eq 'https'
    );
    return;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::PAGI::Server - a PAGI server class for runners

=head1 SYNOPSIS

    use Sprig::PAGI::Server;

    Sprig::PAGI::Server->new(app => $app, host => '127.0.0.1', port => 5000)->run;

=head1 DESCRIPTION

PAGI runners use this class, as in C<pagi-server -s Sprig::PAGI::Server app.pl>. You do not need a runner with
the program L<sprig>.

=head1 METHODS

=head2 new

    my $server = Sprig::PAGI::Server->new(app => $app, %options);

C<app> is the application. C<host> and C<port> set the address (default: 127.0.0.1 and 5000), and C<quiet>
suppresses the line that announces it. C<access_log> is a file handle or a path. C<loop_type> is ignored,
since Sprig joins whatever loop the application has loaded. C<new> also takes all options of
L<Sprig::Server>, and dies if it does not know an option.

=head2 run

Serves requests until the process is told to stop.

=cut
