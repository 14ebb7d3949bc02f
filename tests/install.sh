#!/usr/bin/env bash
# `make install` into a scratch folder, and what install.sh says where packages are missing.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

# install.sh with no command but those of $folder/bin: a system where nearly all is missing.
mkdir bin
for tool in sed tr cut grep cat env uname mktemp tail; do
    ln -s "$(command -v $tool)" "bin/$tool"
done
stub() { # NAME TEXT: a command that only prints, or fails if TEXT is empty
    printf '#!/bin/sh\n%s\n' "${2:+echo $2}" >"bin/$1"
    [ -n "$2" ] || echo 'exit 1' >>"bin/$1"
    chmod +x "bin/$1"
}
stub id 1000
stub ldconfig 'libopenblas.so.0'
bash=$(command -v bash)
bare() { run env PATH="$folder/bin" CC="$folder/bin/cc" "$@" "$bash" "$home/install.sh"; }

bare INSTALL_SYSTEM=FreeBSD
check 'another kernel' ends 2 'this is FreeBSD; nbsgd runs on Linux only'

names() { # ID NAME ...: the names of this distribution's packages
    printf 'ID=%s\nID_LIKE="x"\n' "$1" >os
    bare INSTALL_OS_RELEASE="$folder/os"
    check "$1 without its packages" ends 2 'no apt-get' 'gnuplot .*optional' "${@:2}"
}
names fedora 'mpich-devel +required' 'xxhash-devel +required'
names arch 'libinih +required' 'onednn +optional'
names opensuse 'libinih-dev\(\?\) +required' "\(\?\): Debian's name"
printf 'ID=mint\nID_LIKE="ubuntu debian"\n' >os
bare INSTALL_OS_RELEASE="$folder/os"
check 'a relative of Debian' ends 2 'libmpich-dev +required'

stub apt-get ''
bare INSTALL_OS_RELEASE="$folder/os"
check 'neither root nor sudo: the command' ends 2 'neither root nor sudo' \
    '^  apt-get install -y --no-install-recommends gcc make libmpich-dev mpich '

for tool in cc make mpicc mpirun curl jq; do stub $tool ok; done
bare INSTALL_OS_RELEASE="$folder/os"
check 'only what is optional is missing' ends 0 'gnuplot-nox +optional' 'going on without'
check 'and nothing else' [ "$(grep -c required <<<"$out")" = 1 ]
stub gnuplot ok
bare INSTALL_OS_RELEASE="$folder/os"
check 'nothing is missing' ends 0
check 'and nothing is said' [ -z "$out" ]
run "$home/install.sh" dance
check 'a group that is none' ends 2 "no group 'dance'; there are: run"

finish
