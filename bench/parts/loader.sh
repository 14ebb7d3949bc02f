# Images out of class folders ($FOLDERS: folders with train/CLASS/, separated by blanks), in turn
# with libjpeg-turbo alone and with PyTorch's DataLoader on torchvision's transforms: turns.csv.
# shellcheck shell=bash disable=SC2154,SC2034
# shellcheck source=bench/parts/steps.sh
. bench/parts/steps.sh

# race FOLDER THREADS: medians of images a second, in median[NAME]
race() {
    local name words=(--data "$1" --threads "$2")
    team=()
    for name in decode train exact judge; do
        start "$name" "$build/bench/loader" --what "$name" "${words[@]}" && team+=("$name")
    done
    if [ "$torch" != none ]; then
        start pytorch "$python" bench/loader.py "${words[@]}" && team+=(pytorch)
        start pytorch_judge "$python" bench/loader.py --what judge "${words[@]}" &&
            team+=(pytorch_judge)
    fi
    for ((a_turn = 0; a_turn < turns; a_turn++)); do
        for name in "${team[@]}"; do
            if ! ask "$name" "$turn_s"; then
                echo "bench: $row: $name ended: $(last_words "$tmp/$name.err")" >&2
                exit 3
            fi
        done
    done
    for name in "${team[@]}"; do
        stop "$name"
        median[$name]=$(awk -F, -v row="$row" -v name="$name" "$(<bench/statistics.awk)"'
            $1 == row && $4 == name { list[++n] = $5 } END { print median(list, n) }' \
            "$out/turns.csv")
    done
}

part_loader() {
    local folder threads
    local -A median
    local -a team
    if [ -z "${FOLDERS:-}" ]; then
        echo "loader: left out: FOLDERS names no folder with train/CLASS/*.jpg"
        return
    fi
    if [ ! -x "$build/bench/loader" ]; then
        echo "loader: left out: built without libjpeg-turbo"
        return
    fi
    case " $parts " in
    *' steps '*) ;;
    *) echo 'row,start,turn,name,figure' >"$out/turns.csv" ;;
    esac
    a_start=0
    for folder in $FOLDERS; do
        for threads in 1 $(($(nproc) > 1 ? $(nproc) : 0)); do
            [ "$threads" -gt 0 ] || continue
            median=()
            row="loader $(basename "$folder") $threads"
            race "$folder" "$threads"
            limit "$row: to train" "${median[train]}" images/s "${median[decode]}" \
                'libjpeg-turbo alone' "v>=0.9*${median[decode]}"
            limit "$row: without --quick-decode" "${median[exact]}" images/s "${median[decode]}" \
                'libjpeg-turbo alone' -
            limit "$row: to judge" "${median[judge]}" images/s "${median[decode]}" \
                'libjpeg-turbo alone' "v>=0.9*${median[decode]}"
            if [ -n "${median[pytorch]:-}" ]; then
                limit "$row: to train" "${median[train]}" images/s "${median[pytorch]}" \
                    "PyTorch's DataLoader" -
                limit "$row: to judge" "${median[judge]}" images/s "${median[pytorch_judge]}" \
                    "PyTorch's DataLoader" -
            fi
        done
    done
}
