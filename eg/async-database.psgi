# SQLite without blocking: queries run in a process of their own while the event loop waits for the result.
#
#   sprig eg/async-database.psgi          then open http://localhost:5000/
#   curl http://localhost:5000/slow &     takes seconds; meanwhile the page still answers at once
#
# Needs DBI and DBD::SQLite. Each worker starts two database processes, one of them for slow queries.
use strict;
use warnings;
use AnyEvent::Handle;
use AnyEvent::Util qw(portable_socketpair run_cmd);
use JSON::PP;
use Sprig::Worker;

my $file = $ENV{DATABASE} || '/tmp/sprig-visits.db';

# What a database process runs. It reads a query as a line of JSON, and writes the result as a line of JSON.
my $program = <<'PERL';
use DBI; use JSON::PP;
$| = 1;
my $dbh = DBI->connect("dbi:SQLite:$ARGV[0]", '', '', { RaiseError => 1, PrintError => 0 });
$dbh->sqlite_busy_timeout(10_000);
$dbh->do('CREATE TABLE IF NOT EXISTS visits (at TEXT, who TEXT)');
while (my $line = <STDIN>) {
    my ($sql, @values) = @{ decode_json($line) };
    my $rows = eval { my $q = $dbh->prepare($sql); $q->execute(@values); $q->{NUM_OF_FIELDS} ? $q->fetchall_arrayref : [] };
    print encode_json($rows ? { rows => $rows } : { error => "$@" }), "\n";
}
PERL

my %database;    # by name: the handle, and the process, which ends with it

sub start {
    my ($name) = @_;
    my ($ours, $theirs) = portable_socketpair;
    my $command = run_cmd [$^X, '-e', $program, $file], '<' => $theirs, '>' => $theirs;
    my $handle  = AnyEvent::Handle->new(fh => $ours, on_error => sub { warn "database: $_[2]\n"; start($name) });
    $database{$name} = [$handle, $command];
    return;
}

Sprig::Worker->after_fork(sub { start($_) for qw(fast slow) });

# Calls back with the rows. Results come in the order of the queries.
sub query {
    my ($env, $name, $code, @query) = @_;
    my $handle = $database{$name}[0];
    $handle->push_write(encode_json(\@query) . "\n");
    $handle->push_read(line => sub {
        my $answer = decode_json($_[1]);
        return $env->{'psgix.raise'}->($answer->{error}) if defined $answer->{error};
        $code->($answer->{rows});
    });
    return;
}

sub page {
    my ($title, @lines) = @_;
    s/&/&amp;/g, s/</&lt;/g for @lines;
    my $list = join '', map { "<li>$_" } @lines;
    my $html = <<"HTML";
<!doctype html><meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>$title</title>
<style>body { margin: 0; background: #f4f1ec; color: #2b2723; font: 16px/1.6 system-ui, sans-serif }
main { max-width: 34rem; margin: 3rem auto; padding: 1.5rem 2rem; border-radius: 1rem; background: #fff }
li { font-variant-numeric: tabular-nums } a { color: #9a4b16 }</style>
<main><h1>$title</h1><ol>$list</ol><p><a href="/">Visit again</a> &middot; <a href="/slow">A slow query</a>
HTML
    return [200, ['Content-Type' => 'text/html; charset=utf-8'], [$html]];
}

my $count_slowly = 'WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 3000000) SELECT max(i) FROM n';

sub {
    my ($env) = @_;
    return sub {
        my ($respond) = @_;
        return query($env, slow => sub { $respond->(page('A slow query', "counted to $_[0][0][0]")) },
            $count_slowly)
            if $env->{PATH_INFO} eq '/slow';
        query($env, fast => sub { }, "INSERT INTO visits VALUES (datetime('now'), ?)", $env->{REMOTE_ADDR});
        query($env, fast => sub { $respond->(page('The last visits', map { "@$_" } @{ $_[0] })) },
            'SELECT at, who FROM visits ORDER BY rowid DESC LIMIT 10');
    };
};
