#!/usr/bin/env bash
# A simulated run that is killed and goes on from a checkpoint has the weights, the rows and the
# closing files of one that never ended, bit for bit; one that checkpoints has those of one that
# does not. What would take another course is refused, and nothing is overwritten. Where it is
# killed chance decides; tests/test_resume.c walks over schemes, rules and codecs.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

# shellcheck disable=SC2054 # lists of thresholds
toy=(--world sim --network quadratic --workers 4 --batch 16 --minibatches 2 --eval-every 400
    --delay exponential:0.05 --thresholds 1,5 --threads 1)
# shellcheck disable=SC2054
tiny=(--world sim --network lenet5 --dataset synthetic --train-samples 120 --workers 2 --batch 8
    --minibatches 2 --eval-samples 20 --eval-batches 1 --eval-every 40 --backend ref --threads 1
    --delay exponential:0.05 --thresholds 5,12)

rows_of() { # FOLDER: all rows, and the closing files, but for what wall clock decides
    grep -hv '^#' "$1/eval.csv" "$1/worker_losses.csv"
    cat "$1/events.jsonl"
    grep -v '^#' "$1/histograms.csv"
    awk -F, '/^#/ { next }
        !head { head = 1; for (i = 1; i <= NF; i++) name[i] = $i }
        { for (i = 1; i <= NF; i++) if (name[i] != "loader_s") printf "%s,", $i; print "" }' \
        "$1/ranks.csv"
    grep -vE '"(loader|wall|commit|date|host|run)' "$1/summary.json"
}
same_results() { diff <(rows_of "$1") <(rows_of "$2"); }
newest() { find "$1/checkpoints" -maxdepth 1 -name 'samples-*' | sort | tail -n 1; }
remove_newest() { rm -rf "$(newest "$1")"; }

# The whole run; the same with checkpoints; killed when it has some, twice; then to its end.
goes_on() { # NAME OPTION ...
    local name=$1 turn child whole=() kept=() cut=()
    shift
    if [ "$name" = images ]; then
        whole=(--save whole.w) kept=(--save kept.w) cut=(--save cut.w)
    fi
    run "$nbsgd" "$@" "${whole[@]}" --results "$name-whole"
    check "$name" ends 0
    run "$nbsgd" "$@" "${kept[@]}" --results "$name-kept" --checkpoint-every 100
    check "$name with checkpoints" ends 0
    check "$name: checkpoints change no row" same_results "$name-whole" "$name-kept"
    for turn in 1 2; do
        "$nbsgd" "$@" "${cut[@]}" --results "$name-cut" --checkpoint-every 100 \
            --checkpoint-keep 0 --resume auto >"$name.$turn" 2>&1 &
        child=$!
        for _ in $(seq 500); do
            [ -d "$name-cut/checkpoints" ] &&
                [ "$(find "$name-cut/checkpoints" -name 'samples-*' | wc -l)" -ge $((2 * turn)) ] &&
                break
            sleep 0.01
        done
        kill -9 "$child" 2>/dev/null
        wait "$child" 2>/dev/null
        remove_newest "$name-cut" # so that it goes on from the middle, also where it had ended
    done
    run "$nbsgd" "$@" "${cut[@]}" --results "$name-cut" --checkpoint-every 100 --resume auto
    check "$name goes on" ends 0 'goes on from'
    check "$name: the rows of a run that never ended" same_results "$name-whole" "$name-cut"
}
goes_on asgd "${toy[@]}" --scheme asgd --samples 8000 --optimizer adam --servers 2
goes_on allreduce "${toy[@]}" --scheme allreduce --samples 8000 --compress topk
goes_on nbssgd "${toy[@]}" --scheme nbssgd --samples 8000 --nb-inflight carry
goes_on images "${tiny[@]}" --scheme dcasgd --samples 400

weights() { tail -c +$((9 + $(od -An -t u8 -N 8 "$1"))) "$1"; } # without the head, which has a note
check 'the weights of a run that never ended' cmp <(weights whole.w) <(weights cut.w)
check 'checkpoints change no weight' cmp <(weights whole.w) <(weights kept.w)

# It may go further than it was told to; and must not take another course.
run "$nbsgd" "${toy[@]}" --scheme asgd --samples 8000 --optimizer adam --servers 2 \
    --results asgd-cut --resume auto --delay exponential:0.06
check 'another delay' ends 2 'another configuration: --delay exponential:0.06 \(there'
run "$nbsgd" "${toy[@]}" --scheme asgd --samples 9000 --optimizer adam --servers 2 \
    --results asgd-cut --resume auto --stop-within 30
check 'more samples' ends 0 'goes on from'
check 'more samples: eval.csv has them' grep -q ',9008,\|,9[0-9]*,' asgd-cut/eval.csv
if command -v "$mpirun" >/dev/null; then
    run "$mpirun" -n 5 "$nbsgd" --network quadratic --batch 16 --minibatches 2 --scheme asgd \
        --samples 8000 --results elsewhere --resume asgd-cut
    check 'of the other world' ends 2 'it is of --world sim'
fi

echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
