#!/usr/bin/env bash
# run.s from another folder: whose paths are whose, which settings win, what it asks for, and
# variables of a Slurm that is not there.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
export NBSGD=$nbsgd
unset MPIRUN LAUNCH RANKS
if [ "$mpirun" != mpirun ]; then export MPIRUN=$mpirun; fi

cat >mine.ini <<'END'
scheme = ssgd
network = quadratic
batch = 8
minibatches = 2
updates = 3
END
run bash "$home/run.s" --network quadratic --optimizer sgd --updates 2 --results out/a
check 'from another folder' ends 0 'nbssgd: quadratic on mpi, 4 workers'
check 'relative paths are those of the caller' [ -s out/a/summary.json ]
run env RANKS=3 bash "$home/run.s" mine.ini --results b
check 'a file, and fewer ranks' ends 0 'ssgd: quadratic on mpi, 2 workers'
check 'its settings take the place of those of run.s' grep -q '^batch = 8$' b/config.ini
check 'and of none else' eval '! grep -q "^optimizer = adam$" b/config.ini'
for words in '--config mine.ini' '--config=mine.ini'; do
    # shellcheck disable=SC2086
    run bash "$home/run.s" --seed 7 $words --results c
    check "$words" ends 0 'ssgd: quadratic'
    check "$words wins" grep -q '^batch = 8$' c/config.ini
    check "$words: the command line wins over the file" grep -q '^seed = 7$' c/config.ini
    rm -rf c
done
run bash "$home/run.s" --config none.ini
check 'a file that is not there' ends 2 'run.s: none.ini cannot be read'

run bash "$home/run.s" --help
check '--help is the program alone' ends 0 '^Usage'
check 'nothing is started or fetched for it' eval '! grep -q "^run.s:\|fetch:" <<<"$out"'
run env MPIRUN=no-such-launcher bash "$home/run.s" mine.ini
check 'a launcher that is not there' ends 2 'launch: no no-such-launcher here'

# Variables of a job, but no Slurm that answers: mpirun must not try to reach its nodes.
limit=60 run env SLURM_JOB_ID=41 SLURM_NNODES=1 SLURM_NTASKS=2 SLURM_JOB_NODELIST=nowhere \
    SLURM_NODELIST=nowhere SLURM_CONF=/nonexistent bash "$home/run.s" mine.ini
check 'Slurm variables without Slurm' ends 0 'no Slurm answers' 'ssgd: quadratic'
check "a job's folder" [ -s results/run-41/summary.json ]
run env LAUNCH="$mpirun -n 2" bash "$home/run.s" mine.ini --results d
check 'LAUNCH is taken as it is' ends 0 'ssgd: quadratic on mpi, 1 worker '

# The core count is not OMP_NUM_THREADS.
if [ -x "${nbsgd%/*}/cluster" ]; then
    cores=$("${nbsgd%/*}/cluster" --cores)
    check 'cores do not obey OMP_NUM_THREADS' \
        [ "$(OMP_NUM_THREADS=999 "${nbsgd%/*}/cluster" --cores)" = "$cores" ]
    check 'cores are those of the affinity' \
        [ "$(taskset -c "$(taskset -cp $$ | sed -E 's/.*: ([0-9]+).*/\1/')" \
            "${nbsgd%/*}/cluster" --cores)" = 1 ]
fi
finish
