# dev/lib.sh - what the commands of dev/ share. To be sourced by bash, from any folder.
# shellcheck shell=bash
set -u

top=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
cd "$top" || exit 1
me=dev/$(basename "$0")

say()
{
    printf '%s: %s\n' "$me" "$*" >&2
}

fail()
{
    say "$*"
    exit 1
}

# ---- packages; on systems other than Debian's nothing is done: there the build says what is missing

has_apt()
{
    command -v apt-get >/dev/null && command -v dpkg-query >/dev/null
}

# missing SECTION...: the packages of these sections of dev/packages that are not installed.
missing()
{
    local section package
    for section; do
        awk -v section="$section" '$1 == section { print $2 }' dev/packages
    done | while read -r package; do
        dpkg-query -W -f='${db:Status-Status}\n' "$package" 2>/dev/null | grep -qx installed ||
            printf '%s ' "$package"
    done
}

# need SECTION...: installs what is missing, or ends with the command that does.
need()
{
    local packages
    has_apt || return 0
    packages=$(missing "$@")
    [ -n "$packages" ] || return 0
    [ "$(id -u)" = 0 ] ||
        fail "packages are missing; as root: apt-get install --no-install-recommends $packages"
    install $packages || exit 1
}

# want SECTION...: the same for what can be done without.
want()
{
    local packages package
    has_apt || return 0
    packages=$(missing "$@")
    [ -n "$packages" ] || return 0
    if [ "$(id -u)" != 0 ]; then
        say "tests will be skipped for want of packages; as root:" \
            "apt-get install --no-install-recommends $packages"
        return 0
    fi
    for package in $packages; do
        install "$package" || say "going on without $package"
    done
}

# install PACKAGE...: what apt-get says is shown only if it fails.
install()
{
    local log status=0
    log=$(mktemp) || exit 1
    say "installing $*"
    {
        update_lists &&
            DEBIAN_FRONTEND=noninteractive apt-get -o DPkg::Lock::Timeout=600 install -y \
                --no-install-recommends "$@"
    } >"$log" 2>&1 </dev/null || status=1
    if [ $status != 0 ]; then
        tail -n 20 "$log" >&2
        say "apt-get could not install $*"
    fi
    rm -f "$log"
    return $status
}

lists_updated=
update_lists()
{
    [ -z "$lists_updated" ] || return 0
    lists_updated=1
    apt-get -o DPkg::Lock::Timeout=600 update
}

# ---- building and testing

# build [ARGUMENT...]: perl Makefile.PL with these arguments, then make. A Makefile that comes out
# as it was keeps its date, so that only what changed is compiled.
build()
{
    rm -f Makefile.keep
    [ ! -f Makefile ] || mv Makefile Makefile.keep
    perl Makefile.PL "$@" >&2 </dev/null || fail 'perl Makefile.PL failed'
    [ -f Makefile ] || fail 'something is missing, see above'
    if cmp -s Makefile Makefile.keep; then
        mv -f Makefile.keep Makefile
    fi
    rm -f Makefile.keep
    make -s -j2 >&2 </dev/null || fail 'make failed'
}

# run_tests [FILE...]: the files (none: all) over the built tree. A run without a test has failed. Most
# files wait more than they work: two of them for each processor.
run_tests()
{
    local log status
    [ $# != 0 ] || set -- t/*.t
    log=$(mktemp) || exit 1
    prove -b -It/lib -j$((2 * $(nproc))) "$@" </dev/null 2>&1 | tee "$log"
    status=${PIPESTATUS[0]}
    if [ "$status" = 0 ] && ! grep -q '^Files=[0-9]*, Tests=[1-9]' "$log"; then
        say 'no test was run'
        status=1
    fi
    rm -f "$log"
    return "$status"
}

# copy_tree FOLDER: the sources, without what building left, into a new folder.
copy_tree()
{
    mkdir -p "$1" &&
        tar -cf - --exclude=./.git --exclude=./blib --exclude='*.o' --exclude=./bin/sprig \
            --exclude=./xs/Sprig.c --exclude='./Makefile' --exclude=./pm_to_blib . | tar -xf - -C "$1"
}
