# The training step, row by row of the table, in turn with PyTorch and the arithmetic's peak:
# steps.csv, and every figure in turns.csv.
# shellcheck shell=bash disable=SC2154

declare -A to=() from=() ready=()

# network stem batch threads dtype | to reach: ours / PyTorch, ours / PyTorch tuned, percent of the
# peak (-: none) | from which BENCH
steps='
resnet50 imagenet  32 1 f32  | 2.2  1.9  -  | quick
resnet50 imagenet  32 1 bf16 | 2.2  1.9  -  | default
resnet50 imagenet  64 2 f32  | 1.9  1.7  -  | full
resnet50 imagenet  64 2 bf16 | 1.9  1.6  -  | full
resnet50 imagenet 128 2 f32  | 1.9  1.7  55 | default
resnet50 imagenet 128 2 bf16 | 1.9  1.6  55 | default
resnet50 cifar     32 1 f32  | 1.45 1.15 75 | full
resnet50 cifar     32 1 bf16 | 1.45 1.25 75 | full
resnet50 cifar     32 2 f32  | 1.45 1.15 75 | default
resnet50 cifar     32 2 bf16 | 1.45 1.25 75 | quick
resnet18 cifar     64 1 f32  | 1.4  1.15 -  | full
resnet18 cifar     64 1 bf16 | 1.4  1.15 -  | full
resnet18 cifar     64 2 f32  | 1.4  1.15 -  | default
resnet18 cifar     64 2 bf16 | 1.4  1.15 -  | full
resnet20 cifar     64 1 f32  | 2    1.6  -  | full
resnet20 cifar     64 1 bf16 | 2    1.6  -  | full
resnet20 cifar     64 2 f32  | 2    1.6  -  | quick
resnet20 cifar     64 2 bf16 | 2    1.6  -  | default
'

# start NAME COMMAND...: a program that takes turns in measuring; fails with its own last words in
# $tmp/NAME.err.
start() { launch "$@" && await "$1"; }

launch() {
    local name=$1 in out_
    shift
    rm -f "$tmp/$name".{in,out}
    mkfifo "$tmp/$name.in" "$tmp/$name.out"
    "$@" <"$tmp/$name.in" >"$tmp/$name.out" 2>"$tmp/$name.err" &
    # shellcheck disable=SC2004 # an associative array
    pid[$name]=$!
    exec {in}>"$tmp/$name.in" {out_}<"$tmp/$name.out"
    to[$name]=$in from[$name]=$out_
}

# await NAME: until it says that it is ready, at most ready_s seconds.
await() { read -r -t "${ready_s:-600}" -u "${from[$1]}" "ready[$1]" || { stop "$1"; return 1; }; }

stop() {
    local name=$1 in=${to[$1]} out_=${from[$1]}
    printf 'end\n' 1>&"$in" 2>/dev/null
    exec {in}>&- {out_}<&-
    wait "${pid[$name]}" 2>/dev/null
    unset "pid[$name]" "to[$name]" "from[$name]"
}

# ask NAME SECONDS: one turn; its figures go to turns.csv as rows "row,start,turn,name,figure".
ask() {
    local name=$1 line figure
    printf '%s\n' "$2" 1>&"${to[$name]}" 2>/dev/null && read -r -t 600 -u "${from[$name]}" line ||
        return 1
    for figure in $line; do echo "$row,$a_start,$a_turn,$name,$figure"; done >>"$out/turns.csv"
}

# a number that NAME gave when it was ready
fact() { sed -nE "s/.* $2=([^ ]*).*/\1/p" <<<"${ready[$1]} "; }

# Fills `team`: who races in this row. Ours must be there; the others are left out where they cannot
# run.
assemble() {
    local words=(--network "$network" --stem "$stem" --batch "$batch" --threads "$threads"
        --dtype "$dtype" --turns)
    team=()
    if ! start ours "$build/bench/step" "${words[@]}" --backend "$BACKEND" --cache "$kernels"; then
        echo "$row: left out: $(tail -n 1 "$tmp/ours.err")"
        return 1
    fi
    team=(ours)
    if [ "$torch" != none ]; then
        start pytorch "$python" bench/pytorch.py "${words[@]}" && team+=(pytorch)
        start tuned env GLIBC_TUNABLES=glibc.malloc.hugetlb=1 MALLOC_TRIM_THRESHOLD_=-1 \
            MALLOC_MMAP_MAX_=0 \
            "$python" bench/pytorch.py "${words[@]}" && team+=(tuned)
    fi
    start peak "$build/bench/peak" --threads "$threads" --dtype "$dtype" --turns && team+=(peak)
    local name
    for name in pytorch tuned; do
        if [[ " ${team[*]} " == *" $name "* ]] &&
            [ "$(fact ours parameters)" != "$(fact $name parameters)" ]; then
            echo "bench: $row: ours has $(fact ours parameters) parameters," \
                "PyTorch's $(fact $name parameters): not one network" >&2
            exit 3
        fi
    done
}

