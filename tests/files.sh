#!/usr/bin/env bash
# What was learned is never overwritten by less: folders of results and who has them, weights and
# records of other runs, devices and links, full disks, and closed or broken standard output.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

is() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }
state_of() { find "$1" -mindepth 1 -exec stat -c '%n %i %s %Y %A' {} + | sort; } # FOLDER
# The last run was refused, and said that; FOLDER is as it was.
refused() { # FOLDER STATE WORDS ...
    ends 2 "${@:3}" && is "$(state_of "$1")" "$2"
}
toy=("$nbsgd" --world sim --network quadratic --scheme ssgd --samples 1000000000 --updates 5)
tiny=(--network lenet5 --backend ref --threads 1 --dataset synthetic --train-samples 64 --batch 8
    --minibatches 2 --eval-samples 16 --eval-batches 1 --scheme ssgd --lr 0.01)
net=("$nbsgd" --world sim --workers 2 "${tiny[@]}")

# --- somebody else's folder
mkdir mine
echo '{"thesis": 1}' >mine/summary.json
echo drawn >mine/figure.png
before=$(state_of mine)
run "${toy[@]}" --results mine
check "somebody's own folder is refused" refused mine "$before" 'is not empty' 'figure.png|summary'
run "${toy[@]}" --results mine --scheme backup --backup-workers 99 --overwrite
check 'a run that is refused for another reason' refused mine "$before" 'backup-workers'
echo kept >mine/notes
run "${toy[@]}" --results mine --overwrite
check '--overwrite writes there' ends 0 'results: mine'
check 'and deletes nothing else' is "$(cat mine/notes mine/figure.png | paste -sd' ')" 'kept drawn'

# --- an earlier run's, and a living one's
run "${toy[@]}" --results a
check 'a run' ends 0
before=$(state_of a)
run "${toy[@]}" --results a
check "an earlier run's folder is refused" refused a "$before" "earlier run's files"
run "${toy[@]}" --config a/config.ini --seed 2
check "a run of another's config.ini" ends 0 '^results: results/run-'
check 'writes elsewhere' is "$(state_of a)" "$before"
check 'which its config.ini only tells' grep -qx '# results = a' a/config.ini
"${toy[@]}" --updates 1000000000 --results living >log 2>&1 &
living=$!
for _ in {1..100}; do [ -s living/eval.csv ] && break; sleep 0.1; done
run "${toy[@]}" --results living
check "a living run's folder is refused" ends 2 "another run writes there now .process $living on "
run "${toy[@]}" --results living --overwrite
check 'whatever is said' ends 2 'another run writes there now'
check 'which is found by its name' is "$(cat /proc/$living/comm)" nbsgd
kill -9 $living
wait $living 2>/dev/null
run "${toy[@]}" --results living
check "a killed run's folder is an earlier run's" ends 2 "earlier run's files"
run "${toy[@]}" --results living --overwrite
check 'and is taken over when that is said' json_is living/summary.json '$j->{updates}' 5
before=$(state_of living)
run "${toy[@]}" --scheme asgd --samples 640 --record order --results ra
run "${toy[@]}" --scheme asgd --samples 640 --lr 0.2 --replay order --results living --overwrite
check 'a replay of another run leaves the folder alone' refused living "$before" \
    'the record of another run'

# --- weights
file_is() { is "$(stat -c '%i %s' "$1")" "$2"; } # FILE STATE
run "${net[@]}" --updates 6 --save w --results w1
check 'weights' ends 0
now=$(stat -c '%i %s' w)
run "${net[@]}" --updates 6 --save w --results w2
check 'the same again' ends 2 "--save w: it has another run's weights, after [1-9][0-9]* samples" \
    '--init w' '--overwrite'
