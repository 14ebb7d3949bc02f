#!/usr/bin/env bash
# Several servers and codecs, over real ranks; and what nbssgd is for: nobody waits for
# the slowest.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

holds() { # A relation of numbers in awk's words
    awk "BEGIN { exit !($1) }" || { echo "not true: $1"; return 1; }
}
value() { json "$1/summary.json" "\$j->{$2}"; }
of_role() { # FOLDER ROLE COLUMN: the values of its ranks
    paste -d' ' <(column "$1/ranks.csv" role) <(column "$1/ranks.csv" "$3") |
        awk -v role="$2" '$1 == role { print $2 }'
}

# --- slices: on a problem without rounding across floats the servers' number changes nothing but
# who sends what
toy=(--network quadratic --batch 64 --minibatches 2 --samples 30000 --eval-every 5000)
real() { # NAME RANKS OPTION ...
    local name=$1 ranks=$2
    shift 2
    run "$mpirun" -n "$ranks" "$nbsgd" "${toy[@]}" "$@" --results "$name"
    check "$name" ends 0
}
real one 4 --scheme ssgd
check 'one server learns' json_holds one/summary.json '$j->{top1} > 95'
for servers in 2 3 5; do
    real "ssgd-$servers" $((servers + 3)) --scheme ssgd --servers $servers
    check "ssgd, $servers servers: the rows of one server" same_rows one/eval.csv \
        ssgd-$servers/eval.csv 2-8
    check "ssgd, $servers servers: in the counters" [ \
        "$(of_role ssgd-$servers server rank | wc -l) $(of_role ssgd-$servers worker rank |
        wc -l)" = "$servers 3" ]
    check "ssgd, $servers servers: each receives its slice" holds \
        "$(of_role ssgd-$servers server received_bytes | sort -n |
        tail -n 1) < 1.4 / $servers * $(of_role one server received_bytes)"
done
NBSGD_HOSTS=3 real hosts 5 --scheme ssgd --servers 2 --progress thread
check 'ssgd, 2 servers on 3 hosts: the rows of one server' same_rows one/eval.csv hosts/eval.csv 2-8
for mode in 'locked direct' 'locked relay' 'racing direct' 'racing relay'; do
    read -r server signal <<<"$mode"
    real "nbssgd-$server-$signal" 5 --scheme nbssgd --servers 2 --nb-server "$server" \
        --nb-signal "$signal" --slow 4=3
    check "nbssgd, 2 servers, $mode: it learns" json_holds "nbssgd-$server-$signal/summary.json" \
        '$j->{best_top1} > 90'
done

# rank 0 chooses for both servers whose gradients an update takes
for scheme in backup rennala; do
    real $scheme 6 --scheme $scheme --servers 2 --delay exponential:0.002
    check "$scheme, 2 servers: it learns" json_holds $scheme/summary.json '$j->{best_top1} > 90'
    check "$scheme, 2 servers: what is late is dropped, at both" [ \
        "$(of_role $scheme server dropped_samples | grep -cv '^0$')" = 2 ]
done

# --- 16 bits per float: half the bytes, and it still learns
real bf16 4 --scheme ssgd --compress bf16
check 'bf16: half the bytes' holds "($(of_role bf16 worker sent_bytes |
    sum) / $(of_role one worker sent_bytes | sum) - 0.5) ^ 2 < 0.05 ^ 2"
check 'bf16: it learns' json_holds bf16/summary.json '$j->{top1} > 95'
check 'bf16: not the very same' eval '! same_rows one/eval.csv bf16/eval.csv 2-8 >/dev/null'
real bf16-nbssgd 5 --scheme nbssgd --servers 2 --compress bf16
check 'bf16, nbssgd, 2 servers: it learns' json_holds bf16-nbssgd/summary.json \
    '$j->{best_top1} > 90'

