package SprigTest::Leftovers;

# What is left of a server that has ended, in the process that ran it: live objects of Sprig, sockets and
# files. An object that
# the app keeps is one that is left; SPRIG_TEST_KEEPS in the environment tells that the app does so.
#
#   my $before = SprigTest::Leftovers->new;
#   ...
#   nothing_is_left($before);        # a test; or
#   exit SprigTest::Leftovers::status($before);

use strict;
use warnings;
use Exporter qw(import);

our @EXPORT = qw(nothing_is_left);

my @KINDS = qw(exchanges responders writers readers pumps sockets websockets watchers);

sub new {
    my ($class) = @_;
    return bless { counters => _counters(), descriptors => _descriptors() }, $class;
}

# A line for each kind of objects and each descriptor that was not there before.
sub found {
    my ($self) = @_;
    my ($counters, $descriptors) = (_counters(), _descriptors());
    return (
        (
            map  { "$counters->{$_} $_" }
            grep { $counters->{$_} > $self->{counters}{$_} } @KINDS
        ),
        (
            map      { "descriptor $_, $descriptors->{$_}" }
                grep { ($self->{descriptors}{$_} || '') ne $descriptors->{$_} }
                sort keys %$descriptors
        )
    );
}

sub nothing_is_left {
    my ($self) = @_;
    local $Test::Builder::Level = $Test::Builder::Level + 1;
    my @left = $self->found;
  SKIP: {
        Test::More::skip("@left: this perl leaks nested closures (perl issue 22547)", 1)
            if $self->_may_leak(@left);
        Test::More::is("@left", '', 'no object of the server is left, and no descriptor');
    }
    return !@left;
}

# Perl 5.40 does not free what a closure has closed over if a closure that it made is kept there. Tried
# out, since some systems have mended theirs.
sub perl_leaks_closures {
    my $is_freed = 0;
    {
        my $guard = bless [\$is_freed], 'SprigTest::Leftovers::Guard';
        my @kept;
        my $outer = sub {
            my ($given) = @_;
            push @kept, sub { $given };
        };
        $outer->($guard);
    }
    return !$is_freed;
}
sub SprigTest::Leftovers::Guard::DESTROY { ${ $_[0][0] } = 1; return }

# Objects may be left where perl leaks what holds them, and the handles that these hold; descriptors
# without an object may not.
sub _may_leak {
    my ($self, @left) = @_;
    return (grep { !/^descriptor/ } @left) && perl_leaks_closures();
}

# For a program that has served an app, unless that keeps things for good: its exit status. What is left
# stands in the standard error. The thread that has the TLS of sockets that the app took closes them a
# moment later.
sub status {
    my ($self) = @_;
    return 0 if $ENV{SPRIG_TEST_KEEPS};
    my @left;
    for (1 .. 100) {
        last if !(@left = $self->found);
        select undef, undef, undef, 0.01;
    }
    my $why  = $self->_may_leak(@left) ? ' (this perl leaks nested closures, perl issue 22547)' : '';
    print STDERR "left over: $_$why\n" for @left;
    return @left && !$why ? 1 : 0;
}

sub _counters {
    my $counters = defined &Sprig::counters ? Sprig::counters() : {};
    return { map { $_ => $counters->{$_} || 0 } @KINDS };
}

# Sockets and files. Pipes and the like belong to event loops, which stay, and so does what channels
# have in memory.
sub _descriptors {
    my %is;
    for my $path (glob '/proc/self/fd/*') {
        my $to = readlink $path;
        $is{ $path =~ s{.*/}{}r } = $to
            if defined $to && $to =~ m{\A(?:socket:|/(?!memfd:sprig-channels))};
    }
    return \%is;
}

1;
