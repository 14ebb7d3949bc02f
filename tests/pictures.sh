#!/usr/bin/env bash
# ResNet-50 at 224 pixels: the loss to four digits and the accuracies of torchvision, with its own
# reader and transforms on the same JPEG files, from weights by --init. The pictures are those in
# $DATA/imagenet-samples/train, or in $PICTURES (DIR/CLASS/): one of each of 97 classes.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
limit=800
python=${PYTHON:-python3}
pictures=${PICTURES:-${cifar:-none}/imagenet-samples/train}
[ "$sanitized" = 0 ] || skip 'a sanitizer takes too long'
"$python" -c 'import torch, torchvision' 2>/dev/null || skip "$python has no torchvision"
[ -d "$pictures" ] || skip "no pictures in $pictures (PICTURES=DIR)"
if "$nbsgd" --version | grep -q 'without libjpeg'; then skip 'built without libjpeg-turbo'; fi

run "$python" "$home/tests/pictures_peer.py" "$pictures" weights.safetensors
check 'torchvision judges them' ends 0
read -r loss right near count <<<"$out"
mkdir data
ln -s "$(realpath "$pictures")" data/train
ln -s train data/val
judge() { # OPTION ...
    rm -rf r
    run "$nbsgd" --scheme serial --workers 1 --network resnet50 --stem imagenet --data data \
        --batch 4 --minibatches 1 --updates 1 --target 0.01 --results r "$@"
}
is() { # COLUMN HITS: of the first row, in percent
    awk -v is="$(column r/eval.csv "$1" | head -n 1)" -v hits="$2" -v count="$count" \
        'BEGIN { d = is - 100 * hits / count; exit !(d < 1e-3 && d > -1e-3) }'
}
judge --init weights.safetensors --norm-samples 0 --lr 0
check 'so do we' ends 0
ours=$(column r/eval.csv loss | head -n 1)
echo "loss $ours, torchvision $loss; of $count pictures $right right, $near among the first five"
check "the loss $ours is $loss to four digits" awk -v a="$ours" -v b="$loss" \
    'BEGIN { d = (a - b) / b; exit !(b > 0 && d < 5e-5 && d > -5e-5) }'
check "$right are right" is top1 "$right"
check "$near are among the first five" is top5 "$near"
check 'which is neither none nor all' [ $((right * (count - near))) -gt 0 ]
finish