# --- one worker of four is slow: on the simulated network time is exact
slow() { # NAME OPTION ...
    local name=$1
    shift
    run "$nbsgd" --world sim --network quadratic --workers 4 --batch 64 --minibatches 4 \
        --samples 20000 "$@" --results "$name"
    check "$name" ends 0
}
slow slow-ssgd --scheme ssgd --slow 4=8
slow slow-nbssgd --scheme nbssgd --slow 4=8
check 'ssgd waits for the slow one' json_holds slow-ssgd/summary.json '$j->{wait_share} > 0.6'
check 'nbssgd does not' json_holds slow-nbssgd/summary.json '$j->{wait_share} < 0.1'
check 'so it uses more samples per second' holds \
    "$(value slow-nbssgd images_per_s) > 4 * $(value slow-ssgd images_per_s)"
slow stall-ssgd --scheme ssgd --delay constant:5@4
slow stall-nbssgd --scheme nbssgd --delay constant:5@4
check 'a delay is waited for in ssgd' holds \
    "$(value stall-ssgd seconds) / $(value stall-ssgd updates) > 20"
check 'a signal interrupts it in nbssgd' holds \
    "$(value stall-nbssgd seconds) / $(value stall-nbssgd updates) < 0.5"

# Who is starved is said once; a slow worker that gives its part is not.
starved() { # NAME: by its own events, summary and stderr, and how often
    grep -c '"event": "starved"' "$1/events.jsonl"
    json "$1/summary.json" '$j->{starved} ? "yes" : "no"'
}
run "$nbsgd" --world sim --network quadratic --workers 4 --batch 64 --minibatches 4 \
    --samples 20000 --scheme nbssgd --nb-batch keep --slow 4=8 --results starved
check 'a starved worker is named, with what helps' \
    ends 0 'STARVED: rank 4 has 25.0 % of the data, .* samples that updates .* --nb-inflight carry'
check 'it is said once, and kept' [ "$(starved starved | paste -sd' ')" = '1 yes' ]
check 'its part is told' json_holds starved/summary.json '$j->{least_use} < 0.3'
check 'ssgd starves nobody' [ "$(starved slow-ssgd | paste -sd' ')" = '0 no' ]
run "$nbsgd" --world sim --network lenet5 --dataset synthetic --train-samples 400 --workers 4 \
    --partition label --batch 8 --minibatches 4 --samples 600 --eval-samples 10 --eval-batches 1 \
    --scheme asgd --slow 4=8 --results starved-label
check 'and what it means where shards are cut by labels' ends 0 \
    'STARVED: rank 4 .* classes that only it has are hardly learned$'

# The same on real ranks, with sleep for slowness: the three others do not wait.
real real-ssgd 5 --scheme ssgd --delay 'constant:0.002;constant:0.05@4' --samples 5000
real real-nbssgd 5 --scheme nbssgd --delay 'constant:0.002;constant:0.05@4' --samples 5000
check 'on real ranks, too, nbssgd does not wait' holds \
    "$(value real-nbssgd wait_share) < 0.5 * $(value real-ssgd wait_share)"
check 'on real ranks, too, it is faster' holds \
    "$(value real-nbssgd images_per_s) > 2 * $(value real-ssgd images_per_s)"

# A worker that stands still hears no signal: a version closes without it, on two servers alike.
late=(--scheme nbssgd --nb-inflight finish --delay 'constant:0.002;constant:0.2!@5' --servers 2)
real waits-late 6 "${late[@]}" --updates 4
real drops-late 6 "${late[@]}" --updates 150 --nb-drop-late 0.02
check 'who stands still is waited for' holds \
    "$(value waits-late seconds) / $(value waits-late updates) > 0.2"
check 'but for --nb-drop-late' holds \
    "$(value drops-late seconds) / $(value drops-late updates) < 0.05"
check 'it is told, and counts what it does again' holds \
    "$(column drops-late/ranks.csv dropped_s | tail -n 1) > 0"
check 'and its samples are dropped' holds "$(value drops-late dropped_samples) > 0"

finish
