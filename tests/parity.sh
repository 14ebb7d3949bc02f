#!/usr/bin/env bash
# bench/parity: its verdict, from rows that are there; and that the results' table is what it prints
# from the rows beside it.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

judge() { # ROWS
    run awk -f "$home/bench/statistics.awk" -f "$home/bench/parity.awk" "$1"
}
rows() { # FILE OURS .. / THEIRS ..: a row a run
    local file=$1 program=nbsgd seed=0 top1
    shift
    echo 'program,seed,top1,training_loss' >"$file"
    for top1 in "$@"; do
        if [ "$top1" = / ]; then program=pytorch seed=0 && continue; fi
        seed=$((seed + 1))
        echo "$program,$seed,$top1,1.1" >>"$file"
    done
}
rows same.csv 65.0 65.6 64.8 / 65.2 65.5 64.9
judge same.csv
# variances 0.1733 and 0.09, each over 3: half of the interval is t(3.63) x 0.2963 = 0.86
check 'means that agree pass' ends 0 '^nbsgd - pytorch: -0\.07 \+- 0\.86 points' '^PASS$'
rows less.csv 62.0 62.6 61.8 / 65.2 65.5 64.9
judge less.csv
check 'means that differ do not' ends 0 \
    '^nbsgd - pytorch: -3\.07 \+- 0\.86' '^FAIL: the means differ$'
rows wide.csv 60.0 70.0 / 61.0 69.5
judge wide.csv
check 'nor does an interval that says nothing' ends 0 '^FAIL: the interval is too wide$'
rows few.csv 65 / 65 66
judge few.csv
check 'nor one seed' ends 0 '^no verdict'

rows=$home/results/2026-11-30_parity
judge "$rows/parity.csv"
check 'results: the table is what the rows give' eval 'diff <(echo "$out") "$rows/table.txt"'
in_text() { # each number of the table is in the README
    local number
    while read -r number; do
        grep -qF -- "$number" "$rows/README.md" || { echo "$number is not in it"; return 1; }
    done < <(grep -oE '[0-9]+\.[0-9]+' "$rows/table.txt")
}
check 'results: and what is written of it' in_text
finish
