# How ranks are started here; run.s and test.s read this. Sets the array `launch` to what stands before the program:
# $LAUNCH where that is given (LAUNCH="srun --mpi=pmix"), under Slurm srun with MPICH's PMI-2 where it has that, else mpirun.
# RANKS: how many, without Slurm (5).
# shellcheck shell=bash disable=SC2034

if [ -n "${LAUNCH:-}" ]; then
    read -ra launch <<<"$LAUNCH"
elif [ -z "${SLURM_JOB_ID:-}" ]; then
    launch=("${MPIRUN:-mpirun}" -n "${RANKS:-5}")
elif srun --mpi=list 2>&1 | grep -qw pmi2; then
    launch=(srun --mpi=pmi2 --kill-on-bad-exit=1)
    if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then launch+=("--cpus-per-task=$SLURM_CPUS_PER_TASK"); fi
else
    launch=("${MPIRUN:-mpirun}" -n "${SLURM_NTASKS:-5}")
fi

# Builds what is asked for; jobs of one array that start together build it once.
build() {
    mkdir -p build
    flock build/lock make -s -j"$(nproc)" "$@" >&2
}
