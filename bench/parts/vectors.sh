# Optimizer, sums and copies of ResNet-50's vector, beside the memory's own speed: vectors.csv.
# shellcheck shell=bash disable=SC2154

part_vectors() {
    {
        printf '%s\n' "$head"
        echo 'work,threads,gb_s,gb_s_min,gb_s_max,share,share_min,share_max'
        "$build/bench/vectors" --csv
    } >"$out/vectors.csv" || exit 3
    local name threads speed triad
    while IFS=, read -r name threads speed _; do
        case $name in '#'* | work) continue ;; triad) triad=$speed; continue ;; esac
        limit "vectors: $name, $threads thread(s)" "$speed" GB/s "$triad" 'triad' -
    done <"$out/vectors.csv"
}
