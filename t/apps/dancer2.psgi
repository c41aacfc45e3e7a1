# Dancer2's delayed, flush, content, done.
package My::Stream;
use strict;
use warnings;
use Dancer2;
use AnyEvent;

set show_errors => 1;

get '/stream' => sub {
    my $n = 0;
    delayed {
        flush;
        my $t;
        $t = AE::timer 0, 0.01, delayed {
            content ++$n . "\n";
            return if $n < 3;
            undef $t;
            done;
        };
    };
};

get '/later' => sub {
    delayed {
        my $t;
        $t = AE::timer 0.01, 0, delayed { undef $t; content 'later'; done };
    };
};

__PACKAGE__->to_app;
