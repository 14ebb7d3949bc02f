#!/usr/bin/env bash
# `make install` into a scratch folder, and what install.sh says where packages are missing.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

build=${nbsgd#"$home/"} build=${build%/nbsgd} mode=${build##*/}
case $mode in release | debug | asan | tsan) ;; *) mode=release ;; esac
make=(make -s -C "$home" "MODE=$mode" "BUILD=$build" "DESTDIR=$folder/root")
if ! "${make[@]}" same-flags >/dev/null 2>&1; then
    passes_over 'make install: built with other settings than these (CC, CUDA, CFLAGS)'
else
    root=$folder/root/usr/local toy=(--world sim --network quadratic --updates 5)
    run "${make[@]}" install
    check 'make install' ends 0
    mkdir elsewhere
    cd elsewhere || exit 1
    run env -u NBSGD_DATADIR "$root/bin/nbsgd" "${toy[@]}" --results a
    check 'the installed program runs from another folder' ends 0 'results: a'
    if command -v gnuplot >/dev/null; then
        check 'and finds its plots' ends 0 'figure: a/figure.png'
        check 'the figure is an image' [ "$(head -c 4 a/figure.png | tail -c 3)" = PNG ]
    fi
    run env -u NBSGD_DATADIR "$root/bin/nbsgd" --config experiments/slow.ini --check-options
    check 'and its experiments' ends 0
    run env -u NBSGD_DATADIR "$root/bin/nbsgd" --config experiments/none.ini --check-options
    check 'but none that is not there' ends 2 'cannot read experiments/none.ini'
    cd ..
    if command -v gnuplot >/dev/null; then
        run env -u NBSGD_DATADIR "$nbsgd" "${toy[@]}" --results b
        check 'the built program finds those of its source tree' [ -s b/figure.png ]
        run env NBSGD_DATADIR=none "$nbsgd" "${toy[@]}" --results c
        check 'NBSGD_DATADIR without plots: no figure' [ -z "$(find c -name '*.png')" ]
    fi
    if command -v man >/dev/null; then
        run man --warnings -l "$root/share/man/man1/nbsgd.1"
        check 'the man page' ends 0 'EXIT STATUS' '\-\-scheme=NAME'
        check 'has no mistake' [ "$(grep -c warning <<<"$out")" = 0 ]
    fi
    completes() { # WORDS ... ANSWER: what bash would offer for the last word
        local answer=${*: -1}
        # shellcheck source=/dev/null
        [ "$(. "$root/share/bash-completion/completions/nbsgd" &&
            COMP_WORDS=("${@:1:$#-1}") COMP_CWORD=$(($# - 2)) && _nbsgd &&
            echo "${COMPREPLY[*]}")" = "$answer" ]
    }
    check 'completion: an option' completes nbsgd --sche '--scheme --schedule'
    check 'completion: a scheme' completes nbsgd --scheme nb nbssgd
    check 'completion: a network' completes nbsgd --network = lene lenet5
    check 'completion: a choice after =' completes nbsgd --stem = c cifar
    run "${make[@]}" uninstall
    check 'make uninstall leaves no file' [ -z "$(find root -type f)" ]
fi

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
