#!/usr/bin/env bash
# A run that goes on from a checkpoint, over real ranks: for the schemes whose run is a function of
# its seed it has the weights, the optimizer's state and the rows of a run that never ended, bit for
# bit; for the others each sample counts once. Killed at random moments, twice in a row, it loses
# nothing that was kept. Which checkpoints are taken is drawn by $CHECKPOINT_SEED.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
# shellcheck source=tests/checkpoints.bash
. "$home/tests/checkpoints.bash"
RANDOM=${CHECKPOINT_SEED:=$((RANDOM + 1))}
echo "CHECKPOINT_SEED=$CHECKPOINT_SEED repeats this"

toy=(--network quadratic --batch 16 --minibatches 2 --threads 1 --delay constant:0.003
    --deadline 10)
tiny=(--network lenet5 --dataset synthetic --train-samples 120 --batch 8 --minibatches 2
    --eval-samples 20 --eval-batches 1 --threads 1 --backend ref)

# The last checkpoints of two runs hold the same: weights, what rules and codecs remember, places.
same_end() { # FOLDER FOLDER
    local a b rank names=' (weights|average|node/(next|attempts|samples)|server/optimizer/.*'
    names+='|workers?\.optimizer/.*|worker/coder .*|worker\.coders/.*)$'
    a=$(newest "$1/checkpoints") b=$(newest "$2/checkpoints")
    [ "$(basename "$a")" = "$(basename "$b")" ] || { echo "$a ends elsewhere than $b"; return 1; }
    for rank in "$a"/rank-*.safetensors; do
        rank=${rank##*/rank-} rank=${rank%.safetensors}
        diff <(tensors "$a" "$rank" | grep -E "$names") \
            <(tensors "$b" "$rank" | grep -E "$names") || return 1
    done
    grep -qa '"weights":' "$a"/rank-*.safetensors || { echo "no weights"; return 1; }
    if [ -e "$a/weights.safetensors" ]; then
        cmp "$a/weights.safetensors" "$b/weights.safetensors"
    fi
}

# A run to its end; one that goes on from one of its checkpoints; and one from one of that one's.
exact() { # NAME RANKS OPTION ...
    local name=$1 ranks=$2
    shift 2
    local every=(--checkpoint-every 97 --checkpoint-keep 0)
    train "$name" "$ranks" "$@" "${every[@]}"
    check "$name" ends 0
    local from
    from=$(any_middle "$name/checkpoints")
    train "$name-1" "$ranks" "$@" "${every[@]}" --resume "$from"
    check "$name: goes on from $(basename "$from")" ends 0 'goes on from .*samples-'
    check "$name: the rows of a run that never ended" same_rows "$name/eval.csv" \
        "$name-1/eval.csv" 2-9
    check "$name: each worker's losses" same_rows "$name/worker_losses.csv" \
        "$name-1/worker_losses.csv" 2-7
    check "$name: its weights and state, bit for bit" same_end "$name" "$name-1"
    [ "${twice:-}" ] || return
    from=$(any_middle "$name-1/checkpoints")
    train "$name-2" "$ranks" "$@" "${every[@]}" --resume "$from"
    check "$name: twice in a row" ends 0
    check "$name: the rows, twice in a row" same_rows "$name/eval.csv" "$name-2/eval.csv" 2-9
    check "$name: bit for bit, twice in a row" same_end "$name" "$name-2"
}

toys() { local name=$1 ranks=$2; shift 2; exact "$name" "$ranks" "${toy[@]}" --samples 1900 "$@"; }
twice=1 toys ssgd 5 --scheme ssgd --servers 2 --compress topk --clip 1 --momentum 0.8 \
    --delay constant:0.01 # there are to be some, also on a slow disk
toys adam 3 --scheme ssgd --optimizer adam --ema 0.9 --compress bf16 --schedule one-cycle
toys localsgd 4 --scheme localsgd --servers 2 --local-steps 3 --optimizer adamw --lr 0.01 \
    --compress int8
twice=1 toys allreduce 4 --scheme allreduce --compress topk --ema 0.9 --optimizer lamb --lr 0.01
toys dropcompute 3 --scheme dropcompute --dropcompute-tau inf --allreduce ring --compress randk
toys halves 3 --scheme allreduce --compress bf16 --momentum 0.8
toys serial 1 --scheme serial --workers 3 --optimizer adagrad --ema 0.9
exact images 3 "${tiny[@]}" --samples 700 --scheme ssgd --val-split 0.2 --evaluate val

# --- ended by --target: what it ends with is kept, and goes on as if it never had
train target 4 "${toy[@]}" --samples 1900 --scheme allreduce --momentum 0.8 --eval-every 97 \
    --target 30 --checkpoint-every 100000
check 'by --target: ends before its samples' json_holds target/summary.json '$j->{samples} < 1800'
check 'by --target: it keeps one checkpoint, of its end' [ "$(newest target/checkpoints)" = \
    "$(printf 'target/checkpoints/samples-%012d' "$(json target/summary.json '$j->{samples}')")" ]
train target-1 4 "${toy[@]}" --samples 1900 --scheme allreduce --momentum 0.8 --eval-every 97 \
    --checkpoint-every 100000 --resume target
train target-2 4 "${toy[@]}" --samples 1900 --scheme allreduce --momentum 0.8 --eval-every 97 \
    --checkpoint-every 100000
check 'by --target: goes on bit for bit' same_end target-1 target-2

# --- what a killed run has left is removed by the next one that writes there
mkdir -p left/checkpoints/.1-00.part left/checkpoints/.2-00.part.old left/checkpoints/own
touch left/checkpoints/.1-00.part/rank-0.json
train other 3 "${toy[@]}" --samples 96 --scheme ssgd --checkpoint-every 48 --checkpoint-dir \
    left/checkpoints
check 'what was left unfinished is gone, nothing else' ends 0
check 'that is' [ "$(find left/checkpoints -mindepth 1 -maxdepth 1 ! -name 'samples-*')" = \
    left/checkpoints/own ]
"$nbsgd" --world sim "${toy[@]}" --samples 100000000 --scheme ssgd \
    --checkpoint-every 100000000 --checkpoint-dir both --results one >one.out 2>&1 &
one=$!
for _ in {1..200}; do [ -d both ] && break; sleep 0.05; done
sleep 0.2
train two 3 "${toy[@]}" --samples 96 --scheme ssgd --checkpoint-every 48 --checkpoint-dir both
check 'two runs do not write into one folder' ends 2 'another run writes checkpoints into both now'
kill -9 $one
wait $one 2>/dev/null

# --- killed at random moments, twice in a row
descendants() { local p; for p in $(ps -o pid= --ppid "$1"); do descendants "$p"; echo "$p"; done; }
kill_soon() { # after the first new checkpoint, at a random moment: every process of the run
    local folder=$1 had=$2 pid=$3
    for _ in $(seq 600); do
        [ "$(basename "$(newest "$folder" 2>/dev/null)")" = "$had" ] || break
        sleep 0.05
    done
    sleep "0.$((RANDOM % 40 + 10))"
    # shellcheck disable=SC2046
    kill -9 $(descendants "$pid") "$pid" 2>/dev/null
}
killed=("${toy[@]}" --scheme ssgd --optimizer adam --compress topk --samples 6000)
train never 3 "${killed[@]}" --checkpoint-every 6000
slow=(--delay constant:0.01 --checkpoint-every 0.2s)
for time in 1 2; do
    had=$(basename "$(newest killed/checkpoints 2>/dev/null)")
    "$mpirun" -n 3 "$nbsgd" "${killed[@]}" "${slow[@]}" --results killed --resume auto \
        >"killed.$time" 2>&1 </dev/null &
    kill_soon killed/checkpoints "$had" $!
    wait $! 2>/dev/null
    check "killed, $time: something was kept" [ -n "$(newest killed/checkpoints)" ]
done
check 'it began, as there was nothing' grep -q 'no whole checkpoint in killed: begins' killed.1
check 'it went on' grep -q 'goes on from killed/checkpoints/samples-' killed.2
train killed 3 "${killed[@]}" --checkpoint-every 6000 --resume auto
check 'killed twice, it ends' ends 0 'goes on from'
check 'killed twice: the rows of a run that never ended' same_rows never/eval.csv \
    killed/eval.csv 2-9
check 'killed twice: bit for bit' same_end never killed

# --- asked to stop: what it has then is kept, and it goes on as if it never had
"$mpirun" -n 3 "$nbsgd" "${killed[@]}" --delay constant:0.01 --checkpoint-every 6000 \
    --results stopped >stopped.out 2>&1 </dev/null &
launcher=$!
for _ in $(seq 200); do
    grep -q '"update"' stopped/events.jsonl 2>/dev/null && break
    sleep 0.05
done
sleep 0.3
# shellcheck disable=SC2046
kill -TERM $(descendants "$launcher" | while read -r p; do
    [ "$(readlink "/proc/$p/exe")" = "$nbsgd" ] && echo "$p"; done) 2>/dev/null
wait "$launcher"
check 'asked to stop: it keeps one checkpoint' [ "$(count_of stopped/checkpoints)" = 1 ]
train stopped 3 "${killed[@]}" --checkpoint-every 6000 --resume auto
check 'asked to stop: the rows of a run that never ended' same_rows never/eval.csv \
    stopped/eval.csv 2-9
check 'asked to stop: bit for bit' same_end never stopped

# --- it goes on where it was, and saves where it did
place=("${tiny[@]}" --scheme ssgd --checkpoint-every 60 --save place.weights)
train place 3 "${place[@]}" --samples 100
run "$mpirun" -n 3 "$nbsgd" "${place[@]}" --samples 160 --resume place
check 'without --results it goes on in its own folder' ends 0 'results: .*/place'
check 'its rows are there, once' [ "$(column place/eval.csv samples | sort -n | uniq -d)" = '' ]
check 'its weights are the newer ones' json_holds place/summary.json '$j->{samples} >= 160'
mv place moved
run "$mpirun" -n 3 "$nbsgd" "${place[@]}" --samples 220 --resume moved
check 'in a folder that was moved it goes on there' ends 0 'results: .*/moved'
older=$(find moved/checkpoints -name 'samples-*' | sort | sed -n 1p)
train moved 3 "${place[@]}" --samples 260 --resume "$older" --save other.weights
check 'an older one is refused there' ends 2 'is newer'
check 'and the folder still says where it saves' grep -qx 'save = place.weights' moved/.nbsgd
train elsewhere 3 "${place[@]}" --samples 100
check "another run's weights are not replaced" ends 2 'another run.s weights'

# --- what is refused, and what is skipped
from=$(any_middle ssgd/checkpoints)
mixed=(--scheme ssgd --servers 2 --compress topk --clip 1 --momentum 0.8)
train other 5 "${toy[@]}" "${mixed[@]}" --samples 1900 --lr 0.2 --seed 4 --resume "$from"
check 'another configuration is refused' ends 2 \
    'of another configuration: --seed 4 \(there 1\), --lr 0.2 \(there 0.1\)'
train fewer 4 "${toy[@]}" "${mixed[@]}" --samples 1900 --resume "$from"
check 'fewer workers go on' ends 0 'goes on with 2 workers in place of 3' \
    'dropped of workers from number 2 on: what --compress left out'
check 'and learn' learns fewer 1900 1
train more 5 "${toy[@]}" --samples 1900 --scheme allreduce --compress topk --ema 0.9 \
    --optimizer lamb --lr 0.01 --resume "$(any_middle allreduce/checkpoints)"
check 'more workers go on' ends 0 'goes on with 4 workers in place of 3'
check 'and learn, too' learns more 1900 1
train own 5 "${toy[@]}" --samples 1900 --scheme localsgd --servers 2 --local-steps 3 \
    --optimizer adamw --lr 0.01 --compress int8 --resume "$(any_middle localsgd/checkpoints)"
check 'what each keeps for itself begins anew at new ones' ends 0 \
    'begun anew of workers from number 2 on: optimizer'
check 'and learn with it' learns own 1900 1
train longer 5 "${toy[@]}" "${mixed[@]}" --samples 2500 --resume "$from"
check 'it may train for longer' ends 0
check 'it did' json_holds longer/summary.json '$j->{samples} >= 2500'
train none 3 "${toy[@]}" --scheme ssgd --samples 100 --resume nowhere
check 'a folder without checkpoints is refused' ends 2 'nowhere: there is no whole checkpoint'
train none 3 "${toy[@]}" --scheme ssgd --samples 100 --checkpoint-every 50 --checkpoint-dir \
    ssgd/checkpoints
check "another run's checkpoints are not mixed with" ends 2 'holds checkpoints of another run'
# --- rows of a newer checkpoint are lost to no run that goes on from an older one
first=$(find ssgd/checkpoints -name 'samples-*' | sort | sed -n 1p)
state_of() { find "$1" -type f ! -name .nbsgd -exec sha256sum {} + | sort; }
leaves() { # WHAT WORDS OPTION ...: it is refused, and nothing in the folder has changed
    local what=$1 words=$2 before
    shift 2
    before=$(state_of ssgd)
    train ssgd 5 "${toy[@]}" "${mixed[@]}" --samples 2500 "$@"
    check "$what" ends 2 "$words"
    check "$what: what was there stays" [ "$(state_of ssgd)" = "$before" ]
}
leaves 'an older one, with checkpoints' 'is newer: go on with that' --resume "$first" \
    --checkpoint-every 97
leaves 'an older one, without' 'is newer: go on with that, or name another --results' \
    --resume "$first"
leaves 'an older one, checkpoints elsewhere' 'is newer: go on with that, or name another --res' \
    --resume "$first" --checkpoint-every 97 --checkpoint-dir aside
leaves 'one that begins, though checkpoints are there' 'holds checkpoints of another run' \
    --overwrite --checkpoint-every 97
train older 5 "${toy[@]}" "${mixed[@]}" --samples 1900 --resume "$first"
check 'elsewhere it goes on from an older one' ends 0
check 'with a copy of the rows' same_rows ssgd/eval.csv older/eval.csv 2-9
cp -r ssgd other-rows
sed -i 's/^0\.0*,0,0/0.00,0,0/' other-rows/eval.csv
train other-rows 5 "${toy[@]}" "${mixed[@]}" --samples 2500 --resume auto
check 'other rows than it speaks of' ends 0 'eval.csv: no row ends after [0-9]+ bytes'
check 'each is a whole one' [ -z "$(rows other-rows/eval.csv | awk -F, 'NF != 9')" ]
cp -r ssgd fewer-rows
truncate -s 300 fewer-rows/eval.csv
before=$(state_of fewer-rows)
train fewer-rows 5 "${toy[@]}" "${mixed[@]}" --samples 2500 --resume auto
check 'fewer rows than it speaks of' ends 2 'eval.csv has fewer than the [0-9]+ bytes'
check 'stay' [ "$(state_of fewer-rows)" = "$before" ]

cp -r ssgd/checkpoints torn
truncate -s -1 "$(newest torn)/rank-3.safetensors"
printf x | dd of="$(newest torn 2)/rank-1.safetensors" bs=1 seek=2000 conv=notrunc status=none
rm "$(newest torn 3)/rank-4.safetensors"
cp -r "$(newest torn)" torn/samples-000000009999
truncate -s 1T torn/samples-000000009999/manifest.json
train skipped 5 "${toy[@]}" "${mixed[@]}" --samples 1900 --resume auto --checkpoint-dir torn
check 'broken ones are skipped, and it says why' ends 0 'its manifest has 1099511627776 bytes' \
    'its rank-3.safetensors is torn' \
    'its rank-1.safetensors was changed' 'its rank-4.safetensors: No such file' \
    "goes on from $(newest torn 5)"
check 'and it ends as if they were not' same_rows ssgd/eval.csv skipped/eval.csv 2-9

finish
