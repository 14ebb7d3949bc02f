#!/usr/bin/env bash
# --norm-samples 0: a file's weights are judged by the file's own statistics of batch norms, to the
# bit as when they were saved, by one rank or several; what it cannot do is refused.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

tiny=(--network resnet20 --dataset synthetic --synthetic-side 8 --train-samples 100
    --eval-samples 50 --batch 8 --minibatches 1 --threads 1 --backend ref --eval-every 1000
    --scheme serial --workers 1)
same() { [ "$1" = "$2" ] || { echo "$1 is not $2"; return 1; }; }
first() { column "$1/eval.csv" loss | sed -n 1p; }

run "$nbsgd" "${tiny[@]}" --samples 64 --save saved --results train
check 'it trains' ends 0
saved=$(column train/eval.csv loss | tail -n 1)
given=("${tiny[@]}" --init saved --norm-samples 0 --lr 0 --updates 1)
run "$nbsgd" "${given[@]}" --results given
check 'its weights are judged' ends 0
check 'by its statistics' same "$(first given)" "$saved"
check 'which stay' same "$(column given/eval.csv loss | tail -n 1)" "$saved"
run "$mpirun" -n 3 "$nbsgd" "${given[@]:0:${#tiny[@]}-4}" "${given[@]:${#tiny[@]}}" --scheme ssgd \
    --results ranks
check 'by several ranks' ends 0
check 'by the same' same "$(first ranks)" "$saved"
run "$nbsgd" "${given[@]}" --norm-samples 32 --results measured
check 'others are measured' eval 'ends 0 && ! same "$(first measured)" "$saved" >/dev/null'
run "$nbsgd" "${given[@]}" --lr 0.1 --results trains
check 'nothing is trained with them' ends 2 'name it \(--init FILE --lr 0\)'
run "$nbsgd" "${tiny[@]}" --norm group --samples 64 --save group --results groups
run "$nbsgd" "${given[@]}" --init group --results none
check 'a file without statistics' ends 2 'group has no statistics of norms .*take 1'
finish
