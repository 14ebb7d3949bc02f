#!/usr/bin/env bash
# --evaluate val: test images are judged once, at the end, by the weights of the last evaluation.
# Evaluations change nothing, so a run that judges test images all the way says what they must be.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

tiny=(--network mlp --hidden 8 --dataset synthetic --synthetic-channels 1 --synthetic-side 8
    --synthetic-classes 3 --train-samples 300 --val-split 0.2 --eval-samples 60 --batch 16
    --minibatches 2 --threads 1 --schedule constant --warmup 0)
sim=(--world sim --workers 3 --sim-minibatch 0.02)
own() { # SCHEME
    case $1 in
    adpsgd) echo --topology path ;;
    anytime) echo --anytime-seconds 0.05 ;;
    localsgd | diloco | dnesterov | asynclocal | easgd | eamsgd) echo --local-steps 2 ;;
    esac
}
same() { # VAL TEST: what that found on test images is this one's last evaluation
    local field
    for field in top1 top5 loss; do
        json_is "$1/summary.json" "\$j->{test_$field}" \
            "$(json "$2/summary.json" "\$j->{$field}")" || return 1
    done
}

mapfile -t schemes < <(scheme_names)
for scheme in "${schemes[@]}"; do
    for evaluate in val test; do
        # shellcheck disable=SC2046
        run "$nbsgd" --scheme "$scheme" "${tiny[@]}" "${sim[@]}" --samples 900 \
            $(own "$scheme") --evaluate $evaluate --results "$scheme-$evaluate"
    done
    check "$scheme ends" ends 0
    check "$scheme: test images once, at the end" same "$scheme-val" "$scheme-test"
done
check 'the two are of different images' [ "$(json ssgd-val/summary.json '$j->{loss}')" != \
    "$(json ssgd-test/summary.json '$j->{loss}')" ]
check 'a run that judges test images has them, too' same ssgd-test ssgd-test
run "$nbsgd" --scheme ssgd "${tiny[@]}" "${sim[@]}" --samples 300 --evaluate val --results said
check 'it is said' ends 0 'test images, which nothing was decided by: top-1'

# Batch norm's statistics are those of the last evaluation, several servers have slices, the mean is
# judged where there is no server's model, and --ema's weights where there are.
for what in '--scheme ssgd --network resnet20' '--scheme ssgd --servers 2' \
    '--scheme dpsgd --topology ring' '--scheme ssgd --ema 0.9' '--scheme ssgd --eval-seconds 0.1' \
    '--scheme ssgd --target 35' '--scheme nbssgd --slow 2=3 --per-class'; do
    for evaluate in val test; do
        options=("${tiny[@]}")
        case $what in
        *resnet20*) options=("${tiny[@]:4}" --train-samples 60 --norm-samples 30) ;;
        esac
        # shellcheck disable=SC2086
        run "$nbsgd" "${options[@]}" "${sim[@]}" --samples 400 --evaluate $evaluate $what \
            --results "x-$evaluate" --overwrite
    done
    check "$what ends" ends 0
    case $what in
    *target*) check 'a target ends it with both' json_holds x-val/summary.json \
        'defined $j->{test_top1} && $j->{test_top1} > 0' ;;
    *) check "$what" same x-val x-test ;;
    esac
done

# Over MPI: the same weights, in synchronous schemes.
for scheme in ssgd dpsgd allreduce; do
    for evaluate in val test; do
        run "$mpirun" -n 4 "$nbsgd" --scheme $scheme "${tiny[@]}" --backend ref --samples 900 \
            --evaluate $evaluate --results "mpi-$scheme-$evaluate"
    done
    check "$scheme over MPI" ends 0
    check "$scheme over MPI: test images once" same "mpi-$scheme-val" "mpi-$scheme-test"
done
run "$nbsgd" --scheme serial "${tiny[@]}" --workers 3 --samples 300 --evaluate val --results alone
check 'alone' json_holds alone/summary.json 'defined $j->{test_top1}'

# Going on from a checkpoint it comes to the same.
for world in sim mpi; do
    start=() options=("${sim[@]}")
    if [ $world = mpi ]; then start=("$mpirun" -n 4) options=(--backend ref); fi
    for scheme in ssgd dpsgd; do
        name=$world-$scheme
        common=(--scheme "$scheme" "${tiny[@]}" "${options[@]}" --evaluate val --samples 900)
        run "${start[@]}" "$nbsgd" "${common[@]}" --checkpoint-every 200 --checkpoint-keep 0 \
            --results "kept-$name"
        check "$name is kept" ends 0
        from=$(find "kept-$name/checkpoints" -maxdepth 1 -name 'samples-*' | sort | sed -n 2p)
        run "${start[@]}" "$nbsgd" "${common[@]}" --resume "$from" --results "on-$name"
        check "$name goes on" ends 0
        check "$name: to the same test images" json_is "on-$name/summary.json" \
            '$j->{test_loss}' "$(json "kept-$name/summary.json" '$j->{test_loss}')"
    done
done

# A run that was asked to stop is not over: no test image is looked at.
"$nbsgd" --scheme ssgd "${tiny[@]}" "${sim[@]}" --samples 100000000 --evaluate val \
    --results stopped >log 2>&1 </dev/null &
pid=$!
for _ in {1..1200}; do grep -q '^[0-9]' stopped/eval.csv 2>/dev/null && break; sleep 0.05; done
kill -TERM $pid
wait $pid
code=$? out=$(<log)
check 'it is stopped' ends 6
check 'and has judged no test image' json_holds stopped/summary.json '!defined $j->{test_top1}'
run "$nbsgd" --scheme ssgd "${tiny[@]}" "${sim[@]}" --samples 300 --lr 1e30 --evaluate val \
    --results nan
check 'a run that diverged' json_holds nan/summary.json '$j->{status} eq "nan"'
finish
