#!/usr/bin/env bash
# Installs what is missing from Debian's packages, and says what and why.
#
#   ./install.sh [GROUP ...]
#
#   run      to build and train (always included)     slurm    a one-node Slurm for the tests
#   test     the tests                                bench    PyTorch to compare with; networks
#   check    lint and format                          openmpi  Open MPI beside MPICH
#   fuzz     clang's libFuzzer                        cuda     says what `make CUDA=1` needs
#
# For bench the newest PyTorch is taken from PyPI (pip's settings say from where else), into an
# environment of its own: $NBSGD_PYTORCH, by default ~/.cache/nbsgd/pytorch, some 5 GB. To renew it
# delete that folder. Where that fails, Debian's takes its place.
#
# Whatever is there already, from wherever, is left alone: a package counts as missing when its
# command, header or library is. Without root and sudo the exact command is printed. On other Linux
# systems the names of the packages are printed where they are known. Exit code 0: all that is
# required is there; 2: it is not.
set -u
export LC_ALL=C

# Two lines a package: group; required or optional; what shows that it is there (a command, a
# <header>, lib:, python3:, a file); its names on Debian, Fedora, Arch and openSUSE (-: not known).
# Then why.
packages='
run     req gcc                gcc                 gcc              gcc             gcc
    a C compiler
run     req make               make                make             make            make
    to build
run     req mpicc              libmpich-dev        mpich-devel      openmpi         mpich-devel
    MPI, to build with
run     req mpirun             mpich               mpich            openmpi         mpich
    MPI, to start ranks
run     req <hwloc.h>          libhwloc-dev        hwloc-devel      hwloc           hwloc-devel
    cores, and which rank takes which
run     req <ini.h>            libinih-dev         inih-devel       libinih         -
    files of options
run     req <xxhash.h>         libxxhash-dev       xxhash-devel     xxhash          xxhash-devel
    hashes: was a message changed under way?
run     req <zlib.h>           zlib1g-dev          zlib-devel       zlib            zlib-devel
    MNIST as it is published: packed by gzip
run     opt <dnnl.h>           libdnnl-dev         onednn-devel     onednn          onednn-devel
    oneDNN, 2.6 or 3: without it no fast backend on new CPUs
run     opt lib:libopenblas    libopenblas0-openmp openblas-openmp  openblas libopenblas_openmp0
    OpenBLAS: without it no backend that is fast on any CPU
run     opt <jpeglib.h>        libjpeg-dev         libjpeg-turbo-devel libjpeg-turbo libjpeg8-devel
    libjpeg-turbo: without it JPEG files cannot be read
run     opt <png.h>            libpng-dev          libpng-devel     libpng          libpng16-devel
    libpng: without it PNG files cannot be read
run     opt jq                 jq                  jq               jq              jq
    reads summary.json: without it no table of a comparison
run     opt gnuplot            gnuplot-nox         gnuplot          gnuplot         gnuplot
    figures: without it none are drawn
run     opt curl               curl                curl             curl            curl
    downloads CIFAR-10: without it images are generated
run     opt /etc/ssl/certs     ca-certificates     ca-certificates  ca-certificates ca-certificates
    so that curl can check whom it talks to
test    req <cmocka.h>         libcmocka-dev       libcmocka-devel  cmocka          libcmocka-devel
    the tests are written with it
check   req clang-format       clang-format        clang-tools-extra clang           clang-tools
    the format of the sources (version 14)
check   req cppcheck           cppcheck            cppcheck         cppcheck        cppcheck
    lint
check   req shellcheck         shellcheck          ShellCheck       shellcheck      ShellCheck
    lint of scripts
fuzz    opt clang              clang               clang            clang           clang
    libFuzzer: without it `make fuzz` mutates the corpora by itself
fuzz    opt libfuzzer          libclang-rt-14-dev  compiler-rt      compiler-rt     clang
    its runtime, and that of the sanitizers
slurm   req slurmctld          slurm-wlm           slurm-slurmctld  -               slurm
    run.s and test.s are tested on it
slurm   req munged             munge               munge            munge           munge
    how Slurm knows its users
bench   opt python3:ensurepip  python3-venv        python3          python          python3
    environments of Python, for the newest PyTorch, the peer in speed
bench   opt c++                g++                 gcc-c++          gcc             gcc-c++
    torch.compile, which writes C++
bench   opt tc                 iproute2            iproute-tc       iproute2        iproute2
    hosts and links made on this machine
debian  opt python3:torch      python3-torch       python3-torch    python-pytorch  -
    PyTorch, the peer in speed
openmpi req mpicc.openmpi      libopenmpi-dev      -                -               -
    Open MPI, to build with
openmpi req mpirun.openmpi     openmpi-bin         -                -               -
    Open MPI, to start ranks
'
system=${INSTALL_SYSTEM:-$(uname -s)} os_release=${INSTALL_OS_RELEASE:-/etc/os-release}
cuda=${CUDA_HOME:-/usr/local/cuda}
# shellcheck source=bench/pytorch.bash
. "${BASH_SOURCE[0]%/*}/bench/pytorch.bash"

say() { echo "install.sh: $*" >&2; }

