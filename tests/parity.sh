#!/usr/bin/env bash
# bench/parity and bench/precision: their verdicts, from rows that are there; and that the results'
# table is what is printed from the rows beside it.
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

# bench/precision: a stand-in for the program, whose bf16 is off by $OFF points, a little by seed.
cat >program <<'END'
#!/usr/bin/env bash
[ "$1" != --version ] || { echo 'nbsgd 0'; exit; }
echo "$*" >>calls
while [ $# -gt 0 ]; do
    case $1 in --dtype) dtype=$2 ;; --seed) seed=$2 ;; --results) out=$2 ;; esac
    shift
done
top1=$((60 + seed))
[ "$dtype" = f32 ] || top1=$(jq -n "$top1 + $OFF + ($seed - 2) / 10")
mkdir -p "$out"
echo "{\"top1\": $top1, \"tta\": {}, \"tta_first\": {}}" >"$out/summary.json"
printf '%s\n' seconds,samples,top1,loss 1,50000,50,2 2,100000,$top1,1 >"$out/eval.csv"
END
chmod +x program
mkdir data && touch data/data_batch_1.bin
precision() { # OFF
    rm -rf out calls
    run env OFF="$1" NBSGD="$PWD/program" LAUNCH=env SEEDS='1 2 3' DATA=data \
        "$home/bench/precision" out
}
if command -v jq >/dev/null; then
    precision -0.49
    # differences -0.59, -0.49, -0.39: deviation 0.1, t(2) = 4.303
    check 'bf16 within half a point' ends 0 '^f32-1 ' \
        '^top-1 at the end: -0\.49 \+- 0\.25, better in 0 of 3$' '^PASS$'
    check 'the recipe of both' [ "$(grep 'resnet20 .*--lr 0.1 .*--epochs 2 ' calls |
        grep -cE -- '--dtype (f32|bf16) ')" = 6 ]
    check 'what is printed is kept' grep -q '^PASS' out/precision.txt
    precision 0.6
    check 'and not' ends 1 '^top-1 at the end: \+0\.60 ' '^FAIL'
else
    passes_over 'bench/precision: no jq here'
fi
run env DATA=none "$home/bench/precision" out
check 'without images' ends 2 'precision: no CIFAR-10 in none'

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
