#!/usr/bin/env bash
# nbsgd tune: as many trials for each, judged by held-out images, the best is taken; targets before.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

write() { # FILE: $tune
    cat >"$1" <<END_OF_FILE
[study]
seeds = 1
include = targets.ini tuned.ini
[base]
world = sim
workers = 2
sim-minibatch = 0.02
network = mlp
hidden = 8
dataset = synthetic
synthetic-channels = 1
synthetic-side = 8
synthetic-classes = 3
train-samples = 300
batch = 32
minibatches = 2
schedule = constant
warmup = 0
epochs = 6
eval-seconds = 0.2
eval-samples = 60
[case healthy]
[case slow]
slow = 2=4
[setting ssgd]
scheme = ssgd
[setting ssp]
scheme = ssp
${tune:-[tune]
trials = 3
repeats = 4
reference-trials = 2
lr = log 0.01 1
momentum = choice 0 0.9
[tune ssp]
ssp-staleness = whole 1 4}
END_OF_FILE
}
tune() { run "$nbsgd" tune "$@"; }

write a.ini
run "$nbsgd" study a.ini --results whole
check 'a study waits for what it includes' ends 2 'cannot read targets.ini' 'nbsgd tune'
for command in study tune 'tune --targets'; do # judged before that is there
    # shellcheck disable=SC2086
    run "$nbsgd" $command a.ini --check
    check "$command --check does not need it" ends 0 'cells: '
    [ "$command" = 'tune --targets' ] ||
        check "$command --check says it" ends 0 '^targets.ini is not there yet: nbsgd tune --ta'
