#!/usr/bin/env bash
#SBATCH --job-name=nbsgd
#SBATCH --ntasks=5
#SBATCH --time=01:00:00
#SBATCH --signal=TERM@120
#
# One run, on a laptop or on a cluster, from any folder:
#
#   bash run.s [FILE.ini] [OPTION ...]   mpirun -n 5 (RANKS=9: with eight workers)
#   sbatch run.s ...               the same under Slurm; -n 17 -c 8: sixteen workers, 8 cores each
#   sbatch --array=1-5 run.s ...   five seeds: the array's index is --seed
#
# Without a file it trains ResNet-50 on CIFAR-10 with nbssgd for a few minutes of two cores. A file,
# also by --config FILE, takes the place of all these settings. Relative paths are those of the
# folder it is called from, results/ too. Data: --data, else $DATA, else data/ here or beside this
# script, else the archive is downloaded there, else (no network) the program makes its own images
# and says so. Time and signals: 120 s before the limit Slurm sends SIGTERM to the ranks, which
# evaluate, save and exit with code 6; with --save FILE the next job goes on with --init FILE. A job
# that Slurm requeues (a host died) starts anew in a folder of its own. NBSGD: the program, if it is
# not ./nbsgd beside this script. MPIRUN, LAUNCH: see launch/launch.sh.
set -euo pipefail

# Under Slurm a copy of this file runs from elsewhere: Slurm knows where it came from.
find_home() {
    local file
    home=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
    if [ -e "$home/launch/launch.sh" ] || [ -z "${SLURM_JOB_ID:-}" ]; then return; fi
    home=${SLURM_SUBMIT_DIR:-$PWD}
    if [ -e "$home/launch/launch.sh" ]; then return; fi
    file=$(scontrol show job "$SLURM_JOB_ID" 2>/dev/null |
        sed -nE 's/^ *Command=([^ ]+).*/\1/p' | sed -n 1p)
    home=$(dirname "${file:-$home/none}")
}
find_home
if [ ! -e "$home/launch/launch.sh" ]; then
    echo "run.s: the project's folder is not found from $home" >&2
    exit 2
fi
# shellcheck source=launch/launch.sh
. "$home/launch/launch.sh"
program=${NBSGD:-$home/nbsgd}

options=() file=''
if [[ ${1:-} == *.ini ]]; then
    file=$1
    if [ ! -e "$file" ] && [ -e "$home/$file" ]; then file=$home/$file; fi # experiments/ lies there
    shift
    set -- --config "$file" "$@"
fi
words=("$@")
for ((i = 0; i < $#; i++)); do
    case ${words[i]} in
    --config) file=${words[i + 1]:-} ;;
    --config=*) file=${words[i]#--config=} ;;
    # Questions that the program answers alone.
    --help | --usage | --version | -\? | -V | --print-*)
        [ -x "$program" ] || build nbsgd
        exec "$program" "$@"
        ;;
    esac
done
if [ -n "$file" ] && [ ! -r "$file" ]; then
    echo "run.s: $file cannot be read" >&2
    exit 2
fi

given() { # NAME: does the user say --NAME, on the command line or in the file?
    printf '%s\n' "${words[@]}" | grep -E "^--$1(=|$)" >/dev/null && return
    [ -n "$file" ] && grep -E "^[[:space:]]*$1[[:space:]]*[=:]" "$file" >/dev/null
}
without_images() { # a problem that needs none
    [[ " ${words[*]} " =~ \ --network[\ =]quadratic\  ]] ||
        { [ -n "$file" ] && grep -E '^ *network *[=:] *quadratic' "$file" >/dev/null; }
}

# These settings make the most of a minute or two: the stem that is fast on small images, residual
# blocks that begin as the identity, and Adam, which finds its step by itself.
if [ -z "$file" ]; then
    options+=(--scheme nbssgd --batch 128 --minibatches 4 --samples 32000 --eval-samples 1000)
    if ! given network; then options+=(--network resnet50 --stem imagenet --zero-gamma); fi
    if ! given optimizer; then options+=(--optimizer adam --lr 0.001); fi
fi
[ -x "$program" ] || build nbsgd
if [ -z "${DATA:-}" ] && ! given data && ! given dataset && ! without_images &&
    [ ! -d data/cifar-10-batches-bin ]; then
    if "$home/data_loader/fetch" "$home/data"; then
        export DATA=$home/data
    else
        echo "run.s: no CIFAR-10: training on generated images instead" \
            "(--data DIR or DATA=DIR names a folder that has it)" >&2
    fi
fi
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then options+=(--seed "$SLURM_ARRAY_TASK_ID"); fi
# Jobs that start in one second must not share a folder.
if [ -n "${SLURM_JOB_ID:-}" ] && ! given results; then
    name=run-${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+-$SLURM_ARRAY_TASK_ID}
    options+=(--results "results/$name${SLURM_RESTART_COUNT:+-again$SLURM_RESTART_COUNT}")
fi
launch_words "$program" "${RANKS:-5}"
words=("${launch[@]}" "$program" "${options[@]}" "$@")
echo "run.s: ${words[*]}"
exec "${words[@]}"
