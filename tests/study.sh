#!/usr/bin/env bash
# nbsgd study: what is missing is run, once, whatever is killed; what is wrong is said before.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

write() { # FILE: the experiment; $base, $settings, $seeds
    cat >"$1" <<END_OF_FILE
[study]
seeds = ${seeds:-1-4}
targets = 20 30
[base]
world = sim
network = quadratic
batch = 8
minibatches = 1
samples = ${samples:-4000}
nb-batch = reset
${base:-}
[case quiet]
[case straggler]
slow = 4=4
[setting ssgd]
scheme = ssgd
[setting asgd]
scheme = asgd
lr = 0.01
${settings:-}
END_OF_FILE
}
study() { run "$nbsgd" study "$@"; }
ended() { grep -l '^exit = ' "$1"/cells/*/*/*/cell.ini 2>/dev/null; }
states() { rows "$1/study.csv" | cut -d, -f4 | sort | uniq -c | tr -s ' ' | sed 's/^ //'; }

write a.ini
study a.ini --results whole
check 'all cells run' ends 0 '16 of 16 cells to run'
check 'each is a row' [ "$(states whole)" = '16 done' ]
check 'a crossing has its time' [ "$(column whole/study.csv tta_20 | grep -c '^[0-9.]*$')" = 16 ]
check 'a cell is a folder of results' [ -s whole/cells/quiet/asgd/seed-3/summary.json ]
run "$nbsgd" --config whole/cells/straggler/asgd/seed-2/options.ini --results alone
check 'options.ini runs a cell again' same_rows alone/eval.csv \
    whole/cells/straggler/asgd/seed-2/eval.csv
before=$(cat whole/cells/*/*/*/cell.ini)
study whole/study.ini --results whole
check 'nothing is run twice, and study.ini is the experiment' ends 0 '^0 of 16 cells to run'
check 'nothing was touched' [ "$before" = "$(cat whole/cells/*/*/*/cell.ini)" ]

# A cell that another process holds: left out, which is no success (it waits for half a minute).
cp -r whole held
rm held/cells/quiet/ssgd/seed-1/summary.json
touch held/cells/quiet/ssgd/seed-1/.nbsgd
(
    flock -x 9
    "$nbsgd" study a.ini --results held >log.held 2>&1 </dev/null 9>&-
    echo $? >code.held
) 9<held/cells/quiet/ssgd/seed-1/.nbsgd &
held=$!

# Times are known from what eval.csv says, however long its head; else they are empty, not inf.
cp -r whole read
sed -i "1s/^/# slow: $(printf '%05000d' 0)\n/" read/cells/quiet/asgd/seed-1/eval.csv
study a.ini --results read
check 'a long head line is read' cmp whole/study.csv read/study.csv
rm read/cells/quiet/asgd/seed-1/eval.csv
sed -i 's/,top1,/,top9,/' read/cells/quiet/asgd/seed-2/eval.csv
sed -i '/^[0-9]/d' read/cells/quiet/asgd/seed-3/eval.csv
study a.ini --results read
unknown=$(rows read/study.csv | grep -c '^quiet,asgd,.*,,,,,cells')
check 'what is not there is not known' [ "$unknown" = 3 ]

# A folder that cannot be cleared has a note without the digest: nothing of it is resumed.
cp -r whole stuck
cell=stuck/cells/quiet/ssgd/seed-1
sed -i '/^exit/d; s/^digest = .*/digest = 0123456789abcdef/' $cell/cell.ini
rm $cell/summary.json
(
    cd $cell && long=$(printf '%0200d' 0)
    for _ in {1..24}; do mkdir "$long" && cd "$long" || exit; done
)
study a.ini --results stuck
check 'a folder that cannot be cleared is named' ends 3 'cannot write stuck/cells/quiet/ssgd/seed-1'
check 'it has no digest yet' eval '[ -s $cell/cell.ini ] && ! grep -q ^digest $cell/cell.ini'
rm -r stuck

# That a run is over is known by its summary: a study that is killed before it has noted that runs
# nothing twice, and takes the cell as it is.
cp -r whole noted
sed -i '/^ended/d; /^exit/d; /^wall_seconds/d' noted/cells/*/asgd/*/cell.ini
before=$(cat noted/cells/*/*/*/cell.ini noted/cells/*/*/*/summary.json)
study a.ini --results noted
check 'what has ended is not run again, noted or not' ends 0 '^0 of 16 cells to run'
check 'nor touched' [ "$before" = \
    "$(cat noted/cells/*/*/*/cell.ini noted/cells/*/*/*/summary.json)" ]
