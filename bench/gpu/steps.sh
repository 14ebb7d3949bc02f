# How fast is a training step? Ours, ours without the update of the weights, and PyTorch on the same
# GPU: eager, compiled, and compiled with CUDA graphs, interleaved (bench/turns.h). steps.csv, and
# every figure in turns.csv.
# shellcheck shell=bash disable=SC2154

turns=${TURNS:-3} turn_s=${TURN_S:-1}
# shellcheck disable=SC2034 # ask reads it
a_start=1

# stem side batch dtype | to reach: ours / eager, ours / the faster compiled one, share of the floor
# | the floor, images/s (of an H200)
gpu_steps='
cifar    32  128 bf16 | -  1.2 75 | 33300
imagenet 32  128 bf16 | 5  1.2 -  | 338000
imagenet 224 128 bf16 | -  1.2 -  | 10600
cifar    32  512 bf16 | -  1.2 75 | 34200
cifar    224 16  bf16 | -  1.2 -  | -
imagenet 32  512 bf16 | -  1.2 -  | 467000
'
network=resnet50
if [ "$mode" = --rehearse ]; then
    network=resnet20 turns=${TURNS:-2} turn_s=${TURN_S:-0.05}
    gpu_steps='
cifar    8   4 f32 | 0.1 1.2 75 | 100000
'
fi

racers='ours bare eager compiled graphs'

# Calls "$@" for each row, with its cells in stem, side, ...
each_row() {
    local stem side batch dtype want_eager want_compiled want_share floor
    while read -r stem side batch dtype _ want_eager want_compiled want_share _ floor; do
        if [ -n "$stem" ]; then "$@"; fi
    done <<<"$gpu_steps"
}

row_commands() {
    local words=(--network "$network" --stem "$stem" --side "$side" --batch "$batch"
        --dtype "$dtype" --threads "$(nproc)" --turns)
    local ours=("$build/bench/step" "${words[@]}" --warm 4 --backend "$BACKEND"
        --cache "$kernels") at="steps $stem $side $batch"
    local peer=("$python" bench/pytorch.py "${words[@]}" --warm 4 --wait
        --device "$([ "$BACKEND" = cudnn ] && echo cuda || echo cpu)")
    command_is "$at ours" "${ours[@]}"
    command_is "$at bare" "${ours[@]}" --gradient
    command_is "$at eager" "${peer[@]}"
    command_is "$at compiled" "${peer[@]}" --compile default
    command_is "$at graphs" "${peer[@]}" --compile reduce-overhead
}

commands_steps() { each_row row_commands; }

# What torch.compile makes is kept on disk: it is made while the tests run, all rows at once, so
# that the race need not wait for it.
warm_row() {
    local words who
    for who in compiled graphs; do
        words_of "steps $stem $side $batch $who"
        printf 'go\nend\n' | timeout -k 5 150 "${words[@]}" >/dev/null 2>&1
    done &
    pid[warm $stem $side $batch]=$!
}

warm_peers() {
    export TORCHINDUCTOR_CACHE_DIR=$tmp/inductor
    if [ "$torch" != none ] && [ "$BACKEND" = cudnn ]; then each_row warm_row; fi
}

stop_warming() {
    local name
    for name in "${!pid[@]}"; do
        [[ $name == 'warm '* ]] || continue
        wait "${pid[$name]}" 2>/dev/null
        unset "pid[$name]"
    done
}

