# How long the simulated network takes for many ranks: a server and 1,024 workers of the program, 20
# batches of 8 mini-batches each, by each scheme that has a server; what signals and sums take at
# that size, in CPU time and memory; 20 updates of 10,000 workers; 10,000 ranks that gossip.
# shellcheck shell=bash disable=SC2154

# Runs a scheme with so many workers; CPU seconds and MB at its peak may be at most so many.
# simulator_row NAME SECONDS MB WORKERS SCHEME OPTION..
simulator_row() {
    local name=$1 seconds=$2 mb=$3 child used=0 peak=0 fields ticks
    ticks=$(getconf CLK_TCK)
    NBSGD_DATADIR=none OMP_NUM_THREADS=1 timeout 600 "$(readlink -f "$build/nbsgd")" --world sim \
        --workers "$4" --scheme "$5" --network quadratic --batch 256 --minibatches 8 --lr 0.001 \
        --eval-every 1000000000000 --results "$tmp/sim" --overwrite "${@:6}" >"$tmp/sim.log" 2>&1 &
    child=$!
    sleep 0.2
    # of the program, which timeout runs
    while fields=$(cat /proc/"$(pgrep -P $child || echo none)"/{stat,status} 2>/dev/null); do
        used=$(awk -v ticks="$ticks" 'NR == 1 { printf "%.2f", ($14 + $15) / ticks }' <<<"$fields")
        peak=$(awk '/^VmHWM/ { printf "%.0f", $2 * 1.024e-3 }' <<<"$fields")
        sleep 0.1
    done
    if ! wait $child; then
        echo "simulator: $name: FAILED: $(last_words "$tmp/sim.log")"
        return
    fi
    limit "simulator: $name" "$used" s - - "v<$seconds"
    limit "simulator: $name, memory at its peak" "$peak" MB - - "v<$mb"
}

simulator_rows() {
    local length=(--samples $((1024 * 20 * 256))) updates=(--updates 20 --samples 1000000000000)
    local scatter=(--delay exponential:0.02) scheme
    simulator_row 'nbssgd, scatter, 1,024 workers x 20 batches' 10 300 1024 nbssgd \
        "${length[@]}" "${scatter[@]}"
    for scheme in allreduce eager; do
        simulator_row "$scheme, scatter, 1,024 workers x 20 batches" 10 300 1024 "$scheme" \
            "${updates[@]}" "${scatter[@]}"
    done
    for scheme in ssgd allreduce; do
        simulator_row "$scheme, 10,000 workers x 20 updates" 60 1500 10000 "$scheme" \
            "${updates[@]}"
    done
    simulator_row 'allreduce, ring, 10,000 workers x 20 updates' 60 1500 10000 allreduce \
        "${updates[@]}" --allreduce ring
    simulator_row 'asgd, 10,000 workers x 20 batches' 60 1500 10000 asgd \
        --samples $((10000 * 20 * 256))
    simulator_row 'nbssgd, scatter, relayed signals, 10,000 workers x 20 updates' 60 1500 10000 \
        nbssgd "${updates[@]}" "${scatter[@]}" --nb-signal relay
    simulator_row 'nbssgd, scatter, 10,000 workers x 20 updates' 60 1500 10000 nbssgd \
        "${updates[@]}" "${scatter[@]}"
}

part_simulator() {
    local scheme turn begin took nbsgd workers=1024 batches=20 length
    nbsgd=$(readlink -f "$build/nbsgd")
    local all='ssgd nbssgd asgd dcasgd downpour hogwild ssp backup rennala anytime localsgd'
    for scheme in $all easgd eamsgd; do
        took=()
        length=(--samples $((workers * batches * 256)))
        # its version ends when the first worker has a batch; without scatter all are first, and
        # each signals to all
        if [ "$scheme" = nbssgd ]; then length=(--updates "$batches" --delay "uniform:0,0.1"); fi
        for turn in 1 2 3; do
            begin=$(now_s)
            # no figure: that is gnuplot's time
            if ! NBSGD_DATADIR=none "$nbsgd" --world sim --workers $workers --scheme "$scheme" \
                --network quadratic --batch 256 --minibatches 8 "${length[@]}" --lr 0.001 \
                --eval-every 1000000000000 --results "$tmp/sim" --overwrite \
                >"$tmp/sim.log" 2>&1; then
                echo "simulator: $scheme, turn $turn: FAILED: $(last_words "$tmp/sim.log")"
                return
            fi
            took+=("$(calc %.3f "$(now_s) - $begin")")
        done
        limit "simulator: $scheme, toy, 1,025 ranks x $batches steps" \
            "$(printf '%s\n' "${took[@]}" | sort -n | sed -n 2p)" s - - 'v<2'
    done
    simulator_rows
    local program=$build/tests/test_sim_traffic seconds mb
    built simulator "$program" || return
    CMOCKA_TEST_FILTER='*gossip*' "$program" >"$out/simulator.txt" 2>&1
    local row='.* gossip: ([0-9.]+) s of CPU.* ([0-9]+) MB resident.*'
    read -r seconds mb < <(sed -nE "s/$row/\1 \2/p" "$out/simulator.txt")
    if [ -z "${mb:-}" ]; then
        echo "simulator: FAILED: $(last_words "$out/simulator.txt")"
        return
    fi
    limit 'simulator: gossip, 10,000 ranks x 20 rounds' "$seconds" s - - 'v<15'
    limit 'simulator: gossip, memory at its peak' "$mb" MB - - 'v<1000'
}