check 'and has its rows' cmp whole/study.csv noted/study.csv
sed -i 's/^exit = 0/exit = 137/' noted/cells/straggler/ssgd/*/cell.ini
study a.ini --results noted
check 'nor what was killed when it was over' ends 0 '^0 of 16 cells to run'
sed -i '/^digest/d' noted/cells/quiet/asgd/seed-1/cell.ini # it was being cleared
sed -i 's/"status": "finished"/"status": "stopped by a signal"/' \
    noted/cells/quiet/asgd/seed-2/summary.json
study a.ini --results noted
check 'but what was begun anew, or was asked to stop, is' ends 0 '^2 of 16 cells to run'

# Killed at random moments, again and again. What had ended is never run again.
touched=0 last=
for _ in {1..40}; do
    "$nbsgd" study a.ini --results killed >log 2>&1 </dev/null &
    pid=$!
    sleep "0.$((RANDOM % 5))$((RANDOM % 10))"
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
    notes=$(for file in $(ended killed); do md5sum "$file"; done)
    sleep 0.05
    while read -r sum file; do
        [ -z "$sum" ] || [ "$(md5sum <"$file")" = "$sum  -" ] || touched=$((touched + 1))
    done <<<"$last"
    last=$notes
    if [ "$(wc -l <<<"$notes")" = 16 ]; then break; fi
done
study a.ini --results killed
check 'a study that is killed goes on' ends 0
check 'to the same rows' cmp whole/study.csv killed/study.csv
check 'and no finished cell was touched' [ $touched = 0 ]

# A cell is killed, half a cell is there, a cell's summary is gone.
samples=400000 seeds=1 write slow.ini
"$nbsgd" study slow.ini --results half --jobs 2 >log 2>&1 </dev/null &
pid=$!
for _ in {1..200}; do
    cells=$(pgrep -P $pid) && [ -s half/cells/quiet/ssgd/seed-1/eval.csv ] && break
    sleep 0.05
done
study slow.ini --results half
check 'of two studies on one folder the second is refused' ends 2 \
    'another study runs there now \(process'
kill -9 "$(head -n 1 <<<"$cells")"
wait $pid
code=$? out=$(<log)
check 'a killed cell is named, the rest goes on' ends 8 \
    'quiet/[a-z]*/seed-1: FAILED, killed by signal 9' 'log: half/cells' '4 of 4'
check 'and has its row' [ "$(states half)" = $'3 done\n1 failed' ]
rm half/cells/straggler/asgd/seed-1/summary.json
study slow.ini --results half
check 'both are run again' ends 0 '^2 of 4 cells to run'

"$nbsgd" study slow.ini --results stopped >log 2>&1 </dev/null &
pid=$!
for _ in {1..200}; do pgrep -P $pid >/dev/null && break; sleep 0.05; done
sleep 0.3
kill -TERM $pid
wait $pid
code=$? out=$(<log)
check 'asked to stop, it passes that on' ends 6 'seed-1: stopped'
check 'once' [ "$(grep -c 'asked to stop by SIGTERM' stopped/cells/quiet/ssgd/seed-1/log)" -le 1 ]
check 'it says what has ended' grep -qE \
    '^stopped by SIGTERM: [0-4] of 4 cells have ended; the same command goes on$' log
check 'no process is left' [ -z "$(pgrep -f "$folder/stopped|results stopped")" ]
study slow.ini --results stopped
check 'the same command goes on' ends 0 '(4 of 4)'

# Where its options say so a cell is resumed: its log has both beginnings, its rows are the same.
base='checkpoint-every = 20000' samples=400000 seeds=1 write kept.ini
study kept.ini --results kept.whole
"$nbsgd" study kept.ini --results kept >log 2>&1 </dev/null &
pid=$!
for _ in {1..200}; do
    ls kept/cells/quiet/ssgd/seed-1/checkpoints/samples-* >/dev/null 2>&1 && break
    sleep 0.05
done
kill -9 $pid
wait $pid 2>/dev/null
study kept.ini --results kept
check 'a cell with checkpoints goes on' [ "$(grep -c '^ssgd: quadratic' \
    kept/cells/quiet/ssgd/seed-1/log)" = 2 ]
check 'to the same rows' cmp kept.whole/study.csv kept/study.csv

# Of an array each task takes its part; together they are the study.
for task in 0 1 2; do
    SLURM_ARRAY_TASK_ID=$task SLURM_ARRAY_TASK_COUNT=3 SLURM_ARRAY_TASK_MIN=0 \
        "$nbsgd" study a.ini --results array >log.$task 2>&1 </dev/null &
