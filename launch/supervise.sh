# How a run is watched, stopped, and started again after a rank has died. run.s and bench/compare
# read this file; $launch are the words that launch.sh found.
#
#   witness_open                 makes the folder $witness; a rank that is started by
#                                "${launch[@]}" PROGRAM witness "$witness" PROGRAM WORD ...
#                                has its start and its end written there (command/witness.c)
#   witness_read                 after the launcher's end: who ended first? Sets $cause to words,
#                                and $code to the exit code of that rank, not of the launcher. A
#                                rank that was killed gets a line in the run's events.jsonl
#   output_keep                  from now on standard files may be closed, output and error may lose
#                                their reader (| head): MPICH's launcher would end, and the ranks
#                                with it
#   check_numbers                exit code 2 where RETRIES, BACKOFF, RANKS or RANKS_AFTER is none
#   run_supervised PROGRAM WORD ...
#                                runs until it is done; sets $code
#
# $replaces, not empty: another attempt may replace what the one before has written: its record.
#
# A signal to this shell asks the run to stop: $asked is its name. After a rank has died (exit codes
# 3 and 5) the run goes on from its last checkpoint, RETRIES times (3), BACKOFF seconds later (5,
# then twice as long), with RANKS_AFTER ranks if that is given. What would end the same way again is
# not repeated: a mistake in the options, a loss that is no number, a run that was asked to stop.
# Neither is a run that its other ranks have finished without a worker that was killed: code 0.
# shellcheck shell=bash disable=SC2034,SC2154
: "${home:?}"
asked='' heard='' launcher='' code=0 cause='' finished='' results='' witness='' replaces=''
killed=() ask=TERM

relay() { # lines, as long as there is somebody to read them
    local line
    trap '' PIPE INT TERM HUP USR1 USR2
    while IFS= read -r line || [ -n "$line" ]; do printf '%s\n' "$line" 2>/dev/null || true; done
}
output_keep() {
    [ -e /dev/fd/0 ] || exec </dev/null
    [ -e /dev/fd/1 ] || exec >/dev/null
    [ -e /dev/fd/2 ] || exec 2>/dev/null
    if [ -p /dev/stdout ]; then exec > >(relay); fi
    if [ -p /dev/stderr ]; then exec 2> >(relay >&2); fi
}

# All hosts must see it. $TMPDIR may be a folder that this host does not have.
witness_open() {
    local first=${TMPDIR:-/tmp} where
    if [ "${SLURM_NNODES:-1}" -gt 1 ]; then first=$PWD; fi
    for where in "$first" /tmp "$PWD"; do
        witness=$(mktemp -d "$where/nbsgd-witness.XXXXXX" 2>/dev/null) && return
    done
    echo "launch: no folder can be made in $first, /tmp or $PWD" >&2
    exit 2
}

witness_close() { if [ -n "$witness" ]; then rm -rf "$witness"; fi; }

# The first end that is no good one is the cause of all others. Of several hosts it is the first by
# their own clocks, which is said.
first_end() {
    cat "$witness"/rank-* 2>/dev/null | grep -E ' (killed|exited [1-9])' |
        LC_ALL=C sort -n | sed -n 1p
}

# A witness may outlive the launcher by a moment: its last line comes then.
witness_await() {
    local turn
    for turn in {1..20}; do
        cat "$witness"/rank-* 2>/dev/null | awk '
            $8 == "started" { begun[$3]; next }
            { over[$3] }
            END { for (rank in begun) if (!(rank in over)) exit 1 }' && return
        sleep 0.1
    done
}

# Lines "PID" of ranks of this host that have started, not ended, and are there.
ranks_left() {
    local pid
    cat "$witness"/rank-* 2>/dev/null | awk -v here="$(uname -n)" '
        $5 != here { next }
        $8 == "started" { pid[$3] = $7; next }
        { delete pid[$3] }
        END { for (rank in pid) print pid[rank] }' | while read -r pid; do
        if kill -0 "$pid" 2>/dev/null; then echo "$pid"; fi
    done
}

# It has left its ranks behind: they are asked to stop, for they train on, and hold the folder.
launcher_failed() {
    local turn list
    cause="the launcher ended with exit code $code"
    if ! grep -q ' started$' "$witness"/rank-* 2>/dev/null; then return; fi # nothing was begun
    code=5
    if [ -n "$asked" ]; then code=6; fi
    list=$(ranks_left)
    if [ -z "$list" ]; then return; fi
    cause+=', and left its ranks behind'
    # shellcheck disable=SC2086
    if [ -z "$asked" ]; then kill -TERM $list 2>/dev/null; fi # a second one would end them at once
    for turn in {1..900}; do # --stop-within, and some
        list=$(ranks_left)
        if [ -z "$list" ]; then return; fi
        sleep 0.1
    done
    # shellcheck disable=SC2086
    kill -KILL $list 2>/dev/null
    witness_await
}

