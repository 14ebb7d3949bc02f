#!/usr/bin/env bash
# A rank that is stopped or killed: the others end by themselves, name it and its host, and keep
# what was learned. A rank that is asked to leave (SIGTERM) leaves a full set of results. Half a
# dozen small runs side by side, since most of the time is waiting.
# tests/run: mostly waits
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
deadline=5 patience=90 # seconds; the ranks' own limit, and this script's for anything to happen

options=(--network resnet20 --dataset synthetic --train-samples 200 --batch 8 --minibatches 2
    --eval-batches 1 --threads 1
    --delay constant:0.02 --samples 100000000 --deadline "$deadline")
small=(--eval-every 64 --eval-samples 16)
# Nine runs that time the kernels of a sanitizer's build at once take minutes.
if [ "$sanitized" = 1 ] && [[ $("$nbsgd" --version) == *openblas* ]]; then
    options+=(--backend openblas)
fi

# Each rank writes its process id. With a shell in between, hydra doesn't kill everybody when one is
# killed.
# shellcheck disable=SC2016
number='echo $$ >"$1/pid.${PMI_RANK-$OMPI_COMM_WORLD_RANK}"; shift; exec "$@"'
# shellcheck disable=SC2016
between='name=$1; shift; "$@" & echo $! >"$name/pid.$PMI_RANK"; wait $!; exit $?'

# begin NAME "LAUNCHER'S OPTIONS" HOW OPTION ...: trains in the background in NAME/run, until
# something happens to it
begin() {
    local name=$1 launch=$2 how=$3
    shift 3
    mkdir "$name"
    # shellcheck disable=SC2086
    { timeout --kill-after=5 $((2 * patience)) "$mpirun" $launch bash -c "$how" - "$name" "$nbsgd" \
        "${options[@]}" --results "$name/run" --save "$name/weights" "$@" \
        >"$name/out" 2>&1 </dev/null; echo $? >"$name/code"; } &
}

until_there() { # COMMAND ...: succeeds before the patience ends
    for _ in $(seq $((10 * patience))); do "$@" 2>/dev/null && return; sleep 0.1; done
    return 1
}
has_learned() { [ -e "$1/weights" ] && [ "$(rows "$1/run/eval.csv" | wc -l)" -ge 2 ]; }
in_a_pause() { [ "$(wc -l <"$1/run/events.jsonl")" -ge 1 ]; }

strike() { # NAME SIGNAL RANK [WHEN]: sends the signal when the run is that far
    until_there ready "$1" "${4:-has_learned}"
    kill "-$2" "$(cat "$1/pid.$3")" || echo "$1: it did not come to be struck"
    date +%s >"$1/struck"
}
ready() { [ -e "$1/code" ] || "$2" "$1"; } # or already over

ended() { # NAME: loads what it ended with into $code and $out
    until_there test -e "$1/code"
    code=$(cat "$1/code" 2>/dev/null || echo none) out=$(cat "$1/out") again="$0 ($1)"
}
in_time() { # NAME SECONDS
    local took=$(($(stat -c %Y "$1/code") - $(cat "$1/struck")))
    [ "$took" -le "$2" ] || { echo "it took $took s, not at most $2"; return 1; }
}
# shellcheck disable=SC2046
nobody_left() { ! kill -0 $(cat "$1"/pid.*) 2>/dev/null; }
rows_kept() { [ "$(rows "$1/run/eval.csv" | awk -F, 'NF == 9' | wc -l)" -ge 2 ]; }

# The weights start a run whose first evaluation is the last one of the run that saved them.
weights_kept() { # NAME
    run "$nbsgd" "${options[@]}" "${small[@]}" --world sim --workers 1 --updates 1 \
        --init "$1/weights" --results "$1/next"
    local first last
    first=$(rows "$1/next/eval.csv" | head -n 1 | cut -d, -f 6,7)
    last=$(rows "$1/run/eval.csv" | tail -n 1 | cut -d, -f 6,7)
    ends 0 && [ "$first" = "$last" ]
}
# Rank 0 has written the weights of its last update before it ended. Struck right after an
# evaluation, these are the weights that were evaluated.
newest_kept() { # NAME
    local last newest
    last=$(column "$1/run/eval.csv" updates | tail -n 1)
    newest=$(sed -nE 's/.*and the weights of update ([0-9]+).*/\1/p' <<<"$out" | head -n 1)
    if [ "${newest:-0}" = "$last" ]; then weights_kept "$1"; return; fi
    [ "${newest:-0}" -gt "$last" ] &&
        run "$nbsgd" "${options[@]}" "${small[@]}" --world sim --workers 1 --updates 1 \
            --init "$1/weights" --results "$1/next" && ends 0
}
named() { # NAME RANK: in the events
    json_lines "$1/run/events.jsonl" &&
        grep -q "\"event\": \"silent\".*\"rank\": $2" "$1/run/events.jsonl"
}

