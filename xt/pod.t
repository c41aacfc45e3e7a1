# Every POD of the distribution is well formed.
use strict;
use warnings;
use Test::More;

BEGIN {
    eval { require Test::Pod; Test::Pod->VERSION('1.40'); Test::Pod->import; 1 }
        or plan skip_all => 'Test::Pod 1.40 is not installed';
}

all_pod_files_ok(glob('*.pod bin/*.pod eg/*.pod'), all_pod_files('lib'));
