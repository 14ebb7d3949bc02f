#!/usr/bin/env bash
# The program on a disk that fills, and killed while it writes: at every call that changes a file
# the weights are whole, the old ones or the new ones, and a run goes on from the newest whole
# checkpoint; what could not be written ends the run with a code of its own, after its end.
#
#   SOAK_KILLS=1 tests/crash.sh      each call, not a part of them
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
library=$home/${BUILD:-build/release}/tests/faulty_files.so
[ -e "$library" ] || skip 'tests/faulty_files.so is not built (make check)'
[ "$sanitized" = 0 ] || skip 'a sanitizer wants to be loaded first'
stride=8 kinds_of=(power kill) # of ranks 0 and 1, while they write checkpoints
if [ -n "${SOAK_KILLS:-}" ]; then stride=1 kinds_of=('kill power' 'kill power'); fi
export OMP_WAIT_POLICY=passive # else the program executes itself again, which no filter outlives
sim=("$nbsgd" --world sim --workers 1 --scheme ssgd --minibatches 1 --batch 8 --threads 1)
images=(--network lenet5 --dataset synthetic --train-samples 64 --eval-batches 1 --eval-samples 16)

# under KIND AT FILE COMMAND ...: what happens at that call to a file whose path has that in it
under() {
    local kind=$1 at=$2 file=$3
    shift 3
    run env LD_PRELOAD="$library" FAULTY="$kind" FAULTY_AT="$at" FAULTY_FILE="$file" \
        FAULTY_LOG="$folder/calls" "$@"
}

# --- killed while it saves

save=("${sim[@]}" "${images[@]}" --updates 3 --save "$folder/w" --overwrite)
run "${sim[@]}" "${images[@]}" --updates 2 --save old --results first
check 'the first weights are there' whole old
cp old w
under none 0 "$folder/w" "${save[@]}" --results all
[ "$code" != 77 ] || skip 'this kernel lets nobody catch system calls'
calls=$(wc -l <calls)
check 'a save is made of many calls' [ "$calls" -ge 5 ]
check 'new weights are others' eval '! cmp -s old w'
cp w new

for kind in kill torn power; do
    torn=0 lost=0 kept=0
    for at in $(seq 1 "$stride" "$calls") "$calls"; do
        cp old w
        under "$kind" "$at" "$folder/w" "${save[@]}" --results "$kind.$at"
        [ "$code" = 137 ] || torn=$((torn + 1))
        if cmp -s old w; then kept=$((kept + 1)); fi
        whole w || lost=$((lost + 1))
    done
    check "$kind at each call: it was killed each time" [ "$torn" = 0 ]
    check "$kind at each call: the weights are whole each time" [ "$lost" = 0 ]
    check "$kind at each call: the old ones stay until the new ones are whole" [ "$kept" -ge 2 ]
done
rm -f w.*.part

# --- killed while it writes a checkpoint

# go_on UPDATES [RANK KIND AT]: a run of three ranks that goes on; what happens to that rank
# shellcheck disable=SC2016
strike='if [ "${PMI_RANK-$OMPI_COMM_WORLD_RANK}" = "$1" ]; then
    export LD_PRELOAD=$2 FAULTY=$3 FAULTY_AT=$4 FAULTY_FILE=${FAULTY_IN:-/ck} FAULTY_LOG=$5