check 'leaves them alone' file_is w "$now"
check 'and makes no folder' [ ! -e w2 ]
run "${net[@]}" --updates 2 --results within/ --save within/w
check 'weights in the folder of results, which is made for it' ends 0
check 'are there' [ -s within/w ]
run "${net[@]}" --updates 2 --results both --save both/best.safetensors
check 'but not where the best ones go' ends 2 '--save both/best.safetensors: the best weights go th'
echo 'a thesis' >thesis
run "${net[@]}" --updates 2 --save thesis --results w2
check 'what is no weights is left alone' ends 2 '--save thesis: it has weights that do not say'
run "${net[@]}" --updates 2 --save w --init w --results w2
check 'a run that begins with them goes on there' ends 0
check 'and has written them' eval '! file_is w "$now" >/dev/null'
chmod 600 w
run "${net[@]}" --updates 2 --save w --overwrite --results w3
check '--overwrite replaces them' ends 0
check 'and keeps their permissions' is "$(stat -c %a w)" 600
run "${net[@]}" --updates 2 --save untrained --target 0.1 --results w4
check 'a run that ends before its first update' ends 0 ' 0 updates'
check 'writes none' [ ! -e untrained ]
for i in 1 2; do
    "${net[@]}" --updates 20 --eval-every 16 --seed $i --save shared --results shared-$i \
        >shared-$i.log 2>&1 &
done
codes=''
for _ in 1 2; do wait -n && codes+='0 ' || codes+="$? "; done
check 'of two runs with one file one has it' is "$(tr ' ' '\n' <<<"$codes" | sort | paste -sd' ')" \
    ' 0 7'
check 'and the other says so' \
    is "$(cat shared-?.log | grep -c 'shared (another run has written its own there)')" 1
run "${net[@]}" --updates 12 --eval-every 16 --lr 0.05 --save last --results best
check 'a run with ups and downs' ends 0
run "${net[@]}" --updates 1 --init best/best.safetensors --results best-again
check 'its best weights are kept beside the last' is \
    "$(column best-again/eval.csv top1 | head -n 1)" \
    "$(column best/eval.csv top1 | sed 1d | sort -g | tail -n 1)"
run "${net[@]}" --init best/best.safetensors --momentum 0 --warmup 0 --lr 1e20 \
    --schedule constant --updates 9 --save bad --results worse
check 'a run that diverges says where the best weights are' ends 4 \
    "$(column best-again/eval.csv top1 | awk '{ printf "%.2f", $1; exit }') % is kept in worse/best"
check 'and they are there' cmp <(tail -c 4000 best/best.safetensors) \
    <(tail -c 4000 worse/best.safetensors)
one=("$nbsgd" "${tiny[@]}" --save on --checkpoint-every 16 --eval-every 16)
run "$mpirun" -n 3 "${one[@]}" --updates 4 --results on-1
check 'a run with checkpoints' ends 0
run "$mpirun" -n 3 "${one[@]}" --results on-1 --resume on-1 --updates 8
check 'goes on, and goes on writing its weights' ends 0 ' 8 updates'
check 'in one folder, one row after the other' is "$(column on-1/eval.csv samples | paste -sd' ')" \
    "$(column on-1/eval.csv samples | sort -nu | paste -sd' ')"
run "$mpirun" -n 3 "${one[@]}" --results on-2 --resume on-1 --updates 9
check 'from another folder it does not' ends 2 "--save on: it has another run's weights"
cp w theirs
for _ in 1 2; do
    run "$mpirun" -n 3 "${one[@]}" --results on-1 --resume on-1 --save theirs --updates 9
    check "nor in another run's file, however often it is told" ends 2 '--save theirs: it has anoth'
done
before=$(state_of best)
run "$mpirun" -n 3 "${one[@]}" --results best --resume on-1 --save "" --updates 9
check "nor in another run's folder" refused best "$before" "earlier run's files"
rm -r on-1/checkpoints
now=$(stat -c '%i %s' on)
run "$mpirun" -n 3 "${one[@]}" --results on-1 --resume auto --updates 2
check 'one that begins again, as a job that is requeued' ends 0 'no whole checkpoint' ' 2 updates' \
    "on has this run's weights after 128 samples: they stay"
check 'replaces its weights by no less' file_is on "$now"

# --- records
run "${toy[@]}" --scheme asgd --record order --results rb
check "another run's record is refused" ends 2 "--record: order.0 has another run's record"
run "${toy[@]}" --scheme asgd --record order --overwrite --results rb
check '--overwrite replaces it' ends 0
for server in 0 1; do
    ln -s /dev/full full-$server.$server
    run "$mpirun" -n 4 "$nbsgd" --network quadratic --scheme asgd --servers 2 --updates 9 \
        --record full-$server --results full-$server
    check "no room for the record of server $server" ends 7 "cannot write full-$server.$server" \
        "NOT WRITTEN.* $([ $server = 0 ] && echo full-0.0 || echo '1 of rank 1') "
