package Sprig::Dev::Failure;

use strict;
use warnings;

use Scalar::Util ();
use Time::HiRes  ();

our $VERSION = '0.001';

my $MAX_FRAMES = 60;
my $CONTEXT    = 5;            # lines around the one that is meant
my $MAX_LINE   = 400;          # of a line of source, in characters
my $MAX_FILE   = 2_000_000;    # of source, in bytes

# What has died last, by whoever caught it: { text, error, frames, time }.
my $last;

# Whatever dies is noted: when it arrives, its frames are gone.
sub listen_to_die {
    my $before = $SIG{__DIE__};
    $SIG{__DIE__} = sub {
        my ($error) = @_;
        _note($error);
        $before->(@_) if ref $before eq 'CODE';
    };
    return;
}

sub _note {
    my ($error) = @_;
    local ($@, $!, $?);
    return if $last && _is_same($last, $error) && @{ $last->{frames} };    # thrown once more
    my @frames;
    for (my $i = 1; @frames < $MAX_FRAMES && (my @caller = caller $i); $i++) {
        my @called = caller $i + 1;
        push @frames,
            { package => $caller[0], file => $caller[1], line => $caller[2], sub => $called[3] };
        last if $caller[0] =~ /\ASprig::Dev\b/;
    }
    $last = {
        error  => ref $error ? undef                         : $error,
        ref    => ref $error ? Scalar::Util::refaddr($error) : undef,
        frames => \@frames,
        time   => Time::HiRes::time(),
    };
    return;
}

# Texts grow on their way: "... at x line 3.\nCompilation failed in require at ...".
sub _is_same {
    my ($noted, $error) = @_;
    return defined $noted->{ref} && $noted->{ref} == Scalar::Util::refaddr($error) if ref $error;
    return 0 if !defined $noted->{error} || !defined $error || !length $noted->{error};
    my $start = $noted->{error} =~ s/\s+\z//r;
    return index($error, $start) >= 0;
}

# What has died last, no matter who caught it, if that was not before this time.
sub last_since {
    my ($class, $time, %option) = @_;
    return if !$last || $last->{time} < $time;
    my $error = defined $last->{error} ? $last->{error} : return;
    return $class->new($error, %option);
}

# Options: kind (load, request, callback, lost), env (what is kept of it), files (Sprig::Dev::Files).
sub new {
    my ($class, $error, %option) = @_;
    my $text  = _text_of($error);
    my $trace = $last && _is_same($last, $error) ? $last->{frames} : [];
    my $self  = bless {
        kind    => $option{kind} || 'request',
        class   => Scalar::Util::blessed($error),
        text    => $text,
        time    => Time::HiRes::time(),
        request => $option{env} && _request_of($option{env}),
        files   => $option{files},
    }, $class;
    $self->{frames} = [$self->_frames($trace)];
    return $self;
}

# Stringifying an exception object may itself die.
sub _text_of {
    my ($error) = @_;
    my $text = eval { "$error" };
    $text = 'an exception that cannot be turned into text' if !defined $text;
    utf8::decode($text) if !utf8::is_utf8($text);
    return $text =~ s/\s+\z//r;
}

# Those of the server are left out; places that only the text tells come first.
sub _frames {
    my ($self, $trace) = @_;
    my @frames;
    for my $frame (@$trace) {
        my $package = $frame->{package};
        last if $package =~ /\ASprig::(?:Dev|Loop|Program|Server)\b/;
        next if $package =~ /\ASprig(?:::|\z)/ || $frame->{file} =~ /\A\(eval \d+\)\z/;
        push @frames, $self->_complete($frame);
    }
    my %seen = map  { ("$_->{file}:$_->{line}" => 1) } @frames;
    my @told = grep { -f $_->{file} && !$seen{"$_->{file}:$_->{line}"}++ }
        map { $self->_complete($_) } _places_of($self->{text});
    return _merged(@told, @frames);
}

# As it is shown: `file` is absolute, `name` short, `sub` that of the application or undef.
sub _complete {
    my ($self,  $frame) = @_;
    my ($files, $sub)   = ($self->{files}, $frame->{sub});
    my $file = $files ? $files->absolute($frame->{file}) : $frame->{file};
    if (defined $sub) {
        $sub =~ s/\APlack::Sandbox::\w+:://;
        $sub = undef if $sub =~ /\A(?:\(eval\)|__ANON__|(?:.*::)?BEGIN|Sprig::.*)\z/;
    }
    return {
        %$frame,
        file => $file,
        name => $files ? $files->short($file)  : $file,
        own  => $files ? $files->is_own($file) : 1,
        sub  => $sub,
    };
}

# Perl counts evals, and code in a line of its own, as frames: one after the other at the same place are
# one.
sub _merged {
    my (@frames) = @_;
    my @merged;
    for my $frame (@frames) {
        my $before = $merged[-1];
        if (!$before || $before->{file} ne $frame->{file} || $before->{line} != $frame->{line}) {
            push @merged, $frame;
        } elsif (defined $frame->{sub}) {
            $before->{sub} = $frame->{sub};
        }
    }
    return @merged;
}

