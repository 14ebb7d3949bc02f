#!/usr/bin/env bash
# Ranks of MPI that are killed, stopped, or stopped and continued, in set-up or in training, at
# moments drawn by seed. Each runs as run.s runs it, with a witness beside each rank. Every run ends
# in bounded time, or goes on without the rank that was lost. Who was killed is named by the
# witness, with its process and signal, who was stopped by the others. Nobody is left behind.
# Weights and newest checkpoint are whole, and a run of the same ranks goes on from there.
#
#   SOAK_KILLS=200 SOAK_SEED=1 tests/soak_mpi.sh      6 by default; SOAK_JOBS at once (6)
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
kills=${SOAK_KILLS:-6} seed=${SOAK_SEED:-1} jobs=${SOAK_JOBS:-6}
deadline=4 bound=90 # seconds: the ranks' own limit, and that of a run that would be called a hang
[ "$sanitized" = 0 ] || bound=300

schemes=(ssgd nbssgd asgd allreduce localsgd backup rennala eager)
options=(--network lenet5 --dataset synthetic --train-samples 200 --batch 8 --minibatches 2
    --eval-batches 1 --eval-samples 16 --eval-every 64 --threads 1 --delay constant:0.01
    --lr 0.0001 # at which no scheme diverges: that ends a run before its time
    --deadline "$deadline" --checkpoint-every 160)
length=(--samples 100000000 --seconds $((deadline + 8)))

# Each rank writes its process id.
# shellcheck disable=SC2016
number='echo $$ >"$1/pid.${PMI_RANK-$OMPI_COMM_WORLD_RANK}"; shift; exec "$@"'