fi
shift 5
exec "$@"'
go_on() {
    run "$mpirun" -n 3 bash -c "$strike" - "${2:--1}" "$library" "${3:-none}" "${4:-0}" \
        "$folder/calls" "$nbsgd" --network quadratic --scheme ssgd --threads 1 --minibatches 1 \
        --batch 8 --checkpoint-every 160 --checkpoint-dir "$folder/ck" --results ck.run \
        --updates "$1" --resume auto
}
go_on 20
check 'a checkpoint is there' [ -e ck/samples-000000000320/manifest.json ]
cp -a ck ck.old
cp -a ck.run ck.run.old
as_before() {
    rm -rf ck ck.run
    cp -a ck.old ck
    cp -a ck.run.old ck.run
}
for rank in 0 1; do
    as_before
    rm -f calls
    go_on 60 "$rank" none
    calls=$(wc -l <calls) killed=0 lost=0 behind=0
    check "rank $rank changes many files" [ "$calls" -ge 8 ]
    for kind in ${kinds_of[rank]}; do
        for at in $(seq $((stride / 2 + 1)) "$stride" "$calls"); do
            as_before
            go_on 60 "$rank" "$kind" "$at"
            [ "$code" = 0 ] || killed=$((killed + 1)) # how many calls there are is a matter of time
            go_on 60
            [ "$code" = 0 ] || lost=$((lost + 1))
            from=$(sed -nE 's|.*goes on from .*/samples-0*([0-9]+):.*|\1|p' <<<"$out")
            [ "${from:-0}" -ge 320 ] || behind=$((behind + 1))
        done
    done
    check "rank $rank killed at each change of a checkpoint: it was" [ "$killed" -ge 1 ]
    check "rank $rank killed at each change of a checkpoint: it goes on" [ "$lost" = 0 ]
    check "rank $rank killed at each change of a checkpoint: none is lost" [ "$behind" = 0 ]
done

# --- a disk that stands still for longer than the deadline

run env FAULTY_IN=/rank-0.safetensors "$mpirun" -n 2 bash -c "$strike" - 0 "$library" slow 1 \
    "$folder/calls" "$nbsgd" --network quadratic --scheme ssgd --threads 1 --batch 8 \
    --minibatches 1 --updates 20 --checkpoint-every 100000 --deadline 1 --results slow
check 'a disk that stands still under the last checkpoint ends no run' ends 0 \
    'busy with a checkpoint for'

# In the simulated world: FAULTY_IN is slow for 8 s, of which ten deadlines are believed.
stuck=("${sim[@]}" "${images[@]}" --updates 3)
under slow 4 "$folder/still." "${stuck[@]}" --save "$folder/still" --deadline 0.2 \
    --results stuck.run
check 'sim: a disk that never answers ends the run' ends 5 \
    'busy with saving the weights for [0-9]+ s; it is given 2 s' \
    'rank 0 on sim: saving the weights does not end for [0-9]+ s'
under slow 2 /rank-0.safetensors "${stuck[@]}" --checkpoint-every 8 --deadline 0.2 --results stuck.2
check 'sim: nor under a checkpoint' ends 5 'a checkpoint does not end for [0-9]+ s'
under slow 4 "$folder/late." "${stuck[@]}" --save "$folder/late" --deadline 2 --results other
check 'sim: one that is late ends none' ends 0 'busy with saving the weights for [0-9]+ s'
check 'sim: and the weights are whole' whole late

# --- a disk that is full, or fails

check_unwritten() { # NAME KIND AT FILE COMMAND ...
    local name=$1
    shift
    under "$@"
    check "$name on a disk that fails: training goes on, code 7" ends 7 'cannot write'
}
for file in eval.csv events.jsonl summary.json ranks.csv histograms.csv; do
    check_unwritten "$file" full 1 "/$file" "${sim[@]}" --network quadratic --updates 20 \
        --results "full.$file"
done
check 'the other files of such a run are whole' \
    json_is full.eval.csv/summary.json '$j->{updates}' 20
cp old w
check_unwritten 'the weights' full 3 "$folder/w." "${save[@]}" --results full.w
check 'the old weights stay' cmp -s old w
check_unwritten 'the weights, once' eio 3 "$folder/w." "${save[@]}" --results eio.w
check 'the old weights stay, again' cmp -s old w
under short 4 "$folder/w." "${save[@]}" --results short.w
check 'a short write is no failure' ends 0
check 'and the weights are the new ones' cmp -s new w
finish
