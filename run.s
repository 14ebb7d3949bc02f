#!/usr/bin/env bash
#SBATCH --job-name=nbsgd
#SBATCH --ntasks=5
#SBATCH --time=01:00:00
#SBATCH --signal=TERM@120
#
# One run, on a laptop or on a cluster:
#
#   bash run.s [experiments/NAME.ini] [options of nbsgd]     mpirun -n 5 (RANKS=9: with eight workers)
#   sbatch run.s ...                                         the same under Slurm; sbatch -n 17 -c 8: sixteen workers, 8 cores each
#   sbatch --array=1-5 run.s ...                             five seeds: the array's index is --seed
#
# Without a file it trains ResNet-50 on CIFAR-10 with nbssgd for a few minutes of two cores. Data: --data, else $DATA, else data/,
# else the archive is downloaded there, else (no network) the program makes its own images and says so.
# Time and signals: 120 s before the limit Slurm sends SIGTERM to the ranks, which evaluate, save and leave with exit code 6; with
# --save FILE the next job goes on with --init FILE. A job that Slurm requeues (a host died) starts anew in a folder of its own.
set -euo pipefail
cd "$(dirname "$0")"
[ -e launch.sh ] || cd "${SLURM_SUBMIT_DIR:-.}" # Slurm runs a copy of this file from elsewhere
[ -e launch.sh ] || { echo "run.s: start it from the repository's folder" >&2; exit 2; }
. ./launch.sh

# These settings make the most of a minute or two: the stem that is fast on small images, residual blocks that begin as the identity, and
# Adam, which finds its step by itself.
options=(--scheme nbssgd --network resnet50 --stem imagenet --zero-gamma --optimizer adam --lr 0.001 --batch 128 --minibatches 4
    --samples 32000 --eval-samples 1000)
file=/dev/null
if [[ ${1:-} == *.ini ]]; then
    file=$1 options=(--config "$1")
    [ -r "$file" ] || { echo "run.s: $file cannot be read" >&2; exit 2; }
    shift
fi

given() { # does the user say --$1, on the command line or in the file?
    grep -qE "^[[:space:]]*$1[[:space:]]*[=:]" "$file" || printf '%s\n' "${@:2}" | grep -qE "^--$1(=|$)"
}

[ -x nbsgd ] || build nbsgd
if [ -z "${DATA:-}" ] && ! given data "$@" && ! given dataset "$@" && ! data_loader/fetch data; then
    echo "run.s: no CIFAR-10: training on generated images instead (--data DIR or DATA=DIR names a folder that has it)" >&2
fi
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then options+=(--seed "$SLURM_ARRAY_TASK_ID"); fi
if [ -n "${SLURM_JOB_ID:-}" ] && ! given results "$@"; then # jobs that start in one second must not share a folder
    options+=(--results "results/run-${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+-$SLURM_ARRAY_TASK_ID}${SLURM_RESTART_COUNT:+-again$SLURM_RESTART_COUNT}")
fi
echo "run.s: ${launch[*]} ./nbsgd ${options[*]} $*"
exec "${launch[@]}" ./nbsgd "${options[@]}" "$@"