until_there() { # COMMAND ...: succeeds before the bound ends
    for _ in $(seq $((10 * bound))); do "$@" 2>/dev/null && return; sleep 0.1; done
    return 1
}
# In MPI_Init, before the ranks share memory, it is the library's to notice.
starts() {
    [ -e "$1/code" ] || { [ -s "$1/pid.$2" ] && grep -q memfd: "/proc/$(cat "$1/pid.$2")/maps"; }
}
trains() { [ -e "$1/code" ] || [ "$(rows "$1/run/eval.csv" | wc -l)" -ge 1 ]; }
# Whom the witnesses name: `cause`, in a shell of its own.
# shellcheck disable=SC2016
killed_rank() { # NAME
    home=$home bash -c '. "$home/launch/supervise.sh"; code=1 witness=$1
        witness_read; echo "$cause"' \
        - "$1/witness"
}
kept() { find "$1/ck" -mindepth 1 -maxdepth 1 -name 'samples-*' 2>/dev/null | sort | tail -n 1; }
# A run of as many ranks goes on from the newest checkpoint, a few updates further.
goes_on() { # NAME RANKS SCHEME
    local newest at
    newest=$(kept "$1") at=${newest##*samples-}
    timeout --kill-after=5 $((bound + 30)) "$mpirun" -n "$2" "$nbsgd" "${options[@]}" \
        --scheme "$3" --samples $((10#$at + 200)) --checkpoint-dir "$1/ck" --resume auto \
        --results "$1/next" >"$1/next.out" 2>&1 </dev/null &&
        grep -q "goes on from .*${newest##*/}:" "$1/next.out" &&
        ! grep -q "^$1/ck/samples-" "$1/next.out" # one that was passed over, and why
}
# shellcheck disable=SC2046
nobody_left() { ! kill -0 $(cat "$1"/pid.*) 2>/dev/null; }

# try NUMBER SCHEME RANKS VICTIM KILL|STOP|CONT starts|trains WAIT_S PAUSE_S: one run; what is wrong
# with it is in NUMBER/verdict
try() {
    local name=$1 scheme=$2 ranks=$3 victim=$4 signal=$5 from=$6 wait=$7 pause=$8 code out pid
    local stopped
    local wrong=''
    mkdir "$name"
    mkdir "$name/witness"
    { timeout --kill-after=5 $((bound + 30)) "$mpirun" -n "$ranks" "$nbsgd" witness \
        "$name/witness" bash -c "$number" - "$name" "$nbsgd" "${options[@]}" "${length[@]}" \
        --scheme "$scheme" --results "$name/run" --save "$name/weights" \
        --checkpoint-dir "$name/ck" >"$name/out" 2>&1 </dev/null; echo $? >"$name/code"; } &
    until_there "$from" "$name" "$victim" || wrong='it did not begin'
    sleep "$wait"
    stopped=${EPOCHREALTIME/./}
    case $signal in
    KILL) kill -KILL "$(cat "$name/pid.$victim")" ;;
    *) kill -STOP "$(cat "$name/pid.$victim")" ;;
    esac || wrong='it had ended before the signal'
    if [ "$signal" = CONT ]; then
        sleep "$pause"
        kill -CONT "$(cat "$name/pid.$victim")" || wrong='it ended while a rank was stopped'
        # On a crowded machine this script itself may come too late.
        if [ $((${EPOCHREALTIME/./} - stopped)) -gt $((1000000 * (deadline - 1))) ]; then
            signal=LATE wrong=''
        fi
    fi
    until_there test -e "$name/code" || wrong="it hangs: there after $bound s"
    code=$(cat "$name/code" 2>/dev/null || echo none) out=$(cat "$name/out")
    case $signal in
    KILL)
        [ "$code" != 0 ] || grep -q 'goes on without it' <<<"$out" ||
            wrong='a rank was killed, and the run ends with 0'
        cause=$(killed_rank "$name") pid=$(cat "$name/pid.$victim")
        grep -qE "^rank $victim on [^ ]+ \(process $pid\) was killed by SIGKILL$" <<<"$cause" ||
            wrong="rank $victim, process $pid, is not named as killed, but: ${cause:-nobody}"
        ;;
    STOP)
        [ "$code" = 5 ] || grep -q 'goes on without it' <<<"$out" || wrong="exit code $code"
        grep -qE "rank $victim on [^ ]+ " <<<"$out" || wrong="rank $victim is not named"
        ;;
    CONT) [ "$code" = 0 ] || wrong="exit code $code, though the rank went on in time" ;;
    esac
    [ ! -e "$name/weights" ] || whole "$name/weights" || wrong='its weights are not whole'
    if [ "$signal" = CONT ] && [ ! -e "$name/weights" ]; then wrong='it has no weights'; fi
    if [ -n "$(kept "$name")" ]; then
        goes_on "$name" "$ranks" "$scheme" || {
            wrong="nothing goes on from $(kept "$name")"
            out+=$'\n'$(cat "$name/next.out")
        }
    elif [ "$signal" = CONT ]; then
        wrong='it has no checkpoint'
    fi
    until_there nobody_left "$name" || wrong='somebody is left'
    {
        echo "$wrong"
        printf '%s of %s ranks, SIG%s to rank %s %s s after it %s, pause %s s; exit code %s\n%s\n' \
            "$scheme" "$ranks" "$signal" "$victim" "$wait" "$from" "$pause" "$code" \
            "$(tail -n 8 <<<"$out")"
    } >"$name/verdict"
}

RANDOM=$seed
signals=(KILL STOP CONT)
for i in $(seq "$kills"); do
    scheme=${schemes[RANDOM % ${#schemes[@]}]} ranks=$((3 + RANDOM % 2))
    victim=$((RANDOM % ranks)) wait=$((RANDOM % 2)).$((RANDOM % 10))
    from=$([ $((RANDOM % 3)) = 0 ] && echo starts || echo trains)
    pause=$((RANDOM % (deadline - 2))).$((RANDOM % 10))
    while [ "$(jobs -rp | wc -l)" -ge "$jobs" ]; do wait -n; done
    try "$i" "$scheme" "$ranks" "$victim" "${signals[i % 3]}" "$from" "$wait" "$pause" \
        >/dev/null 2>&1 &
done
wait
for i in $(seq "$kills"); do
    again="SOAK_SEED=$seed SOAK_KILLS=$kills tests/soak_mpi.sh (number $i)"
    code=1 out=$(tail -n +2 "$i/verdict" 2>/dev/null)
    verdict=$(head -n 1 "$i/verdict" 2>/dev/null || echo 'it has no verdict')
    check "number $i: $verdict" [ -z "$verdict" ]
done
finish
