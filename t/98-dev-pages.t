# What --dev makes of failures and of pages: HTML, JSON and text; the script in responses of all kinds.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;
use Sprig::Dev::Failure;
use Sprig::Dev::Files;
use Sprig::Dev::Live;
use Sprig::Dev::Page;

delete @ENV{qw(SPRIG_EDITOR PLUG_EDITOR)};

my $dir  = SprigTest::temp_path('dev');
my $file = "$dir/app <1>.pm";
mkdir $dir or die "$dir: $!";
spew($file, join '', map { $_ == 8 ? "    die '<b>&\"';\n" : "# line $_ \xc3\xa4 <i>\n" } 1 .. 20);

my %env = (
    REQUEST_METHOD  => 'GET',
    SCRIPT_NAME     => '',
    PATH_INFO       => '/a<b>',
    QUERY_STRING    => 'x=%3Cscript%3E&y',
    REQUEST_URI     => '/a%3Cb%3E?x=%3Cscript%3E&y',
    SERVER_PROTOCOL => 'HTTP/1.1',
    REMOTE_ADDR     => '127.0.0.1',
    HTTP_X_EVIL     => '"><script>alert(1)</script>',
    'psgi.errors'   => \*STDERR,
);

Sprig::Dev::Failure::listen_to_die();

subtest 'a failure' => sub {
    my $failure = caught(sub { inner() });
    is $failure->text,         "<b> at $file line 8.",       'its text';
    is $failure->message,      '<b>',                        'without the place';
    is $failure->request_name, 'GET /a<b>?x=%3Cscript%3E&y', 'its request';
    my @frames = $failure->frames;
    is_deeply [@{ $frames[0] }{qw(file line)}], [$file, 8], 'where it died';
    ok + (grep { ($_->{sub} || '') =~ /inner/ } @frames), 'and on the way there';
    my @source = $failure->source($frames[0]);
    is_deeply [map { $_->[0] } @source], [3 .. 13], 'lines around it';
    is $source[0][1], "# line 3 \xe4 <i>", '... as characters';
    is_deeply [$failure->source({ file => '/nowhere', line => 1 })], [],
        'a file that is gone has none';

    my $object = Sprig::Dev::Failure->new(bless {}, 'Some::Exception');
    is $object->class, 'Some::Exception', 'an object';
    my $syntax =
        Sprig::Dev::Failure->new("syntax error at $file line 4, near \"}\"\nCompilation failed");
    is + ($syntax->frames)[0]{line}, 4, 'of a syntax error the text tells where';
};

subtest 'several mistakes in one file' => sub {
    my $failure = Sprig::Dev::Failure->new(
        "syntax error at $file line 4, near \"}\"\nsyntax error at $file line 6, near \"x\"\n",
        kind => 'load');
    my $html = Sprig::Dev::Page::html($failure);
    is +(() = $html =~ /<section class="frame">/g), 1, 'are one block';
    is +(() = $html =~ /<span class="here">/g),     2, 'with each line marked';
    is +(() = $html =~ m{<i>5</i>}g),               1, 'and each line once';
};

