# The training step, row by row of the table, in turn with PyTorch and what the machine can do:
# steps.csv, and every figure in turns.csv.
#
# PyTorch is there as it is, with an allocator that keeps its memory on huge pages (tuned) and, in
# some rows, as torch.compile makes it (compiled). Compiling takes a minute or two the first time;
# what was compiled lies in $BUILD/bench/inductor. It is not timed.
#
# The floor of a bf16 step, where the CPU has AMX, is the longer of two times: its multiplications
# at AMX's peak out of registers, and the bytes that activations must move at the rate of a triad
# over vectors as large as all activations of the mini-batch. The longer and not the sum, since a
# core can do both at once. Both rates are measured within each turn.
#
# moved_mb is what activations and their gradients move in a step, as the backend goes over them;
# least_moved_mb is what they must move at least. step.c says which bytes are counted.
# shellcheck shell=bash disable=SC2154

# network stem batch threads dtype | to reach: ours / PyTorch, ours / PyTorch tuned, percent of the
# peak (-: none) | where the CPU has AMX, instead of the first and the last: ours / PyTorch, percent
# of the floor | from which BENCH, and from which BENCH with torch.compile
steps='
resnet50 imagenet  32 1 f32  | 2.2  1.9  -  | -   -  | quick   -
resnet50 imagenet  32 1 bf16 | 2.2  1.9  -  | 2.2 -  | default -
resnet50 imagenet  64 2 f32  | 1.9  1.7  -  | -   -  | full    -
resnet50 imagenet  64 2 bf16 | 1.9  1.6  -  | 1.9 -  | full    -
resnet50 imagenet 128 2 f32  | 1.9  1.7  55 | -   -  | default -
resnet50 imagenet 128 2 bf16 | 1.9  1.6  55 | 4.5 -  | default full
resnet50 cifar     32 1 f32  | 1.45 1.15 75 | -   -  | full    -
resnet50 cifar     32 1 bf16 | 1.45 1.25 75 | 2.5 35 | full    -
resnet50 cifar     32 2 f32  | 1.45 1.15 75 | -   -  | default -
resnet50 cifar     32 2 bf16 | 1.45 1.25 75 | 2.5 35 | quick   full
resnet18 cifar     64 1 f32  | 1.4  1.15 -  | -   -  | full    -
resnet18 cifar     64 1 bf16 | 1.4  1.15 -  | 2.2 -  | full    -
resnet18 cifar     64 2 f32  | 1.4  1.15 -  | -   -  | default -
resnet18 cifar     64 2 bf16 | 1.4  1.15 -  | 2.2 -  | full    full
resnet20 cifar     64 1 f32  | 2    1.6  -  | -   -  | full    -
resnet20 cifar     64 1 bf16 | 2    1.6  -  | 2   -  | full    -
resnet20 cifar     64 2 f32  | 2    1.6  -  | -   -  | quick   -
resnet20 cifar     64 2 bf16 | 2    1.6  -  | 2   -  | default full
'

# join NAME COMMAND...: starts it; into the team, or its last words are said.
join() {
    if start "$@"; then team+=("$1"); return; fi
    echo "$row: without $1: $(last_words "$tmp/$1.err")"
}

# since LEVEL: does this BENCH have what is there from LEVEL on (-: never)?
since() { [ "$1" = quick ] || [ "$1 $rank" = 'default 2' ] || [ "$rank" = 3 ] && [ "$1" != - ]; }