done

# --- devices, FIFOs, sockets, folders
mkdir x
mkfifo x/fifo
if mknod x/null c 1 3 2>/dev/null; then devices='x/null x/fifo'; else devices=x/fifo; fi
for file in $devices; do
    for option in save kernel-cache; do
        run "${net[@]}" --updates 1 --$option "$file" --results x/run
        check "--$option $file is refused" ends 2 "--$option $file: that is a device or a pipe"
        check "--$option $file: it stays" [ ! -f "$file" ]
    done
done
run bash "$home/test.s" --machine x/fifo
check 'test.s --machine x/fifo is refused' ends 2 'a folder, a device or a pipe; name a file'
check 'and nothing else is there' is "$(find x -type f -o -name run)" ''

# --- standard descriptors
only_rows() { # FOLDER
    is "$(rows "$1/eval.csv" | grep -cvE '^[0-9.,-]+$')" 0 && json_lines "$1/events.jsonl"
}
closed() { # NAME COMMAND WORD ...: the last one redirects
    local name=$1
    shift
    check "$name: it ends well" bash -c "$*"
    check "$name: rows are rows" only_rows "out-$name"
    check "$name: all of them" [ -s "out-$name/summary.json" ]
}
words="${toy[*]} --eval-every 64 --report-every 0.001"
closed output "$words --results out-output >&-"
closed all "$words --results out-all <&- >&- 2>&-"
closed full "$words --results out-full >/dev/full"
closed reader "set -o pipefail; $words --updates 200 --results out-reader | head -n 1 >/dev/null"
words="RANKS=3 NBSGD=$nbsgd bash $home/run.s --network quadratic --optimizer sgd --updates 200"
words+=" --samples 1000000000 --eval-every 640"
closed run.s-reader "set -o pipefail; $words --results out-run.s-reader 2>&1 | head -n 1 >/dev/null"
closed run.s-output "$words --results out-run.s-output >&-"

# --- limits
(ulimit -f 8; "${toy[@]}" --updates 500 --results limited) >log 2>&1
code=$? out=$(<log)
check 'files that may not grow: it trains to its end' ends 7 '500 updates' 'File too large' \
    'NOT WRITTEN, or not in full: events.jsonl '
check 'and the file ends with a whole row' json_lines limited/events.jsonl
check 'which the summary names' json_is limited/summary.json '$j->{unwritten}' events.jsonl

# --- disks that fail only when a file is synced, and such as have no locks
before_libc() { # NAME C: a library that answers in the place of libc's function
    printf '#include <errno.h>\n%s\n' "$2" >"$1.c" && cc -shared -fPIC -o "$1.so" "$1.c"
}
if [ "$sanitized" = 0 ] && command -v cc >/dev/null; then
    before_libc eio 'int fsync(int f) { errno = EIO; return f < 0 ? f : -1; }'
    cp w before
    run env LD_PRELOAD="$folder/eio.so" "${net[@]}" --updates 2 --save w --overwrite --results eio
    check 'files that cannot be synced are named' ends 7 'cannot write .*Input/output error' \
        'NOT WRITTEN.* eval.csv, .*summary.json'
    check 'and weights that were there stay' cmp w before
    check 'with nothing beside them' is "$(find . -name '*.part')" ''
    before_libc nolock 'int flock(int f, int how) { errno = ENOLCK; return f < 0 ? how : -1; }'
    run env LD_PRELOAD="$folder/nolock.so" "${toy[@]}" --results nolock
    check 'a disk without locks: it is said, and no hindrance' ends 0 'no lock can be had in nolock'
    run env LD_PRELOAD="$folder/nolock.so" "${toy[@]}" --scheme asgd --record nolock/order \
        --results nolock --overwrite
    check 'nor for what an earlier run left' ends 0
else
    passes_over 'no compiler, or a sanitizer: no library can be put before its functions'
fi

finish
