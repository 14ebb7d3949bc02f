#!/usr/bin/env bash
# bench/paired: differences seed by seed, their intervals, runs that never get there; and that the
# numbers in results' tables are what it prints from the rows beside them.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

curve() { # FOLDER TOP1 ...: one evaluation every 10 s and 100 samples
    local folder=$1 s=0
    shift
    mkdir -p "$folder"
    {
        echo '# a head'
        echo 'seconds,samples,updates,epoch,loss,top1,top5,training_loss'
        for top1 in "$@"; do
            echo "$((s * 10)),$((s * 100)),$s,0,1,$top1,90,1"
            s=$((s + 1))
        done
    } >"$folder/eval.csv"
}
curve c/new-1 10 20 40 && curve c/old-1 10 20 30
curve c/new-2 10 24 36 && curve c/old-2 10 20 34
curve c/new-3 10 22 28 && curve c/old-3 10 20 30 # -2 at the end
curve c/new-old-1 0 0 0                          # of another setting
run "$home/bench/paired" c new old seconds=15 samples=100 target=30 target=35 end
# at 15 s the differences are 5, 3 and 0: mean 8/3, deviation 2.517, t(2) = 4.303
check 'differences with intervals' ends 0 '^new - old, 3 seeds$' \
    '^top-1 at 15 seconds: \+2\.67 \+- 6\.25, better in 2 of 3$' \
    '^top-1 at 100 samples: \+2\.00 \+- 4\.97, better in 2 of 3$' \
    '^seconds to 30 %: -3\.57 \+- 18\.1., better in 2 of 2; never: 1 and 0$' \
    '^top-1 at the end: \+3\.33 \+- 15\.18, better in 2 of 3$' \
    '^seconds to 35 %: no difference can be told; never: 1 and 3$'
run "$home/bench/paired" c new older seconds=15
check 'settings without seeds in common are named' ends 2 'new and older'
run "$home/bench/paired" c new old speed=3
check 'an unknown measure is named' ends 2 "'speed=3'"

table_row() { # A B: the four cells of the results' table
    local line cells=''
    while read -r line; do cells+=" | $line"; done < <("$home/bench/paired" \
        "$home/results/2026-11-21_seeds" "$1" "$2" samples=7500 seconds=30 target=30 target=35 |
        sed -nE 's/.*: ([-+][0-9.]+) \+- ([0-9.]+),.*/\1 \2/p' |
        awk '{ printf "%+.1f +- %.1f\n", $1, $2 }')
    tr -d '*' <"$home/results/2026-11-21_seeds/README.md" | grep -qF "$cells |" ||
        { echo "not in the table: $cells"; return 1; }
}
for pair in 'nbssgd ssgd-32' 'asgd-32 nbssgd' 'asgd-32 ssgd-32' 'nbssgd-even ssgd-32-even'; do
    # shellcheck disable=SC2086
    check "results: $pair" table_row $pair
done
finish
