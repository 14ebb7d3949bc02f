# What checkpoints cost: 2 workers and a server train ResNet-50, in interleaved pairs of runs with
# and without checkpoints. Not in the default list: PARTS=checkpoint. One every five seconds, for
# twelve times the effect; a cut costs what it costs, so at one a minute the share is a twelfth.
# shellcheck shell=bash disable=SC2154

checkpoint_every_s=5

# checkpoint_run NAME OPTION ...: prints images/s of the training clock
checkpoint_run() {
    local name=$1
    shift
    timeout 300 "$mpirun" -n 3 "$build/nbsgd" --scheme ssgd --network resnet50 --stem imagenet \
        --dataset synthetic --batch 32 --minibatches 1 --backend "$BACKEND" --threads 1 \
        --kernel-cache "$kernels" --samples 1000000000 --seconds "${CHECKPOINT_RUN_S:-45}" \
        --eval-samples 32 --eval-batches 1 --eval-every 1000000000 --results "$tmp/$name" "$@" \
        >"$tmp/$name.log" 2>&1 || return 1
    perl -MJSON::PP -0777 -e 'open my $f, "<", shift or die; my $j = decode_json(<$f>);
        print $j->{images_per_s}, "\n"' "$tmp/$name/summary.json"
    rm -rf "${tmp:?}/$name"
}

part_checkpoint() {
    local i with without
    echo 'pair,with_images_per_s,without_images_per_s' >"$out/checkpoint.csv"
    for ((i = 1; i <= turns; i++)); do
        if ((i % 2)); then
            with=$(checkpoint_run with --checkpoint-every "${checkpoint_every_s}s") &&
                without=$(checkpoint_run without)
        else
            without=$(checkpoint_run without) &&
                with=$(checkpoint_run with --checkpoint-every "${checkpoint_every_s}s")
        fi || {
            echo "checkpoint: FAILED: $(tail -qn 1 "$tmp"/with*.log | paste -sd';')"
            return
        }
        echo "$i,$with,$without" >>"$out/checkpoint.csv"
    done
    limit 'checkpoints, one a minute: share of images/s' "$(awk -F, -v per="$checkpoint_every_s" \
        "$(<bench/statistics.awk)"'NR > 1 { list[++count] = 100 * (1 - $2 / $3) * per / 60 }
            END { printf "%.4f", median(list, count) }' "$out/checkpoint.csv")" percent - - 'v<1'
}
