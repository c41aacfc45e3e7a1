# Which certificate a client gets, what is checked at the start, certificates of clients, and new ones
# without a restart.

use strict;
use warnings;
use FindBin;
use lib "$FindBin::Bin/lib";
use File::Copy qw(copy);
use Sprig::Server;
use SprigTest;
use SprigTest::Probe qw(eventually);
use SprigTest::Program;
use SprigTest::Tls;
use SprigTest::Workers;
use Test::More;

need_tls('curl');

my $app =
    'sub { [200, [], [join "|", map { "$_=$_[0]{$_}" } sort grep { /^SSL_/ } keys %{$_[0]}]] }';

sub start {
    my (%args) = @_;
    return start_server(code => $app, args => \%args);
}

# The subject of the certificate that a client gets who asks for this name.
sub subject {
    my ($server, $name, @arguments) = @_;
    my $said = s_client($server, '', (defined $name ? ('-servername', $name) : '-noservername'),
        @arguments);
    return $said =~ /^subject=CN = (\S+)/m ? $1 : $said =~ /alert ([\w ]+)/ ? $1 : $said;
}

# Its serial number.
sub serial {
    my ($port) = @_;
    my $said = output_of('/bin/sh', '-c',
        "openssl s_client -connect 127.0.0.1:$port </dev/null 2>/dev/null | openssl x509 -noout -serial"
    );
    return $said =~ /serial=(\w+)/ ? $1 : "none: $said";
}

my $first = certificate(names => ['first.test',  'localhost']);
my $wild  = certificate(names => ['*.wild.test', 'wild.test']);
my $rsa   = certificate(names => ['both.test'], key => 'rsa');
my $ec    = certificate(names => ['both.test']);

subtest 'by name' => sub {
    my $server = start(tls_cert => join ',', map { $_->{both} } $first, $wild, $rsa, $ec);
    is subject($server, 'first.test'),    'first.test',  'the first';
    is subject($server, 'FIRST.test'),    'first.test',  'letters of any size';
    is subject($server, 'wild.test'),     '*.wild.test', 'another one';
    is subject($server, 'a.wild.test'),   '*.wild.test', 'by a wildcard';
    is subject($server, 'a.b.wild.test'), 'first.test',  'which stands for one label';
    is subject($server, 'other.test'),    'first.test', 'the first is for names that are not known';
    is subject($server, undef),           'first.test', 'and for those that name none';

    for my $kind (qw(ECDSA RSA-PSS)) {
        my $said = s_client($server, '', '-servername', 'both.test', '-sigalgs', "$kind+SHA256");
        like $said, qr/^subject=CN = both\.test/m,    "both.test with $kind";
        like $said, qr/Peer signature type: \Q$kind/, '... by its key';
    }
    $server->stop_ok;
};

subtest 'tls_reject_unknown_names' => sub {
    my $server = start(tls_cert => "$first->{both},$wild->{both}", tls_reject_unknown_names => 1);
    is subject($server, 'x.wild.test'), '*.wild.test', 'a name that is known';
    like subject($server, 'other.test'), qr/unrecognized name|number 112/, 'one that is not';
    like subject($server, undef),        qr/unrecognized name|number 112/, 'none at all';
    $server->stop_ok;
};

subtest 'a folder' => sub {
    my $dir = SprigTest::temp_path('folder');
    mkdir $dir or die;
    copy($first->{both}, "$dir/a.pem");
    copy($wild->{cert},  "$dir/b.crt");
    copy($wild->{key},   "$dir/b.key");
    copy($ec->{cert},    "$dir/nobody-has-the-key.pem");
    mkdir "$dir/certbot";
    copy($rsa->{cert}, "$dir/certbot/fullchain.pem");
    copy($rsa->{key},  "$dir/certbot/privkey.pem");
    my $server = start(tls_cert => $dir);
    is subject($server, $_), $_ eq 'a.wild.test' ? '*.wild.test' : $_, $_
        for qw(first.test a.wild.test both.test);
    $server->stop_ok;
    my $one = start(tls_cert => "$dir/certbot");
    is subject($one, 'any'), 'both.test', 'a folder of certbot';
    $one->stop_ok;
};

