#!/usr/bin/env bash
# Simulated runs of every scheme on a disk that fills, tears writes and flips bits (--faults), drawn
# by seed. What must hold:
#
#   code    0, or 7 where something could not be written, and then it is said which; never another
#   bits    the weights are those of the run without faults, unless the fault was in their very file
#   whole   weights that nothing silent befell are a whole file; rows are whole
#   resume  a run goes on from the newest checkpoint that is whole, says which it passes over and
#           why, and ends with code 0 and the weights of the run without faults
#
#   SOAK_FILES=400 SOAK_SEED=1 tests/soak_files.sh     8 by default, from that seed on; SOAK_JOBS
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
seeds=${SOAK_FILES:-8} seed=${SOAK_SEED:-1} jobs=${SOAK_JOBS:-2} samples=256
options=(--world sim --workers 3 --network lenet5 --dataset synthetic --train-samples 64 --batch 8
    --minibatches 2 --eval-batches 1 --eval-samples 16 --eval-every 48 --samples "$samples"
    --threads 1 --lr 0.001 --delay exponential:0.05 --checkpoint-every 48 --checkpoint-keep 0)
mapfile -t schemes < <(scheme_names | sort)

draw() { # SEED: four faults
    RANDOM=$1
    local kinds=(row weights checkpoint) whats=('full 1' 'full 4' torn flipped)
    for _ in 1 2 3 4; do
        echo "rank 0 ${kinds[RANDOM % 3]} $((1 + RANDOM % 20)) ${whats[RANDOM % 4]}"
    done
}
silent() { grep -qE " $2 [0-9]+ (torn|flipped)" "$1/plan"; } # may nobody have been told?
rows_whole() { rows "$1" | awk -F, 'NF != 9 { exit 1 }'; }

train() { # SCHEME OPTION ...
    local own=(--scheme "$1")
    [ "$1" != adpsgd ] || own+=(--topology path) # a ring of three is not bipartite
    shift
    timeout --kill-after=5 100 "$nbsgd" "${options[@]}" "${own[@]}" "$@" 2>&1 </dev/null
}
# The last of them is gone, as in a run that was killed.
lose_last() { rm -rf "$(find "$1/run/checkpoints" -name 'samples-*' | sort | tail -n 1)"; }

# judge NAME SCHEME SEED: prints what is wrong
judge() {
    local name=$1 scheme=$2 seed=$3 code=0 out newest from=''
    local files=(--results "$name/run" --save "$name/w")
    mkdir "$name"
    draw "$seed" | tee "$name/plan" >"$name/faults"
    out=$(train "$scheme" --faults "$name/faults" "${files[@]}") || code=$?
    echo "$out" >"$name/out"
    case $code in
    0) ! grep -q 'cannot write' <<<"$out" || grep -q 'are written to .* again' <<<"$out" ||
        echo 'code 0, though something was not written' ;;
    7) grep -qE 'cannot write|training goes on' <<<"$out" || echo 'code 7, and nothing is said' ;;
    *) echo "exit code $code" ;;
    esac
    if [ "$code" = 0 ] && ! cmp -s "$name/w" "clean/$scheme.w"; then
        silent "$name" weights || echo 'other weights than without faults'
    fi
    if [ -e "$name/w" ] && ! whole "$name/w"; then
        silent "$name" weights || echo 'the weights are not whole'
    fi
    rows_whole "$name/run/eval.csv" || silent "$name" row || echo 'a row is not whole'
    if [ $((seed % 2)) = 0 ]; then lose_last "$name"; fi
    newest=$(find "$name/run/checkpoints" -name 'samples-*' 2>/dev/null | sort | tail -n 1)
    code=0
    : >"$name/faults" # another disk
    out=$(train "$scheme" --faults "$name/faults" --resume auto --overwrite \
        "${files[@]}") || code=$?
    echo "$out" >"$name/resumed"
    [ "$code" = 0 ] || echo "it does not go on: exit code $code"
    from=$(sed -nE 's/^goes on from ([^:]*):.*/\1/p' <<<"$out")
    [ "$from" = "$newest" ] || grep -qF "$newest: " <<<"$out" || grep -qF "$newest/" <<<"$out" ||
        echo "it goes on from ${from:-nowhere}, and does not say why not from $newest"
    cmp -s "$name/w" "clean/$scheme.w" || echo 'gone on, it has other weights'
}

mkdir clean
work() { # JOB
    local i scheme
    for ((i = seed + $1; i < seed + seeds; i += jobs)); do
        scheme=${schemes[i % ${#schemes[@]}]}
        ( flock 9
            [ -e "clean/$scheme.w" ] ||
                train "$scheme" --results "clean/$scheme" --save "clean/$scheme.w" \
                    >/dev/null ) 9>"clean/$scheme.lock"
        judge "$i" "$scheme" "$i" >"$i.verdict" 2>&1
        [ -s "$i.verdict" ] || rm -rf "$i"
    done
}
for job in $(seq 0 $((jobs - 1))); do work "$job" & done
wait
good=0
for ((i = seed; i < seed + seeds; i++)); do
    if [ ! -s "$i.verdict" ] && [ -e "$i.verdict" ]; then
        good=$((good + 1))
        continue
    fi
    again="SOAK_SEED=$i SOAK_FILES=1 tests/soak_files.sh (${schemes[i % ${#schemes[@]}]})" code=1
    out=$(cat "$i.verdict" "$i/plan" "$i/out" "$i/resumed" 2>&1 | grep -v '^evaluated at')
    check "seed $i: $(head -n 1 "$i.verdict")" false
done
check "$good of $seeds seeds" [ "$good" = "$seeds" ]
finish
