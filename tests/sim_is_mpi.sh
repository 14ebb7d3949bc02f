#!/usr/bin/env bash
# One code, two worlds. ssgd gives the same weights, bit for bit, on the simulated network and on
# real ranks: whatever the number of ranks and servers, who is slow, where the hosts are, how
# messages move. And nbssgd ends, with counters that add up, in every mode of its options --nb-*.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

net=(--backend ref --threads 1 --dataset synthetic --train-samples 64 --batch 4 --minibatches 2
    --updates 2 --eval-samples 4 --eval-batches 1 --scheme ssgd)

simulated() { # NAME WORKERS OPTION ...
    local name=$1 workers=$2
    shift 2
    run "$nbsgd" --world sim --workers "$workers" "${net[@]}" "${network[@]}" \
        --save "$name.sim" --results "$name-sim" "$@"
    check "$name on sim" ends 0
}
real() { # NAME RANKS TWIN OPTION ...: the same weights as TWIN's on sim
    local name=$1 ranks=$2 twin=$3
    shift 3
    run "$mpirun" -n "$ranks" "$nbsgd" "${net[@]}" "${network[@]}" --save "$name.mpi" \
        --results "$name-mpi" "$@"
    check "$name on $ranks ranks" ends 0
    check "$name on $ranks ranks: the bits of $twin on sim" cmp "$twin.sim" "$name.mpi"
    check "$name on $ranks ranks: the evaluations of $twin on sim" same_rows "$twin-sim/eval.csv" \
        "$name-mpi/eval.csv" 2-9 # all but the seconds
    check "$name on $ranks ranks: each worker's losses" same_rows "$twin-sim/worker_losses.csv" \
        "$name-mpi/worker_losses.csv" 2-4,6-7 # and but for ranks
}

# Many units, and batch norms, whose statistics an evaluation takes from all ranks.
network=(--network resnet20)
simulated two 2
simulated four 4
real two 3 two
real four 5 four
NBSGD_HOSTS=2 real hosts 5 four
NBSGD_HOSTS=2 real hosts-thread 5 four --progress thread

# As many weights, which are computed in no time.
network=(--network mlp --hidden "100,100")
simulated plain 2
simulated sliced 3 --servers 2
simulated bf16 2 --compress bf16
simulated topk 3 --scheme allreduce --allreduce direct --compress topk --compress-ratio 0.1
simulated ring-bf16 3 --scheme allreduce --allreduce ring --compress bf16
simulated clip 3 --servers 2 --clip 0.5
simulated diloco 3 --scheme diloco --local-steps 2 --clip 0.5
simulated ring 3 --scheme dpsgd --topology ring --momentum 0.5
simulated hypercube 4 --scheme dpsgd --topology hypercube
simulated push 3 --scheme sgp --topology directed-exponential
simulated overlap 3 --scheme osgp --topology directed-one-peer-exponential
simulated tracking 4 --scheme dsgt --topology ring --momentum 0.5
simulated admm 3 --scheme dinno --topology star --optimizer adamw --lr 0.001
simulated seed 2 --seed 2
check 'another seed gives other weights' eval '! cmp -s plain.sim seed.sim'
check 'clipping gives other weights' eval '! cmp -s sliced.sim clip.sim'
check 'a codec of 16 bits gives other weights' eval '! cmp -s plain.sim bf16.sim'

real sliced 5 sliced --servers 2
real one-server 4 sliced
real bf16 3 bf16 --compress bf16
real topk 4 topk --scheme allreduce --allreduce direct --compress topk --compress-ratio 0.1
real ring-bf16 4 ring-bf16 --scheme allreduce --allreduce ring --compress bf16
real clip 5 clip --servers 2 --clip 0.5
real clip-one-server 4 clip --clip 0.5
real diloco 5 diloco --servers 2 --scheme diloco --local-steps 2 --clip 0.5
real push 4 push --scheme sgp --topology directed-exponential --slow 2=3
real admm 4 admm --scheme dinno --topology star --optimizer adamw --lr 0.001
real ring 4 ring --scheme dpsgd --topology ring --momentum 0.5 --slow 2=3
real slow 3 plain --slow 2=3 --delay 'uniform:0,0.1;stall:0.3,0.2@1'
export NBSGD_HOSTS=2
real hosts-sliced 5 sliced --servers 2
real hosts-bf16 3 bf16 --compress bf16
real hosts-topk 4 topk --scheme allreduce --allreduce direct --compress topk --compress-ratio 0.1
real hosts-ring-bf16 4 ring-bf16 --scheme allreduce --allreduce ring --compress bf16
real hosts-overlap 4 overlap --scheme osgp --topology directed-one-peer-exponential
real hosts-tracking 5 tracking --scheme dsgt --topology ring --momentum 0.5
real hosts-hypercube 5 hypercube --scheme dpsgd --topology hypercube

