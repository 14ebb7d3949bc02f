#!/usr/bin/env bash
# Installs what is missing from Debian's packages, and says what and why.
#
#   ./install.sh [run|test|check|slurm|bench|cuda ...]     run: to build and train (always included); test: the tests; check: lint and
#                                                     format; slurm: the one-node Slurm of the tests; bench: the peer to race
#                                                     and a network of hosts on this machine; cuda: says what make CUDA=1 wants
# What is there already, from wherever, is left alone: a package counts as missing when its command or header is. Without root
# and sudo the exact command is printed, and the exit code is 2.
set -u

# The packages: for what | name | what shows that it is there (a command, or a header in <>, a library, a file) | why
packages='
run   | libmpich-dev           | mpicc          | MPI, to build with: the ranks talk through it
run   | mpich                  | mpirun         | MPI, to start the ranks
run   | libhwloc-dev           | <hwloc.h>      | hwloc: how many cores there are, and which rank takes which
run   | libdnnl-dev            | <dnnl.h>       | oneDNN, the fast backend
run   | libopenblas0-openmp    | lib:libopenblas.so.0 | OpenBLAS, the backend for any machine, and products for onednn (loaded at run time)
run   | libinih-dev            | <ini.h>        | configuration files
run   | libxxhash-dev          | <xxhash.h>     | hashes: the simulator sees when a message under way was changed
run   | gnuplot-nox            | gnuplot        | the figure at the end of a run
run   | curl                   | curl           | to download CIFAR-10
run   | ca-certificates        | /etc/ssl/certs/ca-certificates.crt | so that curl can check whom it talks to
test  | libcmocka-dev          | <cmocka.h>     | the tests are written with it
check | clang-format           | clang-format   | the format of the sources
check | cppcheck               | cppcheck       | lint
slurm | slurm-wlm              | slurmctld      | a one-node Slurm that run.s and test.s are proven on
slurm | munge                  | munged         | how Slurm knows its users
bench | python3-torch          | python3:torch  | PyTorch, the peer that the speed is compared with
bench | iproute2               | tc             | hosts and links made on this machine (bench/lan)
'

there() { # is that command, file, header or module of Debian's python there?
    case $1 in
    '<'*) echo "#include $1" | "${CC:-cc}" -E -x c - >/dev/null 2>&1 ;;
    lib:*) /sbin/ldconfig -p | grep -q "${1#*:}" ;;
    python3:*) /usr/bin/python3 -c "import ${1#*:}" >/dev/null 2>&1 ;;
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] ;;
    esac
}

# CUDA and cuDNN come from NVIDIA, not from Debian: said, not installed.
cuda=${CUDA_HOME:-/usr/local/cuda}
if [[ " $* " == *" cuda "* ]] && ! { [ -x "$cuda/bin/nvcc" ] && [ -e "$cuda/include/cudnn_graph.h" ]; }; then
    echo "install.sh: no CUDA with cuDNN in $cuda: install cuda-nvcc-13-0 cuda-cudart-dev-13-0 libcudnn9-dev-cuda-13 from NVIDIA's repository" \
        "(and libnccl-dev, libnccl2 for sums among GPUs; developer.nvidia.com/cuda-downloads), or name another folder: CUDA_HOME=..." >&2
    exit 2
fi

missing=() reasons=''
while IFS='|' read -r group name probe why; do
    group=${group// /} name=${name// /} probe=${probe// /}
    [ -n "$group" ] || continue
    case " run $* " in *" $group "*) ;; *) continue ;; esac
    there "$probe" && continue
    missing+=("$name") reasons+=$(printf '  %-24s%s' "$name" "${why# }")$'\n'
done <<<"$packages"
[ ${#missing[@]} -gt 0 ] || exit 0

printf 'Missing here:\n%s' "$reasons"
install="apt-get install -y --no-install-recommends ${missing[*]}"
if ! command -v apt-get >/dev/null; then
    echo "install.sh: this is no Debian; bring these by its own means, then \`make\`" >&2
    exit 2
fi
if [ "$(id -u)" = 0 ]; then as_root=()
elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then as_root=(sudo)
else
    printf 'install.sh: neither root nor sudo; somebody who may has to run\n\n  %s\n\n' "$install" >&2
    exit 2
fi

echo "Installing: $install"
log=$(mktemp)
apt() { "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" >>"$log" 2>&1 </dev/null; }
install_all() { apt install -y --no-install-recommends "${missing[@]}"; }
if ! install_all && ! { apt update && install_all; }; then
    tail -n 20 "$log" >&2
    printf 'install.sh: apt-get failed (%s); once it works: %s\n' "$log" "$install" >&2
    exit 2
fi
rm -f "$log"
