# Four workers and a server on this host: images/s of the training clock, nobody slowed down.
# ResNet-50, ImageNet stem, 1 or 8 mini-batches of 32 a batch, a thread a rank. workers.csv has
# every run, and what its workers did with their time. Interleaved with:
#
#   serial         one process with as many threads as the workers have cores
#   alone          four processes that train by themselves, a thread each, at the same time: the
#                  workers' load on the machine without any exchange
#   ddp            PyTorch's DistributedDataParallel over gloo, four processes, the same step
#   ddp-alone      those four, exchanging nothing
#
# Lost to exchange is 1 - X / alone, of DistributedDataParallel 1 - ddp / ddp-alone, within a turn.
# How much nbssgd aborts hangs on how many mini-batches there are; carried on instead, nothing is
# computed in vain.
# shellcheck shell=bash disable=SC2154

# dtype, mini-batches of a batch | images of a run | from which BENCH
workers_rows='
f32  8 | 8192 | default
bf16 8 | 8192 | full
f32  1 | 4096 | full
bf16 1 | 4096 | full
'
workers=4

# Sets `words`: a run's, after its program.
words_of_run() { # FOLDER IMAGES
    words=(--network resnet50 --stem imagenet --batch $((32 * minibatches))
        --minibatches "$minibatches" --dtype "$dtype" --samples "$2" --lr 0.01
        --backend "$BACKEND" --kernel-cache "$kernels" --eval-samples 32 --eval-batches 1
        --eval-every 1000000000 --results "$1")
}

failed() { # LOG
    echo "$row: FAILED: $(last_words "$1")"
    return 1
}

# train_one NAME COMMAND...: one run; its row of workers.csv. Shares are of the workers' time;
# computing is with what was aborted.
train_one() {
    local name=$1 folder=$tmp/workers words
    shift
    rm -rf "$folder"
    words_of_run "$folder" "$images"
    timeout 600 "$@" "${words[@]}" >"$folder.log" 2>&1 || failed "$folder.log" || return
    awk -F, -v begin="$key,$a_turn,$name" -v seconds="$(jq .seconds "$folder/summary.json")" \
        -v images="$(jq .images_per_s "$folder/summary.json")" '
    /^#/ { next }
    !named { named = 1; for (i = 1; i <= NF; i++) at[$i] = i; next }
    $at["role"] == "server" { update += $at["update_s"]; next }
    {
        workers++; compute += $at["compute_s"]; aborted += $at["aborted_s"]; wait += $at["wait_s"]
        transfer += $at["transfer_s"]; loader += $at["loader_s"]
    }
    END {
        all = workers * seconds / 100
        printf "%s,%s,%s,%.2f,%.2f,%.2f,%.2f,%.2f,%.2f\n", begin, images, seconds,
            compute / all, aborted / all, wait / all,
            transfer / all, loader / all, 100 * update / seconds
    }' "$folder/ranks.csv" >>"$out/workers.csv"
}

# Four at once, each with its part of the images; the sum of what they do.
train_alone() {
    local i sum words code=0
    rm -rf "$tmp"/alone*
    for ((i = 0; i < workers; i++)); do
        words_of_run "$tmp/alone$i" $((images / workers))
        # pinned, each would take the first core
        timeout 600 "$build/nbsgd" --scheme serial --threads 1 --no-pin "${words[@]}" \
            >"$tmp/alone$i.log" 2>&1 &
        pid[alone$i]=$!
    done
    for ((i = 0; i < workers; i++)); do
        wait "${pid[alone$i]}" || failed "$tmp/alone$i.log" || code=1
        unset "pid[alone$i]"
    done
    sum=$(jq -s 'map(.images_per_s) | add' "$tmp"/alone*/summary.json)
    echo "$key,$a_turn,alone,$sum,,,,,,," >>"$out/workers.csv"
    return $code
}

peer() { # NAME: a turn of PyTorch, where that is there
    local answer
    [ -n "${from[$1]:-}" ] || return 0
    hear "$1" "$(calc %.1f "4 * $turn_s")" || {
        echo "$row: $1 ended: $(last_words "$tmp/$1.err")"
        return 1
    }
    echo "$key,$a_turn,$1,${answer%% *},,,,,,," >>"$out/workers.csv"
}