subtest 'a redirect to nowhere' => sub {
    my $wrong = sub { eval { Sprig::Server->new(@_); 1 } ? '' : $@ };
    my $to    = '127.0.0.1:0,redirect';
    like $wrong->(listen => [$to]),
        qr/\ASprig::Server->new: listen: \Q$to\E redirects .*none: give another one with ,tls at /, 'alone';
    like $wrong->(listen => [$to, '127.0.0.1:0']), qr/redirects .* none/, 'beside a plain address';
    is $wrong->(listen => [$to, '127.0.0.1:0,tls'], tls_cert => $first->{both}), '', 'beside one with TLS';
    is $wrong->(listen => [$to, '127.0.0.1:0'],     tls_cert => $first->{both}), '',
        'beside one that the certificate is for';
};

subtest 'what is checked at the start' => sub {
    my $none      = spew(SprigTest::temp_path('empty.pem'), "nothing\n");
    my $encrypted = SprigTest::temp_path('encrypted.key');
    output_of(
        'openssl',     'pkey', '-in', $first->{key}, '-aes256', '-passout',
        'pass:secret', '-out', $encrypted
    );
    my $password = spew(SprigTest::temp_path('password'), "secret\n");
    my $wrong    = spew(SprigTest::temp_path('wrong'),    "other\n");
    my $refuses  = sub {
        my ($line, @flags) = @_;
        my $run = run_program('-l', '127.0.0.1:0,tls', @flags, app_file($app));
        isnt $run->{status}, 0, "@flags: it does not start";
        like $run->{err}, qr/\Asprig: $line/, "... $line";
        is scalar(() = $run->{err} =~ /\n/g), 1, '... in one line';
    };
    $refuses->('listen: an address with ,tls needs a certificate: give tls_cert');
    $refuses->("tls_cert: /nonexistent: No such file or directory", '--tls-cert', '/nonexistent');
    $refuses->("tls_cert: $none: there is no certificate in it",    '--tls-cert', $none);
    $refuses->("tls_cert: $first->{cert}: there is no key for it",  '--tls-cert', $first->{cert});
    $refuses->(
        "tls_cert: $first->{cert}: none of the keys",
        '--tls-cert', $first->{cert}, '--tls-key', $wild->{key}
    );
    $refuses->(
        "tls_key: $none: there is no key in it",
        '--tls-cert', $first->{cert}, '--tls-key', $none
    );
    my @encrypted = ('--tls-cert', $first->{cert}, '--tls-key', $encrypted);
    $refuses->("tls_key: $encrypted: the key is encrypted: give tls_key_password_file", @encrypted);
    $refuses->(
        "tls_key: $encrypted: tls_key_password_file does not have",
        @encrypted, '--tls-key-password-file', $wrong
    );
    $refuses->(
        'tls_ciphers: OpenSSL does not accept .XYZ',
        '--tls-cert', $first->{both}, '--tls-ciphers', 'XYZ'
    );
    $refuses->(
        'tls_groups: OpenSSL does not accept .XYZ',
        '--tls-cert', $first->{both}, '--tls-groups', 'XYZ'
    );
    my $run = run_program('-l', '127.0.0.1:0,tls', '--tls-verify', 'required', app_file($app));
    like $run->{err}, qr/\Asprig: tls_verify needs tls_client_ca/,
        'tls_verify without those who sign';
    my $server = start(
        tls_cert              => $first->{cert},
        tls_key               => $encrypted,
        tls_key_password_file => $password
    );
    is subject($server, undef), 'first.test', 'an encrypted key with its password';
    $server->stop_ok;
};

