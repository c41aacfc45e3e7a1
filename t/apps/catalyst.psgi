# Catalyst's io_fh (the socket) and write_fh (the writer).
use strict;
use warnings;

{

    package My::Stream::Controller::Root;
    BEGIN { $INC{'My/Stream/Controller/Root.pm'} = __FILE__ }
    use AnyEvent;
    use AnyEvent::Handle;
    use Moose;
    BEGIN { extends 'Catalyst::Controller' }
    __PACKAGE__->config(namespace => '');

    sub stream : Path('/stream') Args(0) {
        my ($self, $c) = @_;
        $c->res->content_type('text/plain');
        my $w = $c->res->write_fh;
        my ($n, $t) = (0);
        $t = AE::timer 0, 0.01, sub {
            $w->write(++$n . "\n");
            return if $n < 3;
            undef $t;
            $w->close;
        };
    }

    sub raw : Path('/raw') Args(0) {
        my ($self, $c) = @_;
        my $h;
        $h = AnyEvent::Handle->new(fh => $c->req->io_fh, on_error => sub { undef $h });
        $h->push_write("HTTP/1.0 200 OK\r\n\r\nby hand");
        $h->on_drain(sub { shutdown $h->fh, 1; $h->destroy; undef $h });
    }

    package My::Stream;
    BEGIN { $INC{'My/Stream.pm'} = __FILE__ }
    use Moose;
    use Catalyst;
    extends 'Catalyst';
    __PACKAGE__->config(name => 'My::Stream', disable_component_resolution_regex_fallback => 1);

    sub setup_components {
        my ($class) = @_;
        my $root = 'My::Stream::Controller::Root';
        $class->components->{$root} = $class->setup_component($root);
    }
    __PACKAGE__->log(Catalyst::Log->new('error', 'fatal'));
    __PACKAGE__->setup;
}
My::Stream->psgi_app;