# "... at FILE line N"
sub _places_of {
    my ($text) = @_;
    my @places;
    while ($text =~ /\bat (\S[^\n]*?) line ([0-9]+)/g) {
        push @places, { file => $1, line => $2, package => '' };
        last if @places == 10;
    }
    return @places;
}

# What a page shows of it. The environment itself would keep the request.
sub _request_of {
    my ($env) = @_;
    my %request = map { $_ => $env->{$_} }
        qw(REQUEST_METHOD SCRIPT_NAME PATH_INFO QUERY_STRING REQUEST_URI SERVER_PROTOCOL REMOTE_ADDR);
    for my $name (sort keys %$env) {
        my $value = $env->{$name};
        next if ref $value || !defined $value;
        if ($name =~ /\AHTTP_(.*)|\A(CONTENT_(?:TYPE|LENGTH))\z/) {
            my $header = join '-', map { ucfirst lc } split /_/, defined $1 ? $1 : $2;
            push @{ $request{headers} }, [$header, $value];
        } else {
            push @{ $request{env} }, [$name, $value];
        }
    }
    return \%request;
}

# The same, as the reason why this request gets no answer.
sub of_request {
    my ($self, $env) = @_;
    return bless { %$self, kind => 'lost', request => _request_of($env) }, ref $self;
}

sub kind    { return $_[0]{kind} }
sub class   { return $_[0]{class} }
sub text    { return $_[0]{text} }
sub time    { return $_[0]{time} }
sub request { return $_[0]{request} }
sub frames  { return @{ $_[0]{frames} } }

# "GET /path?query", or nothing.
sub request_name {
    my ($self)  = @_;
    my $request = $self->{request} or return;
    my $query   = $request->{QUERY_STRING};
    return "$request->{REQUEST_METHOD} $request->{SCRIPT_NAME}$request->{PATH_INFO}"
        . (defined $query && length $query ? "?$query" : '');
}

# The first frame of the application, else the first of all.
sub place {
    my ($self) = @_;
    my ($own)  = grep { $_->{own} } $self->frames;
    return $own || ($self->frames)[0];
}

# The first line, without the place if that is said by itself.
sub message {
    my ($self)    = @_;
    my ($message) = $self->{text} =~ /\A([^\n]*)/;
    my ($place)   = $self->frames;
    $message =~ s/\Acannot load [^:\n]+: (?=.)// if $self->{kind} eq 'load';
    return $message                              if !$place;
    my $file = join '|', map { quotemeta } $place->{file}, $place->{name};
    $message =~ s/ at (?:$file) line \Q$place->{line}\E(?:, <[^>]*> (?:line|chunk) \d+)?\.?\z//;
    return $message;
}

# The other lines.
sub details {
    my ($self) = @_;
    my (undef, $details) = split /\n/, $self->{text}, 2;
    return $details;
}

# Lines around that of a frame: [number, text], nothing if the file cannot be read.
sub source {
    my ($self, $frame) = @_;
    my ($file, $line)  = @$frame{qw(file line)};
    return if !-f $file || -s _ > $MAX_FILE;
    open my $in, '<', $file or return;
    my @lines;
    while (my $text = readline $in) {
        next if $. < $line - $CONTEXT;
        last if $. > $line + $CONTEXT;
        $text =~ s/\r?\n\z//;
        utf8::decode($text);
        push @lines, [$., length $text > $MAX_LINE ? substr($text, 0, $MAX_LINE) . '...' : $text];
    }
    return @lines;
}

1;

__END__

=encoding utf8

=head1 NAME

Sprig::Dev::Failure - what went wrong, and where

=head1 DESCRIPTION

Used by L<Sprig::Dev>. There is nothing here for applications.

=head1 METHODS

=head2 listen_to_die

    Sprig::Dev::Failure::listen_to_die();

From now on the frames of whatever dies are noted (by C<$SIG{__DIE__}>; a handler that is there is called, too).

=head2 new

    my $failure = Sprig::Dev::Failure->new($error, kind => 'request', env => $env, files => $files);

=head2 last_since

    my $failure = Sprig::Dev::Failure->last_since($time, %option);

What has died last, whether somebody has caught it or not; nothing if that was before C<$time>.

=head2 of_request

    my $other = $failure->of_request($env);

The same, as the reason why a request gets no answer.

=head2 kind, class, text, message, details, time, request, request_name

What it is about: C<load>, C<request>, C<callback> or C<lost>; the class of an exception object; its text; the first line
of that without the place at its end; the other lines; when; what is known of the request.

=head2 frames, place, source

Hashes with C<file>, C<name> (as it looks from the working folder), C<line>, C<sub> and C<own> (a file of the
application), the server's left out; the
first one of the application; the lines around it, as C<[number, text]>.

=cut
