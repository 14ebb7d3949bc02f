#!/usr/bin/env bash
# run.s supervises: a rank that is killed is named, whatever the launcher does then; the run is
# started again; a signal saves and ends it, wherever it is. Small runs side by side, since most of
# the time is waiting.
# tests/run: mostly waits
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
export NBSGD=$nbsgd RANKS=3
unset LAUNCH MPIRUN
if [ "$mpirun" != mpirun ]; then export MPIRUN=$mpirun; fi
toy=(--network quadratic --scheme ssgd --batch 8 --minibatches 2 --threads 1 --eval-every 800
    --delay constant:0.01 --samples 100000000)
net=(--network lenet5 --dataset synthetic --train-samples 200 --eval-samples 16 --eval-batches 1
    --scheme ssgd --batch 8 --minibatches 2 --threads 1 --eval-every 80 --delay constant:0.01
    --samples 100000000)

tidy() { # nothing is left, whatever failed
    for file in "$folder"/*/pid; do kill -KILL -- "-$(cat "$file")" 2>/dev/null; done
    cd / && rm -rf "$folder"
}

until_there() { # COMMAND ...: succeeds before the patience ends
    for _ in {1..400}; do "$@" 2>/dev/null && return; sleep 0.1; done
    return 1
}

# begin NAME WORD ...: a run by run.s in a session of its own, as a terminal has one. All that it
# writes is in folder NAME.
begin() {
    local name=$1
    shift
    mkdir "$name"
    # shellcheck disable=SC2016
    { TMPDIR=$PWD/$name setsid --wait bash -c 'echo $$ >"$1/pid"; shift; exec bash "$@"' - "$name" \
        "$home/run.s" --results "$name/run" "$@" >"$name/out" 2>&1 </dev/null
        echo $? >"$name/code"; } &
}
evaluated() { # NAME TIMES: or already over
    [ -e "$1/code" ] || [ "$(rows "$1/run/eval.csv" | wc -l)" -ge "$2" ]
}
rank() { # NAME RANK: its process, as the witness wrote it down
    sed -nE 's/.* pid ([0-9]+) started$/\1/p' "$1"/nbsgd-witness.*/"rank-$2"
}
keeper() { ps -o ppid= -p "$(rank "$1" "$2")" | tr -d ' '; }
strike() { # SIGNAL PROCESS
    kill "-$1" -- "$2" || echo "there is nobody to be struck: $2"
}
ended() { # NAME: loads what it ended with into $code and $out
    until_there test -e "$1/code"
    code=$(cat "$1/code" 2>/dev/null || echo none) out=$(cat "$1/out") again="$0 ($1)"
}
an_event() { # NAME RANK SIGNAL: names it
    json_lines "$1/run/events.jsonl" &&
        grep -q "\"event\": \"killed\".*\"rank\": $2, .*\"signal\": \"$3\"" "$1/run/events.jsonl"
}
is_gone() { [ -z "$(find "$1" -name 'nbsgd-witness.*')" ]; }

# A loss that is no number, and a mistake: nothing to be done again.
begin nan "${toy[@]}" --lr 1e30
begin mistake "${toy[@]}" --batch 7
RETRIES=2 BACKOFF=1 begin again "${net[@]}" --samples 4000 --checkpoint-every 160
RETRIES=1 BACKOFF=1 begin anew "${net[@]}" --samples 2400 --depart 2=100000 --save anew/weights

# One is stopped before the library has started.
cat >stops <<END
#!/bin/sh
[ "\$1" = witness ] || [ "\${PMI_RANK-\$OMPI_COMM_WORLD_RANK}" != 1 ] || kill -STOP \$\$
exec $nbsgd "\$@"
END
chmod +x stops
NBSGD=$PWD/stops RETRIES=0 begin early "${toy[@]}" --deadline 1

