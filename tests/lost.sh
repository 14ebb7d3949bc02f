#!/usr/bin/env bash
# Ranks that are stopped, stuck or busy, and a job that stands still as a whole: nothing waits for
# ever, who is lost is named with what it did, and schemes that can go on without a worker do. All
# runs side by side, since most of the time is waiting. tests/falls_silent.sh has what is kept.
# tests/run: mostly waits
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
program=$(dirname "$nbsgd")/tests/mpi_lost
[ -x "$program" ] || program=$home/${BUILD:-build/release}/tests/mpi_lost
[ -x "$program" ] || skip "$program is not built"
patience=120

# shellcheck disable=SC2016
number='rank=${PMI_RANK-$OMPI_COMM_WORLD_RANK}
    echo $$ >"$1/pid.$rank"
    [ "${STOPS-}" != "$rank" ] || kill -STOP $$
    shift
    exec "$@"'

launch() { # NAME RANKS COMMAND ...: in the background
    local name=$1 ranks=$2
    shift 2
    mkdir "$name"
    { timeout --kill-after=5 "$patience" "$mpirun" -n "$ranks" bash -c "$number" - "$name" "$@" \
        >"$name/out" 2>&1 </dev/null; echo $? >"$name/code"; } &
}
train() { # NAME RANKS OPTION ...
    local name=$1 ranks=$2
    shift 2
    launch "$name" "$ranks" "$nbsgd" --threads 1 --results "$name/run" "$@"
}
until_there() { # COMMAND ...: succeeds before the patience ends
    for _ in $(seq $((10 * patience))); do "$@" 2>/dev/null && return; sleep 0.1; done
    return 1
}
begun() { # NAME; without a process, since many are looked at by turns
    local lines
    [ -e "$1/code" ] || { mapfile -t lines <"$1/run/events.jsonl" && [ ${#lines[@]} -ge 20 ]; }
}
signal() { # NAME SIGNAL RANK ...
    local name=$1 signal=$2
    shift 2
    # shellcheck disable=SC2046
    kill "-$signal" $(for r in "$@"; do cat "$name/pid.$r"; done)
}
ended() { # NAME: loads what it ended with into $code and $out
    until_there test -e "$1/code"
    code=$(cat "$1/code" 2>/dev/null || echo none) out=$(cat "$1/out") again="$0 ($1)"
    rm -f "$1"/pid.*
}
event() { grep -q "\"event\": \"$2\".*\"rank\": $3" "$1/run/events.jsonl"; } # NAME EVENT RANK

# --- what must end
cases=(start barrier stuck circle busy first_busy end)
for name in "${cases[@]}"; do launch "$name" 3 "$program" --case "$name"; done
NBSGD_HOSTS=2 launch hosts 4 "$program" --case stuck

toy=(--network quadratic --delay constant:0.01 --eval-every 20)
train frozen 3 --network resnet50 --dataset synthetic --train-samples 200 --batch 8 \
    --minibatches 2 --delay constant:0.02 --deadline 2 --kernel-cache frozen/kernels
train asgd 4 "${toy[@]}" --batch 8 --minibatches 2 --scheme asgd --deadline 1 --seconds 90
# One that takes longer than the library may take to end.
mkdir late
printf '#!/bin/sh\nsleep 7\n' >late/gnuplot
chmod +x late/gnuplot
PATH=$PWD/late:$PATH NBSGD_DATADIR=$home NBSGD_HOSTS=2 train figures 3 --network quadratic \
    --scheme ssgd --updates 5
mkfifo alone.ini never.ini
train alone 1 --world sim --network quadratic --config alone.ini --deadline 1
train unread 2 --network quadratic --scheme ssgd --config never.ini --deadline 1
STOPS=1 train early 3 "${toy[@]}" --deadline 1
# Those that say so of themselves.
survivors=$("$nbsgd" --print-schemes | sed -n '/go on without a worker/,/^$/p' |
    grep -oE '`[a-z]+`' | tr -d '\`')
for name in $survivors; do
    more=()
    [ "$name" != nbssgd ] || more=(--nb-drop-late 0.1)
    [ "$name" != rennala ] || more=(--checkpoint-every 0.2s)
    train "without_$name" 4 "${toy[@]}" --scheme "$name" --deadline 1 --seconds 12 "${more[@]}"
done
NBSGD_HOSTS=2 train far 4 "${toy[@]}" --scheme hogwild --deadline 2 --seconds 13
train ssgd 3 "${toy[@]}" --scheme ssgd --deadline 1 --seconds 60
train suspended 3 "${toy[@]}" --scheme ssgd --deadline 2 --seconds 9
train ssp 3 "${toy[@]}" --scheme ssp --ssp-staleness 10000 --updates 20
train downpour 3 "${toy[@]}" --scheme downpour --n-fetch 1000 --updates 20

# Each is struck as soon as it has begun, however long another needs for that.
declare -A struck=([far]=3 [suspended]='0 1 2' [asgd]=3 [ssgd]=2)
for name in $survivors; do struck[without_$name]=2; done
for ((tries = 5 * patience; tries > 0 && ${#struck[@]} > 0; tries--)); do
    for name in "${!struck[@]}"; do
        begun "$name" 2>/dev/null || continue
        # shellcheck disable=SC2086
        signal "$name" STOP ${struck[$name]}
        unset "struck[$name]"
    done
    sleep 0.2
done
until_there test -e frozen/pid.2
sleep 1
signal frozen STOP 0 # it times its kernels, or reads
sleep 4
signal suspended CONT 0 1 2
until_there event asgd absent 3
meanwhile=$(rows asgd/run/eval.csv | wc -l)
sleep 1
meanwhile=$(($(rows asgd/run/eval.csv | wc -l) - meanwhile))
signal asgd CONT 3
until_there event asgd back 3
signal asgd TERM 0

# A child that never ends.
mkdir slow
printf '#!/bin/sh\nsleep 100\n' >slow/gnuplot
chmod +x slow/gnuplot
PATH=$PWD/slow:$PATH NBSGD_DATADIR=$home run timeout 20 "$nbsgd" --world sim --network quadratic \
    --updates 5 --deadline 1 --results drawn
check 'a gnuplot that sleeps is killed' ends 0 'gnuplot had not ended after 1 s and was killed'

in_peace() { ends 0 'figure: ' && ! grep -q MPI_Finalize <<<"$out"; }
ended figures
check 'figures are drawn while the others still wait' in_peace
ended start
check 'a rank that does not come to the start is named' ends 5 'rank 1 has not come to the start'
ended early
check 'stopped before the library has started: named' ends 5 \
    'waited 8 s for all ranks to start: one does not come \(rank 1, process [0-9]+, is stopped\)'
ended unread
check 'files of options that do not end: said so' ends 5 \
    'rank 0 on [^ ]+ this rank has waited 8 s for its --config files to be read'
timeout 5 bash -c 'echo updates = 5 >alone.ini' # when a rank that waits for others has given up
ended alone
check 'one rank waits for no others' ends 0 'results: '
ended barrier
check 'stopped before a barrier: named' ends 5 \
    'rank 2 on [^ ]+ sent no heartbeat for [0-9]+ s \(process [0-9]+, .*waited .* at a barrier'
ended stuck
check 'stuck in a mini-batch, alive: named with it' ends 5 \
    'rank 1 on [^ ]+ is alive but does not go on for [0-9]+ s \(process [0-9]+, mini-batch 1\)'
ended hosts
check 'the same on another host' ends 5 \
    'rank 1 on [^ ]+ is alive but does not go on for [0-9]+ s \(process [0-9]+, mini-batch 1\)'
ended circle
check 'all wait for each other: all are named' ends 5 \
    'no rank goes on: rank 0 on .* waits for what never comes, rank 1 .*, rank 2 '
ended busy
check 'busy for ever: said, believed for ten deadlines, named' ends 5 \
    'rank 1 on [^ ]+ has been busy with a dead disk for 1 s; it is given 5 s \(10 deadlines\)' \
    'rank 1 on [^ ]+ is alive but does not go on for [0-9]+ s \(process [0-9]+, a dead disk\)'
ended first_busy
check 'rank 0 busy for ever: it ends the run itself' ends 5 'a dead disk does not end for 5 s'
ended end
check 'stopped at the end: named' ends 5 'rank 1 on .* sent no heartbeat .*waited .* for all to end'

ended frozen
check 'stopped in the set-up: named' ends 5 'rank 0 on [^ ]+ sent no heartbeat for [0-9]+ s'

ended asgd
check 'asgd goes on without a worker, and takes it back' ends 6 \
    'rank 3 on [^ ]+ sent no heartbeat .*: the run goes on without it' 'rank 3 on [^ ]+ is back' \
    'results: '
check 'asgd: events say so' event asgd absent 3
check 'asgd: evaluations went on meanwhile' [ "$meanwhile" -ge 1 ]
check 'sixteen schemes go on without a worker' [ "$(wc -w <<<"$survivors")" = 16 ]
for name in $survivors; do
    ended "without_$name"
    check "$name ends without a worker that stays away" ends 0 'the run goes on without it' \
        'results: '
    check "$name: evaluations go on without it" \
        [ "$(column "without_$name/run/eval.csv" seconds | awk '$1 > 10' | wc -l)" -ge 1 ]
done
is_all_whole() { # FOLDER: of checkpoints
    ! find "$1" -mindepth 1 -maxdepth 1 ! -name 'samples-*' | grep .
}
check 'rennala: what it has kept before is whole, and nothing else is there' is_all_whole \
    without_rennala/run/checkpoints
ended far
check 'hogwild between hosts: the others go on with the window' ends 0 \
    'rank 3 on [^ ]+/1 sent no heartbeat .*: the run goes on without it' 'results: '
ended ssgd
check 'ssgd needs every worker' ends 5 'rank 2 on [^ ]+ sent no heartbeat' 'Kept: all rows'
ended suspended
check 'a job that was suspended goes on' ends 0 'this job stood still for ([4-9]|[1-9][0-9]) s' \
    'results: '
ended ssp
check 'ssp: workers that never read hear of the end' ends 0 'results: '
ended downpour
check 'downpour: workers that seldom fetch hear of the end' ends 0 'results: '
check 'downpour: little is computed in vain' json_holds downpour/run/summary.json \
    '$j->{dropped_samples} <= 200'
finish
