#!/usr/bin/env bash
# No name of a folder or file is a command to plots/*.gp; and what plots/head.gp says of a figure's
# runs.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
command -v gnuplot >/dev/null || skip 'no gnuplot, no figure'

is() { # FOUND WANTED
    [ "$1" = "$2" ] || { printf 'found: %s\nwanted: %s\n' "$1" "$2"; return 1; }
}
is_image() { [ "$code" = 0 ] && is "$(head -c 4 "$1" | tail -c 3)" PNG; }
nothing_was_touched() { is "$(find . -name 'TOUCHED*')" ''; }

toy=("$nbsgd" --world sim --network quadratic --updates 3)
net=("$nbsgd" --world sim --network resnet20 --backend ref --batch 8 --minibatches 2 --updates 1
    --dataset synthetic --train-samples 64 --eval-samples 8 --eval-batches 1)
run "${toy[@]}" --trace --results toy
check 'a run' ends 0
run "${net[@]}" --results net
check 'a run with a partition' ends 0

# Of many classes a map is drawn, whose rows are several classes where they are very many.
for classes in 27 1000; do
    mkdir "classes$classes"
    grep '^#' net/partition.csv >"classes$classes/partition.csv"
    cp net/eval.csv "classes$classes"
    awk -v n=$classes 'BEGIN {
        printf "worker,rank,samples"
        for (c = 0; c < n; c++) printf ",class_%d", c
        for (w = 0; w < 3; w++) {
            printf "\n%d,%d,%d", w, w + 1, n * w
            for (c = 0; c < n; c++) printf ",%d", w
        }
        print ""
    }' >>"classes$classes/partition.csv"
    run gnuplot -c "$home/plots/partition.gp" map.png "classes$classes"
    check "a partition of $classes classes" is_image map.png
    check 'without a word' is "$out" ''
done

# A folder with what the five scripts read, by a name that a shell, or gnuplot, could take for more.
for name in "x'; touch TOUCHED1; '" '<touch TOUCHED2;' '|touch TOUCHED3' '`touch TOUCHED4`' \
    '$(touch TOUCHED5)"' 'lr=0.1 50%{^a}'; do
    mkdir "$name" "$name/x-1"
    cp toy/eval.csv toy/trace.csv net/partition.csv "$name"
    cp toy/eval.csv "$name/x-1"
    grep -v '^#' toy/eval.csv | tee "$name/x.seconds.csv" >"$name/x.samples.csv"
    printf '%s\n' '# host: here' '# options: --network resnet20 --batch 8' \
        scheme,stragglers,case,measured_s,predicted_s,error_percent ssgd,none,one,1,1.1,10 \
        asgd,none,one,2,1.9,-5 asgd,none,two,2,2.2,10 >"$name/validate.csv"
    run gnuplot -c "$home/plots/run.gp" "$name.run.png" "ssgd=$name"
    check "run.gp in $name" is_image "$name.run.png"
    run gnuplot -c "$home/plots/run.gp" "$name.alone.png" "./$name" "ssgd=$name"
    check "run.gp in $name, without a name" is_image "$name.alone.png"
    run gnuplot -c "$home/plots/partition.gp" "$name.partition.png" "$name"
    check "partition.gp in $name" is_image "$name.partition.png"
    run gnuplot -c "$home/plots/gantt.gp" "$name.gantt.png" "$name"
    check "gantt.gp in $name" is_image "$name.gantt.png"
    run gnuplot -c "$home/plots/compare.gp" "$name.compare.png" "$name" x 1
    check "compare.gp in $name" is_image "$name.compare.png"
    run gnuplot -c "$home/plots/validate.gp" "$name.validate.png" "$name"
    check "validate.gp in $name" is_image "$name.validate.png"
done
check 'no name was a command' nothing_was_touched
run env NBSGD_DATADIR="$home" "${toy[@]}" --results "y'; touch TOUCHED6; '"
check 'nor one of --results' ends 0 "^figure: y'; touch TOUCHED6; '/figure.png"
check 'which was no command' nothing_was_touched
check 'no script of gnuplot starts a shell' is \
    "$(grep -nE '\<system\>|`|"[<|]|^ *(!|shell)' "$home"/plots/*.gp)" ''

# --- plots/head.gp
# shellcheck disable=SC2016 # of gnuplot
footer() { # FILE ...: what a figure of them says
    local list
    list=$(printf "'%s'," "$@")
    gnuplot -e "array heads[$#] = [${list%,}]; load '$home/plots/head.gp'; print footer" 2>&1
}
printf '# %s\n' 'host: cell' 'cores: 8' 'cpu: a CPU' 'ranks: 5' 'network: lenet5' 'world: mpi' \
    'workers: 4' 'servers: 1' 'seed: 2' >other.csv
echo seconds,top1 >>other.csv
check 'a footer of one run' is "$(footer net/eval.csv)" \
    'resnet20; simulated network (2e-05 s, 1.25e+09 B/s); 4 workers; seed 1'
check 'a footer of two' is "$(footer net/eval.csv other.csv net/eval.csv)" \
    "resnet20, lenet5; simulated network (2e-05 s, 1.25e+09 B/s), mpi on cell, 8 cores, a CPU; \
4 workers; seeds 1, 2"
sed -i 's/^# ranks: .*/# ranks: 9/' other.csv
check 'a footer of eight workers: 9 is no octal number' is "$(footer other.csv)" \
    'lenet5; mpi on cell, 8 cores, a CPU; 8 workers; seed 2'
sed -i 's/^# ranks: .*/# ranks: 2/; /^# cpu/d' other.csv
check 'a footer of one worker' is "$(footer other.csv)" \
    'lenet5; mpi on cell, 8 cores; 1 worker; seed 2'
grep -v '^#' net/eval.csv >bare.csv
check 'a file without a head' is "$(footer bare.csv)" ''

finish