# --- a rank is killed: the server, workers, by a fault of its own; or what stands between it and
# the launcher
for name in server worker fault keeper; do RETRIES=0 begin $name "${toy[@]}"; done
until_there evaluated again 4
until_there evaluated anew 6
begin without "${net[@]}" --scheme asgd --lr 0.0001 --seconds 15 --deadline 2
for name in server worker fault keeper without; do until_there evaluated $name 3; done
strike KILL "$(rank again 1)"
strike KILL "$(rank anew 1)"
strike KILL "$(rank server 0)"
strike KILL "$(rank worker 2)"
strike SEGV "$(rank fault 1)"
strike KILL "$(keeper keeper 2)"
strike KILL "$(rank without 1)"
while read -r name rank signal; do
    ended "$name"
    check "$name: rank, host and signal are named, exit code 5" ends 5 \
        "launch: rank $rank on [^ ]+ \(process [0-9]+\) was killed by SIG$signal"
    check "$name: in one line" [ "$(grep -c 'was killed by' <<<"$out")" = 1 ]
    check "$name: in the events" an_event "$name" "$rank" "$signal"
    check "$name: rows are kept" [ "$(rows "$name/run/eval.csv" | wc -l)" -ge 3 ]
    check "$name: no folder is left" is_gone "$name"
done <<'END'
server 0 KILL
worker 2 KILL
fault 1 SEGV
keeper 2 KILL
END
ended without
check 'asgd ends without the killed worker: well, not again, and it is named' ends 0 \
    'launch: rank 1 on [^ ]+ \(process [0-9]+\) was killed by SIGKILL; the others finished the run'
check 'asgd without the killed worker: in the events' an_event without 1 KILL

# --- the run is asked to stop: by a terminal, a closed one, one rank alone, in a long delay, twice
for name in terminal closed alone; do begin $name "${net[@]}" --save $name/weights; done
begin delayed "${net[@]}" --delay stall:0.05,30 --stop-within 1 --save delayed/weights
begin twice "${net[@]}" --delay stall:0.05,30 --save twice/weights
for name in terminal closed alone; do until_there evaluated $name 3; done
for name in delayed twice; do until_there grep -q update $name/run/events.jsonl; done
sleep 1 # in the delay
strike INT "-$(cat terminal/pid)"
strike HUP "$(cat closed/pid)"
strike TERM "$(rank alone 2)"
strike TERM "$(cat delayed/pid)"
strike TERM "$(cat twice/pid)"
sleep 1.5
strike TERM "$(cat twice/pid)"
while read -r name rank signal; do
    ended "$name"
    check "$name: exit code 6, who was asked is said" ends 6 \
        "rank $rank on [^ ]+ was asked to stop by SIG$signal"
    check "$name: in one line" [ "$(grep -c 'asked to stop' <<<"$out")" = 1 ]
    check "$name: no other attempt" eval '! grep -q retry <<<"$out"'
    check "$name: the weights are saved" [ -s "$name/weights" ]
    [ "$name" = twice ] || check "$name: the summary says so" \
        json_is "$name/run/summary.json" '$j->{status}' 'stopped by a signal'
done <<'END'
terminal 0 (INT|TERM)
closed 0 TERM
alone 2 TERM
delayed 0 TERM
twice 0 TERM
END
check 'twice: at once' ends 6 'for the second time'
for name in terminal closed alone; do
    check "$name: evaluated at its last update" json_is $name/run/summary.json '$j->{updates}' \
        "$(column $name/run/eval.csv updates | tail -n 1)"
done

# --- once more after a rank has died, or not
ended again
check 'again: finished' ends 0 'rank 1 .* was killed by SIGKILL; retry 1 of 2 in 1 s'
check 'again: from its checkpoint' ends 0 'goes on from .*/samples-'
check 'again: once' [ "$(grep -c 'retry' <<<"$out")" = 1 ]
check 'again: the event is kept' an_event again 1 KILL
check 'again: in the same folder' json_is again/run/summary.json '$j->{status}' finished
check 'again: each row once' [ "$(column again/run/eval.csv samples | uniq | wc -l)" = 51 ]
ended anew
check 'anew: without checkpoints it begins again' ends 0 'no whole checkpoint in .*anew/run: begins'
check 'anew: its saved weights stay until it is as far' grep -qE \
    "anew/weights has this run's weights after [0-9]+ samples: they stay until" <<<"$out"
check 'anew: nothing is replaced' eval '! grep -q -- "--overwrite" <<<"$out"'
ended early
check 'early: who is stopped is named, past its witness' ends 5 \
    'one does not come \(rank 1, process [0-9]+, is stopped\)' \
    'launch: rank 0 on [^ ]+ ended with exit code 5; no further retry'
ended mistake
check 'a mistake is not repeated' ends 2 'batch 7'
check 'no word of it' eval '! grep -q retry <<<"$out"'
ended nan
check 'nor a loss that is no number' ends 4
check 'no word of it, either' eval '! grep -q retry <<<"$out"'