# Fills `team`: who races in this row. Ours must be there; the others are left out where they cannot
# run.
assemble() {
    local words=(--network "$network" --stem "$stem" --batch "$batch" --threads "$threads"
        --dtype "$dtype" --turns)
    team=()
    if ! start ours "$build/bench/step" "${words[@]}" --backend "$BACKEND" --cache "$kernels"; then
        echo "$row: left out: $(last_words "$tmp/ours.err")"
        return 1
    fi
    team=(ours)
    if [ "$torch" != none ]; then
        join pytorch "$python" bench/pytorch.py "${words[@]}"
        join tuned env GLIBC_TUNABLES=glibc.malloc.hugetlb=1 MALLOC_TRIM_THRESHOLD_=-1 \
            MALLOC_MMAP_MAX_=0 "$python" bench/pytorch.py "${words[@]}"
        if [[ ${COMPILED+x} && "$row" =~ ${COMPILED-} ]] ||
            { [ -z "${COMPILED+x}" ] && since "$compiled_since"; }; then
            ready_s=300 join compiled env TORCHINDUCTOR_CACHE_DIR="$PWD/$build/bench/inductor" \
                "$python" bench/pytorch.py "${words[@]}" --compile default
        fi
    fi
    join peak "$build/bench/peak" --threads "$threads" --dtype "$dtype" --turns
    if [ "$(fact peak kind)" = AMX ]; then
        join memory "$build/bench/vectors" --threads "$threads" --turns \
            --mb "$(calc %.0f "$(fact ours moved) * $batch / 6e6 + 1")"
    fi
    local name
    for name in pytorch tuned compiled; do
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
    if [ "$(fact peak kind)" = AMX ]; then
        want_plain=$want_plain_amx want_share=-
    else
        want_floor=-
    fi
    awk -F, -v row="$row" -v csv="$out/steps.csv" -v backend="$BACKEND" \
        -v flops="$(fact ours flops)" -v needed="$(fact ours needed)" \
        -v moved="$(fact ours moved)" -v traffic="$(fact ours traffic)" \
        -v rss="$(fact ours rss_mb)" -v want_plain="$want_plain" -v want_tuned="$want_tuned" \
        -v want_share="$want_share" \
        -v want_floor="$want_floor" -f bench/statistics.awk -f bench/steps.awk "$out/turns.csv"
}

race() {
    local team name seconds
    for ((a_start = 1; a_start <= starts; a_start++)); do
        assemble || return
        for ((a_turn = 1; a_turn <= turns; a_turn++)); do
            for name in "${team[@]}"; do
                case $name in peak | memory) seconds=0.1 ;; *) seconds=$turn_s ;; esac
                ask "$name" "$seconds" && continue
                echo "bench: $row: $name ended: $(last_words "$tmp/$name.err")" >&2
                exit 3
            done
        done
        for name in "${team[@]}"; do stop "$name"; done
    done
    conclude
}

write_columns() {
    printf '%s\n' "$head"
    echo -n 'network,stem,batch,threads,dtype,backend,ours,ours_min,ours_max,'
    echo -n 'pytorch,pytorch_min,pytorch_max,tuned,tuned_min,tuned_max,'
    echo -n 'ratio,ratio_min,ratio_max,ratio_to_reach,ratio_reached,'
    echo -n 'ratio_tuned,ratio_tuned_min,ratio_tuned_max,ratio_tuned_to_reach,'
    echo -n 'ratio_tuned_reached,peak_gflops,share,share_min,share_max,share_to_reach,'
    echo -n 'share_reached,share_without_padding,rss_mb,compiled,compiled_min,compiled_max,'
    echo -n 'ratio_compiled,ratio_compiled_min,ratio_compiled_max,memory_gb_s,'
    echo -n 'floor,floor_is,share_of_floor,share_of_floor_min,share_of_floor_max,'
    echo 'share_of_floor_to_reach,share_of_floor_reached,moved_mb,least_moved_mb'
}

part_steps() {
    { printf '%s\n' "$head"; echo 'row,start,turn,who,figure'; } >"$out/turns.csv"
    write_columns >"$out/steps.csv"
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
    local network stem batch threads dtype want_plain want_tuned want_share from_level row
    local want_plain_amx want_floor compiled_since a_start a_turn
    while read -r network stem batch threads dtype _ want_plain want_tuned want_share \
        _ want_plain_amx want_floor _ from_level compiled_since; do
        [ -n "$network" ] || continue
        row="$network $stem $batch $threads $dtype"
        if [ -n "${ROWS+x}" ]; then
            [[ "$row" =~ $ROWS ]] || continue
        else
            since "$from_level" || continue
        fi
        if [ "$threads" -gt "$(nproc)" ]; then
            echo "$row: left out: this machine has $(nproc) core(s)"
            continue
        fi
        race
    done <<<"$steps"
}
