#!/usr/bin/env bash
#SBATCH --job-name=nbsgd-test
#SBATCH --ntasks=5
#SBATCH --time=00:10:00
#
# Is this cluster fit for nbsgd? Half a minute of measuring and a verdict in words; exit code 0 when
# it is.
#
#   bash test.s                     here: mpirun -n 5 (RANKS=2: fewer)
#   sbatch -N 2 -n 8 test.s         under Slurm, on two hosts: measures the network between them
#   ... test.s --machine [FILE]     also writes a file for nbsgd --world sim --machine FILE
#   ... test.s --deadline S         for ranks that do not answer (60)
#
# Needs MPI with its hwloc, and a C compiler; only the compute times of the machine file come from
# nbsgd, where that is built: NETWORKS='resnet20 resnet50' STEM=cifar SAMPLES=32 (a mini-batch)
# DTYPE=f32 THREADS=1 (a rank) OPTIONS='--hidden 20,10' (what else these networks take).
# bench/cluster/ holds the program. NBSGD, MPIRUN, LAUNCH: as in run.s.
set -euo pipefail
export LC_ALL=C # numbers are written and read with a point

# Under Slurm a copy of this file runs from elsewhere: Slurm knows where it came from.
find_home() {
    local file
    home=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    if [ -e "$home/launch/launch.sh" ] || [ -z "${SLURM_JOB_ID:-}" ]; then return; fi
    home=${SLURM_SUBMIT_DIR:-$PWD}
    if [ -e "$home/launch/launch.sh" ]; then return; fi
    file=$(scontrol show job "$SLURM_JOB_ID" 2>/dev/null |
        sed -nE 's/^ *Command=([^ ]+).*/\1/p' | sed -n 1p) || true
    home=$(dirname "${file:-$home/none}")
}
find_home
if [ ! -e "$home/launch/launch.sh" ]; then
    echo "test.s: the project's folder is not found from $home" >&2
    exit 2
fi
# shellcheck source=launch/launch.sh
. "$home/launch/launch.sh"
# shellcheck source=launch/minibatch.sh
. "$home/launch/minibatch.sh"
program=${NBSGD:-$home/nbsgd} cluster=${CLUSTER:-$home/build/release/cluster}

machine='' options=()
while [ $# -gt 0 ]; do
    case $1 in
    --machine)
        machine=results/machine.ini
        if [[ ${2:-} != --* && -n ${2:-} ]]; then machine=$2 && shift; fi
        ;;
    --deadline | --pretend) # --pretend HOSTS: for tests
        options+=("$1" "${2:-}")
        if [ $# -gt 1 ]; then shift; fi
        ;;
    --help | -h)
        sed -n '2,/^set /{/^#SBATCH/d; s/^# \{0,1\}//p}' "$home/test.s"
        exit
        ;;
    *)
        echo "test.s: $1: it takes --machine [FILE], --deadline S and --help" >&2
        exit 2
        ;;
    esac
    shift
done
if [ -e "$machine" ] && [ ! -f "$machine" ]; then
    echo "test.s: --machine $machine: that is a folder, a device or a pipe; name a file" >&2
    exit 2
fi

[ -n "${CLUSTER:-}" ] || build build/release/cluster
alone=$([ -n "${LAUNCH:-}${SLURM_JOB_ID:-}" ] || echo 1)
launch_words "$cluster" "${RANKS:-5}"
echo "test.s: ${launch[*]} $cluster ${options[*]}"
[ -n "$machine" ] || exec "${launch[@]}" "$cluster" "${options[@]}"
"${launch[@]}" "$cluster" "${options[@]}"

# Whole or not at all: an earlier file stays until this one is. A link stays, too.
mkdir -p "$(dirname "$machine")"
named=$machine goal=$(readlink -m "$machine") scratch=$(mktemp -d)
machine=$(mktemp "$goal.XXXXXXXX.part")
trap 'rm -rf "$scratch" "$machine"' EXIT
keep() { chmod "$(printf %o $((0666 & ~$(umask))))" "$machine" && mv "$machine" "$goal"; }
echo
"${launch[@]}" "$cluster" --machine "$machine"

read -ra more <<<"${OPTIONS:-}"
samples=${SAMPLES:-32} dtype=${DTYPE:-f32} threads=${THREADS:-1}
printf '\n[minibatch_s]\n' >>"$machine"
if [ ! -x "$program" ]; then
    echo "# no times: nbsgd was not built. A line: resnet50 cifar 32 f32 1 = SECONDS JITTER" \
        >>"$machine"
    keep
    echo "test.s: $named has no compute times, since nbsgd is not built: \`make nbsgd\`, then" \
        "this again; or write them there yourself" >&2
    exit 0
fi
# Here: a worker on every core and a server, which sleeps meanwhile. Elsewhere the allocation says
# how many ranks there are.
if [ -n "$alone" ]; then
    workers=$(($("$cluster" --cores) / threads))
    launch_words "$program" $((workers > 1 ? workers + 1 : 2))
fi
for network in ${NETWORKS:-resnet20 resnet50}; do
    job=(--network "$network" --batch "$samples" --dtype "$dtype" --threads "$threads")
    [ -z "${STEM:-}" ] || job+=(--stem "$STEM") # other networks than resnet* have none
    job+=("${more[@]}")
    key=$("$program" --print-machine-key "${job[@]}" --minibatches 1) # the simulator's own words
    seconds=$(minibatch_time "$program" "$scratch/$network" "${job[@]}")
    echo "$key = $seconds" >>"$machine"
    echo "A mini-batch ($key): ${seconds% *} s, jitter ${seconds#* }"
done
keep
echo "test.s: $named describes this cluster: nbsgd --world sim --machine $named"
