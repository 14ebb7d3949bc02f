# Four workers and a server on this host beside one process with as many threads as they have cores:
# images/s of the training clock, nobody slowed down, batches as they come (8 mini-batches of 32):
# how much nbssgd aborts hangs on how many there are. workers.csv: every run, and what its workers
# did with their time.
# shellcheck shell=bash disable=SC2154

# train NAME TURN COMMAND...: one run; its row of workers.csv. Shares are of the workers' time;
# computing is with what was aborted.
train() {
    local name=$1 a_turn=$2 folder=$tmp/workers
    shift 2
    rm -rf "$folder"
    if ! timeout 600 "$@" --network resnet50 --stem imagenet --batch 256 --minibatches 8 \
        --dtype f32 --samples 8192 \
        --lr 0.01 --backend "$BACKEND" --kernel-cache "$kernels" --eval-samples 32 \
        --eval-batches 1 --eval-every 1000000000 \
        --results "$folder" >"$tmp/workers.log" 2>&1; then
        echo "workers: $name: FAILED: $(grep -v '^$' "$tmp/workers.log" | tail -n 1)"
        return 1
    fi
    local seconds images
    seconds=$(jq .seconds "$folder/summary.json")
    images=$(jq .images_per_s "$folder/summary.json")
    awk -F, -v turn="$a_turn" -v name="$name" -v seconds="$seconds" -v images="$images" '
    /^#/ { next }
    !named { named = 1; for (i = 1; i <= NF; i++) at[$i] = i; next }
    $at["role"] == "server" { update += $at["update_s"]; next }
    {
        workers++; compute += $at["compute_s"]; aborted += $at["aborted_s"]; wait += $at["wait_s"]
        transfer += $at["transfer_s"]; loader += $at["loader_s"]
    }
    END {
        all = workers * seconds / 100
        printf "%s,%s,%s,%s,%.2f,%.2f,%.2f,%.2f,%.2f,%.2f\n", turn, name, images, seconds,
            compute / all, aborted / all, wait / all,
            transfer / all, loader / all, 100 * update / seconds
    }' "$folder/ranks.csv" >>"$out/workers.csv"
}

# middle NAME COLUMN [PER]: the median over the turns; of the quotient with PER's figure of the same
# turn.
middle() {
    awk -F, -v name="$1" -v column="$2" -v per="${3:-}" "$(<bench/statistics.awk)"'
    /^#/ { next }
    $2 == name { mine[$1] = $column }
    per != "" && $2 == per { theirs[$1] = $column }
    END {
        for (turn in mine) list[++n] = per == "" ? mine[turn] : mine[turn] / theirs[turn]
        print median(list, n)
    }' "$out/workers.csv"
}

# nbssgd aborts the mini-batches that a signal meets half done; carried on instead, nothing is
# computed in vain.
part_workers() {
    local workers=4 threads a_turn name one words
    threads=$(($(nproc) < workers ? $(nproc) : workers))
    {
        printf '%s\n' "$head"
        echo -n 'turn,name,images_per_s,seconds,computing_percent,aborted_percent,'
        echo 'waiting_percent,transfer_percent,loader_percent,update_percent'
    } >"$out/workers.csv"
    for ((a_turn = 1; a_turn <= turns; a_turn++)); do
        train serial "$a_turn" "$build/nbsgd" --scheme serial --threads "$threads" || return
        for name in ssgd asgd nbssgd nbssgd-carry; do
            words=(--scheme "${name%-carry}")
            if [ $name = nbssgd-carry ]; then words+=(--nb-inflight carry); fi
            train $name "$a_turn" "$mpirun" -n $((workers + 1)) "$build/nbsgd" "${words[@]}" \
                --threads 1 || return
        done
    done
    one=$(middle serial 3)
    for name in ssgd asgd nbssgd nbssgd-carry; do
        limit "workers: $name, 4 workers" "$(calc %.1f "$one * $(middle $name 3 serial)")" \
            images/s "$one" "one process, $threads threads" "v>=0.9*$one"
        printf '  of their time: computing %s %% (aborted %s), waiting %s, transfer %s, loader %s' \
            "$(middle $name 5)" "$(middle $name 6)" "$(middle $name 7)" "$(middle $name 8)" \
            "$(middle $name 9)"
        printf '; the server updates %s %% of the time\n' "$(middle $name 10)"
    done
}
