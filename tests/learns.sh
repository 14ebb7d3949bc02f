#!/usr/bin/env bash
# Real learning, over MPI: ResNet-20 on 5,000 real images with five ranks, whatever backend is the
# fastest, some 15 s of two cores per scheme.
#
# Chance is 10 %. Measured over five seeds at 12,000 to 16,000 samples: ssgd 42.6 to 46.9 %, nbssgd
# 40.1 to 45.8 %. On the generated images, which are learned faster, after 8,000 samples: ssgd 66 to
# 74 %, nbssgd 73 to 85 %.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
limit=600
[ "$sanitized" = 0 ] || skip 'a sanitizer has no time to learn; tests/schemes.sh runs the same code'

learns() { # SCHEME LEAST SAMPLES OPTION ...
    local scheme=$1 least=$2 samples=$3
    shift 3
    run "$mpirun" -n 5 "$nbsgd" --scheme "$scheme" --network resnet20 --train-samples 5000 \
        --no-augment --lr 0.05 --eval-samples 1000 --eval-every 4000 \
        --eval-batches 64 --threads 1 --samples "$samples" --results "$scheme" "$@"
    check "$scheme trains" ends 0
    check "$scheme reaches $least % on unseen images" json_holds "$scheme/summary.json" \
        "\$j->{top1} >= $least"
    check "$scheme: the loss falls" \
        awk -F, 'NR == 1 { first = $5 } { last = $5 } END { exit !(last < 0.8 * first) }' \
        <(rows "$scheme/eval.csv")
    grep '^top-1' <<<"$out"
}

if [ -n "$cifar" ]; then
    learns ssgd 33 12000 --data "$cifar" --batch 32 --minibatches 2
    learns nbssgd 33 12000 --data "$cifar" --batch 64 --minibatches 4
else
    passes_over 'no real CIFAR-10 (DATA): generated images instead'
    learns ssgd 50 8000 --dataset synthetic --batch 32 --minibatches 2
    learns nbssgd 50 8000 --dataset synthetic --batch 64 --minibatches 4
fi

finish
