# How ranks are started here. run.s, test.s and the tests read this file; $home is the project's
# folder.
#
#   launch_words PROGRAM RANKS   sets the array `launch` to the words before PROGRAM
#   mpirun_words PROGRAM         the same without Slurm, and without the number of ranks
#   launcher_kind WORD           hydra (MPICH), openmpi or other
#   mpi_of PROGRAM               the MPI library that PROGRAM was built with, in the same words
#   cores                        how many this process may use
#   build TARGET ...             make, once for all jobs that start together
#
# $LAUNCH, where it is given, is taken as it is (LAUNCH="srun --mpi=pmix"). Under Slurm srun starts
# the ranks, if it speaks what the library speaks: PMI-2 for MPICH, PMIx for Open MPI. Else $MPIRUN
# does, one word or several ("mpirun --oversubscribe"); without it the launcher of the library that
# PROGRAM was built with.
# shellcheck shell=bash disable=SC2034
: "${home:?}"
export LC_ALL=C # awk and printf write and read numbers with a point, whatever the user's language

launcher_kind() {
    local said
    said=$("$1" --version 2>&1) || true
    case $said in
    *'Open MPI'* | *OpenRTE* | *'Open RTE'* | *PRRTE*) echo openmpi ;;
    *HYDRA* | *Hydra*) echo hydra ;;
    *) echo other ;;
    esac
}

mpi_of() {
    case $(ldd "$1" 2>/dev/null || true) in
    *libopen-pal.so* | *libopen-rte.so*) echo openmpi ;;
    *libmpich.so* | *libmpi.so.12*) echo hydra ;;
    *) echo other ;;
    esac
}

# Sets the array `launch` to the words of mpirun, all but -n RANKS. Fails where it is not installed.
mpirun_words() { # PROGRAM
    local kind library other
    forget_absent_slurm
    read -ra launch <<<"${MPIRUN:-mpirun}"
    kind=$(launcher_kind "${launch[0]}")
    library=$(mpi_of "$1")
    if [ -z "${MPIRUN:-}" ] && [ "$library" != other ] && [ "$library" != "$kind" ]; then
        other=mpirun.${library/hydra/mpich} # Debian's names where both are installed
        if command -v "$other" >/dev/null; then
            launch=("$other") kind=$library
        fi
    fi
    command -v "${launch[0]}" >/dev/null || return 1
    if [ "$kind" = openmpi ]; then
        # More ranks than cores are welcome, and nbsgd pins its ranks itself.
        launch+=(--oversubscribe --bind-to none)
        if [ "$(id -u)" = 0 ]; then launch+=(--allow-run-as-root); fi
    fi
}

# SLURM_JOB_ID alone proves little: it may come from another machine, or have been set by hand.
slurm_answers() {
    command -v srun >/dev/null && timeout 20 scontrol ping >/dev/null 2>&1 &&
        [ -n "$(timeout 20 squeue --noheader --jobs="$SLURM_JOB_ID" --format=%T 2>/dev/null)" ]
}

# Every launcher would go by its variables, and wait for ever.
forget_absent_slurm() {
    if [ -z "${SLURM_JOB_ID:-}" ] || slurm_answers; then return; fi
    echo "launch: SLURM_JOB_ID is set, but no Slurm answers for it; its variables are not used" >&2
    unset "${!SLURM_@}"
}

# Sets `pmi` to the protocol by which srun and this MPI understand each other; empty: none.
find_pmi() { # PROGRAM
    local known speaks='pmi2 pmix' name
    known=$(srun --mpi=list 2>&1) || true
    case $(mpi_of "$1") in
    openmpi) speaks=pmix ;;
    hydra) case $(ldd "$1" 2>/dev/null || true) in *libpmix.so*) ;; *) speaks=pmi2 ;; esac ;;
    esac
    pmi=''
    for name in $speaks; do
        if [[ $known =~ (^|[^[:alnum:]_])$name($|[^[:alnum:]]) ]]; then
            pmi=$name
            return
        fi
    done
}

launch_words() { # PROGRAM RANKS
    local pmi ranks=$2
    if [ -n "${LAUNCH:-}" ]; then
        read -ra launch <<<"$LAUNCH"
        return
    fi
    forget_absent_slurm
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        ranks=${SLURM_NTASKS:-$ranks}
        find_pmi "$1"
        if [ -n "$pmi" ]; then
            launch=(srun "--mpi=$pmi" --kill-on-bad-exit=1)
            if [ -n "${SLURM_NTASKS:-}" ]; then launch+=(-n "$SLURM_NTASKS"); fi
            if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then
                launch+=("--cpus-per-task=$SLURM_CPUS_PER_TASK")
            fi
            return
        fi
    fi
    if ! mpirun_words "$1"; then
        echo "launch: no ${launch[0]} here; \`./install.sh run\` installs MPICH's," \
            "MPIRUN=... names another" >&2
        exit 2
    fi
    launch+=(-n "$ranks")
}

# nproc obeys variables that are for the program's threads.
cores() { env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc; }

build() {
    mkdir -p "$home/build"
    flock "$home/build/lock" make -s -C "$home" -j"$(cores)" "$@" >&2
}