subtest 'a page' => sub {
    my $failure = caught(sub { inner() });
    my $html    = Sprig::Dev::Page::html($failure);
    unlike $html, qr/<script|<b>|<i>[^0-9]/,                     'nothing of it is taken for HTML';
    like $html,   qr/&lt;b&gt;/,                                 'but shown';
    like $html,   qr/<span class="here"><i>8<\/i>    die &#39;/, 'the line is marked';
    like $html,   qr/X-Evil/,                                    'headers';
    unlike $html, qr/href/,                                      'no links without an editor';
    {
        local $ENV{PLUG_EDITOR} = 'myeditor://open?f=__FILE__&l=__LINE__';
        like Sprig::Dev::Page::html($failure),
            qr{href="myeditor://open\?f=\Q$dir\E/app%20%3C1%3E\.pm&amp;l=8"},
            'a link that opens the editor';
        local $ENV{SPRIG_EDITOR} = 'vscode';
        like Sprig::Dev::Page::html($failure), qr{href="vscode://file/}, 'by its name';
        for my $bad ('javascript:alert(1)', 'vim') {
            local $ENV{SPRIG_EDITOR} = $bad;
            unlike Sprig::Dev::Page::html($failure), qr/href/, "not $bad";
        }
    }
    my $json = Sprig::Dev::Page::json($failure);
    like $json, qr/"error":"<b> at /, 'JSON';
    like $json, qr/"line":8,/,        '... with frames';
    if (eval { require JSON::PP; 1 }) {
        my $data = JSON::PP->new->decode($json);
        is $data->{error},             $failure->text,    '... that can be read';
        is $data->{headers}{'X-Evil'}, $env{HTTP_X_EVIL}, '... whatever the client has sent';
    }
    like Sprig::Dev::Page::text($failure), qr/^at \Q$file\E line 8/m, 'text';

    my %format = (
        ''                                => 'text',
        '*/*'                             => 'text',
        'text/html,application/xml;q=0.9' => 'html',
        'application/json'                => 'json',
        'application/problem+json, */*'   => 'json',
        'application/json, text/html'     => 'html',
    );
    is Sprig::Dev::Page::format_for({ HTTP_ACCEPT => $_ }), $format{$_}, "Accept: $_"
        for sort keys %format;
    my $response = Sprig::Dev::Page::response($failure, 'html');
    my %header   = @{ $response->[1] };
    is $header{'Content-Length'}, length $response->[2][0], 'its length is that of the bytes';
};

subtest 'the script in pages' => sub {
    my $live = Sprig::Dev::Live->new;
    my $tag  = $live->tag;
    my @html = ('Content-Type' => 'text/html; charset=utf-8');
    my $into = sub {
        my ($headers, $body, %more) = @_;
        my $response = $live->into({ REQUEST_METHOD => 'GET', %more }, [200, $headers, $body]);
        return ref $response->[2] eq 'ARRAY' ? join '', @{ $response->[2] } : $response;
    };
    is $into->([@html], ['<p>a</p></body></html>']), "<p>a</p>$tag</body></html>",
        'before the end of the body';
    is $into->([@html], ['<p>', '</BODY >', "\n"]), "<p>$tag</BODY >\n",
        '... in whatever piece, in capitals';
    is $into->([@html], ['<p>a']), "<p>a$tag", 'else at the end';
    is $into->([@html], []),       $tag,       'an empty page';

    my $shared   = [200, [@html, 'Content-Length' => 5, ETag => '"a"'], ['hello']];
    my $response = $live->into({ REQUEST_METHOD => 'GET' }, $shared);
    my %header   = @{ $response->[1] };
    is $header{'Content-Length'}, 5 + length $tag, 'the length is adjusted';
    is $header{ETag},             undef,           'the validator is left out';
    is_deeply $shared, [200, [@html, 'Content-Length' => 5, ETag => '"a"'], ['hello']],
        'what the application has returned is as it was';

    for my $other (
        ['text/plain',   ['Content-Type' => 'text/plain']],
        ['compressed',   [@html, 'Content-Encoding' => 'gzip']],
        ['part of it',   [@html, 'Content-Range'    => 'bytes 0-1/2']],
        ['UTF-16',       ['Content-Type' => 'text/html; charset=utf-16']],
        ['no type',      []],
        ['POST',         [@html], REQUEST_METHOD        => 'POST'],
        ['for a script', [@html], HTTP_X_REQUESTED_WITH => 'XMLHttpRequest'],
        ['for an image', [@html], HTTP_SEC_FETCH_DEST   => 'empty'],
        )
    {
        my ($name, $headers, %more) = @$other;
        is $into->($headers, ['</body>'], %more), '</body>', "not in: $name";
    }
    like $into->([@html, 'Content-Security-Policy' => "script-src 'nonce-aB+/='"], ['x']),
        qr/nonce="aB\+\/="/,
        'with the nonce of the policy';

    open my $fh, '<', \"one\n</body>\nlast\n" or die $!;
    my $body = $into->([@html, 'Content-Length' => 17], $fh)->[2];
    my $got  = '';
    while (defined(my $line = $body->getline)) { $got .= $line }
    is $got, "one\n$tag</body>\nlast\n", 'a body with getline';
    open $fh, '<', \"one\n" or die $!;
    $body = $into->([@html], $fh)->[2];
    is join('', $body->getline, $body->getline, $body->getline // 'end'), "one\n${tag}end",
        '... without </body>';

    my ($head, $wrap) = $live->into_stream({ REQUEST_METHOD => 'GET' }, [200, [@html]]);
    my $sink   = Sink->new;
    my $writer = $wrap->($sink);
    $writer->write('<p>');
    $writer->write('</body>x');
    $writer->close;
    is $sink->{text},       "<p>$tag</body>xEND", 'a writer';
    is $writer->special(3), 'special 3',          '... can all that the server\'s can';
    ok $writer->can('special') && !$writer->can('nothing'), '... and says so';
    ($head, $wrap) = $live->into_stream({ REQUEST_METHOD => 'GET' },
        [200, ['Content-Type' => 'text/event-stream']]);
    is $wrap, undef, 'other streams are left alone';
};

subtest 'which files are the application\'s' => sub {
    my $files = Sprig::Dev::Files->new("$dir/app.psgi");
    ok $files->is_own("$dir/lib/X.pm"),       'below its folder';
    ok !$files->is_own($INC{'Test/More.pm'}), 'not what is installed';
    local @INC = ("$dir-lib", @INC);
    ok $files->is_own("$dir-lib/X.pm"), 'where use lib points to';
    local $INC{'Bad.pm'} = undef;
    my @fresh = $files->fresh("Can't locate No/Such.pm in \@INC (you may need ...) at x line 1.");
    ok + (grep { $_ eq "$dir-lib/Bad.pm" } @fresh),     'a module that could not be compiled';
    ok + (grep { $_ eq "$dir-lib/No/Such.pm" } @fresh), 'one that is missing';
    is_deeply [$files->fresh], [], 'each once';

    require Config;
    local $ENV{PERL5LIB} = "$dir-perl5";
    my $arch = "$dir-perl5/$Config::Config{archname}";
    local @INC = ($arch, "$dir-perl5", @INC);
    local @INC{qw(Own.pm Other.pm)} = ("$arch/Own.pm", "$dir-perl5/Other.pm");
    @fresh = grep { /\Q$dir\E-perl5/ } Sprig::Dev::Files->new("$dir/app.psgi")->fresh;
    is "@fresh", '', 'nothing that PERL5LIB has, nor in the folders that perl adds to it';
};

done_testing;

sub caught {
    my ($code) = @_;
    eval { $code->(); 1 } and die 'nothing died';
    return Sprig::Dev::Failure->new($@, env => \%env);
}

sub inner {
    my $text = '<b>';
    eval qq{#line 8 "$file"\ndie \$text} . ";\n1" or die $@;
}

package Sink;

sub new     { return bless { text => '' } }
sub write   { $_[0]{text} .= $_[1]; return }
sub close   { $_[0]{text} .= 'END'; return }
sub special { return "special $_[1]" }