# A vector of many pieces, which leave as backward makes them final, and one that leaves when all of
# it is: two mini-batches are summed.
early() { # NAME OPTION ...
    local name=$1
    shift
    run "$mpirun" -n 4 "$nbsgd" "${net[@]}" --network mlp --hidden 600,600,600 \
        --backend openblas --servers 2 --save "$name.mpi" --results "$name-mpi" "$@"
    check "$name" ends 0
}
early leaves
early leaves-thread --progress thread
early waits --early-push=no
check 'a push that leaves early has the same bits' cmp waits.mpi leaves.mpi
check 'a push that leaves early has the same bits, with a progress thread' cmp waits.mpi \
    leaves-thread.mpi
unset NBSGD_HOSTS

# What every run of nbssgd must satisfy, from its own files.
adds_up() { # FOLDER SAMPLES: used by the server, at least
    local used aborted status updates workers lost batches
    read -r used aborted updates status < <(json "$1/summary.json" \
        'join " ", @{$j}{qw(samples aborted_minibatches updates status)}')
    workers=$(column "$1/ranks.csv" samples | sum)
    lost=$(column "$1/ranks.csv" aborted_minibatches | sum)
    batches=$(column "$1/ranks.csv" minibatches | sum)
    awk -v used="$used" -v least="$2" -v workers="$workers" -v batches="$batches" \
        -v size=32 -v many="$3" 'BEGIN {
        if (used < least) print "the server used only " used " samples of " least
        else if (workers < used || workers > used + many)
            print "the workers computed " workers " samples, the server used " used
        else if (workers != batches * size)
            print workers " samples are not " batches " mini-batches of " size
        else exit 0
        exit 1 }' || return 1
    [ "$aborted $status" = "${lost%.*} finished" ] ||
        { echo "status $status, $aborted mini-batches aborted, not ${lost%.*}"; return 1; }
    signals_add_up "$1" && updates_add_up "$1" "$updates"
}
signals_add_up() { # heard and late ones together are at most those sent, one to each of the others
    local sent heard late
    sent=$(column "$1/ranks.csv" signals_sent | sum)
    heard=$(column "$1/ranks.csv" signals_heard | sum)
    late=$(column "$1/ranks.csv" signals_late | sum)
    awk -v s="$sent" -v h="$heard" -v l="$late" -v others=3 \
        'BEGIN { exit !(s > 0 && h + l <= s * others) }' ||
        { echo "$sent signals sent, $heard heard, $late late"; return 1; }
}
# FOLDER UPDATES: one event each, and the histogram of mini-batches per update counts each
updates_add_up() {
    local updates=$2 events counted
    events=$(grep -c '"event": "update"' "$1/events.jsonl")
    counted=$(rows "$1/histograms.csv" |
        awk -F, '$1 == "minibatches_per_update" { n += $3 } END { print n }')
    if [ "$updates" != "$events" ] || [ "$updates" != "$counted" ]; then
        echo "$updates updates, $events events"
        return 1
    fi
}

toy=(--network quadratic --scheme nbssgd --batch 128 --minibatches 4 --samples 8192 --thresholds 30)
# samples that may be finished and not pushed when training ends: a batch of each worker
late=$((4 * 4 * 32))
mode() { # WORLD NAME COMMAND ...
    local world=$1 name=$2 before=$failed
    shift 2
    rm -rf run
    run "$@" --results run
    check "nbssgd $name on $world" ends 0
    if [ "$failed" = "$before" ]; then
        check "nbssgd $name on $world: counters" adds_up run 8192 $late
    fi
}

# 96 modes on the simulated network (a sanitizer sees every seventh: that meets each value); on
# real ranks enough of them that every pair of values meets.
nth=0
for payload in gradient weights; do for inflight in abort finish carry; do
for batch in keep reset; do
for server in locked racing; do for signal in direct relay; do for part in 0 1; do
    weighs=(finished full samples capped) # two of them in turn, so that each meets each value
    weigh=${weighs[nth / 2 % 2 * 2 + part]}
    nth=$((nth + 1))
    if [ "$sanitized" = 1 ] && [ $((nth % 7)) != 0 ]; then continue; fi
    mode sim "$payload $inflight $batch $server $signal $weigh" "$nbsgd" --world sim --workers 4 \
        "${toy[@]}" --slow 4=3 \
        --delay exponential:0.02 --nb-payload $payload --nb-inflight $inflight --nb-batch $batch \
        --nb-server $server --nb-signal $signal \
        --nb-weigh "$weigh"
done; done; done; done; done; done

while read -r payload inflight batch server signal weigh hosts; do
    export NBSGD_HOSTS=$hosts
    mode "$hosts host(s)" "$payload $inflight $batch $server $signal $weigh" "$mpirun" -n 5 \
        "$nbsgd" "${toy[@]}" --slow 4=3 \
        --delay exponential:0.002 --nb-payload "$payload" --nb-inflight "$inflight" \
        --nb-batch "$batch" --nb-server "$server" \
        --nb-signal "$signal" --nb-weigh "$weigh"
done <<'MODES'
gradient abort  keep  racing relay  samples  2
weights  abort  reset locked relay  capped   2
weights  abort  reset racing direct full     1
gradient finish reset racing relay  finished 1
weights  finish keep  locked direct full     2
gradient carry  keep  locked relay  finished 2
gradient carry  keep  racing direct capped   1
weights  carry  reset locked direct samples  1
MODES
unset NBSGD_HOSTS

finish
