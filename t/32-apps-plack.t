# Applications and middleware that come with Plack or around it, fetched by curl over HTTP/1.1 and
# HTTP/1.0, served by plackup -s Sprig and by the program.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use SprigTest;
use Test::More;

plan skip_all => 'curl is not installed' if !tool_path('curl');

my $folder = SprigTest::temp_path('files');
mkdir $folder         or die "mkdir: $!";
mkdir "$folder/inner" or die "mkdir: $!";
my $picture = join '', map { chr $_ % 256 } 1 .. 200_000;
spew("$folder/page.html",         "<p>a page</p>\n");
spew("$folder/inner/picture.png", $picture);
spew("$folder/empty.txt",         '');
my $cgi = spew(SprigTest::temp_path('script') . '.cgi', <<'CGI');
#!/usr/bin/perl
print "Content-Type: text/plain\r\nX-Made-By: CGI\r\n\r\n";
my $body = '';
read STDIN, $body, $ENV{CONTENT_LENGTH} || 0;
print "$ENV{REQUEST_METHOD} $ENV{PATH_INFO} $ENV{QUERY_STRING} $body\n";
CGI
chmod 0755, $cgi or die "chmod: $!";

# Each app: a name, the modules it needs, its code, the checks (called with a function that fetches).
my @apps = (
    [
        'Plack::App::Directory',
        ['Plack::App::Directory'],
        "Plack::App::Directory->new(root => '$folder')->to_app",
        sub {
            my ($fetch) = @_;
            like($fetch->('/'), qr/page\.html.*|inner/s, 'the index');
            is($fetch->('/page.html'),         "<p>a page</p>\n", 'a page');
            is($fetch->('/empty.txt'),         '',                'an empty file');
            is($fetch->('/inner/picture.png'), $picture,          'a larger file');
            like($fetch->('-i', '/none'),      qr/\AHTTP\/1\.[01] 404 /,    'no file');
            like($fetch->('-I', '/page.html'), qr/^Content-Length: 14\r$/m, 'HEAD');
        }
    ],
    [
        'Plack::Middleware::Static',
        ['Plack::Middleware::Static'],
        "use Plack::Builder; builder { enable 'Static', path => qr{^/}, root => '$folder', "
            . "pass_through => 1; sub { [200, [], ['the app']] } }",
        sub {
            my ($fetch) = @_;
            is($fetch->('/inner/picture.png'), $picture,  'a file');
            is($fetch->('/other'),             'the app', 'what is no file comes from the app');
        }
    ],
    [
        'Plack::Middleware::Deflater',
        ['Plack::Middleware::Deflater'],
        q{use Plack::Builder; sub L::getline { shift @{ $_[0] } } sub L::close { } builder {
            enable 'Deflater', content_type => ['text/plain'];
            sub {
                my $body = $_[0]{PATH_INFO} eq '/lines' ? bless [map {"line $_\n"} 1 .. 500], 'L'
                    : ['hello ' x 1000];
                [200, ['Content-Type' => 'text/plain'], $body];
            };
        }},
        sub {
            my ($fetch) = @_;
            is($fetch->('--compressed', '/'), 'hello ' x 1000, 'an array, compressed');
            is($fetch->('/'),                 'hello ' x 1000, 'the same, plain');
            my $lines = join '', map { "line $_\n" } 1 .. 500;
            is($fetch->('--compressed', '/lines'), $lines, 'a stream, compressed');
            like(
                $fetch->('-i', '-H', 'Accept-Encoding: gzip', '-o', '/dev/null', '-D', '-', '/'),
                qr/^Content-Encoding: gzip\r$/m,
                'compressed it is'
            );
        }
    ],
    [
        'Plack::Middleware::Session',
        ['Plack::Middleware::Session'],
        q{use Plack::Builder; builder {
            enable 'Session';
            sub { my $s = $_[0]{'psgix.session'}; [200, [], ['visit ' . ++$s->{visits}]] };
        }},
        sub {
            my ($fetch) = @_;
            my $jar     = SprigTest::temp_path('cookies');
            my @got     = map { $fetch->('-b', $jar, '-c', $jar, '/') } 1 .. 3;
            is_deeply(\@got, ['visit 1', 'visit 2', 'visit 3'], 'visits are counted');
            is($fetch->('/'), 'visit 1', 'another visitor');
        }
    ],
    [
        'Plack::App::WrapCGI',
        ['Plack::App::WrapCGI', 'CGI::Compile', 'CGI::Emulate::PSGI'],
        "use Plack::App::WrapCGI; use Plack::App::URLMap; my \$map = Plack::App::URLMap->new;"
            . "\$map->map('/run' => Plack::App::WrapCGI->new(script => '$cgi', execute => 1)->to_app);"
            . "\$map->map('/in' => Plack::App::WrapCGI->new(script => '$cgi')->to_app); \$map->to_app",
        sub {
            my ($fetch) = @_;
            for my $way ('/run', '/in') {
                is($fetch->("$way/x?y"),            "GET /x y \n",    "$way: GET");
                is($fetch->('-d', 'a=b', "$way/x"), "POST /x  a=b\n", "$way: POST");
                like($fetch->('-i', "$way/"), qr/^X-Made-By: CGI\r$/m, "$way: headers");
            }
        }
    ],
    [
        'CGI::Emulate::PSGI',
        ['CGI::Emulate::PSGI'],
        q{use CGI::Emulate::PSGI; CGI::Emulate::PSGI->handler(sub {
            my $body = join '', <STDIN>;
            print "Status: 201\r\nContent-Type: text/plain\r\n\r\n$ENV{REQUEST_METHOD} $body";
        })},
        sub {
            my ($fetch) = @_;
            is($fetch->('/'),              'GET ',     'GET');
            is($fetch->('-d', 'a=b', '/'), 'POST a=b', 'POST');
            like($fetch->('-i', '/'), qr/\AHTTP\/1\.[01] 201 /, 'the status');
        }
    ],
    [
        'a stack of middleware',
        ['Plack::Builder'],
        q{use Plack::Builder; use Plack::App::File; use Plack::App::Cascade;
        sub L::getline { shift @{ $_[0] } } sub L::close { }
        my $root = '} . $folder . q{';
        builder {
            enable 'Runtime'; enable 'ConditionalGET'; enable 'Head'; enable 'ContentMD5'; enable 'JSONP';
            mount '/files' => Plack::App::Cascade->new(apps => [
                Plack::App::File->new(root => $root)->to_app, sub { [200, [], ['instead']] }])->to_app;
            mount '/chunked' => builder {
                enable 'Chunked';
                sub { [200, [], bless [map {"line $_\n"} 1 .. 3], 'L'] };
            };
            mount '/json' => sub { [200, ['Content-Type' => 'application/json'], ['{}']] };
            mount '/' => sub { [200, [], ['root']] };
        }},
        sub {
            my ($fetch) = @_;
            is($fetch->('/'),                "root",                     'the root');
            is($fetch->('/files/page.html'), "<p>a page</p>\n",          'a file');
            is($fetch->('/files/none'),      'instead',                  'the next in the cascade');
            is($fetch->('/chunked'),         "line 1\nline 2\nline 3\n", 'chunked by middleware');
            is($fetch->('/json?callback=f'), '/**/f({})',                'wrapped');
            my ($time) = $fetch->('-i', '/files/page.html') =~ /^Last-Modified: (.+)\r$/mi;
            like(
                $fetch->('-i', '-H', "If-Modified-Since: $time", '/files/page.html'),
                qr/\AHTTP\/1\.[01] 304 .*\r\n\r\n\z/s,
                'not modified'
            );
        }
    ],
    [
        'Plack::Request and uploads',
        ['Plack::Request'],
        q{use Plack::Request; sub {
            my $r = Plack::Request->new(shift);
            my $u = $r->upload('file');
            $r->new_response(200, [], join '|', $r->parameters->get('a') || '', $u ? ($u->filename, -s $u->path) : ())->finalize;
        }},
        sub {
            my ($fetch) = @_;
            is($fetch->('-d', 'a=b%20c', '/'), 'b c', 'a parameter');
            is($fetch->('-F', 'a=1', '-F', "file=\@$folder/inner/picture.png", '/'),
                '1|picture.png|200000', 'a file');
        }
    ],
);

for my $app (@apps) {
    my ($name, $modules, $code, $check) = @$app;
    subtest $name => sub {
        my @missing = grep { !eval "require $_; 1" } @$modules;
        plan skip_all => "@missing: not installed" if @missing;
        my $text = join '', map { "use $_ ();\n" } @$modules;
        for my $by (qw(plackup program)) {
            my $server =
                start_server(code => "use strict;\nuse warnings;\n$text$code;\n", by => $by);
            for my $version ('--http1.1', '--http1.0') {
                subtest "$by $version" => sub {
                    $check->(sub { my $path = pop; curl($version, @_, $server->url($path)) });
                };
            }
            is($server->stderr =~ s/^.*http:\/\/127.*\n//mr, '', "$by: nothing to complain about");
            $server->stop_ok;
        }
    };
}

done_testing;
