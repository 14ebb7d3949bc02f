#!/usr/bin/env bash
# nbsgd advise: predictions against runs of the machine that it is asked about, the check by cases
# that are left out, the verdict, what it refuses.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
export TMPDIR=$PWD

machine() { # SECONDS: a mini-batch of that long, on the links of --sim-latency and --sim-bandwidth
    printf '%s\n' 'latency_s = 20e-6' 'bandwidth_bytes_per_s = 1.25e9' '[minibatch_s]' \
        "quadratic cifar 4 f32 1 = $1"
}
experiment() { # [CASE LINES]
    cat <<END_OF_FILE
[study]
seeds = 1-6
targets = 20 40 99.9
[base]
world = sim
network = quadratic
batch = 8
minibatches = 2
samples = 6000
eval-every = 80
lr = 0.05
schedule = constant
warmup = 0
momentum = 0
${base:-}
${1:-[case quiet]
[case straggler]
slow = 4=4
[case late]
delay = exponential:0.05}
[setting ssgd]
scheme = ssgd
[setting asgd]
scheme = asgd
lr = 0.02
[setting nbssgd]
scheme = nbssgd
nb-inflight = carry
END_OF_FILE
}
study() { # NAME
    run "$nbsgd" study "$1.ini" --results "$1"
    check "$1: the study" ends 0
}
# Of a study and of an advice: the median seconds to 40 %, the predicted ones.
measured() { # NAME CASE SETTING
    awk -F, -v case="$2" -v setting="$3" '
        /^case/ { for (i = 1; i <= NF; i++) if ($i == "tta_40") at = i }
        $1 == case && $2 == setting { print $at }' "$1/study.csv" | sort -n |
        awk '{ t[NR] = $1 } END { print (t[NR / 2] + t[NR / 2 + 1]) / 2 }'
}
predicted() { # FILE LEFT_OUT SETTING [COLUMN]
    awk -F, -v left="$2" -v setting="$3" -v name="${4:-seconds}" '
        /^left_out/ { for (i = 1; i <= NF; i++) if ($i == name) at = i }
        $1 == left && $2 == setting { print $at }' "$1"
}
near() { # A B WITHIN
    awk -v a="$1" -v b="$2" -v within="$3" 'BEGIN {
        ok = a > 0 && b > 0 && a / b < 1 + within && b / a < 1 + within
        if (!ok) print a " is not " b " within " within
        exit !ok }'
}

experiment >a.ini
study a
machine 0.1 >same.ini
machine 0.2 >half.ini

# --- a machine half as fast: each takes twice as long, by the same samples
run "$nbsgd" advise half.ini --study a --rows half.csv
check 'an advice' ends 0 '^Seconds to 40 %: ' \
    '^ssgd: its workers compute (9[0-9]|100) % of the time' \
    '^Verdict: take asgd: it is predicted 1\.[0-9]* times as soon as ssgd' \
    'Its options: --config a/cells/quiet/asgd/seed-1/options.ini'
for setting in ssgd asgd nbssgd; do
    check "$setting takes twice the time of the study's machine" near \
        "$(predicted half.csv '' $setting)" \
        "$(awk -v s="$(measured a quiet $setting)" 'BEGIN { print 2 * s }')" 0.02
done
check 'nothing is left behind' [ -z "$(find . -maxdepth 1 -name 'nbsgd-advise-*')" ]

# --- a straggler that the machine file has: the case of the nearest mini-batches and staleness, and
# the runs that come true
(cat same.ini && printf '[rank 4]\nspeed = 0.25\n') >slow.ini
run "$nbsgd" advise slow.ini --study a --rows slow.csv
check 'a straggler' ends 0 'ssgd: its workers compute 4[0-9] % of the time, wait 5[0-9] %'
run "$nbsgd" advise same.ini --study a --slow 4=4 --rows same.csv
check 'or --slow' ends 0
check 'both are the same' same_rows slow.csv same.csv
base='machine = slow.ini' experiment '[case there]' >there.ini
study there
for setting in ssgd asgd nbssgd; do
    check "$setting takes what was predicted" near "$(predicted slow.csv '' $setting)" \
        "$(measured there there $setting)" 0.05
done
check 'nbssgd is that of the case with a straggler' \
    [ "$(predicted slow.csv '' nbssgd from)" = straggler ]

# --- the check
check 'what was left out is what was measured' near \
    "$(predicted half.csv straggler asgd measured_seconds)" "$(measured a straggler asgd)" 0.0001