subtest 'warnings' => sub {
    my $ca     = certificate(names => ['ca.test'],   is_ca => 1);
    my $signed = certificate(names => ['localhost'], by    => $ca);
    my $server = start(tls_cert => $signed->{cert}, tls_key => $signed->{key});
    ok $server->stderr_like(qr/tls_cert: \S+: the certificate chain is incomplete/),
        'a chain that is not complete';
    $server->stop_ok;
    my $chain = spew(SprigTest::temp_path('chain'), slurp($signed->{cert}) . slurp($ca->{cert}));
    my $whole = start(tls_cert => $chain, tls_key => $signed->{key});
    is https($whole, $ca, '/'), '', 'one that is';
    unlike $whole->stderr, qr/chain/, 'is nothing to tell of';
    $whole->stop_ok;
};

subtest 'development' => sub {
    my $server = start_server(
        by    => 'program',
        code  => $app,
        args  => { env => 'development', default_middleware => 0 },
        flags => ['-l', '127.0.0.1:' . (my $port = SprigTest::Server::_free_port()) . ',tls']
    );
    is subject($server, 'localhost'), 'localhost', 'a certificate is made';
    ok $server->stderr_like(qr/no tls_cert: made a certificate for localhost/),
        'and this is told';
    $server->stop_ok;
};

subtest 'clients with a certificate' => sub {
    my $ca     = certificate(names => ['ca.test'],     is_ca => 1);
    my $client = certificate(names => ['client.test'], by    => $ca);
    my $other  = certificate(names => ['other.test']);
    my @base   = (tls_cert => $first->{both}, tls_client_ca => $ca->{cert}, tls_env => 1);
    my $ask    = sub {
        my ($server, $with, @more) = @_;
        return https($server, $first, '/',
            $with ? ('--cert', $with->{cert}, '--key', $with->{key}) : (), @more);
    };
    my $optional = start(@base, tls_verify => 'optional');
    like $ask->($optional, undef), qr/SSL_CLIENT_VERIFY=NONE/, 'optional: without';
    my $env = $ask->($optional, $client);
    like $env, qr/SSL_CLIENT_S_DN=CN=client\.test/,                     'with one: its subject';
    like $env, qr/SSL_CLIENT_VERIFY=SUCCESS/,                           'it is good';
    like $env, qr/SSL_CLIENT_SERIAL=[0-9A-F]+/,                         'its serial number';
    like $env, qr/SSL_CLIENT_CERT=-----BEGIN CERT/,                     'all of it';
    like $env, qr/SSL_PROTOCOL=TLSv1\.[23]\|SSL_SERVER_NAME=localhost/, 'and the rest';
    unlike $ask->($optional, $other), qr/SSL_PROTOCOL/,                 'one that nobody knows';
    $optional->stop_ok;
    my $required = start(@base, tls_verify => 'required');
    unlike $ask->($required, undef), qr/SSL_PROTOCOL/, 'required: not without';
    like $ask->($required, $client), qr/SUCCESS/,      'with one';
    $required->stop_ok;
};

subtest 'several, however it was started' => sub {
    my %start = (
        'a list'               => sub { start(tls_cert => "$first->{both},$wild->{both}") },
        'repeated for plackup' => sub {
            start_server(
                by    => 'plackup',
                code  => $app,
                args  => { tls_cert => $first->{both} },
                flags => ['--tls-cert', $wild->{both}]
            );
        },
        'repeated for sprig' => sub {
            start_server(
                by    => 'program',
                code  => $app,
                args  => { tls_cert => $first->{both} },
                flags => ['--tls-cert', $wild->{both}]
            );
        },
    );
    for my $how (sort keys %start) {
        my $server = $start{$how}->();
        is subject($server, 'first.test'), 'first.test',  "$how: the first";
        is subject($server, 'wild.test'),  '*.wild.test', "$how: the second";
        $server->stop_ok;
    }
    require Sprig::Server;
    my $made = Sprig::Server->new(tls_cert => [$first->{both}, $wild->{both}]);
    is $made->{tls_cert}, "$first->{both},$wild->{both}", 'an array reference for Sprig::Server';
};

