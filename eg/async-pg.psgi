# PostgreSQL without blocking: DBD::Pg sends a query, and the event loop waits for the result.
#
#   DATABASE='dbname=postgres' sprig eg/async-pg.psgi
#   curl http://localhost:5000/         the database's clock
#   curl http://localhost:5000/slow     pg_sleep(2); ten of these at once still take two seconds
#
# Needs DBI and DBD::Pg. A connection runs one query at a time, so the pool opens up to ten. Further queries wait for
# a free one.
use strict;
use warnings;
use AnyEvent;
use DBI;
use DBD::Pg qw(:async);

my $most = 10;
my ($n_connections, @idle, @waiting) = (0);

# Connecting blocks, but happens ten times at most.
sub connection {
    return pop @idle if @idle;
    return           if $n_connections >= $most;
    my $dbh = DBI->connect('dbi:Pg:' . ($ENV{DATABASE} || ''), '', '', { RaiseError => 1, PrintError => 0 });
    $n_connections++;
    return $dbh;
}

# Calls back with the rows, or with undef and an error.
sub query {
    my ($code, $sql, @values) = @_;
    my $dbh = eval { connection() };
    return $code->(undef, $@)             if $@;
    return push @waiting, [$code, $sql, @values] if !$dbh;
    my $query = $dbh->prepare($sql, { pg_async => PG_ASYNC });
    $query->execute(@values);
    my $watcher;
    $watcher = AE::io $dbh->{pg_socket}, 0, sub {
        return if !$dbh->pg_ready;
        undef $watcher;
        my $rows = eval { $dbh->pg_result; $query->fetchall_arrayref };
        my $error = $@;
        push @idle, $dbh;
        query(@{ shift @waiting }) if @waiting;
        $code->($rows, $error);
    };
    return;
}

sub {
    my ($env) = @_;
    my $sql = $env->{PATH_INFO} eq '/slow' ? 'SELECT now(), pg_sleep(2)' : 'SELECT now()';
    return sub {
        my ($respond) = @_;
        query(
            sub {
                my ($rows, $error) = @_;
                return $env->{'psgix.raise'}->($error) if !$rows;
                $respond->([200, ['Content-Type' => 'text/plain'], ["$rows->[0][0]\n"]]);
            },
            $sql
        );
    };
};
