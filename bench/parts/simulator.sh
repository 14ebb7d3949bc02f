# How long the simulated network takes for many ranks: a server and 1,024 workers of the program; 10,000 ranks that gossip.
# shellcheck shell=bash disable=SC2154

part_simulator() {
    local i begin took=() nbsgd
    nbsgd=$(readlink -f "$build/nbsgd")
    for i in 1 2 3; do
        begin=$(now_s)
        # from another folder, where there is no script for a figure: that is gnuplot's time
        if ! (cd "$tmp" && exec "$nbsgd" --world sim --workers 1024 --scheme ssgd --network quadratic --updates 20 --epochs 1000000 \
            --eval-every 1000000000000 --results "$tmp/sim" >"$tmp/sim.log" 2>&1); then
            echo "simulator: FAILED: $(tail -n 1 "$tmp/sim.log")"
            return
        fi
        took+=("$(calc %.3f "$(now_s) - $begin")")
    done
    grep -q ' 20 updates' "$tmp/sim.log" || { echo "simulator: not 20 updates: $(grep updates "$tmp/sim.log")"; return; }
    limit 'simulator: ssgd, toy, 1,025 ranks x 20 steps' "$(printf '%s\n' "${took[@]}" | sort -n | sed -n 2p)" s - - 'v<2'
    local program=$build/tests/test_sim_traffic seconds mb
    built simulator "$program" || return
    CMOCKA_TEST_FILTER='*gossip*' "$program" >"$out/simulator.txt" 2>&1
    read -r seconds mb < <(sed -nE 's/.* gossip: ([0-9.]+) s of CPU.* ([0-9]+) MB resident.*/\1 \2/p' "$out/simulator.txt")
    if [ -z "${mb:-}" ]; then
        echo "simulator: FAILED: $(tail -n 1 "$out/simulator.txt")"
        return
    fi
    limit 'simulator: gossip, 10,000 ranks x 20 rounds' "$seconds" s - - 'v<15'
    limit 'simulator: gossip, memory at its peak' "$mb" MB - - 'v<1000'
}
