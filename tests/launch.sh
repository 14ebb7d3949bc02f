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
mkdir -p pictures/cifar-10-batches-bin
touch pictures/cifar-10-batches-bin/{data_batch_{1..5},test_batch}.bin
run env DATA=pictures bash "$home/run.s" --network lenet5
check 'that of $DATA, too' ends 2 'pictures/cifar-10-batches-bin/data_batch_1.bin: 30,730,000 bytes'
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
# shellcheck disable=SC2016
run bash -c 'cat mine.ini | bash "$0" --network quadratic --config /dev/stdin --results c' \
    "$home/run.s"
check 'a file that is a pipe' ends 0 'ssgd: quadratic'
check 'is read by the program' grep -q '^batch = 8$' c/config.ini
run env NBSGD_DATADIR="$home" bash "$home/run.s" --config experiments/slow.ini \
    --network quadratic --check-options
check 'a file of the project by --config, from another folder' ends 0
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
run env SLURM_JOB_ID=41 HYDRA_LAUNCHER=fork LAUNCH="$mpirun -n 2" bash "$home/run.s" mine.ini
check 'another run of the same allocation has a folder of its own' ends 0 '^results: results/run-20'
limit=60 run env SLURM_JOB_ID=1 SLURM_NNODES=1 SLURM_NODELIST="$(hostname)" SLURM_JOB_NUM_NODES=1 \
    SLURM_JOB_NODELIST="$(hostname)" bash "$home/run.s" mine.ini --results alone
check 'those of one node, without srun' ends 0 'no Slurm answers' 'ssgd: quadratic'
run env LAUNCH="$mpirun -n 2" bash "$home/run.s" mine.ini --results d
check 'LAUNCH is taken as it is' ends 0 'ssgd: quadratic on mpi, 1 worker '
run "$mpirun" -n 2 "$nbsgd" --config mine.ini --results plain
run env RANKS=2 TMPDIR=/nonexistent bash "$home/run.s" plain/config.ini --results e
check 'a config.ini, and a TMPDIR that is not here' ends 0 'ssgd: quadratic on mpi, 1 worker '
check 'it is not spoken of' eval '! grep -q nonexistent <<<"$out"'
check 'by run.s such a run has checkpoints, too' [ -e e/checkpoints ]

# Standard input: none at all; a socket, as ssh and services have it.
export RANKS=2
run bash -c 'exec bash "$@" <&-' - "$home/run.s" mine.ini --results closed
check 'standard input is closed' ends 0 'ssgd: quadratic'
run perl -MSocket -e 'socketpair(my $a, my $b, AF_UNIX, SOCK_STREAM, 0) or die;
    open(STDIN, "<&", $a) or die; exec @ARGV' bash "$home/run.s" mine.ini --results socket
check 'standard input is a socket' ends 0 'ssgd: quadratic'
unset RANKS

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
