# How the backend is chosen, and that it has the shape AnyEvent expects.
use strict;
use warnings;
use lib 't/lib';
use Test::More;
use File::Spec;

my @perl = ($^X, map { '-I' . File::Spec->rel2abs($_) } grep { !ref } @INC);

# The model that a fresh perl ends up with, running this code.
sub model_of {
    my ($code, %env) = @_;
    local $ENV{PERL_ANYEVENT_MODEL};
    delete $ENV{PERL_ANYEVENT_MODEL};
    local @ENV{ keys %env } = values %env;
    open my $out, '-|', @perl, '-we', "$code; AE::cv; print \$AnyEvent::MODEL" or die "perl: $!";
    my $model = <$out>;
    close $out;
    return defined $model ? $model : '';
}

sub have { return eval "require $_[0]; 1" }

my $ours = 'AnyEvent::Impl::Sprig';
is model_of('use Sprig::Loop; use AnyEvent'),                $ours, 'Sprig::Loop first';
is model_of('use AnyEvent; use Sprig::Loop'),                $ours, 'AnyEvent first';
is model_of('use AnyEvent', PERL_ANYEVENT_MODEL => 'Sprig'), $ours, 'PERL_ANYEVENT_MODEL=Sprig';
is model_of('use AnyEvent; BEGIN { AE::cv } use Sprig::Loop', PERL_ANYEVENT_MODEL => 'Perl'),
    'AnyEvent::Impl::Perl', 'a loop that was chosen before stays';
is model_of('use Sprig::Loop; use AnyEvent', PERL_ANYEVENT_MODEL => 'Perl'),
    'AnyEvent::Impl::Perl', 'a loop that is asked for is taken';
isnt model_of('use Sprig::Loop (); use AnyEvent', PERL_ANYEVENT_MODEL => 'Perl'), $ours,
    'nothing happens without import';

SKIP: {
    skip 'no EV', 3 if !model_of('use EV; use AnyEvent');
    my $ev = 'AnyEvent::Impl::EV';
    is model_of('use EV; use Sprig::Loop; use AnyEvent'), $ev,   'EV loaded before: EV';
    is model_of('use Sprig::Loop; use EV; use AnyEvent'), $ours, 'EV loaded later: ours';
    is model_of('use EV; use AnyEvent', PERL_ANYEVENT_MODEL => 'Sprig'), $ours, 'unless asked for';
}

require SprigTest::AnyEvent;
is prototype("AE::$_->[0]"), $_->[1], "the prototype of AE::$_->[0]"
    for [io => '$$$'], [timer => '$$$'], [signal => '$$'], [child => '$$'], [idle => '$'],
    [time => ''], [now => ''], [now_update => ''];
is \&{"AE::$_"}, \&{"Sprig::Loop::$_"}, "AE::$_ is a function in C"
    for qw(io timer signal idle time now now_update);
can_ok 'AnyEvent', qw(io timer signal child idle time now now_update _poll condvar);
is ref AE::timer(0, 0, sub { }), 'Sprig::Loop::Watcher', 'watchers are blessed';
ok !Sprig::Loop::Watcher->can('DESTROY'), 'without a destructor that anybody could call twice';

done_testing;