done
wait
check 'tasks of an array share the cells' [ "$(cat log.? | grep -c ': done')" = 16 ]
check 'and leave the same rows' cmp whole/study.csv array/study.csv

# One of another size would take the others' cells.
samples=4000000 seeds=1 write long.ini
of() { # SIZE: words of a task of such an array
    echo "SLURM_ARRAY_TASK_ID=0 SLURM_ARRAY_TASK_COUNT=$1 SLURM_ARRAY_TASK_MIN=0"
}
# shellcheck disable=SC2046
env $(of 2) "$nbsgd" study long.ini --results sizes >log.first 2>&1 </dev/null &
first=$!
for _ in {1..200}; do [ -s sizes/study.csv ] && break; sleep 0.05; done
# shellcheck disable=SC2046
run env $(of 3) "$nbsgd" study long.ini --results sizes
check 'an array of another size is refused' ends 2 'an array of 2 tasks runs there now' \
    'this one is of 3'
check 'in one line' [ "$(wc -l <<<"$out")" = 1 ]
kill -TERM $first
wait $first
rm -r sizes
seeds=1 write few.ini
for size in 2 3; do
    # shellcheck disable=SC2046
    run env $(of $size) "$nbsgd" study few.ini --results sizes
done
check 'one that is over is in the way of none' ends 0 'cells to run by this task'

