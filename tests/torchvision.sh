#!/usr/bin/env bash
# torchvision loads what nbsgd has written, strictly: the weights of a checkpoint and those of
# --save; and computes from them what the evaluation did.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
# shellcheck source=tests/checkpoints.bash
. "$home/tests/checkpoints.bash"
python=${PYTHON:-python3} count=16
"$python" -c 'import torch, torchvision' 2>/dev/null || skip "$python has no torchvision"

is() { [ "$1" = "$2" ] || { echo "$1 is not $2"; return 1; }; }
mkdir images
perl -e 'srand 7; binmode STDOUT;
    for (1 .. 10000) { print chr(int rand 10), pack "C*", map { int rand 256 } 1 .. 3072 }' \
    >images/test_batch.bin
for i in 1 2 3 4 5; do ln images/test_batch.bin "images/data_batch_$i.bin"; done

for network in resnet18 resnet50; do
    train $network 2 --network $network --stem imagenet --data images --no-augment --scheme ssgd \
        --batch 4 --minibatches 1 --samples 8 --train-samples 64 --eval-samples $count \
        --eval-batches 2 --lr 0.0001 --threads 1 --checkpoint-every 4 --save $network.weights
    check "$network" ends 0
    run "$python" "$home/tests/torchvision_peer.py" $network \
        "$(newest $network/checkpoints)/weights.safetensors" $network.weights \
        --images images/test_batch.bin --count $count
    check "$network: torchvision loads both, strictly" ends 0
    read -r loss right <<<"$out"
    ours=$(column $network/eval.csv loss | tail -n 1)
    check "$network: the evaluation's loss, $ours, is torchvision's, $loss" awk -v a="$ours" \
        -v b="$loss" 'BEGIN { d = (a - b) / a; exit !(a > 0 && d < 2e-5 && d > -2e-5) }'
    check "$network: as many right answers" is "$(column $network/eval.csv top1 | tail -n 1 |
        awk -v n=$count '{ printf "%.0f", $1 * n / 100 }')" "$right"
done
finish
