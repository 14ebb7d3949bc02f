# How ranks are started here. run.s, test.s and the tests read this file; $home is the project's folder.
#
#   launch_words PROGRAM RANKS   sets the array `launch` to what stands before PROGRAM
#   launcher_kind WORD           hydra (MPICH), openmpi or other
#   mpi_of PROGRAM               the MPI library that PROGRAM was built with, in the same words
#   build TARGET ...             make, once for all jobs that start together
#
# $LAUNCH, where it is given, is taken as it is (LAUNCH="srun --mpi=pmix"). Under Slurm srun starts the ranks,
# if it speaks what the library speaks: PMI-2 for MPICH, PMIx for Open MPI. Else $MPIRUN does, one word or
# several ("mpirun --oversubscribe"); without it the launcher of the library that PROGRAM was built with.
# shellcheck shell=bash disable=SC2034
: "${home:?}"

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

# Sets `mpirun` to the words of the launcher, `kind` to its kind.
find_mpirun() { # PROGRAM
    local library
    read -ra mpirun <<<"${MPIRUN:-mpirun}"
    kind=$(launcher_kind "${mpirun[0]}")
    library=$(mpi_of "$1")
    if [ -n "${MPIRUN:-}" ] || [ "$library" = other ] || [ "$library" = "$kind" ]; then return; fi
    local name=mpirun.${library/hydra/mpich} # Debian's names where both are installed
    if command -v "$name" >/dev/null; then
        mpirun=("$name") kind=$library
    fi
}

# SLURM_JOB_ID alone proves little: it may come from another machine, or have been set by hand.
slurm_answers() {
    command -v srun >/dev/null && timeout 20 scontrol ping >/dev/null 2>&1
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
    local mpirun kind pmi ranks=$2
    if [ -n "${LAUNCH:-}" ]; then
        read -ra launch <<<"$LAUNCH"
        return
    fi
    if [ -n "${SLURM_JOB_ID:-}" ] && ! slurm_answers; then
        echo "launch: SLURM_JOB_ID is set, but no Slurm answers here; its variables are not used" >&2
        unset "${!SLURM_@}" # every launcher would go by them, and wait for ever
    fi
    if [ -n "${SLURM_JOB_ID:-}" ]; then
        ranks=${SLURM_NTASKS:-$ranks}
        find_pmi "$1"
        if [ -n "$pmi" ]; then
            launch=(srun "--mpi=$pmi" --kill-on-bad-exit=1)
            if [ -n "${SLURM_CPUS_PER_TASK:-}" ]; then launch+=("--cpus-per-task=$SLURM_CPUS_PER_TASK"); fi
            return
        fi
    fi
    find_mpirun "$1"
    if ! command -v "${mpirun[0]}" >/dev/null; then
        echo "launch: no ${mpirun[0]} here; \`./install.sh run\` installs MPICH's, MPIRUN=... names another" >&2
        exit 2
    fi
    launch=("${mpirun[@]}" -n "$ranks")
    if [ "$kind" = openmpi ]; then
        # More ranks than cores are welcome, and nbsgd pins its ranks itself.
        launch+=(--oversubscribe --bind-to none)
        if [ "$(id -u)" = 0 ]; then launch+=(--allow-run-as-root); fi
    fi
}

build() {
    mkdir -p "$home/build"
    # Without the variable, which nproc would obey: it is for the program's threads.
    flock "$home/build/lock" make -s -C "$home" -j"$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc)" "$@" >&2
}
