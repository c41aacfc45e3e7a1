package SprigTest::Browser;

# Real browsers without a window, for tests that want to know what a page does.
#
#   my $program = find_browser('Chromium');        # undef: it is not installed
#   my $browser = open_browser($program, $url);    # and goes on
#   $browser->quit;                                # also done when the object goes

use strict;
use warnings;
use Exporter qw(import);
use POSIX    ();
use SprigTest;

our @EXPORT = qw(find_browser open_browser dom_of);

# One that a test has forgotten ends by itself.
my $SECONDS = 170;

my %PROGRAMS = (
    Chromium => [qw(chromium chromium-browser google-chrome)],
    Firefox  => [qw(firefox-esr firefox)],
);

# No window, and nobody else's servers.
my @CHROMIUM = qw(--headless=new --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-sync
    --disable-background-networking --disable-component-update --disable-dev-shm-usage --disable-extensions);
my @FIREFOX     = qw(--headless --no-remote);
my @FIREFOX_OFF = qw(browser.shell.checkDefaultBrowser datareporting.policy.dataSubmissionEnabled
    network.captive-portal-service.enabled network.connectivity-service.enabled app.update.enabled
    browser.aboutwelcome.enabled);

sub find_browser {
    my ($name) = @_;
    my ($program) = grep { defined } map { tool_path($_) } @{ $PROGRAMS{$name} };
    return $program;
}

# flags: more of them, for Chromium. cert_override: what is in Firefox's file of that name, which has no flag
# for a certificate of a test.
sub open_browser {
    my ($program, $url, %option) = @_;
    my $folder = SprigTest::temp_path('browser');
    mkdir $folder or die "mkdir $folder: $!";
    my @command =
        $program =~ /firefox/
        ? _firefox($folder, %option)
        : (_chromium($folder), '--remote-debugging-port=0', @{ $option{flags} || [] });
    my $pid     = fork;
    defined $pid or die "fork: $!";
    _become($folder, 'timeout', $SECONDS, $program, @command, $url) if !$pid;
    return bless { pid => $pid, owner => $$ }, __PACKAGE__;
}

sub _chromium {
    my ($folder) = @_;
    return (@CHROMIUM, "--user-data-dir=$folder");
}

sub _firefox {
    my ($folder, %option) = @_;
    spew("$folder/cert_override.txt", $option{cert_override}) if defined $option{cert_override};
    spew("$folder/user.js", join '', map { "user_pref('$_', false);\n" } @FIREFOX_OFF);
    return (@FIREFOX, '--profile', $folder);
}

# The page as HTML, after so many milliseconds in Chromium.
sub dom_of {
    my ($program, $url, $ms) = @_;
    return output_of($program, _chromium(SprigTest::temp_path('browser')), "--timeout=$ms", '--dump-dom', $url);
}

# Never returns. In a process group of its own: browsers have many processes.
sub _become {
    my ($home, @command) = @_;
    POSIX::setsid();
    open STDOUT, '>',  '/dev/null';
    open STDERR, '>&', \*STDOUT;
    $ENV{HOME} = $home;
    no warnings 'exec';
    exec { $command[0] } @command;
    POSIX::_exit(127);
}

sub quit {
    my ($self) = @_;
    my $pid = delete $self->{pid};
    return if !defined $pid || $self->{owner} != $$;
    local ($?, $!);
    kill KILL => -$pid;
    waitpid $pid, 0;
    return;
}

sub DESTROY { $_[0]->quit }

1;