# --- a launcher that fails: with ranks that train on, and after their end
cat >leaves <<'END'
#!/usr/bin/env bash
if [ "$1" = -n ] && mkdir left 2>/dev/null; then
    setsid "$LAUNCHER" "$@" &
    for _ in {1..300}; do
        [ "$(grep -c '^[0-9]' fails/eval.csv)" -ge 4 ] && break
        sleep 0.1
    done
    exit 15
fi
exec "$LAUNCHER" "$@"
END
printf '#!/usr/bin/env bash\n"$LAUNCHER" "$@"\nexit 15\n' >late
chmod +x leaves late
run env LAUNCHER="$mpirun" LAUNCH="$PWD/leaves -n 3" BACKOFF=1 bash "$home/run.s" "${net[@]}" \
    --samples 12000 --checkpoint-every 160 --results fails
check 'a launcher that fails: its ranks are ended, and the run goes on' ends 0 \
    'launcher ended with exit code 15, and left its ranks behind; retry 1 of 3' 'goes on from .*/s'
check 'which saved' ends 0 'was asked to stop by SIGTERM'
check 'each row once' [ "$(column fails/eval.csv samples | sort | uniq -d)" = '' ]
run env LAUNCHER="$mpirun" LAUNCH="$PWD/late -n 3" bash "$home/run.s" "${net[@]}" --samples 160
check 'a launcher that fails after the end of its ranks' ends 0 \
    'launcher ended with exit code 15; the others finished the run without it'

# --- numbers that are none: before anything is begun, not when a rank has died
while read -r name value words; do
    run env "$name=$value" bash "$home/run.s" "${net[@]}" --samples 160 --results none
    check "$name=$value" ends 2 "$words"
    check "$name=$value: nothing is begun" [ ! -e none ]
done <<'END'
RETRIES abc RETRIES='abc' is no whole number
RETRIES -1 RETRIES='-1' is no whole number
RANKS_AFTER 2.5 RANKS_AFTER='2.5' is no whole number
RANKS x RANKS='x' is no whole number
BACKOFF abc BACKOFF='abc' is no number of seconds
END

# --- an attempt that ends before it has a folder of results
cat >fails_once <<'END'
#!/usr/bin/env bash
case $1 in --print-options | witness) ;; *) mkdir once 2>/dev/null && exit "$ONCE" ;; esac
exec "$REAL" "$@"
END
chmod +x fails_once
for code in 3 1 15; do # the program's, a library's
    rm -rf once
    run env NBSGD="$folder/fails_once" REAL="$nbsgd" ONCE=$code BACKOFF=1 bash "$home/run.s" \
        "${net[@]}" --samples 160
    check 'one that ended before its results: another' ends 0 'retry 1 of 3 in 1 s' ' 160 samples, '
    check 'which replaces nothing' eval '! grep -q -- "--overwrite" <<<"$out"'
done

# --- the simulated world, and set-up
sim=("$nbsgd" --world sim --workers 2 "${net[@]}" --scheme anytime --anytime-seconds 1e9)
for signal in INT HUP USR1; do
    mkdir sim$signal
    # shellcheck disable=SC2016
    { timeout 100 bash -c 'echo $$ >"$1"; shift; exec "$@"' - sim$signal/process "${sim[@]}" \
        --stop-within 1 --results sim$signal/run >sim$signal/out 2>&1 </dev/null
        echo $? >sim$signal/code; } &
done
for signal in INT HUP USR1; do until_there evaluated sim$signal 1; done
sleep 0.5 # in the update
for signal in INT HUP USR1; do strike $signal "$(cat sim$signal/process)"; done
for signal in INT HUP USR1; do
    ended sim$signal
    check "sim, SIG$signal in an update without end: exit code 6" ends 6 \
        "asked to stop by SIG$signal" 'stopped in the middle of an update'
    check "sim, SIG$signal: what was judged is not judged again" \
        [ "$(column sim$signal/run/eval.csv updates)" = 0 ]
    check "sim, SIG$signal: the summary says so" json_is sim$signal/run/summary.json \
        '$j->{status}' 'stopped by a signal'
done
run timeout --preserve-status -s TERM 0.5 "$nbsgd" --world sim --network resnet50 --backend ref \
    --dataset synthetic --scheme ssgd --results setup
check 'in set-up: exit code 6 at once' ends 6 'SIGTERM: ends at once, there is nothing to save'
finish