hydra=$("$mpirun" --version 2>/dev/null | grep -c HYDRA)
begin worker '-n 4' "$number" "${small[@]}"
begin server '-n 3' "$number" --scheme ssgd "${small[@]}"
# its evaluations take a second or more
begin pause '-n 3' "$number" --eval-every 1 --eval-samples $((sanitized ? 500 : 6000))
NBSGD_HOSTS=2 begin hosts '-n 3' "$number" "${small[@]}"
begin departed '-n 3' "$number" --scheme ssgd --depart 1=1 "${small[@]}"
begin killed '-n 3' "$number" "${small[@]}"
if [ "$hydra" != 0 ]; then
    begin alone '-disable-auto-cleanup -n 3' "$between" "${small[@]}"
    begin headless '-disable-auto-cleanup -n 3' "$between" --scheme ssgd "${small[@]}"
fi
begin asked '-n 3' "$number" "${small[@]}"
strike pause STOP 1 in_a_pause
strike worker STOP 2
strike server STOP 0
strike hosts STOP 1
strike departed STOP 1
strike killed KILL 1
if [ "$hydra" != 0 ]; then
    strike alone KILL 2
    strike headless KILL 0
fi
strike asked TERM 0

ended worker
check 'worker stopped: exit code 5, rank and host named' ends 5 \
    "rank 2 on [^ ]+ sent no heartbeat for [0-9]+ s" 'Kept: all rows'
check 'worker stopped: the others end in time' in_time worker $((deadline + 40))
check 'worker stopped: nobody is left' until_there nobody_left worker
check 'worker stopped: rows kept' rows_kept worker
check 'worker stopped: an event names it' named worker 2
check 'worker stopped: the newest weights are kept' newest_kept worker

ended server
check 'server stopped: exit code 5, rank and host named' ends 5 \
    'rank 0 on [^ ]+ sent no heartbeat for [0-9]+ s'
check 'server stopped: the others end in time' in_time server $((deadline + 40))
check 'server stopped: nobody is left' until_there nobody_left server
check 'server stopped: rows kept' rows_kept server

ended pause
check 'stopped in a pause: exit code 5, rank and host named' ends 5 \
    'rank 1 on [^ ]+ sent no heartbeat .*waited [0-9]+ s for .*part in an evaluation'
check 'stopped in a pause: the row before it is kept' [ "$(rows pause/run/eval.csv | wc -l)" -ge 1 ]

ended departed
check 'stopped after it departed: exit code 5, rank and host named' ends 5 \
    'rank 1 on [^ ]+ sent no heartbeat .*waited [0-9]+ s for .*part in an evaluation'

ended hosts
check 'stopped on another host: exit code 5, rank and host named' ends 5 \
    'rank 1 on [^ ]+/1 sent no heartbeat for [0-9]+ s'
check 'stopped on another host: nobody is left' until_there nobody_left hosts
check 'stopped on another host: the newest weights are kept' newest_kept hosts

ended killed
check 'worker killed, the launcher ends all: an exit code that says so' [ "$code" != 0 ]
check 'worker killed, the launcher ends all: in time' in_time killed 30
check 'worker killed, the launcher ends all: rows kept' rows_kept killed

if [ "$hydra" != 0 ]; then
    ended alone
    check 'worker killed: exit code 5, rank and host named' ends 5 \
        'rank 2 on [^ ]+ has died.* has waited [0-9]+ s for ' 'Kept: all rows'
    check 'worker killed: rows kept' rows_kept alone
    check 'worker killed: an event names it' named alone 2
    check 'worker killed: the newest weights are kept' newest_kept alone
    ended headless
    check 'server killed: exit code 5, rank and host named' ends 5 \
        'rank 0 on [^ ]+ has died.* has waited [0-9]+ s for '
    check 'server killed: rows kept' rows_kept headless
else
    passes_over 'no hydra: this launcher ends all when one is killed'
fi

ended asked
check 'asked to leave: exit code 6' ends 6 'results: '
check 'asked to leave: the summary says so' json_is asked/run/summary.json '$j->{status}' \
    'stopped by a signal'
check 'asked to leave: evaluated at its last update' json_is asked/run/summary.json \
    '$j->{updates}' "$(column asked/run/eval.csv updates | tail -n 1)"
check 'asked to leave: every rank gave its counters' [ "$(rows asked/run/ranks.csv | wc -l)" = 3 ]
check 'asked to leave: weights kept' weights_kept asked

finish