check 'and is not its own evidence' \
    [ "$(rows half.csv | awk -F, '$1 != "" && $1 == $3' | wc -l)" = 0 ]
check 'each setting in each case, and on the machine' [ "$(rows half.csv | grep -c ,)" = 12 ]
# ssgd learns by its samples alone, whoever is slow: without the case it is predicted as it is.
for case in quiet straggler; do
    check "ssgd in $case is predicted by the others" near \
        "$(predicted half.csv $case ssgd)" "$(measured a $case ssgd)" 0.02
done
run "$nbsgd" advise half.ini --study a
check 'its error is said' ends 0 \
    '^Seconds: off by a factor of 1\.[0-9]* in the median.*; predictions: 6' \
    '^  straggler: .* is predicted first, in [0-9.]* s; it took [0-9.]* s' \
    '^The first was right in [0-3] of 3 cases'

# --- a worker so slow that its data are hardly used: far from all other cases, and said to be
experiment >unused.ini
sed -i 's/^slow = 4=4/slow = 4=50/; /^\[setting nbssgd\]/,$d' unused.ini
study unused
run "$nbsgd" advise same.ini --study unused --target 30 --rows unused.csv
check 'data that are hardly used make a case far' ends 0 \
    '^Seconds of settings far from what the other cases show: .*asgd in straggler'
check 'by one' awk -v far="$(predicted unused.csv straggler asgd distance)" \
    'BEGIN { exit !(far >= 1 && far < 1.2) }'
run "$nbsgd" advise same.ini --study a --slow 4=50
check 'what is far is named, and is no verdict' ends 0 '^WARNING: asgd is far from what .* saw' \
    '^Verdict: plain ssgd: nothing is predicted to be sooner' '^asgd is predicted sooner still, but'

# --- one case: there is no error; no gain: plain ssgd
experiment '[case quiet]' >one.ini
sed -i '/^\[setting asgd\]/,/^lr/d' one.ini
study one
run "$nbsgd" advise same.ini --study one
check 'one case' ends 0 '^How far off: not known' \
    '^Verdict: plain ssgd: nothing is (shown|predicted) to be sooner'
run "$nbsgd" advise same.ini --study a --baseline asgd --target 20
check 'another baseline, another target' ends 0 '^Seconds to 20 %' \
    '^Verdict: plain asgd: nothing is predicted to be sooner'

# --- far from what was seen
run "$nbsgd" advise half.ini --study a --workers 6
check 'other workers' ends 0 '^WARNING: 6 workers here, 4 in the study'
printf '%s\n' 'lenet5 cifar 4 f32 1 = 0.1' >>same.ini
run "$nbsgd" advise same.ini --study a --network lenet5
check 'another network' ends 0 '^WARNING: ANOTHER NETWORK: lenet5 of [0-9]* weights here, of 1000'
machine 0.1 | sed 's/quadratic/# quadratic/; $a quadratic cifar 8 f32 1 = 0.2' >other.ini
experiment '[case quiet]
[case whole]' | sed '$a [setting ssgd in whole]\nminibatches = 1' >two.ini
study two
run "$nbsgd" advise other.ini --study two
check 'a batch that was not timed is left out' ends 0 \
    '^WARNING: left out: ssgd in quiet, asgd in quiet.*has no time of a mini-batch'

# --- refusals: a line each
refuses() { # WHAT WORDS ARGUMENTS ...
    local what=$1 words=$2
    shift 2
    run "$nbsgd" advise "$@"
    check "$what" ends 2 "$words"
    check "$what: one line" [ "$(wc -l <<<"$out")" = 1 ]
}
refuses 'no study' 'a machine file and a study are expected' same.ini
refuses 'a folder without' 'a.ini holds no study.csv' same.ini --study a.ini
refuses 'no machine' 'cannot read nowhere.ini' nowhere.ini --study a
refuses 'a threshold that nobody reached' '99.9 %.*--target 40 was reached' same.ini --study a \
    --target 99.9
refuses 'no such setting' 'no setting of that name' same.ini --study a --baseline sgd
machine 0.1 | sed '/quadratic/d' >untimed.ini
refuses 'no time of a mini-batch' "ssgd cannot be simulated there: .*'quadratic cifar 4 f32 1 = " \
    untimed.ini --study a
cp -r one untargeted
sed -i 's/,tta_[0-9.]*/,old/g' untargeted/study.csv
refuses 'no targets' 'untargeted has no targets' same.ini --study untargeted
cp -r one unended
sed -i 's/,done,/,missing,/' unended/study.csv
refuses 'no run' 'has no runs of ssgd' same.ini --study unended
finish
