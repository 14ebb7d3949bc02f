#!/usr/bin/env bash
# What nbsgd is for, in some four minutes of two cores: nbssgd, ssgd and asgd learn CIFAR-10 one
# after the other with one of four workers four times as slow, for equal seconds each; then a figure
# with the three curves, and a table of the times to some accuracies.
#
#   experiments/compare.sh [--results DIR] [options of nbsgd]    make run RUN_ARGS='...'
#
# ResNet-20 with Adam, the learning rates that results/2026-11-21_seeds found for each scheme. One
# seed shows the rule, not who wins: bench/compare runs several.
# Data: --data, else $DATA, else data/, else CIFAR-10 is downloaded there, else (no network) images
# are generated, and the run says so.
set -euo pipefail
export LC_ALL=C
home=$(cd "$(dirname "$0")/.." && pwd)

out=results/run-$(date +%Y%m%d-%H%M%S)-compare options=()
while [ $# -gt 0 ]; do
    case $1 in
    --results) out=${2:?--results wants a folder} && shift ;;
    --results=*) out=${1#*=} ;;
    *) options+=("$1") ;;
    esac
    shift
done

case " ${options[*]} " in
*' --data'* | *' quadratic '*) ;;
*)
    if [ -n "${DATA:-}" ]; then
        :
    elif "$home/data_loader/fetch" cifar10 "$home/data"; then
        export DATA=$home/data
    else
        echo "compare.sh: no CIFAR-10: training on generated images (--data DIR names it)" >&2
    fi
    ;;
esac

end='--epochs 1000' # the clock's comes first
case " ${options[*]} " in *' --samples'*) end='' ;; esac
COMMON="--network resnet20 --optimizer adam --schedule constant --warmup 0 $end
    --seconds 60 --eval-every 2000 --eval-samples 2000 --slow 4=4 ${options[*]}"
COMMON=$(tr -s '\n ' ' ' <<<"$COMMON")
export COMMON SEEDS=${SEEDS:-1} TARGETS=${TARGETS:-'20 30 35 40 45'}
export TITLE=${TITLE-'one of four workers four times as slow'}
# the rates of results/2026-11-21_seeds; nbssgd's was tuned for the batches that are kept
"$home/bench/compare" "$out" \
    'nbssgd: --scheme nbssgd --nb-batch keep --batch 128 --minibatches 4 --lr 0.0015' \
    'ssgd: --scheme ssgd --batch 32 --minibatches 1 --lr 0.0015' \
    'asgd: --scheme asgd --batch 32 --minibatches 1 --lr 0.0005'
