# How long the simulated network takes for many ranks: a server and 1,024 workers of the program, 20
# batches of 8 mini-batches each, by each scheme that has a server; 10,000 ranks that gossip.
# shellcheck shell=bash disable=SC2154

part_simulator() {
    local scheme turn begin took nbsgd workers=1024 batches=20 length
    nbsgd=$(readlink -f "$build/nbsgd")
    local all='ssgd nbssgd asgd dcasgd downpour hogwild ssp backup rennala anytime localsgd'
    for scheme in $all easgd eamsgd; do
        took=()
        length=(--samples $((workers * batches * 256)))
        # its version ends when the first worker has a batch; without scatter all are first, and
        # each signals to all
        if [ "$scheme" = nbssgd ]; then length=(--updates "$batches" --delay uniform:0,0.1); fi
        for turn in 1 2 3; do
            begin=$(now_s)
            # no figure: that is gnuplot's time
            if ! NBSGD_DATADIR=none "$nbsgd" --world sim --workers $workers --scheme "$scheme" \
                --network quadratic --batch 256 --minibatches 8 "${length[@]}" --lr 0.001 \
                --eval-every 1000000000000 --results "$tmp/sim" >"$tmp/sim.log" 2>&1; then
                echo "simulator: $scheme, turn $turn: FAILED: $(tail -n 1 "$tmp/sim.log")"
                return
            fi
            took+=("$(calc %.3f "$(now_s) - $begin")")
        done
        limit "simulator: $scheme, toy, 1,025 ranks x $batches steps" \
            "$(printf '%s\n' "${took[@]}" | sort -n | sed -n 2p)" s - - 'v<2'
    done
    local program=$build/tests/test_sim_traffic seconds mb
    built simulator "$program" || return
    CMOCKA_TEST_FILTER='*gossip*' "$program" >"$out/simulator.txt" 2>&1
    local row='.* gossip: ([0-9.]+) s of CPU.* ([0-9]+) MB resident.*'
    read -r seconds mb < <(sed -nE "s/$row/\1 \2/p" "$out/simulator.txt")
    if [ -z "${mb:-}" ]; then
        echo "simulator: FAILED: $(tail -n 1 "$out/simulator.txt")"
        return
    fi
    limit 'simulator: gossip, 10,000 ranks x 20 rounds' "$seconds" s - - 'v<15'
    limit 'simulator: gossip, memory at its peak' "$mb" MB - - 'v<1000'
}
