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
    check 'completion: a scheme' completes nbsgd --scheme nb 'nbgossip nbssgd'
    check 'completion: a network' completes nbsgd --network = lene lenet5
    check 'completion: a choice after =' completes nbsgd --stem = c cifar
    run "${make[@]}" uninstall
    check 'make uninstall leaves no file' [ -z "$(find root -type f)" ]
fi

# Which oneDNN is built with: a dry run says it.
mkdir -p dnn/include
builds_with() { # MAJOR: what `make` would compile for a dnnl.h of this version
    printf '#define DNNL_VERSION_MAJOR %s\n' "$1" >dnn/include/dnnl.h
    make -s -n -C "$home" "BUILD=$folder/build" "ONEDNN_DIR=$folder/dnn" "$folder/build/nbsgd" |
        grep -oE '(operation_v[0-9]|-rpath,[^ ]*dnn/lib)' | sort -u | tr '\n' ' '
}
check 'oneDNN 2 in ONEDNN_DIR' [ "$(builds_with 2)" = "-rpath,$folder/dnn/lib operation_v2 " ]
check 'oneDNN 3 in ONEDNN_DIR' [ "$(builds_with 3)" = "-rpath,$folder/dnn/lib operation_v3 " ]
run make -s -C "$home" "BUILD=$folder/build" "ONEDNN_DIR=$folder/none" "$folder/build/nbsgd"
check 'an ONEDNN_DIR without it' ends 2 "no include/dnnl.h in ONEDNN_DIR=$folder/none"

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

# The environment of PyTorch, made by a python3 that only makes the folder.
for tool in mkdir cp; do ln -s "$(command -v $tool)" "bin/$tool"; done
for tool in c++ tc; do stub $tool ok; done
fake_python() { # what the environment's python says and how it ends
    printf '#!/bin/sh\nmkdir -p "$3/bin"\ncp "%s" "$3/bin/python"\n' "$folder/inner" >bin/python3
    printf '#!/bin/sh\n%s\n' "$1" >inner
    chmod +x inner bin/python3
}
bench() {
    run env PATH="$folder/bin" CC="$folder/bin/cc" NBSGD_PYTORCH="$folder/pytorch" \
        INSTALL_OS_RELEASE="$folder/os" "$bash" "$home/install.sh" bench
}
fake_python 'echo no such host; exit 1'
bench
check 'PyPI cannot be reached: said, and Debian takes its place or is left to the user' ends 0 \
    'Installing: PyTorch and torchvision from PyPI' 'no such host' "no PyTorch in $folder/pytorch"
fake_python 'exit 0'
bench
check 'PyPI can be reached: an environment is made' ends 0 'Installing: PyTorch'
bench
check 'and then it is there' ends 0
check 'and nothing of it is said' [ "$(grep -c PyTorch <<<"$out")" = 0 ]

run "$home/install.sh" dance
check 'a group that is none' ends 2 "no group 'dance'; there are: run"

finish