# Rows are of what lies there when they are written, not of what lay there when a task looked: here
# another task ends while this one, which has looked, waits to write for the last time.
samples=200000 seeds=1 write mid.ini
study mid.ini --results mid
cp -r mid stale
rm -r stale/cells/*/ssgd/seed-1 stale/cells/quiet/asgd/seed-1
# shellcheck disable=SC2046
env $(of 2) "$nbsgd" study mid.ini --results stale --jobs 1 >log.stale 2>&1 </dev/null &
pid=$!
said() { # TIMES
    for _ in {1..2000}; do
        [ "$(grep -c ': done' log.stale)" -lt "$1" ] || break
        sleep 0.005
    done
}
for _ in {1..2000}; do grep -q missing stale/study.csv && break; sleep 0.005; done # it has looked
(
    flock -x 9
    said 2
    sleep 0.3
    cp -r mid/cells/quiet/asgd/seed-1 stale/cells/quiet/asgd/
) 9<>stale/.nbsgd-study-rows
wait $pid
check 'rows of an array are of what lies there' cmp mid/study.csv stale/study.csv

if [ "$(id -u)" = 0 ] || [ -w . ]; then
    run bash -c "ulimit -f 0; exec '$nbsgd' study a.ini --results full"
    check 'a full disk is named' ends 3 'cannot write full/study.ini \(File too large\)'
fi

# A case of its own settings: what an outer optimizer gains without a second worker.
seeds=1-2 settings=$'[setting diloco]\nscheme = diloco\nlocal-steps = 4
[case one-worker]\nsettings = ssgd, diloco\nworkers = 1' write control.ini
study control.ini --results control
check 'a case of some settings' ends 0 '16 of 16'
check 'has these' [ "$(cd control/cells/one-worker && echo ./*)" = './diloco ./ssgd' ]
check 'one worker each' [ "$(rows control/study.csv | grep '^one-worker,' | cut -d, -f9 |
    sort -u)" = 1 ]
check 'rows have no others' [ "$(rows control/study.csv | grep -c '^one-worker,asgd')" = 0 ]
study control/study.ini --results control
check 'study.ini says so, too' ends 0 '^0 of 16 cells'
run "$nbsgd" report --no-figures control
check 'and is reported' ends 0 '16 of 16 runs have ended'
check 'with its table' grep -q '^## one-worker: seconds' control/report.md

# --- what is wrong

refused() { # WORDS: a.ini is written already
    study bad.ini --results refused
    check "refused: $1" ends 2 "$1"
}
base='lrr = 1' write bad.ini && refused "bad.ini:11: unknown option 'lrr': did you mean 'lr'"
base='lr = x' write bad.ini && refused "bad.ini:11: --lr: 'x'"
base='target = 30' write bad.ini && refused 'bad.ini:11: target: .*say \[study\] targets'
base='checkpoint-dir = x' write bad.ini && refused 'bad.ini:11: checkpoint-dir: each cell has'
settings=$'[tune]\nseeds = 4-9\nlr = log 0.1 1' write bad.ini &&
    refused 'bad.ini:21: seeds: 4 is one of \[study\]'
base='seed = 3' write bad.ini && refused 'bad.ini:11: seed: seeds are in \[study\] seeds'
settings='easgd-beta = 0.9' write bad.ini &&
    refused 'bad.ini:20: setting asgd, case quiet: --easgd-beta belongs to'
settings='learning = 1' write bad.ini &&
    refused "bad.ini:20: setting asgd, case quiet: unknown option 'learning'"
settings=$'[setting b]\nscheme = asgd\nlr = 0.01' write bad.ini &&
    refused 'bad.ini:20: \[setting b\] is the same as \[setting asgd\] of line 17'
settings=$'[case calm]' write bad.ini &&
    refused 'bad.ini:20: \[case calm\] is the same as \[case quiet\] of line 12 for every setting'
settings='eval-every = 100' write bad.ini && refused \
    'bad.ini:20: eval-every: \[setting ssgd\] has 0, \[setting asgd\] has 100, in \[case quiet\]'
settings=$'[setting asgd in straggler]\neval-seconds = 1' write bad.ini &&
    refused 'bad.ini:21: eval-seconds: .*has 1, in \[case straggler\]: .*judged equally often'
settings=$'[case b]\nsettings = ssgd sgd' write bad.ini &&
    refused 'bad.ini:21: settings: there is no \[setting sgd\]'
settings=$'[case b]\nsettings =' write bad.ini && refused 'bad.ini:21: settings: there is none'
settings=$'[case b]\nsettings = ssgd\n[setting asgd in b]\nlr = 1' write bad.ini &&
    refused 'bad.ini:22: \[setting asgd\] is not run in \[case b\]'
printf 'latency_s = 1e-5\nbandwidth_bytes_per_s = 1e9\n' >untimed.ini
base='machine = untimed.ini' write bad.ini && refused \
    "setting ssgd, case quiet: --machine untimed.ini has no time .*'quadratic cifar 8 f32 1 = SEC"
base='machine = none.ini' write bad.ini && refused 'case quiet: --machine: cannot read none.ini'
settings='slow = 3=2' write bad.ini && refused 'slow: \[case straggler\] has it, too \(bad.ini:14\)'
settings=$'[setting b]\nscheme = sgd' write bad.ini && refused 'bad.ini:21: setting b.*sgd'
settings=$'[setting b]\nscheme = ssp\nworkers = 0' write bad.ini && refused "workers: '0'"
base='print-network = yes' write bad.ini && refused 'train nothing'
check 'nothing was begun' [ ! -e refused ]

study none.ini --results refused
check 'no file' ends 2 'cannot read the experiment none.ini \(No such file'
study a.ini
check 'no folder' ends 2 'where to'
study a.ini --results
check 'no value' ends 2 "a value is missing behind '--results'"
study a.ini --jobs 0 --results x
check 'no jobs' ends 2 'jobs 0: a whole number'
mkdir other && touch other/mine
study a.ini --results other
check "somebody else's folder" ends 2 'the folder is not empty, and it is no study.s \(mine\)'
check 'stays as it is' [ "$(ls -A other)" = mine ]

# Two programs or two configurations are not mixed.
base='momentum = 0.5' write b.ini
study b.ini --results whole
check 'other options' ends 2 'quiet/ssgd/seed-1 has run with other options' \
    "'momentum = 0.9' there, 'momentum = 0.5' here" 'remove that folder'
sed -i 's/^digest = .*/digest = 0123456789abcdef/; s/^program = .*/program = nbsgd 0.1.0 (old)/' \
    whole/cells/quiet/asgd/seed-2/cell.ini
study a.ini --results whole
check 'another program' ends 2 'quiet/asgd/seed-2 has run with nbsgd 0.1.0 \(old\)'
rm -r whole/cells/quiet/asgd/seed-2
study a.ini --results whole
check 'with what it says to do it goes on' ends 0 '^1 of 16 cells to run'
rm whole/cells/quiet/asgd/seed-2/cell.ini
study a.ini --results whole
check 'files that are no cell' ends 2 'no cell of a study'

# What options name counts by what it says: a machine file, and the data.
printf '[minibatch_s]\nquadratic cifar 8 f32 1 = 0.02\n' | cat untimed.ini - >machine.ini
base='machine = machine.ini' seeds=1 write timed.ini
study timed.ini --results timed
check 'with a machine file' ends 0
sed -i 's/= 0.02/= 0.03/' machine.ini
study timed.ini --results timed
check 'with another text it is another' ends 2 'other options \(a file that they name, or a seed\)'

