package Sprig::Dev::Terminal;

use strict;
use warnings;

our $VERSION = '0.001';

my $MAX_FRAMES = 12;

# As https://no-color.org has it.
sub _is_coloured { return -t STDERR && !length(defined $ENV{NO_COLOR} ? $ENV{NO_COLOR} : '') }

sub _in {
    my ($colour, $text) = @_;
    return _is_coloured() ? "\e[${colour}m$text\e[0m" : $text;
}

sub _now {
    my @time = localtime;
    return sprintf '%02d:%02d:%02d', @time[2, 1, 0];
}

# All at once: lines of other processes must not come between.
sub _print {
    my ($text) = @_;
    utf8::encode($text) if utf8::is_utf8($text);
    local ($\, $,) = ();
    print STDERR $text;
    return;
}

sub _name_of {
    my ($env) = @_;
    my $query = $env->{QUERY_STRING};
    return "$env->{REQUEST_METHOD} $env->{SCRIPT_NAME}$env->{PATH_INFO}"
        . (defined $query && length $query ? "?$query" : '');
}

# Control characters of a client are not for a terminal.
sub _clean {
    my ($text) = @_;
    $text =~ s/([\x00-\x08\x0b-\x1f\x7f])/sprintf '\\x%02X', ord $1/ge;
    return $text;
}

# What the server itself has to say has its own form.
sub print_warning {
    my ($text, $env) = @_;
    $text = "$text";
    $text =~ s/\n*\z//;
    return _print(_in(33, $text) . "\n") if $text =~ /\A[Ss]prig: /;
    my $name = $env ? _clean(_name_of($env)) . ': ' : '';
    return _print(_in(2, _now()) . " $name" . _in(33, $text) . "\n");
}

my %what =
    (load => 'cannot load the application', callback => 'in a callback', lost => 'no answer');

sub print_failure {
    my ($failure) = @_;
    my $name      = $failure->request_name;
    my $what      = defined $name ? _clean($name) : $what{ $failure->kind } || '';
    $what = '' if $failure->text =~ /\Acannot load /;
    my @lines = _in(2, _now()) . ' ' . (length $what ? "$what: " : '') . _in(31, $failure->text);
    my $n     = 0;
    for my $frame (grep { $_->{own} } $failure->frames) {
        last if ++$n > $MAX_FRAMES;
        my $sub = defined $frame->{sub} ? _in(2, " ($frame->{sub})") : '';
        push @lines, '    ' . _in(36, "$frame->{name} line $frame->{line}") . $sub;
        my ($source) = grep { $_->[0] == $frame->{line} } $failure->source($frame);
        push @lines, '        ' . $source->[1] =~ s/\A\s+//r if $source;
    }
    return _print(join("\n", @lines) . "\n");
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Dev::Terminal - what a developer reads on the terminal

=head1 DESCRIPTION

Used by L<Sprig::Dev>: prints to C<STDERR>, in colours if that is a terminal and C<NO_COLOR> is not set. There is
nothing here for applications.

=head1 FUNCTIONS

=head2 print_failure

    Sprig::Dev::Terminal::print_failure($failure);

Time, request, message, and the frames of the application with their line.

=head2 print_warning

    Sprig::Dev::Terminal::print_warning($text, $env);

With the request whose application is being called, if there is one.

=cut