# Medians over the turns, and ratios within a turn: one line of steps.csv.
conclude_row() {
    awk -F, -v row="$row" -v want_eager="$want_eager" -v want_compiled="$want_compiled" \
        -v want_share="$want_share" -v floor="$floor" \
        -v csv="$out/steps.csv" -v racers="$racers" "$(<bench/statistics.awk)"'
    function of_turn(turn, who, i, list) {
        for (i = 1; i <= count[turn, who]; i++) list[i] = figure[turn, who, i] + 0
        return median(list, count[turn, who])
    }
    function speed(who, t, n, list, v) {
        for (t = 1; t <= turns; t++) if ((v = of_turn(t, who)) != "") list[++n] = v
        return median(list, n)
    }
    function ratio(who, t, n, list) {
        for (t = 1; t <= turns; t++)
            if (count[t, who]) list[++n] = of_turn(t, "ours") / of_turn(t, who)
        return median(list, n)
    }
    function verdict(is, want) {
        return want == "-" || is == "" ? "-" : is >= want + 0 ? "yes" : "NO"
    }
    function shown(v, format) { return v == "" ? "-" : sprintf(format, v) }
    $1 == row { figure[$3, $4, ++count[$3, $4]] = $5; if ($3 > turns) turns = $3 }
    END {
        split(racers, who, " ")
        line = row; gsub(/ /, ",", line)
        text = sprintf("%-22s", row)
        for (i = 1; i <= 5; i++) {
            v[i] = speed(who[i]); line = line "," shown(v[i], "%.6g")
            text = text sprintf(" %9s", shown(v[i], "%.0f"))
        }
        eager = ratio("eager"); compiled = ratio("compiled"); graphs = ratio("graphs")
        hardest = compiled != "" && (graphs == "" || compiled < graphs) ? compiled : graphs
        share = floor == "-" || v[1] == "" ? "" : 100 * v[1] / floor
        line = line "," shown(eager, "%.3f") "," want_eager "," verdict(eager, want_eager)
        line = line "," shown(hardest, "%.3f") "," want_compiled "," verdict(hardest, want_compiled)
        line = line "," shown(share, "%.3g") "," want_share "," verdict(share, want_share)
        text = text sprintf(" | / eager %s >=%s %s", shown(eager, "%.2f"), want_eager,
            verdict(eager, want_eager))
        text = text sprintf(" | / compiled %s >=%s %s", shown(hardest, "%.2f"), want_compiled,
            verdict(hardest, want_compiled))
        print text sprintf(" | %s %% of the floor >=%s %s", shown(share, "%.0f"), want_share,
            verdict(share, want_share))
        print line >>csv
    }' "$out/turns.csv"
}

# PyTorch is loaded while ours is made ready, but does nothing before its turn: whoever times
# kernels has the GPU for itself.
gather_team() {
    local name words ready_s
    team=()
    for name in eager compiled graphs; do
        words_of "steps $stem $side $batch $name"
        if [ "$torch" != none ]; then launch "$name" timeout -k 5 $(($(left) + 5)) "${words[@]}"; fi
    done
    for name in $racers; do
        ready_s=$(($(left) > 1 ? $(left) : 1))
        case $name in
        ours | bare)
            words_of "steps $stem $side $batch $name"
            start "$name" timeout -k 5 $((ready_s + 5)) "${words[@]}"
            ;;
        *)
            [ "$torch" != none ] || continue
            echo go 1>&"${to[$name]}" 2>/dev/null && await "$name"
            ;;
        esac
        # shellcheck disable=SC2181 # of either arm
        if [ $? = 0 ]; then
            team+=("$name")
        else
            echo "$row: $name left out: $(grep -v '^$' "$tmp/$name.err" | tail -n 1)"
        fi
    done
}

# One that ended leaves the team.
drop() {
    local name others=()
    for name in "${team[@]}"; do
        if [ "$name" != "$1" ]; then others+=("$name"); fi
    done
    team=("${others[@]}")
    stop "$1"
    if [ "$1" = ours ]; then steps_failed=1; fi
}

race_row() {
    local row="$stem $side $batch $dtype" name team a_turn
    if [ "$(left)" -lt 20 ]; then
        echo "$row: left out: no time is left"
        return
    fi
    gather_team
    if [ "${team[0]:-}" != ours ]; then steps_failed=1; fi
    for name in "${team[@]}"; do
        [ "$(fact "$name" parameters)" != "$(fact "${team[0]}" parameters)" ] || continue
        echo "$row: $name has $(fact "$name" parameters) parameters," \
            "${team[0]} $(fact "${team[0]}" parameters): not one network"
        drop "$name"
        steps_failed=1
    done
    for ((a_turn = 1; a_turn <= turns; a_turn++)); do
        for name in "${team[@]}"; do
            ask "$name" "$turn_s" && continue
            echo "$row: $name ended: $(tail -n 1 "$tmp/$name.err")"
            drop "$name"
        done
    done
    for name in "${team[@]}"; do stop "$name"; done
    conclude_row
}

part_steps() {
    steps_failed=0
    stop_warming
    { cat "$out/head.txt"; echo 'row,start,turn,who,figure'; } >"$out/turns.csv"
    {
        cat "$out/head.txt"
        echo -n 'stem,side,batch,dtype,ours,ours_without_update,eager,compiled,graphs,'
        echo -n 'ratio_eager,to_reach,reached,'
        echo 'ratio_compiled,to_reach,reached,percent_of_floor,to_reach,reached'
    } >"$out/steps.csv"
    if [ "$torch" = none ]; then echo "no torch in $python: ours alone"; fi
    # shellcheck disable=SC2086 # a word each
    printf '%-22s %9s %9s %9s %9s %9s | images/s, medians of %s turns of %s s\n' "$network" \
        $racers "$turns" "$turn_s"
    each_row race_row
    [ $steps_failed = 0 ]
}