done
tune a.ini --results whole
check 'tuning waits for a target' ends 2 'cannot read targets.ini'
tune a.ini --targets --results whole
check 'targets are found' ends 0 '^2 of 2 cells' '^4 of 4 cells'
target=$(column whole/targets.csv best_top1 | sort -n | awk '{ x[NR] = $1 }
    END { printf "%.2f", (x[2] + x[3]) / 2 }')
check 'the target is the median of the best accuracies' \
    grep -qE "^targets = [0-9.]+ [0-9.]+ $target\$" whole/targets.ini
cap=$(for file in whole/targets/repeats/*/eval.csv; do column "$file" seconds | tail -n 1; done |
    sort -n | awk '{ x[NR] = $1 } END { printf "%.4g", (x[2] + x[3]) * 2 / 3 }')
check 'the cap is 4/3 of their time' grep -qx "seconds = $cap" whole/targets.ini

check 'and the images are the same' [ "$(grep -cxE 'val-split = 0.1|evaluate = val' \
    whole/targets.ini)" = 2 ]

tune a.ini --results whole
check 'it tunes' ends 0 '^12 of 12 cells' 'tuned: whole/tuned.ini'
check 'as many trials for each' [ "$(rows whole/trials.csv | cut -d, -f1,2 | sort | uniq -c |
    awk '{ print $1 }' | sort -u)" = 3 ]
check 'of the same values' [ "$(rows whole/trials.csv | cut -d, -f3,5,6 | sort -u | wc -l)" = 3 ]
check 'each of its own' [ "$(column whole/trials.csv lr | sort -u | wc -l)" = 3 ]
check 'by held-out images alone' [ "$(column whole/trials.csv evaluated | sort -u)" = val ]
check "a scheme's own option is its alone" [ "$(rows whole/trials.csv | grep ',ssgd,' |
    cut -d, -f7 | sort -u)" = '' ]

# The winner: first to the target, then the most accurate.
best() { # CASE SETTING: the lr
    grep -v '^#' whole/trials.csv | awk -F, -v scene="$1" -v setting="$2" '
        NR == 1 { for (i = 1; i <= NF; i++) { at[$i] = i; if ($i ~ /^tta_/) time = i }; next }
        $1 == scene && $2 == setting {
            t = $time == "inf" ? 1e9 : $time
            if (!n++ || t < least || (t == least && $at["best_top1"] > most)) {
                least = t; most = $at["best_top1"]; lr = $at["lr"] } }
        END { print lr }'
}
for scene in healthy slow; do
    for setting in ssgd ssp; do
        check "$setting in $scene: the best is taken" grep -qx "lr = $(best $scene $setting)" \
            <(sed -n "/^\[setting $setting in $scene\]/,/^$/p" whole/tuned.ini)
    done
done
run "$nbsgd" study a.ini --results whole
check 'a study takes it' ends 0 '^4 of 4 cells'
check 'the test images are reported' [ "$(column whole/study.csv test_top1 |
    grep -c '^[0-9.]*$')" = 4 ]
run "$nbsgd" report --no-figures whole
check 'in tables, too' grep -qE '^\| setting .*\| test images \|$' whole/report.md
check 'of both' [ "$(grep -c '^test_top1,%,[a-z]*,ss' whole/report.csv)" = 4 ]
check 'judged by held-out images' [ "$(column whole/study.csv evaluated | sort -u)" = val ]
check 'with its rate' grep -qx "lr = $(best slow ssp)" \
    whole/cells/slow/ssp/seed-1/options.ini

# Killed and started again it comes to the same.
"$nbsgd" tune a.ini --targets --results half2 >log 2>&1 </dev/null &
pid=$!
sleep 0.5
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
tune a.ini --targets --results half2
"$nbsgd" tune a.ini --results half2 >log 2>&1 </dev/null &
pid=$!
sleep 0.5
kill -9 $pid 2>/dev/null
wait $pid 2>/dev/null
tune a.ini --results half2
check 'a killed one goes on' ends 0 'tuned: half2/tuned.ini'
check 'to the same trials' cmp whole/trials.csv half2/trials.csv
check 'and the same rates' cmp whole/tuned.ini half2/tuned.ini

# What cannot be read does not decide, and without tuned.ini the exit code is not 0.
rm half2/tuned.ini
mv half2/trials/slow/ssp/trial-2/seed-100001/eval.csv kept.csv
tune a.ini --results half2
check 'a trial without its evaluations' ends 8 'no tuned.ini: 1 of 12 runs have no result'
check 'nothing is chosen' [ ! -e half2/tuned.ini ]
mv kept.csv half2/trials/slow/ssp/trial-2/seed-100001/eval.csv

# What diverged comes last, however soon it was at the target.
winner() { # DIR: of ssgd in healthy
    sed -n '/^# trial/h; /^\[setting ssgd in healthy\]/{x; s/^# trial \([0-9]*\).*/\1/p}' \
        "$1/tuned.ini"
}
cp -r whole lost
first=$(winner lost)
cell=lost/trials/healthy/ssgd/trial-$first/seed-100001
sed -i 's/^exit = 0/exit = 4/' "$cell/cell.ini"
sed -i 's/"status": "finished"/"status": "nan"/' "$cell/summary.json"
tune a.ini --results lost
check 'a trial that diverged' ends 0 '^0 of 12 cells'
check 'does not win' eval '[ -n "$(winner lost)" ] && [ "$(winner lost)" != "$first" ]'
sed -i 's/^exit = 0/exit = 4/' lost/trials/healthy/ssgd/*/*/cell.ini
sed -i 's/"status": "finished"/"status": "nan"/' lost/trials/healthy/ssgd/*/*/summary.json
tune a.ini --results lost
check 'but where all did, which is said' ends 0 'ssgd in healthy: trial .*; IT DIVERGED, as all'
sed "/^\[tune\]/i [setting again]\nscheme = ssgd" a.ini >twice.ini
tune twice.ini --results whole --check
check 'equal settings are refused before they are tuned' ends 2 \
    'again\] is the same as \[setting ssgd'

# A case of some settings: these alone are tuned in it.
sed '/^\[setting ssgd\]/i [case one]\nsettings = ssgd\nworkers = 1' a.ini >one.ini
cp whole/targets.ini .
tune one.ini --results one
check 'a case of some settings' ends 0 '^15 of 15 cells'
check 'these are tuned there' [ "$(grep -c '^\[setting .* in one\]' one/tuned.ini)" = 1 ]
rm targets.ini
sed 's/^\[tune\]/&\nreference = ssp in one/' one.ini >unused.ini
tune unused.ini --targets --check
check 'no target of what is not run' ends 2 'or it is not run there'

