#!/usr/bin/env bash
# --tensorboard: event files, read back by a reader of their own (tests/tensorboard_check.py), which
# checks each CRC, and by TensorBoard where $PYTHON (python3) has it.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
python=${PYTHON:-python3}
command -v "$python" >/dev/null || skip "no $python"
is() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }
sim=("$nbsgd" --world sim --workers 4 --network quadratic --eval-every 1024)

reads() { # FOLDER EVENTS [tensorboard]
    found=$("$python" "$home/tests/tensorboard_check.py" "$@" 2>&1)
    local how=$?
    [ "$how" = 0 ] || echo "$found"
    return "$how"
}
counted() { awk -v name="$1" '$1 == name { n = $2 } END { print n + 0 }' <<<"$found"; }

run "${sim[@]}" --scheme nbssgd --samples 4096 --tensorboard --results a
check 'a run with event files' ends 0
check 'a file by the rules, which has the numbers of eval.csv' reads a a/tensorboard
check 'one file, no more evaluations than rows' is "$(counted files) $(counted evaluations)" '1 0'
check 'a point an update' is "$(counted update/loss)" "$(json a/summary.json "\$j->{updates}")"
check 'samples a second, but for the first' \
    is "$(counted evaluation/samples_per_s)" $(($(counted evaluation/top1) - 1))
reads a a/tensorboard tensorboard >/dev/null
case $? in
77) passes_over 'no tensorboard (pip install tensorboard; PYTHON=venv/bin/python3)' ;;
*) check 'TensorBoard reads the same' reads a a/tensorboard tensorboard ;;
esac
python3 -c 'import sys; p = sys.argv[1]; b = bytearray(open(p, "rb").read()); b[-9] ^= 1
open(p, "wb").write(b)' a/tensorboard/events*
reads a a/tensorboard >/dev/null
check 'a flipped bit is found' is "$(tail -n 1 <<<"$found")" 'broken: a CRC'

run "${sim[@]}" --scheme ssgd --samples 2048 --tensorboard=b/events --results c
check 'a folder of its own' reads c b/events
run "${sim[@]}" --scheme ssgd --samples 2048 --tensorboard --results a --overwrite
check 'a new run in the folder: no file of the old one' reads a a/tensorboard
check 'a new run in the folder: one file' is "$(counted files)" 1
run "${sim[@]}" --scheme ssgd --samples 2048 --results a --overwrite
check 'a new run without it: no file of the old one' \
    is "$(find a -name 'events.out.*' | wc -l)" 0
run "${sim[@]}" --scheme ssgd --samples 2048 --results d
check 'none without it' [ ! -e d/tensorboard ]
run "${sim[@]}" --scheme ssgd --samples 2048 --tensorboard= --results never
check 'an empty name' ends 2 'a folder is missing'

run "${sim[@]}" --scheme ssgd --samples 2048 --checkpoint-every 1024 --tensorboard --results e
run "${sim[@]}" --scheme ssgd --samples 4096 --checkpoint-every 1024 --tensorboard --results e \
    --resume auto --checkpoint-dir e/checkpoints
check 'a run that goes on' ends 0
check 'a run that goes on: both files together' reads e e/tensorboard
check 'a run that goes on: two files, a start' is "$(counted files) $(counted starts)" '2 1'
check 'a run that goes on: no evaluation twice' is "$(counted evaluations)" 0

run "${sim[@]}" --scheme ssgd --samples 2048 --tensorboard=d/eval.csv --results f
check 'no folder: exit code 2, before anything is written' ends 2 'd/eval.csv: that is no folder'
check 'no folder: nothing is written' [ ! -e f ]
run "${sim[@]}" --scheme ssgd --samples 2048 --tensorboard=d/eval.csv/x --results g
check 'what cannot be made: it trains on, and says so' ends 7 'cannot write d/eval.csv/x/events' \
    'NOT WRITTEN, or not in full: d/eval.csv/x/events'
finish
