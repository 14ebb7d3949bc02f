#!/usr/bin/env bash
#SBATCH --job-name=nbsgd-test
#SBATCH --ntasks=5
#SBATCH --time=00:10:00
#
# Is this cluster fit for nbsgd? Half a minute of measuring and a verdict in words; exit code 0 when it is.
#
#   bash test.s                     here: mpirun -n 5 (RANKS=2: fewer)
#   sbatch -N 2 -n 8 test.s         under Slurm, on two hosts, so that the network between them is measured too
#   ... test.s --machine [FILE]     and then writes what nbsgd --world sim --machine FILE takes (results/machine.ini)
#
# Needs MPI and a C compiler alone; only the compute times of the machine file come from ./nbsgd, where that is built:
# NETWORKS='resnet20 resnet50' STEM=cifar SAMPLES=32 (a mini-batch) DTYPE=f32 THREADS=1 (a rank). bench/cluster/ holds the program.
set -euo pipefail
cd "$(dirname "$0")"
[ -e launch.sh ] || cd "${SLURM_SUBMIT_DIR:-.}" # Slurm runs a copy of this file from elsewhere
[ -e launch.sh ] || { echo "test.s: start it from the repository's folder" >&2; exit 2; }
. ./launch.sh

machine='' options=()
while [ $# -gt 0 ]; do
    case $1 in
    --machine)
        machine=results/machine.ini
        if [[ ${2:-} != --* && -n ${2:-} ]]; then machine=$2 && shift; fi
        ;;
    *) options+=("$1") ;;
    esac
    shift
done

build build/release/cluster
echo "test.s: ${launch[*]} build/release/cluster ${options[*]}"
[ -n "$machine" ] || exec "${launch[@]}" build/release/cluster "${options[@]}"
"${launch[@]}" build/release/cluster "${options[@]}"

mkdir -p "$(dirname "$machine")"
echo
"${launch[@]}" build/release/cluster --machine "$machine"

stem=${STEM:-cifar} samples=${SAMPLES:-32} dtype=${DTYPE:-f32} threads=${THREADS:-1} unlimited=1000000000
printf '\n[minibatch_s]\n' >>"$machine"
if [ ! -x nbsgd ]; then
    echo "# Nothing was measured: nbsgd was not built. Its form: resnet50 cifar 32 f32 1 = SECONDS SCATTER" >>"$machine"
    echo "test.s: $machine has no compute times, since nbsgd is not built: \`make nbsgd\`, then this again; or write them there yourself" >&2
    exit 0
fi
# Here: a worker on every core and a server, which sleeps meanwhile. Elsewhere the allocation says how many ranks there are.
if [ -z "${LAUNCH:-}${SLURM_JOB_ID:-}" ]; then launch=("${MPIRUN:-mpirun}" -n $(($(nproc) / threads > 1 ? $(nproc) / threads + 1 : 2))); fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
for network in ${NETWORKS:-resnet20 resnet50}; do
    "${launch[@]}" ./nbsgd --scheme ssgd --network "$network" --stem "$stem" --dataset synthetic --dtype "$dtype" --threads "$threads" \
        --batch "$samples" --minibatches 1 --seconds 10 --samples $unlimited --eval-every $unlimited --eval-samples "$samples" \
        --eval-batches 1 --results "$scratch/$network" >"$scratch/log" 2>&1 || { cat "$scratch/log" >&2; exit 1; }
    # The mean over the workers' mini-batches, and how much each worker's own differ: standard deviation / mean. Columns have names.
    seconds=$(awk -F, '
        /^#/ { next }
        !head++ { for (i = 1; i <= NF; i++) at[$i] = i; next }
        $at["role"] == "worker" { s += $at["compute_s"]; n += $at["minibatches"]; v += $at["minibatches"] * $at["minibatch_deviation_s"] ^ 2 }
        END { if (n) printf "%.4g %.3f", s / n, sqrt(v / n) / (s / n) }' "$scratch/$network/ranks.csv")
    [ -n "$seconds" ] || { echo "test.s: $network left no compute times" >&2; exit 1; }
    echo "$network $stem $samples $dtype $threads = $seconds" >>"$machine"
    echo "A mini-batch of $samples on $network ($stem stem, $dtype, $threads thread$([ "$threads" = 1 ] || echo s)): ${seconds% *} s, scatter ${seconds#* }"
done
echo "test.s: $machine describes this cluster: ./nbsgd --world sim --machine $machine"
