package SprigTest::Response;

# One HTTP/1.x response, read strictly (RFC 9112): anything that a careful client would not accept dies.

use strict;
use warnings;

my $token = qr/[!#\$%&'*+.^_`|~0-9A-Za-z-]+/;

sub new {
    my ($class, %option) = @_;
    return bless {
        method     => $option{method} || 'GET',
        stop_early => $option{interim},
        interim    => [],
        body       => '',
        state      => 'head',
    }, $class;
}

sub is_complete { return $_[0]{state} eq 'done' }
sub status      { return $_[0]{status} }
sub reason      { return $_[0]{reason} }
sub version     { return $_[0]{version} }
sub body        { return $_[0]{body} }
sub framing     { return $_[0]{framing} }
sub interim     { return $_[0]{interim} }
sub head        { return $_[0]{head} }
sub error       { return $_[0]{error} }

# Sizes of the chunks of a chunked body, the last one (0) left out.
sub chunks { return $_[0]{chunks} || [] }

# All values of a header, in order; in scalar context they are joined by ', '.
sub header {
    my ($self, $name) = @_;
    my @values = map { $_->[1] } grep { lc $_->[0] eq lc $name } @{ $self->{headers} || [] };
    return wantarray ? @values : @values ? join ', ', @values : undef;
}

# Consumes from the buffer; true as soon as the response is complete, or cannot become so.
sub parse {
    my ($self, $in, $eof) = @_;
    while (1) {
        my $state = $self->{state};
        return 1 if $state eq 'done' || $state eq 'cut';
        my $step = $self->can("_parse_$state") or die "no state $state";
        my $on   = $step->($self, $in, $eof);
        next                   if $on;
        $self->{state} = 'cut' if $eof;
        return $eof;
    }
}

sub _parse_head {
    my ($self, $in) = @_;
    my $end = index $$in, "\r\n\r\n";
    return 0 if $end < 0;
    my $head = substr $$in, 0, $end + 4, '';
    my ($first, @lines) = split /\r\n/, $head;
    $first =~ /\AHTTP\/1\.([01]) ([1-9][0-9][0-9]) ([\x20-\x7e]*)\z/
        or die "not a status line: '$first'\n";
    @$self{qw(head version status reason)} = ($head, "1.$1", $2, $3);
    $self->{headers} = [map { _header_line($_) } @lines];

    if ($2 < 200 && $2 != 101 && !$self->{stop_early}) {
        push @{ $self->{interim} }, { status => $2, headers => $self->{headers} };
        return 1;
    }
    $self->_choose_framing;
    return 1;
}

sub _header_line {
    my ($line) = @_;
    $line =~
        /\A($token):[ \t]*((?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?)[ \t]*\z/
        or die "not a header line: '$line'\n";
    return [$1, $2];
}

sub _choose_framing {
    my ($self)  = @_;
    my @lengths = $self->header('Content-Length');
    my @codings = $self->header('Transfer-Encoding');
    die "two framings: $self->{head}" if @lengths && @codings;
    die "bad Content-Length: $self->{head}"
        if @lengths > 1 || grep { !/\A(?:0|[1-9][0-9]*)\z/ } @lengths;
    die "bad Transfer-Encoding: $self->{head}"
        if @codings > 1 || grep { lc ne 'chunked' } @codings;
    die "chunked answer to HTTP/1.0: $self->{head}" if @codings && $self->{version} eq '1.0';
    my $bodyless = $self->{status} < 200 || $self->{status} == 204 || $self->{status} == 304;
    die "body framing where there is no body: $self->{head}"
        if (@lengths || @codings) && ($self->{status} < 200 || $self->{status} == 204);

    if ($self->{method} eq 'HEAD' || $bodyless) {
        @$self{qw(framing state)} = qw(none done);
    } elsif (@codings) {
        @$self{qw(framing state chunks)} = ('chunked', 'chunk', []);
    } elsif (@lengths) {
        @$self{qw(framing state left)} = ('length', 'length', $lengths[0]);
    } else {
        @$self{qw(framing state)} = qw(close close);
    }
    return;
}

sub _parse_length {
    my ($self, $in) = @_;
    my $piece = substr $$in, 0, $self->{left}, '';
    $self->{body} .= $piece;
    $self->{left} -= length $piece;
    return 0 if $self->{left};
    $self->{state} = 'done';
    return 1;
}

sub _parse_close {
    my ($self, $in, $eof) = @_;
    $self->{body} .= $$in;
    $$in = '';
    $self->{state} = 'done' if $eof;
    return $eof;
}

sub _parse_chunk {
    my ($self, $in) = @_;
    my $end = index $$in, "\r\n";
    return 0 if $end < 0;
    my $line = substr $$in, 0, $end + 2, '';
    $line =~ /\A([0-9A-Fa-f]{1,16})\r\n\z/ or die "not a chunk size: '$line'\n";
    $self->{left}  = hex $1;
    $self->{state} = $self->{left} ? 'data' : 'last';
    push @{ $self->{chunks} }, $self->{left} if $self->{left};
    return 1;
}

sub _parse_data {
    my ($self, $in) = @_;
    return 0 if length $$in < $self->{left} + 2;
    $self->{body} .= substr $$in, 0, $self->{left}, '';
    my $end = substr $$in, 0, 2, '';
    $end eq "\r\n" or die "chunk data does not end where it should\n";
    $self->{state} = 'chunk';
    return 1;
}

sub _parse_last {
    my ($self, $in) = @_;
    return 0 if length $$in < 2;
    my $end = substr $$in, 0, 2, '';
    $end eq "\r\n" or die "trailers or junk after the last chunk: '$end$$in'\n";
    $self->{state} = 'done';
    return 1;
}

# What t/lib/dump.psgi wrote: a hash of the env, with the body under ''.
sub dump {
    my ($self) = @_;
    my ($lines, $body) = split /\n\n/, $self->{body}, 2;
    my %seen = map { split /=/, $_, 2 } split /\n/, $lines;
    $seen{''} = defined $body ? $body : '';
    return \%seen;
}

1;