# One trial fails: settings would not be compared by the same number.
sed -i '/^exit = /d; $a exit = 5' half2/trials/slow/ssp/trial-2/seed-100001/cell.ini
tune a.ini --results half2
check 'what failed is tried again' ends 0 '^1 of 12 cells'

# Folds: each point of the grid with each part held out; the best mean wins.
{
    sed '/^\[tune\]/,$d; /^include/d; /^\[case/d; /^slow/d; /^\[setting ssp/,$d' a.ini
    printf '[folds]\nk = 3\nlr = 0.01 0.1\nmomentum = 0 0.9\n'
} >folds.ini
run "$nbsgd" folds folds.ini --results folds
check 'folds run' ends 0 '^12 of 12 cells' 'means: folds/folds-means.csv'
check 'each point with each fold' [ "$(rows folds/folds.csv | cut -d, -f3,4,6,7 | sort -u |
    wc -l)" = 12 ]
check 'no fold is another' [ "$(cat folds/folds/default/ssgd/point-1/fold-?/*/config.ini |
    grep -c '^val-fold = [012]')" = 3 ]
column folds/folds.csv best_top1 >accuracies
column folds/folds.csv point | paste - accuracies | awk '{ s[$1] += $2; n[$1]++ }
    END { for (p in s) printf "%d,%.4f\n", p, s[p] / n[p] }' | sort >means
check 'means are those of the runs' cmp means <(rows folds/folds-means.csv | cut -d, -f3,7)
check 'the best is marked' [ "$(grep ',yes$' folds/folds-means.csv | cut -d, -f7)" = \
    "$(cut -d, -f2 means | sort -n | tail -n 1)" ]
sed -i '/^lr/d; s/^momentum.*/delay = constant:0.1 pareto:0.03,1.9/; s/^k = 3/k = 2/' folds.ini
run "$nbsgd" folds folds.ini --results commas
check 'a value with a comma is one field' ends 0
check 'in rows' [ "$(grep -c ',"pareto:0.03,1.9",' commas/folds.csv)" = 2 ]
check 'and means' grep -q ',"pareto:0.03,1.9",' commas/folds-means.csv
run "$nbsgd" --network lenet5 --dataset synthetic --world sim --val-split 0.25 --val-fold 4
check 'a fold beyond the last' ends 2 'val-fold 4: of --val-split 0.25 there are the parts 0 to 3'
run "$nbsgd" --network lenet5 --dataset synthetic --world sim --val-fold 1
check 'a fold of nothing' ends 2 'val-fold has an effect only with --val-split'

refused() { # WORDS [OPTION ...]
    tune bad.ini "${@:2}" --check
    check "refused: $1" ends 2 "$1"
}
sed "/^\[tune\]/,\$d; /^include/d" a.ini >bad.ini && refused "there is no \[tune\]"
head=$(sed '/^\[tune\]/,$d; /^include/d' a.ini)
bad() { printf '%s\n[tune]\n%s\n' "$head" "$1" >bad.ini && refused "${@:2}"; }
bad 'lr = log 0.1 1' 'no target to reach'
bad $'target = 50\nseeds = 1 2\nlr = log 0.1 1' 'seeds: 1 is one of \[study\]'
bad $'target = 50\ntrials = 0\nlr = log 0.1 1' 'trials: a whole number from 1'
bad $'target = 50 60\nlr = log 0.1 1' 'target: one accuracy'
bad $'target = 50\nval-split = 1\nlr = log 0.1 1' 'val-split: a part'
bad $'target = 50\nssp-staleness = whole 1 3' \
    'setting ssgd, case healthy: --ssp-staleness belongs to'
bad $'target = 50\nlrr = log 0.1 1' "unknown option 'lrr'"
bad $'reference = none\nlr = log 0.1 1' 'reference: there is no such' --targets
bad $'target = 50\nseed = choice 1 2' 'seed: seeds are in'
bad $'target = 50\nlr = log 0.1 1\n[tune ssp]\ntarget = choice 1 2' 'target: it would end a run'
bad $'lower = 0 90\nlr = log 0.1 1' "lower: '0'" --targets
finish
