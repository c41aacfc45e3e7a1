# The application of Mojolicious that hypnotoad and Sprig are compared with.
use Mojolicious::Lite -signatures;

app->secrets(['bench'])->log->level('error');
app->config(
    hypnotoad => {
        listen   => [$ENV{SPRIG_BENCH_LISTEN} || 'http://127.0.0.1:5000'],
        pid_file => $ENV{SPRIG_BENCH_PID} || 'hypnotoad.pid',
        workers  => 1,
    }
);

get '/' => sub ($c) { $c->render(text => 'Hello, World!') };

app->start;
