#!/usr/bin/env bash
# run.s and test.s on a real Slurm: one node, this machine, set up in a temporary folder and taken
# down again.
#
# munged, slurmctld and slurmd run as root from a configuration of their own, without systemd,
# cgroups or accounting, on free ports, so that a Slurm that is here already is not touched. The
# node claims 8 cores: five ranks fit on two. Exit code 77: not root, or no packages. Called by
# `make test-slurm`. LIMITS=1: also with a job that a real time limit ends, again and again.
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
# Nothing of a job that this may run in, nothing of the make that started it.
unset "${!SLURM_@}" "${!SBATCH_@}" "${!PMI_@}" MAKEFLAGS MAKELEVEL DATA LAUNCH

skip() { echo "SKIPPED: $1"; exit 77; }
[ "$(id -u)" = 0 ] || skip 'the daemons of Slurm want to be started by root'
./install.sh slurm || skip 'slurm-wlm and munge are not to be had'
PATH=$PATH:/usr/sbin

dir=$(mktemp -d) daemons=()
take_down() {
    scancel --quiet --user=root 2>/dev/null
    for ((i = ${#daemons[@]} - 1; i >= 0; i--)); do kill "${daemons[i]}" 2>/dev/null; done
    for pid in "${daemons[@]}"; do
        for _ in {1..50}; do kill -0 "$pid" 2>/dev/null || break; sleep 0.1; done
        kill -9 "$pid" 2>/dev/null
    done
    wait 2>/dev/null
    rm -rf "$dir"
}
trap take_down EXIT
trap 'exit 1' INT TERM

free_port() { # the first port from $1 on that nobody listens on
    local port=$1
    while (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; do port=$((port + 1)); done
    echo "$port"
}

host=$(hostname -s)
export SLURM_CONF=$dir/slurm.conf
mkdir "$dir/state" "$dir/spool" "$dir/munge"
chmod 755 "$dir" "$dir/munge"
head -c 1024 /dev/urandom >"$dir/munge/key"
chmod 400 "$dir/munge/key"
cat >"$SLURM_CONF" <<CONF
ClusterName=trial
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$(free_port 16817)
SlurmdPort=$(free_port 17818)
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket=$dir/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$dir/state
SlurmdSpoolDir=$dir/spool
SlurmctldPidFile=$dir/slurmctld.pid
SlurmdPidFile=$dir/slurmd.pid
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=batch_sched_delay=0,sched_interval=1,bf_interval=1
SlurmdParameters=config_overrides
ReturnToService=2
MailProg=/bin/true
NodeName=$host NodeAddr=127.0.0.1 CPUs=8 State=UNKNOWN
PartitionName=trial Nodes=$host Default=YES MaxTime=INFINITE State=UP
CONF

# No plugin here uses cgroups, but slurmd loads the code for them, and the one for v2 refuses a
# container without /sys/fs/cgroup.
echo CgroupPlugin=cgroup/v1 >"$dir/cgroup.conf"

start() { # NAME COMMAND ...: a daemon in the foreground of a background job
    local name=$1
    shift
    "$@" >"$dir/$name.log" 2>&1 &
    daemons+=($!)
}
start munged munged --foreground --force --key-file="$dir/munge/key" --socket="$dir/munge/socket" \
    --pid-file="$dir/munge/pid" --log-file="$dir/munge/log" --seed-file="$dir/munge/seed"
for _ in {1..100}; do [ -S "$dir/munge/socket" ] && break; sleep 0.1; done
start slurmctld slurmctld -D
start slurmd slurmd -D

passed=0 failed=0
holds() { # WHAT COMMAND ...: counts whether the command succeeds
    local what=$1
    shift
    if "$@"; then
        passed=$((passed + 1))
        echo "ok: $what"
    else
        failed=$((failed + 1))
        echo "FAILED: $what"
    fi
}

node_is_up() {
    for _ in {1..120}; do
        [ "$(sinfo -h -o %T 2>/dev/null)" = idle ] && return 0
        for pid in "${daemons[@]}"; do kill -0 "$pid" 2>/dev/null || break 2; done
        sleep 0.5
    done
    tail -n 20 "$dir"/*.log
    return 1
}

state_of() {
    scontrol show job -o "$1" 2>/dev/null | grep -o ' JobState=[A-Z_]*' | sort -u | paste -sd' '
}

# Submits with sbatch, waits at most $1 seconds, and wants all of the job COMPLETED; then $job, and
# the output in $dir/$job*.out.
completes() {
    local limit=$1 state=''
    shift
    job=$(sbatch --parsable --output="$dir/%A-%a.out" "$@") || return 1
    for ((s = 0; s < limit; s++)); do
        state=$(state_of "$job")
        case $state in
        *PENDING* | *RUNNING* | *CONFIGURING* | *COMPLETING* | '') sleep 1 ;;
        *) break ;;
        esac
    done
    [ "$state" = ' JobState=COMPLETED' ] && return 0
    echo "sbatch $*: $state after $s s"
    tail -n 40 "$dir/$job"*.out
    tail -n 5 "$dir"/*.log
    scancel "$job"
    return 1
}

# The ranks are asked to stop, by somebody: they save, and leave with 6.
leaves_in_time() {
    job=$(sbatch --parsable --output="$dir/%j-.out" run.s "${tiny[@]}" --samples 50000000 \
        --save "$dir/weights.safetensors") || return 1
    for _ in {1..120}; do grep -qs 'evaluated at' "$dir/$job"*.out && break; sleep 0.5; done
    sleep 1
    scancel --signal=TERM "$job"
    for _ in {1..60}; do
        case $(state_of "$job") in *RUNNING* | *COMPLETING*) sleep 0.5 ;; *) break ;; esac
    done
    rm -rf "results/run-$job"
    scontrol show job -o "$job" | grep -q ' ExitCode=6:0 ' &&
        [ -s "$dir/weights.safetensors" ] && return 0
    scontrol show job -o "$job" | grep -oE '(JobState|ExitCode)=[^ ]*'
    ls -l "$dir"/*.safetensors
    tail -n 40 "$dir/$job"*.out
    return 1
}

restarts() { scontrol show job -o "$1" | grep -oE ' Restarts=[0-9]+' | tr -dc 0-9; }
job_is() { [[ $(state_of "$1") == *"$2"* ]]; }
until_there() { # COMMAND ...
    for _ in {1..240}; do "$@" >/dev/null 2>&1 && return; sleep 0.25; done
    echo "not within a minute: $*"
    scontrol show job "$job"
    tail -n 40 "$dir/$job"*.out
    return 1
}
more_than() { [ "$(grep -c "$2" "$3")" -gt "$1" ]; } # COUNT WORD FILE

# A job that its time limit ends twice, and that is queued again each time. The signal is the one
# that Slurm sends ahead of the limit (#SBATCH --signal=B:USR1@120), at once: Slurm looks at limits
# twice a minute.
is_requeued_twice() {
    local restart seen=0
    job=$(sbatch --parsable --output="$dir/%j-.out" run.s --requeue "${exact[@]}" \
        --delay constant:0.02 --save "$dir/twice.safetensors") || return 1
    for restart in 1 2; do
        until_there more_than "$((seen + 20))" '"update"' "results/run-$job/events.jsonl" || return
        scancel --batch --signal=USR1 "$job"
        until_there eval "[ \$(restarts $job) = $restart ]" || return
        seen=$(grep -c '"update"' "results/run-$job/events.jsonl")
    done
    until_there job_is "$job" COMPLETED
}
# The same by real limits: nobody but Slurm sends a signal. Of three minutes each start has at most
# one until run.s's own signal comes; training takes 160 s.
ends_by_limits() {
    local s
    job=$(sbatch --parsable --time=3 --output="$dir/%j-.out" run.s --requeue "${exact[@]}" \
        --delay constant:0.4 --save "$dir/limits.safetensors") || return 1
    for ((s = 0; s < 600; s++)); do
        case $(state_of "$job") in
        *PENDING* | *RUNNING* | *CONFIGURING* | *COMPLETING* | *REQUEUED* | '') sleep 1 ;;
        *) break ;;
        esac
    done
    echo "after $s s:$(state_of "$job")"
    grep -hE 'asked to stop|is over|^goes on|DUE TO' "$dir/$job"*.out
    job_is "$job" COMPLETED
}
# As after a preemption or a lost host: nobody asks the job to stop.
is_requeued_by_slurm() {
    job=$(sbatch --parsable --output="$dir/%j-.out" run.s "${exact[@]}" --delay constant:0.02 \
        --checkpoint-every 640 --save "$dir/forced.safetensors") || return 1
    until_there more_than 50 '"update"' "results/run-$job/events.jsonl" || return
    scontrol requeue "$job" || return
    until_there eval "[ \$(restarts $job) = 1 ]" || return
    until_there job_is "$job" COMPLETED
}
tensors() { # FILE of safetensors: without its head, which says which run it is
    tail -c "+$((9 + $(od -An -t u8 -N 8 "$1")))" "$1"
}

says() { # WORDS: does the last job's output say that?
    cat "$dir/$job"*.out | grep -qE -- "$1" && return 0
    cat "$dir/$job"*.out
    return 1
}

holds 'Slurm is up: one idle node' node_is_up
if [ $failed = 0 ]; then
    exact=(--scheme ssgd --network lenet5 --dataset synthetic --backend ref --threads 1 --batch 8
        --minibatches 2 --train-samples 200 --eval-samples 16 --eval-batches 1 --optimizer sgd
        --lr 0.01 --eval-every 640 --samples 6400)
    holds 'sbatch test.s is COMPLETED' completes 120 test.s
    holds 'it saw five ranks that know each other' says 'Ranks and hosts: 5 ranks on 1 host'
    holds 'it found the machine fit' says '^Fit'
    tiny=(--network resnet20 --dataset synthetic --batch 32 --minibatches 4 --samples 512
        --eval-samples 200)
    holds 'sbatch --array=3-4 run.s is COMPLETED' completes 240 --array=3-4 run.s "${tiny[@]}"
    for seed in 3 4; do
        folder=results/run-$job-$seed
        holds "task $seed trained with seed $seed and left $folder" \
            grep -qE "\"seed\": *$seed\b" "$folder/summary.json"
        rm -rf "$folder"
    done
    holds 'run.s on SIGTERM: the weights are saved, exit code 6' leaves_in_time
    holds 'run.s --requeue: its time limit ends a job twice, then it is COMPLETED' is_requeued_twice
    holds 'it was queued again twice' [ "$(restarts "$job")" = 2 ]
    holds 'and went on where it was' says '^goes on from .*samples'
    rm -rf "results/run-$job"
    holds 'a job that Slurm takes back and queues again is COMPLETED' is_requeued_by_slurm
    holds 'it went on where it was, too' says '^goes on from .*samples'
    rm -rf "results/run-$job"
    names=(twice forced)
    if [ -n "${LIMITS:-}" ]; then
        holds 'a job that its real time limit of three minutes ends is COMPLETED' ends_by_limits
        holds 'it was queued again twice or more' [ "$(restarts "$job")" -ge 2 ]
        holds 'by run.s each time' [ "$(cat "$dir/$job"*.out | grep -c 'is over: it is queued')" \
            = "$(restarts "$job")" ]
        holds 'and went on where it was' says '^goes on from .*samples'
        rm -rf "results/run-$job"
        names+=(limits)
    fi
    holds 'the same run without an end' bash run.s "${exact[@]}" --results "$dir/whole" \
        --save "$dir/whole.safetensors"
    for name in "${names[@]}"; do
        holds "$name: the same weights" cmp <(tensors "$dir/$name.safetensors") \
            <(tensors "$dir/whole.safetensors")
    done
fi
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
