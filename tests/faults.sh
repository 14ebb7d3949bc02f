#!/usr/bin/env bash
# The program under --faults: who died is named and is an event; the same file gives the same run;
# what is no fault is refused before anything is written.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
sim=("$nbsgd" --world sim --network quadratic --workers 8 --updates 300 --minibatches 1 --batch 8)

printf 'rank 3 push 5 dead\n' >dead
run "${sim[@]}" --scheme ssgd --faults dead --results dead.run
check 'a worker died: exit code 5, it is named' ends 5 'rank 3 on sim has died'
check 'a worker died: its fault is an event' grep -q \
    '"event": "fault", .*"rank": 3, "what": "rank 3 push 5 dead"' dead.run/events.jsonl

run "${sim[@]}" --scheme asgd --faults random:3,20,2 --deadline 1e6 --results a
first=$code
run "${sim[@]}" --scheme asgd --faults random:3,20,2 --deadline 1e6 --results b
check 'the same faults end the same' [ "$code" = "$first" ]
check 'the same faults give the same rows' same_rows a/eval.csv b/eval.csv
run "${sim[@]}" --scheme asgd --results c
check 'without them the rows are others' eval '! same_rows a/eval.csv c/eval.csv >/dev/null'

cp "$home/experiments/faults.txt" .
run "${sim[@]}" --scheme ssgd --faults faults.txt --results example
check 'the example is understood' ends 5 'rank 8 on sim has died'

# Those that say so of themselves.
printf 'rank 3 second 1 frozen 20\n' >frozen
survivors=$("$nbsgd" --print-schemes | sed -n '/go on without a worker/,/^$/p' |
    grep -oE '`[a-z]+`' | tr -d '\`')
for name in $survivors; do
    more=()
    [ "$name" != nbssgd ] || more=(--nb-drop-late 0.1)
    run "${sim[@]}" --scheme "$name" --faults frozen --deadline 5 --updates 100000 --seconds 40 \
        --eval-every 100000 --lr 0.0001 --results "$name" "${more[@]}"
    check "$name goes on without a worker that is frozen, and takes it back" ends 0 \
        'rank 3 on sim sent no heartbeat for [5-9] s.*: the run goes on without it' \
        'rank 3 on sim is back'
    check "$name: whoever is back computes again" [ "$(column "$name/ranks.csv" minibatches |
        sed -n 4p)" -gt 100 ]
done
check 'sixteen schemes do' [ "$(wc -w <<<"$survivors")" = 16 ]

# What rank 0 says last is under way for longer than a rank waits between two looks.
run env MALLOC_PERTURB_=165 "${sim[@]}" --updates 3 --sim-latency 3 --scheme ssgd \
    --faults random:3,1,0.1 --results slow
check 'ranks that hear of the end late' ends 0

printf '# a comment\nrank 9 push 5 dead\n' >wrong
run "${sim[@]}" --faults wrong --results refused
check 'a rank that is not there: refused by its line' ends 2 \
    "faults wrong:2 'rank 9 push 5 dead': no such rank"
check 'a refused file leaves no results' [ ! -e refused ]
run "$nbsgd" --scheme serial --network quadratic --faults dead
check 'the real world has no such faults' ends 2 'faults'
finish