idx() { # FOLDER: MNIST's form, 40 images and 20
    local n half octal
    mkdir -p "$1"
    for half in 'train 050 40' 't10k 024 20'; do
        read -r half octal n <<<"$half"
        { printf %b "\\0\\0\\010\\003\\0\\0\\0\\0$octal\\0\\0\\0\\034\\0\\0\\0\\034"
            head -c $((n * 784)) /dev/zero; } >"$1/$half-images-idx3-ubyte"
        { printf %b "\\0\\0\\010\\001\\0\\0\\0\\0$octal"
            for ((i = 0; i < n; i++)); do printf %b "\\0$(printf %o $((i % 10)))"; done
        } >"$1/$half-labels-idx1-ubyte"
    done
}
idx mnist
cat >data.ini <<'END_OF_FILE'
[study]
seeds = 1
[base]
world = sim
dataset = mnist
data = mnist
network = mlp
hidden = 4
batch = 8
minibatches = 1
samples = 80
[setting ssgd]
scheme = ssgd
[setting asgd]
scheme = asgd
END_OF_FILE
study data.ini --results data
check 'with data' ends 0 '2 of 2'
check 'they have a digest' grep -qE '^# data set: mnist, digest [0-9a-f]{16}$' \
    data/cells/default/ssgd/seed-1/options.ini
mv mnist elsewhere
sed -i 's/^data = .*/data = elsewhere/' data.ini
study data.ini --results data
check 'the same data elsewhere are the same' ends 0 '^0 of 2 cells'
for file in train-images t10k-images; do
    cp elsewhere/$file-idx3-ubyte old
    printf x | dd of=elsewhere/$file-idx3-ubyte bs=1 seek=100 conv=notrunc status=none
    study data.ini --results data
    check "$file: one byte makes another cell" ends 2 \
        "'data set: mnist, digest [0-9a-f]*' there, 'data set: mnist, digest .* here"
    mv old elsewhere/$file-idx3-ubyte
done

# By the real clock, one after the other, each with its own launcher.
cat >mpi.ini <<'END_OF_FILE'
[study]
seeds = 1
[base]
network = quadratic
batch = 8
minibatches = 1
samples = 400
workers = 2
[setting ssgd]
scheme = ssgd
[setting serial]
scheme = serial
END_OF_FILE
NBSGD_DATADIR=$home study mpi.ini --results mpi
check 'over MPI' ends 0 '2 of 2'
check 'with its ranks' [ "$(rows mpi/cells/default/ssgd/seed-1/ranks.csv | wc -l)" = 3 ]
check 'they say where they ran' grep -qE "^# runs on: host $(hostname), [0-9]+ cores, .*launcher" \
    mpi/cells/default/ssgd/seed-1/options.ini
NBSGD_DATADIR=$home study mpi.ini --results mpi
check 'there again they are done' ends 0 '^0 of 2 cells'
run env NBSGD_DATADIR="$home" MPIRUN=other "$nbsgd" study mpi.ini --results mpi
check 'another launcher makes another cell' ends 2 "'runs on: host .* launcher other.* here"
sed -i 's/^workers = 2/&\nthreads = 3/' mpi.ini
NBSGD_DATADIR=$home study mpi.ini --results mpi
check 'so do other threads' ends 2 'threads = 0.* there, .*threads = 3.* here'
sed 's/^samples = .*/samples = 100000000/; s/^workers = 2.*/workers = 2/' mpi.ini >endless.ini
NBSGD_DATADIR=$home "$nbsgd" study endless.ini --results endless >log 2>&1 </dev/null &
pid=$!
for _ in {1..200}; do [ -s endless/cells/default/ssgd/seed-1/eval.csv ] && break; sleep 0.05; done
sleep 0.3
kill -TERM $pid
wait $pid
code=$? out=$(<log)
check 'asked to stop over MPI' ends 6 'ssgd/seed-1: stopped' '0 of 2 cells have ended'
check 'no rank is left' [ -z "$(pgrep -f 'results endless/')" ]
# Under Slurm srun starts a cell's ranks, not the job's.
mkdir fake
for word in scontrol squeue srun; do
    printf '#!/bin/sh\necho "%s pmi2 pmix $*"\n' $word >fake/$word
    chmod +x fake/$word
done
run env PATH="$PWD/fake:$PATH" SLURM_JOB_ID=1 SLURM_NTASKS=7 \
    RETRIES=0 bash "$home/launch/cell.sh" "$nbsgd" 3 --version
check 'srun is told the ranks of a cell' ends 0 '^srun .* -n 3 '

wait $held
check 'a cell that another process holds is left out' grep -q 'another process runs it' log.held
check 'which is no success' [ "$(<code.held)" = 8 ]
finish
