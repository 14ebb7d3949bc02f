#!/usr/bin/env bash
# One run over MPI, supervised, for `nbsgd study`:
#
#   launch/cell.sh PROGRAM RANKS WORD ...
#
# Its exit code is that of the first rank that ended badly. RETRIES, LAUNCH, MPIRUN: see launch.sh
# and supervise.sh beside it.
set -euo pipefail
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
# shellcheck source=launch/launch.sh
. "$home/launch/launch.sh"
# shellcheck source=launch/supervise.sh
. "$home/launch/supervise.sh"
program=$1 ranks=$2
shift 2
if [ "$ranks" = 1 ]; then exec "$program" "$@"; fi
if [ -n "${SLURM_JOB_ID:-}" ]; then export SLURM_NTASKS=$ranks; fi # not the job's
launch_words "$program" "$ranks"
run_supervised "$program" "$@"
exit "$code"
