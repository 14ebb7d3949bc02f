#!/usr/bin/env bash
#SBATCH --job-name=nbsgd
#SBATCH --ntasks=5
#SBATCH --time=01:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
#
# One run, on a laptop or on a cluster, from any folder:
#
#   bash run.s [FILE.ini] [OPTION ...]   mpirun -n 5 (RANKS=9: with eight workers)
#   sbatch run.s ...               the same under Slurm; -n 17 -c 8: sixteen workers, 8 cores each
#   sbatch --array=1-5 run.s ...   five seeds: the array's index is --seed
#   sbatch run.s --requeue ...     a job that its time limit ends is queued again, until it is done
#
# Without a file it trains ResNet-50 on CIFAR-10 with nbssgd for a few minutes of two cores. A file,
# also by --config FILE, takes the place of all these settings. Relative paths are those of the
# folder it is called from, results/ too. Data: --data, else $DATA, else data/ here or beside this
# script, else the archive is downloaded there, else (no network) the program makes its own images
# and says so. NBSGD: the program, if it is not ./nbsgd beside this script. MPIRUN, LAUNCH: see
# launch/launch.sh.
#
# The run writes checkpoints. When a rank dies it is named, and the run goes on from the last one,
# RETRIES times (3); RANKS_AFTER: with so many ranks: launch/supervise.sh. A signal (Ctrl-C, TERM,
# HUP, USR1, USR2) makes it save and end with code 6. Slurm sends one 120 s before the time limit.
# A job that Slurm starts again, after --requeue, a preemption or a lost host, goes on likewise.
set -euo pipefail

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
    echo "run.s: the project's folder is not found from $home" >&2
    exit 2
fi
# shellcheck source=launch/launch.sh
. "$home/launch/launch.sh"
# shellcheck source=launch/supervise.sh
. "$home/launch/supervise.sh"
program=${NBSGD:-$home/nbsgd}

options=() file='' requeue=''
if [[ ${1:-} == *.ini ]]; then
    file=$1
    if [ ! -e "$file" ] && [ -e "$home/$file" ]; then file=$home/$file; fi # experiments/ lies there
    shift
    set -- --config "$file" "$@"
fi
words=()
for word in "$@"; do
    if [ "$word" = --requeue ]; then requeue=yes; else words+=("$word"); fi
done
set -- "${words[@]}"
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
if [ -n "$file" ] && [ ! -e "$file" ] && [ -e "$home/$file" ]; then # the program finds it, too
    file=$home/$file
fi
if [ -n "$file" ] && [ ! -r "$file" ]; then
    echo "run.s: $file cannot be read" >&2
    exit 2
fi

# A pipe is read once: by the program.
given() { # NAME: does the user say --NAME, on the command line or in the file?
    printf '%s\n' "${words[@]}" | grep -E "^--$1(=|$)" >/dev/null && return
    [ -f "$file" ] && grep -E "^[[:space:]]*$1[[:space:]]*[=:]" "$file" >/dev/null
}
without_images() { # a problem that needs none
    [[ " ${words[*]} " =~ \ --network[\ =]quadratic\  ]] ||
        { [ -f "$file" ] && grep -E '^ *network *[=:] *quadratic' "$file" >/dev/null; }
}

value_of() { # NAME: what the user says of --NAME; nothing where that is empty, as in a config.ini
    local i value=''
    for ((i = 0; i < ${#words[@]}; i++)); do
        case ${words[i]} in
        "--$1") value=${words[i + 1]:-} ;;
        "--$1="*) value=${words[i]#*=} ;;
        esac
    done
    if [ -z "$value" ] && [ -f "$file" ]; then
        value=$(sed -nE "s/[[:space:]]*\$//; s/^[[:space:]]*$1[[:space:]]*[=:][[:space:]]*//p" \
            "$file" | tail -n 1)
    fi
    echo "$value"
}
can_checkpoint() { # what refuses checkpoints: command/checkpoints.c
    [ -z "$(value_of record)$(value_of replay)$(value_of depart)$(value_of leave)" ] &&
        [ "$(value_of server-device)" != gpu ] &&
        "$program" --print-options | grep ^checkpoint-every >/dev/null
}

# These settings make the most of a minute or two: the stem that is fast on small images, residual
# blocks that begin as the identity, and Adam, which finds its step by itself.
if [ -z "$file" ]; then
    options+=(--scheme nbssgd --batch 128 --minibatches 4 --eval-samples 1000)
    if ! given epochs; then options+=(--samples 32000); fi
    if ! given network; then options+=(--network resnet50 --stem imagenet --zero-gamma); fi
    if ! given optimizer; then options+=(--optimizer adam --lr 0.001); fi
fi
[ -x "$program" ] || build nbsgd
if [ -z "${DATA:-}$(value_of data)" ] && [[ $(value_of dataset) =~ ^(auto)?$ ]] &&
    ! without_images && [ ! -d data/cifar-10-batches-bin ]; then
    if "$home/data_loader/fetch" cifar10 "$home/data"; then
        export DATA=$home/data
    else
        echo "run.s: no CIFAR-10: training on generated images instead" \
            "(--data DIR or DATA=DIR names a folder that has it)" >&2
    fi
fi
if [ -n "${SLURM_ARRAY_TASK_ID:-}" ]; then options+=(--seed "$SLURM_ARRAY_TASK_ID"); fi
if can_checkpoint; then
    if [ -z "$(value_of checkpoint-every)" ]; then options+=(--checkpoint-every 60s); fi
fi
# A record is begun anew; weights that were saved are not.
if [ -n "$(value_of record)" ] && [ -z "$(value_of save)" ]; then replaces=yes; fi
# A job has its folder: one that is started again finds its checkpoints. Further runs of one
# allocation (salloc) have folders of their own.
restarts=${SLURM_RESTART_COUNT:-0}
if [ -n "${SLURM_JOB_ID:-}" ] && ! given results; then
    name=run-${SLURM_ARRAY_JOB_ID:-$SLURM_JOB_ID}${SLURM_ARRAY_TASK_ID:+-$SLURM_ARRAY_TASK_ID}
    if [ "$restarts" != 0 ] || [ ! -e "results/$name" ]; then
        options+=(--results "results/$name")
    fi
fi
if [ "$restarts" != 0 ]; then
    find_way_on
    set -- "$@" "${again[@]}" # also where the first start had a --resume of its own
fi
check_numbers
launch_words "$program" "${RANKS:-5}"
output_keep
echo "run.s: ${launch[*]} $program ${options[*]} $*"
run_supervised "$program" "${options[@]}" "$@"
if [ "$code" = 6 ] && [ "$asked" = USR1 ] && [ -n "$requeue" ] && [ -n "${SLURM_JOB_ID:-}" ]; then
    echo "run.s: the time of job $SLURM_JOB_ID is over: it is queued again"
    scontrol requeue "$SLURM_JOB_ID"
fi
exit "$code"
