#!/usr/bin/env bash
# --trace: what each rank did when, on the simulated network and over MPI, read back by Python's
# json and held against the rules of the format and against the counters (tests/trace_check.py).
# tests/run: mostly waits
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
command -v python3 >/dev/null || skip 'no python3'
is() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }
sim=("$nbsgd" --world sim --workers 4 --network quadratic --samples 4000 --eval-every 1000)

check_trace() { # FOLDER: $found is what was counted
    found=$(python3 "$home/tests/trace_check.py" "$1" 2>&1) || { echo "$found"; return 1; }
}
counted() { awk -v name="$1" '$1 == name { n = $2 } END { print n + 0 }' <<<"$found"; }
some() { [ "$(counted "$1" | cut -d. -f 1)" -gt 0 ] || { echo "no $1 in: $found"; return 1; }; }

# --- the simulated network
run "${sim[@]}" --scheme nbssgd --slow 4=3 --delay exponential:0.02 --trace --results a
check 'a run with a trace' ends 0
check 'a trace by the rules, whose spans add to the counters' check_trace a
check 'mini-batches that were aborted are as many as were counted' \
    is "$(counted mini-batch_aborted)" \
    "$(column a/ranks.csv aborted_minibatches | sum | cut -d. -f 1)"
check 'a version an update' is "$(counted version_i)" "$(json a/summary.json "\$j->{updates}")"
check 'a worker hears what the others sent' \
    is "$(counted signal_heard_i)" "$((3 * $(counted signal_sent_i)))"
check 'arrows of signals' is "$(counted flow_signal)" "$(counted signal_heard_i)"
for name in flow_push flow_reply wait transfer compute delay; do
    check "there is some $name" some $name
done
check 'it names what ran' is "$(awk '$1 == "network" { print $2 }' <<<"$found")" quadratic
check 'one virtual clock' is "$(counted error_us)" 0
window() { # of trace.csv: are all rows in it, of ranks that are there, and of some kinds?
    awk -F, -v from="$(sed -n 's/^# from: //p' "$1/trace.csv")" \
        -v to="$(sed -n 's/^# to: //p' "$1/trace.csv")" '!/^#/ && rows++ {
            n[$1]++
            if (!($2 >= 0 && $2 <= 4 && $3 <= $4 && $3 < to && $4 > from)) wrong = $0
            if (($5 != "") != ($1 ~ /^(push|reply|signal|depart|control)$/)) wrong = $0
        }
        END { if (wrong) print "row: " wrong; exit !(!wrong && n["compute"] > 4 && n["push"] &&
            n["signal"] && n["aborted"] && n["mini-batch"] && to > from) }' "$1/trace.csv"
}
check 'trace.csv has the rows of a window' window a
if command -v gnuplot >/dev/null; then
    run gnuplot -c "$home/plots/gantt.gp" gantt.png a
    check 'their figure, without a word' is "$code$out$(head -c 4 gantt.png | tail -c 3)" 0PNG
    NBSGD_DATADIR=$home run "$nbsgd" report a
    for name in svg png; do
        check "a report has it, too: $name" [ -s a/figures/gantt.$name ]
    done
    check 'a report shows it' grep -q 'figures/gantt.svg' a/report.md
fi
run "${sim[@]}" --scheme nbssgd --slow 4=3 --delay exponential:0.02 --results b
check 'a run without one: the same rows' same_rows a/eval.csv b/eval.csv
check 'a run without one: the same counters' same_rows a/ranks.csv b/ranks.csv
check 'without --trace there is none' [ ! -e b/trace.json ]

run "${sim[@]}" --scheme nbssgd --slow 4=3 --trace --trace-events 100 --results c
check 'a full ring: by the rules' check_trace c
check 'a full ring: it says what it left out' some left_out
check 'a full ring: no rank has more' json_holds c/trace.json \
    '!grep { $_->{events} > 100 } @{$j->{otherData}{ranks}}'

for words in 'ssgd --servers 2 --clip 1' 'allreduce' 'eager' 'dpsgd' 'nbgossip' 'adpsgd' 'hogwild' \
    'localsgd' 'serial' 'nbssgd --eval-seconds 0.5'; do
    # shellcheck disable=SC2086
    run "${sim[@]}" --scheme $words --trace --results "s-${words%% *}-${#words}"
    check "$words: a trace by the rules" check_trace "s-${words%% *}-${#words}"
done
echo 'rank 3 minibatch 9 dead' >dies
run "${sim[@]}" --scheme asgd --faults dies --trace --results d
check 'a worker dies: the run goes on' ends 0 'goes on without it'
check 'a worker dies: a trace by the rules' check_trace d
check 'a worker dies: what it did is there' is "$(counted missing)" 0
check 'a worker dies: and nothing after it' json_holds d/trace.json \
    '!grep { $_->{ph} eq "X" && $_->{tid} == 3 && $_->{ts} > 1e6 } @{$j->{traceEvents}}'

mkdir e && ln -s /dev/full e/trace.json
run "${sim[@]}" --scheme ssgd --trace --results e --overwrite
check 'no room for it: exit code 7, and which' ends 7 'NOT WRITTEN, or not in full: trace.json'
run "${sim[@]}" --scheme ssgd --overwrite --results a
check 'a run after it leaves no old one' is "$(find a -name 'trace*')" ''

# --- over MPI
NBSGD_HOSTS=2 run "$mpirun" -n 5 "$nbsgd" --scheme nbssgd --network quadratic --samples 2000 \
    --delay exponential:0.005 --threads 1 --trace --results m
check 'a run over MPI' ends 0
check 'over MPI, two hosts: a trace by the rules' check_trace m
check 'over MPI: all ranks' is "$(counted ranks) $(counted missing)" '5 0'
check 'over MPI: clocks of another host are known to some error' some error_us
check 'over MPI: arrows of signals' some flow_signal

if [ "$("$mpirun" --version 2>/dev/null | grep -c HYDRA)" != 0 ]; then
    # shellcheck disable=SC2016
    kills='if [ "$PMI_RANK" = 2 ]; then "$@" & child=$!; until [ "$(wc -l <k/events.jsonl)" -ge 9 ]
        do sleep 0.1; done 2>/dev/null; kill -9 $child; wait $child; exit 0; fi; exec "$@"'
    run "$mpirun" -disable-auto-cleanup -n 4 bash -c "$kills" - "$nbsgd" --scheme asgd \
        --network quadratic --delay constant:0.05 --seconds 4 --samples 100000000 --deadline 5 \
        --threads 1 --trace --results k
    check 'a worker is killed: the run goes on' ends 0 "goes on without it"
    check 'a worker is killed: a trace by the rules' check_trace k
    check 'a worker is killed: its part is missing, and said' is "$(counted missing)" 1
fi
finish
