# A machine that is not quiet: a simulated run with its default threads, alone and beside as many
# busy processes as there are cores, by turns; and alone with threads that spin as gcc's OpenMP lets
# them, which nothing may be lost against.
# shellcheck shell=bash disable=SC2154

# Sets `took` to the seconds of a run.
neighbour_run() { # VARIABLE=VALUE ...
    local begin
    begin=$(now_s)
    if ! env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT NBSGD_DATADIR=none "$@" timeout 300 \
        "$build/nbsgd" --world sim --workers 2 --scheme ssgd --network resnet20 \
        --dataset synthetic --train-samples 4096 --eval-samples 4096 --batch 64 --minibatches 1 \
        --updates 40 --eval-every 1000000000 --backend "$BACKEND" --kernel-cache "$kernels" \
        --results "$tmp/neighbour" --overwrite >"$tmp/neighbour.log" 2>&1; then
        echo "neighbour: FAILED: $(last_words "$tmp/neighbour.log")"
        return 1
    fi
    took=$(calc %.3f "$(now_s) - $begin")
}

part_neighbour() {
    local i took alone=() beside=() spinning=() quiet
    median() { printf '%s\n' "$@" | sort -n | sed -n "$((($# + 1) / 2))p"; }
    neighbour_run || return # kernels are timed
    for _ in 1 2 3; do
        neighbour_run || return
        alone+=("$took")
        neighbour_run GOMP_SPINCOUNT=300000 || return
        spinning+=("$took")
        for ((i = 0; i < $(nproc); i++)); do
            while :; do :; done &
            pid[neighbour$i]=$!
        done
        neighbour_run
        for ((i = 0; i < $(nproc); i++)); do
            kill "${pid[neighbour$i]}"
            wait "${pid[neighbour$i]}" 2>/dev/null
            unset "pid[neighbour$i]"
        done
        beside+=("$took")
    done
    quiet=$(median "${alone[@]}")
    limit 'neighbour: a simulated run, alone' "$quiet" s "$(median "${spinning[@]}")" \
        'threads that spin' -
    limit 'neighbour: alone / with threads that spin' \
        "$(calc %.3f "$quiet / $(median "${spinning[@]}")")" x - - 'v<1.03'
    limit 'neighbour: beside a busy process a core / alone' \
        "$(calc %.3f "$(median "${beside[@]}") / $quiet")" x - - 'v<2.5'
}