there() { # is that command, file, header, library or module of Debian's python there?
    case $1 in
    gcc) command -v "${CC:-cc}" >/dev/null ;;
    '<'*) echo "#include $1" | "${CC:-cc}" -E -x c - >/dev/null 2>&1 ;;
    lib:*) PATH=$PATH:/sbin ldconfig -p | grep -q "${1#*:}" ;;
    libfuzzer)
        echo 'int LLVMFuzzerTestOneInput(void) { return 0; }' |
            clang -fsanitize=fuzzer,address -x c - -o /dev/null 2>/dev/null
        ;;
    python3:*) /usr/bin/python3 -c "import ${1#*:}" >/dev/null 2>&1 ;;
    /*) [ -e "$1" ] ;;
    *) command -v "$1" >/dev/null || [ -x "/usr/sbin/$1" ] ;;
    esac
}

# Which column of names this system reads: 0 Debian, 1 Fedora, 2 Arch, 3 openSUSE.
column_of_names() {
    local kin
    kin=" $(sed -nE 's/^(ID|ID_LIKE)="?([^"]*)"?$/\2/p' "$os_release" 2>/dev/null | tr '\n' ' ') "
    case $kin in
    *' debian '* | *' ubuntu '*) echo 0 ;;
    *' fedora '* | *' rhel '*) echo 1 ;;
    *' arch '*) echo 2 ;;
    *' suse '* | *' opensuse '* | *' opensuse-'*) echo 3 ;;
    *) echo 0 ;;
    esac
}

# Fills `names` and `needed` (names of what is required), and `reasons`, a line each.
find_missing() { # GROUP ...
    local column group need probe why name known
    names=() needed=() reasons=''
    column=$(column_of_names)
    while read -r group need probe name known; do
        read -r why
        case " $* " in *" $group "*) ;; *) continue ;; esac
        if there "$probe"; then continue; fi
        if [ "$column" -gt 0 ]; then
            known=$(cut -d' ' -f"$column" <<<"$(tr -s ' ' <<<"$known")")
            name=${known/#-/$name(?)}
        fi
        if [ "$need" = req ]; then need=required needed+=("$name"); else need=optional; fi
        names+=("$name") reasons+=$(printf '  %-24s%-10s%s' "$name" "$need" "$why")$'\n'
    done < <(sed '/^$/d' <<<"$packages")
}

# What is left to the user ends the script with 2 if something of it is required.
give_up() {
    if [ ${#needed[@]} -gt 0 ]; then exit 2; fi
    say "nothing of it is required; going on without"
}

check_cuda() { # CUDA and cuDNN come from NVIDIA, not from Debian: said, not installed
    if [ -x "$cuda/bin/nvcc" ] && [ -e "$cuda/include/cudnn_graph.h" ]; then return; fi
    say "no CUDA with cuDNN in $cuda: install cuda-nvcc-13-0 cuda-cudart-dev-13-0" \
        "libcudnn9-dev-cuda-13 from NVIDIA's repository (and libnccl-dev, libnccl2 for sums among" \
        "GPUs; developer.nvidia.com/cuda-downloads), or name another folder: CUDA_HOME=..."
    exit 2
}

if [ "$system" != Linux ]; then
    say "this is $system; nbsgd runs on Linux only (futex, memfd, /proc, process_vm_readv)"
    exit 2
fi
for group in "$@"; do
    case $group in
    run | test | check | fuzz | slurm | bench | openmpi) ;;
    cuda) check_cuda ;;
    *)
        say "no group '$group'; there are: run test check fuzz slurm bench openmpi cuda"
        exit 2
        ;;
    esac
done
apt() {
    "${as_root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -o DPkg::Lock::Timeout=300 "$@" \
        >>"$log" 2>&1 </dev/null
}
install_all() { apt install -y --no-install-recommends "${names[@]}"; }
# Open MPI's packages would take over mpicc and mpirun: what they are now, they stay.
keep_default_mpi() {
    local name now
    while read -r name _ now; do
        case $name in
        mpi | mpirun | mpi-*)
            "${as_root[@]}" update-alternatives --set "$name" "$now" >>"$log" 2>&1
            ;;
        esac
    done < <(update-alternatives --get-selections 2>/dev/null)
}

# Installs what is missing of these groups, or says what is to be done.
install_missing() { # GROUP ...
    local install as_root=()
    find_missing "$@"
    if [ ${#names[@]} = 0 ]; then return; fi
    printf 'Missing here:\n%s' "$reasons"
    if ! command -v apt-get >/dev/null; then
        say "this system has no apt-get; install those by its own means, then \`make\`"
        case $reasons in
        *'(?)'*) say "(?): Debian's name; this system's is not known here" ;;
        esac
        give_up
        return
    fi
    install="apt-get install -y --no-install-recommends ${names[*]}"
    if [ "$(id -u)" = 0 ]; then
        as_root=()
    elif command -v sudo >/dev/null && { sudo -n true 2>/dev/null || [ -t 0 ]; }; then
        as_root=(sudo)
    else
        say "neither root nor sudo; somebody who has either can run"
        printf '\n  %s\n\n' "$install" >&2
        give_up
        return
    fi
    echo "Installing: $install"
    log=$(mktemp)
    if [[ " $* " == *" openmpi "* ]]; then keep_default_mpi; fi
    if ! install_all && ! { apt update && install_all; }; then
        tail -n 20 "$log" >&2
        say "apt-get failed ($log); once it works: $install"
        give_up
        return
    fi
    rm -f "$log"
}

# The newest PyTorch in an environment of its own, unless one is there.
make_environment() {
    local home
    home=$(pytorch_home)
    if "$home/bin/python" -c 'import torch, torchvision' 2>/dev/null; then return; fi
    echo "Installing: PyTorch and torchvision from PyPI into $home"
    log=$(mktemp)
    if ! { python3 -m venv "$home" && "$home/bin/python" -m pip install --upgrade \
        torch torchvision numpy && "$home/bin/python" -c 'import torch, torchvision'; } \
        >"$log" 2>&1 </dev/null; then
        tail -n 5 "$log" >&2
        say "no PyTorch in $home ($log); once that works: ./install.sh bench"
        return 1
    fi
    rm -f "$log"
}

install_missing run "$@"
if [[ " $* " == *" bench "* ]]; then make_environment || install_missing debian; fi
exit 0
