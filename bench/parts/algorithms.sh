# Does each algorithm of a convolution pay? Each is left out in turn, and the step is timed with and
# without it, interleaved: without.csv. Only where it was chosen; the shapes that had chosen it
# choose again.
# shellcheck shell=bash disable=SC2154

# network stem batch threads
algorithm_steps='
resnet50 imagenet 64 2
resnet50 cifar    32 2
resnet20 cifar    64 2
'
algorithms='as_is inner product direct simd winograd'

# with_without NAME: the median, least and greatest of images/s with it / without it, over the
# turns.
with_without() {
    local name=$1 first second
    grep -v " = $name\$" "$tmp/all" >"$tmp/without"
    start ours "${words[@]}" --cache "$tmp/all" || return 1
    start theirs "${words[@]}" --cache "$tmp/without" --without "$name" || return 1
    a_start=1
    for ((a_turn = 1; a_turn <= 2 * turns; a_turn++)); do
        first=ours second=theirs
        if ((a_turn % 2)); then first=theirs second=ours; fi
        ask $first "$turn_s" && ask $second "$turn_s" || return 1
    done
    stop ours
    stop theirs
    awk -F, -v row="$row" "$(<bench/statistics.awk)"'
        $1 == row { sum[$3, $4] += $5; count[$3, $4]++; if ($3 > turns) turns = $3 }
        END {
            for (t = 1; t <= turns; t++) {
                mine = sum[t, "ours"] / count[t, "ours"]
                list[t] = mine / (sum[t, "theirs"] / count[t, "theirs"])
            }
            middle = median(list, turns)
            printf "%.4f,%.4f,%.4f,%d\n", middle, list[1], list[turns], turns
        }' "$out/turns.csv"
}

part_algorithms() {
    # shellcheck disable=SC2034 # ask reads it
    local network stem batch threads dtype name words row a_start a_turn chosen all
    [ "$BACKEND" = onednn ] || {
        echo "algorithms: left out: they are the backend onednn's"
        return
    }
    : >>"$out/turns.csv"
    {
        printf '%s\n' "$head"
        echo -n 'network,stem,batch,threads,dtype,without,chosen_in,choices,'
        echo 'ratio,ratio_min,ratio_max,turns'
    } >"$out/without.csv"
    while read -r network stem batch threads; do
        [ -n "$network" ] || continue
        for dtype in f32 bf16; do
            words=("$build/bench/step" --network "$network" --stem "$stem" --batch "$batch"
                --backend onednn
                --threads "$threads" --dtype "$dtype" --turns)
            rm -f "$tmp/all"
            start ours "${words[@]}" --cache "$tmp/all" || {
                echo "algorithms: $dtype left out"
                continue
            }
            stop ours
            all=$(wc -l <"$tmp/all")
            for name in $algorithms; do
                chosen=$(grep -c " = $name\$" "$tmp/all")
                row="$network $stem $batch $threads $dtype without $name"
                [ "$chosen" = 0 ] || ratio=$(with_without "$name") || {
                    echo "$row: failed" >&2
                    exit 3
                }
                [ "$chosen" != 0 ] || ratio=,,,0
                echo "$row: chosen $chosen of $all, with / without: $ratio"
                echo "$network,$stem,$batch,$threads,$dtype,$name,$chosen,$all,$ratio" \
                    >>"$out/without.csv"
            done
        done
    done <<<"$algorithm_steps"
}
