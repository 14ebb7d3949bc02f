#!/usr/bin/env bash
# --sim-gradients no: what is simulated takes what it takes with gradients, to the bit, without any
# arithmetic or data.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

small=(--world sim --workers 4 --sim-minibatch 0.02 --batch 16 --minibatches 2 --eval-every 400
    --eval-samples 20 --lr 0.01 --threads 1 --samples 800)
lenet=(--network lenet5 --dataset synthetic --synthetic-channels 1 --synthetic-side 16
    --train-samples 400)
numbers='join " ", map { "$_ $j->{$_}" } qw(updates samples seconds images_per_s wait_share
    transfer_share aborted_share staleness_mean minibatches_per_update)'

same() { # NAME OPTIONS ...: the times of both runs
    local name=$1
    shift
    run "$nbsgd" "${small[@]}" "$@" --results "$name-with"
    check "$name: with gradients" ends 0
    run "$nbsgd" "${small[@]}" "$@" --sim-gradients=no --results "$name-without"
    check "$name: without" ends 0 'data: none: no gradient is computed'
    check "$name: the same times" [ "$(json "$name-with/summary.json" "$numbers")" = \
        "$(json "$name-without/summary.json" "$numbers")" ]
    check "$name: the same updates" same_rows "$name-with/histograms.csv" \
        "$name-without/histograms.csv"
}
for scheme in ssgd nbssgd asgd localsgd allreduce adpsgd; do
    topology=()
    [ $scheme != adpsgd ] || topology=(--topology path)
    same $scheme "${lenet[@]}" --scheme $scheme --slow 4=2.5 --delay pareto:0.002,1.9 \
        "${topology[@]}"
done
# Norms, skips, parts of a gradient that leave while the rest is computed.
same resnet20 --network resnet20 --dataset synthetic --train-samples 400 --sim-bandwidth 1e7 \
    --scheme asgd --servers 2 --samples 160

run "$nbsgd" "${small[@]}" --network resnet50 --dataset cifar10 --data nowhere --sim-gradients=no \
    --scheme ssgd --samples 32 --results large
check 'a large network needs neither data nor its arithmetic' ends 0
check 'and has its size' grep -q '^# parameters: 23520842$' large/eval.csv
check 'what it says is no result' json_is large/summary.json '$j->{top1}' 0
run "$nbsgd" "${small[@]}" "${lenet[@]}" --sim-gradients=no --save w.safetensors --results saved
check 'there are no weights to save' ends 2 '--sim-gradients no there are no weights'
run "$nbsgd" "${small[@]}" --network quadratic --sim-gradients=no --results toy
check 'the toy has no arithmetic worth leaving out' ends 2 \
    '--sim-gradients has an effect only with a --network for images'
finish