# Reads turns.csv; writes the row to steps.csv and to the terminal.
conclude() {
    awk -F, -v row="$row" -v flops="$(fact ours flops)" -v needed="$(fact ours needed)" \
        -v rss="$(fact ours rss_mb)" \
        -v want_plain="$want_plain" -v want_tuned="$want_tuned" -v want_share="$want_share" \
        -v csv="$out/steps.csv" -v kernels="$BACKEND" "$(<bench/statistics.awk)"'
    function conclude(list, n) { # sets mid, low, high
        mid = low = high = ""
        if (!n) return 0
        mid = median(list, n); low = list[1]; high = list[n]
        return n
    }
    function of_turn(turn, who, i, list) { # its median
        for (i = 1; i <= count[turn, who]; i++) list[i] = figure[turn, who, i]
        return median(list, count[turn, who])
    }
    function speed(who, n, t, i, list) { # over all figures
        for (t = 1; t <= turns; t++)
            for (i = 1; i <= count[t, who]; i++) list[++n] = figure[t, who, i]
        return conclude(list, n)
    }
    function ratio(who, scale, n, t, list) { # ours / who, turn by turn
        for (t = 1; t <= turns; t++)
            if (count[t, who]) list[++n] = scale * of_turn(t, "ours") / of_turn(t, who)
        return conclude(list, n)
    }
    function verdict(want) {
        return want == "-" || mid == "" ? "-" : mid >= want + 0 ? "yes" : "NO"
    }
    function put(text) { line = line "," text }
    function put_ratio(want) {
        put(mid); put(low); put(high); put(want); put(verdict(want))
        if (mid == "") return sprintf("| %-30s", "-")
        text_of = sprintf("%.2f (%.2f..%.2f) >=%s %s", mid, low, high, want, verdict(want))
        return sprintf("| %-30s", text_of)
    }
    $1 == row {
        if (!(($2, $3) in number)) number[$2, $3] = ++turns
        t = number[$2, $3]
        figure[t, $4, ++count[t, $4]] = $5
    }
    END {
        split(row, part, " ")
        line = row; gsub(/ /, ",", line); put(kernels)
        text = sprintf("%-8s %-8s %3d %d %-4s", part[1], part[2], part[3], part[4], part[5])
        split("ours pytorch tuned", who, " ")
        for (i = 1; i <= 3; i++) {
            speed(who[i]); put(mid); put(low); put(high)
            text_of = mid == "" ? "-" : sprintf("%.1f (%.1f..%.1f)", mid, low, high)
            text = text sprintf(" %-22s", text_of)
        }
        ratio("pytorch", 1); text = text put_ratio(want_plain)
        ratio("tuned", 1); text = text put_ratio(want_tuned)
        speed("peak"); put(mid)
        if (ratio("peak", 100e-9 * flops)) {
            text = text sprintf("| %.0f (%.0f..%.0f)", mid, low, high)
            if (want_share != "-") text = text " >=" want_share " " verdict(want_share)
        } else text = text "| -"
        put(mid); put(low); put(high); put(want_share); put(verdict(want_share))
        ratio("peak", 100e-9 * needed); put(mid); put(rss)
        print text
        print line >>csv
    }' "$out/turns.csv"
}

race() {
    local team name
    row="$network $stem $batch $threads $dtype"
    for ((a_start = 1; a_start <= starts; a_start++)); do
        assemble || return
        for ((a_turn = 1; a_turn <= turns; a_turn++)); do
            for name in "${team[@]}"; do
                ask "$name" "$([ "$name" = peak ] && echo 0.1 || echo "$turn_s")" && continue
                echo "bench: $row: $name ended: $(tail -n 1 "$tmp/$name.err")" >&2
                exit 3
            done
        done
        for name in "${team[@]}"; do stop "$name"; done
    done
    conclude
}

part_steps() {
    { printf '%s\n' "$head"; echo 'row,start,turn,who,figure'; } >"$out/turns.csv"
    {
        printf '%s\n' "$head"
        echo -n 'network,stem,batch,threads,dtype,backend,ours,ours_min,ours_max,'
        echo -n 'pytorch,pytorch_min,pytorch_max,tuned,tuned_min,tuned_max,'
        echo -n 'ratio,ratio_min,ratio_max,ratio_to_reach,ratio_reached,'
        echo -n 'ratio_tuned,ratio_tuned_min,ratio_tuned_max,ratio_tuned_to_reach,'
        echo -n 'ratio_tuned_reached,peak_gflops,share,share_min,share_max,share_to_reach,'
        echo 'share_reached,share_without_padding,rss_mb'
    } >"$out/steps.csv"
    if [ "$torch" = none ]; then
        echo "no torch in $python: ours alone (./install.sh bench installs it)"
    fi
    if [ "$level" = full ]; then rm -f "$kernels"; fi
    echo
    echo 'Training step, images/s: median (least..greatest); ratio ours / PyTorch' \
        '(least..greatest turn), to reach; percent of the peak'
    printf '%-8s %-8s %3s %s %-4s %-22s %-22s %-22s| %-30s| %-30s| %s\n' network stem '' T type \
        ours PyTorch 'PyTorch tuned' \
        'ours / PyTorch' 'ours / tuned' '% of peak'
    local network stem batch threads dtype want_plain want_tuned want_share since row a_start a_turn
    while read -r network stem batch threads dtype _ want_plain want_tuned want_share _ since; do
        [ -n "$network" ] || continue
        if [ -n "${ROWS+x}" ]; then
            [[ "$network $stem $batch $threads $dtype" =~ $ROWS ]] || continue
        else
            case $since in
            default) [ "$rank" -ge 2 ] || continue ;;
            full) [ "$rank" -ge 3 ] || continue ;;
            esac
        fi
        if [ "$threads" -gt "$(nproc)" ]; then
            echo "$network $stem $batch $threads $dtype: left out: this machine has $(nproc)" \
                "core(s)"
            continue
        fi
        race
    done <<<"$steps"
}