start_peers() {
    local name words
    if [ "$torch" = none ]; then return; fi
    for name in ddp ddp-alone; do
        words=(--ranks "$workers" --minibatches "$minibatches" --dtype "$dtype" --turns)
        if [ $name = ddp-alone ]; then words+=(--alone); fi
        start $name "$python" bench/pytorch_ddp.py "${words[@]}" ||
            echo "$row: without $name: $(last_words "$tmp/$name.err")"
    done
}

stop_peers() {
    local name
    for name in ddp ddp-alone; do
        if [ -n "${from[$name]:-}" ]; then stop $name; fi
    done
}

# middle NAME COLUMN [PER]: the median over the turns; of the quotient with PER's figure of the same
# turn. Nothing where one of them isn't there.
middle() {
    awk -F, -v key="$key" -v name="$1" -v column="$2" -v per="${3:-}" \
        "$(<bench/statistics.awk)"'
    /^#/ || $1 "," $2 != key { next }
    $4 == name { mine[$3] = $column }
    per != "" && $4 == per { theirs[$3] = $column }
    END {
        for (turn in mine)
            if (per == "" || turn in theirs)
                list[++n] = per == "" ? mine[turn] : mine[turn] / theirs[turn]
        print median(list, n)
    }' "$out/workers.csv"
}

# lost NAME WITHOUT: percent of the images/s that the exchange takes
lost() { calc %.1f "100 * (1 - $(middle "$1" 5 "$2"))"; }

report_scheme() { # NAME
    local name=$1 one least=- against
    one=$(middle serial 5)
    if [ "$minibatches" = 8 ] && [ "$name" != allreduce ]; then least="v>=0.9*$one"; fi
    limit "$row: $name" "$(calc %.1f "$one * $(middle "$name" 5 serial)")" \
        images/s "$one" "one process, $threads threads" "$least"
    against=$(middle "$name" 5 ddp)
    if [ -n "$against" ]; then
        limit "$row: $name / DistributedDataParallel" "$against" x - - -
    fi
    printf '  lost to exchange %s %%; of their time: computing %s %% (aborted %s), waiting %s,' \
        "$(lost "$name" alone)" "$(middle "$name" 7)" "$(middle "$name" 8)" "$(middle "$name" 9)"
    printf ' transfer %s, loader %s; the server updates %s %% of the time\n' \
        "$(middle "$name" 10)" "$(middle "$name" 11)" "$(middle "$name" 12)"
}

race_workers() {
    local a_turn name words key=$dtype,$minibatches row="workers $dtype $minibatches"
    local turns=$(((turns + 1) / 2))
    start_peers
    for ((a_turn = 1; a_turn <= turns; a_turn++)); do
        train_one serial "$build/nbsgd" --scheme serial --threads "$threads" || break
        peer ddp || break
        train_alone || break
        peer ddp-alone || break
        for name in $schemes; do
            words=(--scheme "${name%-carry}" --threads 1)
            if [ "$name" = nbssgd-carry ]; then words+=(--nb-inflight carry); fi
            train_one "$name" "$mpirun" -n $((workers + 1)) "$build/nbsgd" "${words[@]}" || break 2
        done
    done
    stop_peers
    if [ "$a_turn" -le "$turns" ]; then return; fi
    for name in $schemes; do report_scheme "$name"; done
    if [ -n "$(middle ddp 5 ddp-alone)" ]; then
        limit "$row: DistributedDataParallel, $workers ranks" "$(middle ddp 5)" images/s \
            "$(middle ddp-alone 5)" 'without exchange' -
        printf '  lost to exchange %s %%\n' "$(lost ddp ddp-alone)"
    fi
}

part_workers() {
    local threads dtype minibatches images level_of
    local schemes='ssgd allreduce asgd nbssgd nbssgd-carry'
    threads=$(($(nproc) < workers ? $(nproc) : workers))
    {
        printf '%s\n' "$head"
        echo -n 'dtype,minibatches,turn,name,images_per_s,seconds,computing_percent,'
        echo -n 'aborted_percent,waiting_percent,transfer_percent,loader_percent,'
        echo 'update_percent'
    } >"$out/workers.csv"
    while read -r dtype minibatches _ images _ level_of; do
        [ -n "$dtype" ] || continue
        images=${IMAGES:-$images}
        if [ -n "${ROWS+x}" ]; then
            [[ "$dtype $minibatches" =~ $ROWS ]] || continue
        elif [ "$level_of" = full ] && [ "$rank" -lt 3 ]; then
            continue
        fi
        race_workers <&3
    done 3<&0 <<<"$workers_rows"
}
