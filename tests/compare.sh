#!/usr/bin/env bash
# bench/compare: rates are chosen by held-out images alone; what is kept of each run; confirmed and
# first times to accuracy. A stand-in for the program answers at once.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
command -v jq >/dev/null || skip 'no jq here'

is() { # VALUE WANTED
    [ "$1" = "$2" ] || { echo "is '$1', not '$2'"; return 1; }
}

cat >program <<'END'
#!/usr/bin/env bash
# On held-out images --lr 0.05 is the best, on test images 0.1. Seed 2 crosses once, and late.
[ "$1" != --version ] || { echo 'nbsgd 0'; exit; }
echo "$*" >>calls
while [ $# -gt 0 ]; do
    case $1 in
    --lr) lr=$2 ;; --seed) seed=$2 ;; --evaluate) judged=$2 ;; --results) out=$2 ;;
    esac
    shift
done
case $lr-${judged:-test} in 0.05-val | 0.1-test) top1=40 ;; *) top1=30 ;; esac
tta=5.5
[ "$seed" != 2 ] || tta=null
mkdir -p "$out"
status=finished code=0 # with --lr 7 the weights of the last good evaluation are the best
[ "$lr" != 7 ] || status=nan code=4 top1=99
cat >"$out/summary.json" <<JSON
{"status": "$status", "seconds": 9, "samples": 90, "updates": 9, "top1": $top1, "loss": 1,
    "useful_share": 0.3, "aborted_share": 0.2, "dropped_share": 0.1, "delay_share": 0.05,
    "update_share": 0.06, "transfer_share": 0.04, "wait_share": 0.15, "other_share": 0.1,
    "tta": {"30": $tta}, "tta_first": {"30": 4.5}}
JSON
echo 'seconds,samples,top1,loss' >"$out/eval.csv"
touch "$out/ranks.csv" "$out/histograms.csv" "$out/config.ini" "$out/events.jsonl"
exit $code
END
chmod +x program
export NBSGD=$PWD/program LAUNCH=env SEEDS='1 2 3' TARGETS=30 COMMON='--world sim'

GRID='0.02 0.05 0.1' TUNE_SEEDS='7 8' VAL=0.2 run "$home/bench/compare" tuned \
    'a: --lr 9 --scheme s' 'b: --scheme t'
check 'a grid, then the seeds' ends 0
check 'runs of the grid are judged by held-out images' \
    is "$(grep -c -- '--val-split 0.2 .*--evaluate val' calls) $(grep -c . calls)" '12 18'
check 'no run that chooses sees test images' \
    is "$(grep -- '--seed [78] ' calls | grep -vc -- '--evaluate val')" 0
check 'runs that are compared take the rate of the held-out images, not of the test images' \
    is "$(grep -- '--seed [123] ' calls | grep -c -- '--val-split 0.2 --lr 0.05 --seed')" 6
check 'and are judged by test images' is "$(grep -- '--seed [123] ' calls | grep -c evaluate)" 0
check 'tune.csv has a row a run' is "$(rows tuned/tune.csv | grep -c .)" 12
run "$home/bench/compare" tuned 'a: --lr 9' 'b: --lr 8'
check "an earlier comparison is not written over" ends 2 'tuned is not empty'
check 'no run of it is gone' is "$(rows tuned/tune.csv | grep -c .)" 12
check 'compare.csv says which rate was taken' grep -q '^# tuned: b --lr 0.05, by held-out' \
    tuned/compare.csv
for file in eval.csv ranks.csv histograms.csv summary.json; do
    check "$file of each run is kept" is "$(find tuned -name $file | grep -c .)" 18
done
check 'and no other file' is "$(find tuned -name config.ini -o -name events.jsonl | grep -c .)" 0
check 'confirmed and first times' is "$(rows tuned/compare.csv | sed -n 3p)" \
    a,2,9,90,9,30,1,0.3,0.2,0.1,0.05,0.06,0.04,0.15,0.1,null,4.5
check 'and shares of time, which add to 100' grep -qE \
    '^b +30.0 +20.0 +10.0 +5.0 +6.0 +4.0 +15.0 +10.0$' tuned/table.txt
check 'the table has both, and says what is unconfirmed' \
    grep -qE '^a .* 5.5 \(5.5..never\) 1\? +4.5 \(4.5..4.5\)$' tuned/table.txt

GRID='0.05 0.1 7' run "$home/bench/compare" edge 'a: --scheme s'
check 'a rate whose loss is no number is not taken' is "$(grep -c ',7,10[12],0,null$' \
    edge/tune.csv)" 2
check 'a best rate at an end of the grid is said' ends 0 \
    'a is best at an end of the grid, --lr 0.05'
rm calls
run "$home/bench/compare" plain 'a: --scheme s --lr 0.1'
check 'without a grid' ends 0
check 'nothing is held out' is "$(grep -c -e val -e evaluate calls)" 0
finish
