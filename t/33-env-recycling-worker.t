# The same in a worker.
use strict;
use warnings;
do './t/33-env-recycling.t' or die $@ || $!;