subtest 'changed files' => sub {
    my $pem = SprigTest::temp_path('changing.pem');
    copy($first->{both}, $pem);
    my $server = start(tls_cert => $pem, tls_reload_interval => 0.1);
    my $port   = $server->port;
    my $before = serial($port);
    spew("$pem.new", slurp(certificate()->{both}));
    rename "$pem.new", $pem or die "rename: $!";
    ok eventually(sub { serial($port) ne $before }), 'are read anew without a signal';
    ok $server->stderr_like(qr/the certificates have changed and were read again/),
        'which the log says';
    my $now = serial($port);
    spew($pem, "broken\n");
    ok eventually(sub { serial($port); $server->stderr =~ /the old ones stay in use: tls_cert/ }),
        'broken ones are told of';
    is serial($port), $now, 'and those from before stay';
    my $logged = length $server->stderr;
    serial($port) for 1 .. 5;
    is length $server->stderr, $logged, 'once for each change';
    $server->stop_ok;

    copy($first->{both}, $pem);
    my $never = start(tls_cert => $pem, tls_reload_interval => 0);
    $before = serial($never->port);
    spew($pem, slurp(certificate()->{both}));
    is serial($never->port), $before, 'not with tls_reload_interval 0';
    $never->stop_ok;
};

subtest 'HUP in a single process' => sub {
    my $pem = SprigTest::temp_path('changing.pem');
    copy($first->{both}, $pem);
    my $server = start(tls_cert => $pem);
    my $port   = $server->port;
    my $before = serial($port);
    copy(certificate()->{both}, $pem);
    kill HUP => $server->pid;
    ok eventually(sub { serial($port) ne $before }), 'the next client gets the new certificate';
    my $now = serial($port);
    spew($pem, "broken\n");
    kill HUP => $server->pid;
    ok $server->stderr_like(qr/the old certificates stay in use: tls_cert/),
        'a broken one is told of';
    is serial($port), $now, 'and the one from before stays';
    $server->stop_ok;
};

subtest 'HUP to a master' => sub {
    my $pem = SprigTest::temp_path('changing.pem');
    copy($first->{both}, $pem);
    my $master = start_workers(workers => 2, flags => ['--tls-cert', $pem]);
    my $before = serial($master->port);
    copy(certificate()->{both}, $pem);
    $master->signal('HUP');
    ok eventually(sub { $master->stderr =~ /reloaded: all workers are of generation 2/ }),
        'reloaded';
    isnt serial($master->port), $before, 'with the new certificate';
    my $now = serial($master->port);
    spew($pem, "broken\n");
    $master->signal('HUP');
    ok eventually(sub { $master->stderr =~ /reloaded: all workers are of generation 3/ }),
        'reloaded';
    ok $master->stderr =~ /reload: the old certificates stay in use: tls_cert/,
        'a broken one is told of';
    is serial($master->port), $now, 'the one from before stays';
    $master->ends_ok;
};

subtest 'sprig ctl reload --wait says that a pair is of no use' => sub {
    -d '/proc/self' or plan skip_all => 'no /proc';
    my $dir = SprigTest::temp_path('renewed');
    mkdir $dir or die "$dir: $!";
    my ($old, $new) = map { certificate(names => ['localhost']) } 1, 2;
    copy($old->{both}, "$dir/both.pem") or die "copy: $!";
    my $master = start_workers(
        listen => ['127.0.0.1:0,tls'],
        flags  => ['--admin', "unix:$dir/ctl", '--tls-cert', "$dir/both.pem"],
    );
    my $wait = sub { run_program('ctl', '--admin', "unix:$dir/ctl", 'reload', '--wait') };
    spew("$dir/both.pem", slurp($new->{cert}) . slurp($old->{key}));
    my $run = $wait->();
    is $run->{status}, 5, 'a status that hooks notice';
    like $run->{err}, qr/\Asprig ctl: reload: the old certificates stay in use: .*key/, 'and the reason';
    copy($new->{both}, "$dir/both.pem") or die "copy: $!";
    is $wait->()->{status}, 0, 'the right pair is taken';
    $master->stop;
};

done_testing;