witness_read() {
    local rank host pid how what
    cause='' finished=''
    witness_await
    if grep -q ' exited 0$' "$witness/rank-0" 2>/dev/null; then finished=yes; fi
    if [ -r "$witness/results" ]; then results=$(<"$witness/results"); fi
    if ! read -r _ _ rank _ host _ pid how what < <(first_end); then
        [ "$code" = 0 ] || launcher_failed
    elif [ "$how" = exited ]; then
        code=$what cause="rank $rank on $host ended with exit code $what"
        if [ "$what" = 1 ] || [ "$what" -gt 8 ]; then code=3; fi # a library's, not the program's
    elif [ -n "$asked" ]; then
        code=6
    else
        code=5 cause="rank $rank on $host (process $pid) was killed by SIG$what"
        killed+=("{\"event\": \"killed\", \"seconds\": $(last_seconds), \"rank\": $rank, \
\"host\": \"$host\", \"pid\": $pid, \"signal\": \"$what\"}")
    fi
    if [ "$code" = 5 ] && [ -n "$asked" ] && [ -z "$finished" ]; then code=6; fi # asked meanwhile
    if [ -n "$cause" ] && [ "$(hosts_of)" -gt 1 ]; then
        cause+=", first by the clocks of $(hosts_of) hosts"
    fi
    write_killed
}

hosts_of() { # how many there are
    cat "$witness"/rank-* 2>/dev/null | awk '{ host[$5] } END { print length(host) }'
}

last_seconds() { # of the run's events
    local last
    last=$(sed -nE 's/.*"seconds": ([0-9.]+).*/\1/p' "${results:-.}/events.jsonl" 2>/dev/null |
        tail -n 1)
    echo "${last:-0}"
}

# A run that is resumed cuts its events to those of the checkpoint: what is missing comes again.
write_killed() {
    local events=${results:-/nonexistent}/events.jsonl line
    [ -w "$events" ] || return 0
    if [ -n "$(tail -c 1 "$events")" ]; then echo >>"$events"; fi
    for line in "${killed[@]}"; do
        grep -qF "$line" "$events" || echo "$line" >>"$events"
    done
}

# MPICH's launcher passes SIGTERM on to its ranks. Slurm's and Open MPI's end them instead, but pass
# SIGUSR2 on. Open MPI's must not see what a terminal sends to all.
pass_on() { # SIGNAL
    heard=$1 asked=${asked:-$1}
    if [ -n "$launcher" ]; then kill "-$ask" "$launcher" 2>/dev/null || true; fi
}

listen() {
    local name
    # shellcheck disable=SC2064
    for name in TERM INT HUP USR1 USR2; do trap "pass_on $name" $name; done
    trap witness_close EXIT
}

await() { # PID: sets $code, whatever is heard meanwhile
    heard=yes
    while [ -n "$heard" ]; do
        heard='' code=0
        wait "$1" || code=$?
    done
}

run_once() { # PROGRAM WORD ...
    local apart=()
    ask=USR2
    case $(launcher_kind "${launch[0]}") in
    hydra) ask=TERM ;;
    openmpi)
        apart=(setsid)
        if [ -t 0 ]; then exec </dev/null; fi
        ;;
    esac
    witness_open
    if [ -n "$asked" ]; then
        echo "launch: asked to stop by SIG$asked before the ranks were started" >&2
        code=6
        return
    fi
    "${apart[@]}" "${launch[@]}" "$1" witness "$witness" "$@" <&0 &
    launcher=$!
    await "$launcher"
    launcher=''
    witness_read
    witness_close
}

# Sets `again` to the options by which the next attempt goes on in the results of the last one.
# --resume auto takes that folder, and the run's own weights when it is as far as those: also where
# there are no checkpoints, and it begins. It replaces nobody else's.
find_way_on() {
    again=(--resume auto)
    if [ -n "$results" ]; then again+=(--results "$results"); fi
    if [ -n "$replaces" ]; then again+=(--overwrite); fi
}

# A number that is none would be met when a rank has died, and retried for ever.
check_numbers() {
    local name whole='^[0-9]{1,6}$'
    for name in RETRIES RANKS RANKS_AFTER; do
        if [ -n "${!name:-}" ] && ! [[ ${!name} =~ $whole ]]; then
            echo "launch: $name='${!name}' is no whole number" >&2
            exit 2
        fi
    done
    if ! [[ ${BACKOFF:-5} =~ ^[0-9]{1,6}(\.[0-9]{1,6})?$ ]]; then
        echo "launch: BACKOFF='$BACKOFF' is no number of seconds" >&2
        exit 2
    fi
}

run_supervised() { # PROGRAM WORD ...
    local attempt=0 retries=${RETRIES:-3} pause=${BACKOFF:-5} again=()
    check_numbers
    listen
    while run_once "$@" "${again[@]}"; [[ $code == [35] && -z $asked ]]; do
        if [ -n "$finished" ]; then
            echo "launch: $cause; the others finished the run without it" >&2
            code=0
            return
        fi
        if [ $((attempt++)) -ge "$retries" ]; then
            echo "launch: $cause; no further retry" >&2
            return
        fi
        again=()
        if [ -n "$results" ]; then find_way_on; fi # else nothing was begun
        if [ -n "${RANKS_AFTER:-}" ]; then
            launch_words "$1" "$RANKS_AFTER"
            # srun takes the job's number else
            if [ "${launch[0]}" = srun ]; then launch+=(-n "$RANKS_AFTER"); fi
        fi
        echo "launch: $cause; retry $attempt of $retries in $pause s: ${launch[*]} ..." \
            "${again[*]}" >&2
        sleep "$pause" &
        launcher=$!
        await "$launcher"
        launcher=''
        if [ -n "$asked" ]; then code=6 && return; fi
        pause=$(awk "BEGIN { print 2 * $pause }")
    done
}
