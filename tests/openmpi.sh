#!/usr/bin/env bash
# Under Open MPI: three schemes by run.s, which finds the launcher's words itself; a launcher of
# another MPI is named. Called by `make test-openmpi`, which builds the program with mpicc.openmpi.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
# shellcheck source=launch/launch.sh
. "$home/launch/launch.sh"
[ "$(mpi_of "$nbsgd")" = openmpi ] || skip "$nbsgd is not built with Open MPI (make test-openmpi)"
export NBSGD=$nbsgd OMP_WAIT_POLICY=passive
unset MPIRUN LAUNCH

toy=(--network quadratic --optimizer sgd --batch 64 --minibatches 2 --samples 20000
    --eval-every 5000)
for scheme in ssgd nbssgd asgd; do
    run bash "$home/run.s" "${toy[@]}" --scheme $scheme --lr 0.05 --results $scheme
    check "$scheme by run.s: five ranks" ends 0 '4 workers and 1 server'
    check "$scheme learns" json_holds $scheme/summary.json '$j->{best_top1} > 90'
    check "$scheme: every rank gave its counters" [ "$(rows $scheme/ranks.csv | wc -l)" = 5 ]
done

# Ranks of pretended hosts talk MPI; the bits are the simulator's, which knows no MPI.
exact=("${toy[@]}" --scheme ssgd --lr 0.05 --threads 1)
run env NBSGD_HOSTS=2 bash "$home/run.s" "${exact[@]}" --results hosts
check 'ssgd on two pretended hosts' ends 0
run "$nbsgd" --world sim --workers 4 "${exact[@]}" --results sim
check 'ssgd on sim' ends 0
check 'the rows of the simulator' same_rows sim/eval.csv hosts/eval.csv 2-8
check 'and of one host' same_rows sim/eval.csv ssgd/eval.csv 2-8

run env MPIRUN='mpirun.openmpi --report-bindings' bash "$home/run.s" "${exact[@]}" --results words
check 'MPIRUN of several words' ends 0 'mpirun.openmpi --report-bindings --oversubscribe .*-n 5'

# Its launcher ends all when one is killed, and a second after it was asked to stop.
limit=60
begin() { # NAME OPTION ...: in the background, until it is struck
    mkdir "$1"
    TMPDIR=$PWD/$1 RANKS=3 RETRIES=0 timeout "$limit" bash "$home/run.s" --scheme ssgd --threads 1 \
        --delay constant:0.01 --samples 100000000 --results "$1/run" "${@:2}" >"$1/out" 2>&1 &
    again=$1 job=$!
    for _ in {1..300}; do
        [ "$(rows "$1/run/eval.csv" 2>/dev/null | wc -l)" -ge 3 ] && return; sleep 0.1; done
}
end() { wait "$job"; code=$? out=$(cat "$again/out"); }
begin killed --network quadratic --batch 8 --minibatches 2 --eval-every 800
kill -KILL "$(sed -nE 's/.* pid ([0-9]+) started$/\1/p' killed/nbsgd-witness.*/rank-2)"
end
check 'a killed rank is named' ends 5 'launch: rank 2 on .* was killed by SIGKILL'
check 'and is in the events' grep -q '"event": "killed".*"rank": 2' killed/run/events.jsonl
begin asked --network lenet5 --dataset synthetic --train-samples 200 --eval-samples 16 \
    --eval-batches 1 --batch 8 --minibatches 2 --eval-every 80 --save asked/weights
kill -INT "$job"
end
check 'asked to stop: exit code 6' ends 6 'asked to stop by SIGUSR2'
check 'asked to stop: the weights are saved' [ -s asked/weights ]
check 'asked to stop: every rank gave its counters' [ "$(rows asked/run/ranks.csv | wc -l)" = 3 ]

# The other MPI's launcher, in both directions.
mixed='started by another MPI.s launcher: 3 processes of 1 rank'
if command -v mpirun.mpich >/dev/null; then
    run env MPIRUN=mpirun.mpich RANKS=3 bash "$home/run.s" "${exact[@]}" --results mixed
    check "MPICH's launcher is named" ends 2 "$mixed.*Open MPI"
    check 'by one rank' [ "$(grep -c 'another MPI' <<<"$out")" = 1 ]
    check 'and nothing is written' [ ! -e mixed ]
else
    passes_over 'no mpirun.mpich here'
fi
other=$home/build/release/nbsgd
if [ -x "$other" ] && [ "$(mpi_of "$other")" = hydra ]; then
    run env NBSGD="$other" MPIRUN=mpirun.openmpi RANKS=3 \
        bash "$home/run.s" "${exact[@]}" --results mixed
    check "Open MPI's launcher is named by a program of MPICH" ends 2 "$mixed.*MPICH"
    run env NBSGD="$other" bash "$home/run.s" "${exact[@]}" --results mpich
    check "a program of MPICH gets its own launcher" ends 0
else
    passes_over "no program of MPICH here ($other)"
fi
finish
