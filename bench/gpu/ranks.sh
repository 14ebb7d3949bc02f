# How many ranks does a GPU carry? One process, and one to four workers with a server, all on the
# first GPU, round after round: images/s of the training clock. 5+: the server holds its weights on
# the GPU, and sums there. ranks.csv: every run.
# shellcheck shell=bash disable=SC2154

ranks_run_s=3 ranks_rounds=3 ranks_counts='1 2 3 4 5 5+'
if [ "$mode" = --rehearse ]; then ranks_run_s=0.1 ranks_rounds=1 ranks_counts='1 3'; fi

# Of every run of the whole program, here and in train.sh.
job=(--network resnet50 --stem cifar --dtype bf16 --batch 256 --minibatches 4)
if [ "$mode" = --rehearse ]; then
    job=(--network resnet20 --dtype f32 --batch 4 --minibatches 2 --dataset synthetic
        --train-samples 512)
fi
job+=(--backend "$BACKEND" --kernel-cache "$kernels" --no-pin --optimizer nesterov
    --label-smoothing 0.1 --zero-gamma)
read -ra more <<<"${ARGS:-}"
job+=("${more[@]}")
if [ -n "${DATA:-}" ] && [ "$mode" != --rehearse ]; then job+=(--data "$DATA"); fi

# job_is NAME RANKS SCHEME WORDS ...: one process has the host's threads, ranks share them.
job_is() {
    local name=$1 ranks=$2 scheme=$3 launch=("${mpirun[@]}" -n "$2") own=$threads
    shift 3
    if [ "$ranks" = 1 ]; then launch=() own=${THREADS:-$(nproc)}; fi
    command_is "$name" "${launch[@]}" "$build/nbsgd" --scheme "$scheme" "${job[@]}" \
        --threads "$own" "$@"
}

commands_ranks() {
    local ranks words
    for ranks in $ranks_counts; do
        words=(--lr 0.01 --seconds "$ranks_run_s" --epochs 100000 --eval-every 1000000000
            --eval-samples 32 --eval-batches 1)
        if [ "$ranks" != "${ranks%+}" ]; then words+=(--server-device gpu); fi
        job_is "ranks $ranks" "${ranks%+}" "$([ "$ranks" = 1 ] && echo serial || echo ssgd)" \
            "${words[@]}" --results "$tmp/ranks-$ranks"
    done
}

# fact_of FOLDER NAME: a number of its summary; nothing when it has none.
fact_of() { sed -nE "s/^ *\"$2\": ([0-9.]+).*/\1/p" "$1/summary.json" 2>/dev/null | head -n 1; }

part_ranks() {
    local ranks round images one=0 bad=0 took=0 began
    { cat "$out/head.txt"; echo 'round,ranks,workers,images_per_s'; } >"$out/ranks.csv"
    for ((round = 1; round <= ranks_rounds; round++)); do
        began=$(now_s)
        if [ "$round" -gt 1 ] && [ "$(left)" -lt "$took" ]; then break; fi
        for ranks in $ranks_counts; do
            if [ "$(left)" -lt 5 ]; then
                echo "$ranks ranks: left out: no time is left"
                continue
            fi
            rm -rf "$tmp/ranks-$ranks"
            run "ranks $ranks" "$(left)" "$tmp/log" || {
                echo "$ranks ranks: FAILED: $(why $? "$tmp/log")"
                bad=1
                continue
            }
            images=$(fact_of "$tmp/ranks-$ranks" images_per_s)
            if [ "$ranks" = 1 ]; then one=${images:-0}; fi
            echo "$round,$ranks,$((${ranks%+} > 1 ? ${ranks%+} - 1 : 1)),${images:-nan}" \
                >>"$out/ranks.csv"
            printf '%s rank(s): %10s images/s, %s of one process\n' "$ranks" "${images:--}" \
                "$(calc %.2f "$one ? ${images:-0} / $one : 0")"
        done
        took=$(($(now_s) - began))
    done
    [ $bad = 0 ]
}
