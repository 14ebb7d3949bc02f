#!/usr/bin/env bash
# The real world's messages, and what is built on them, in other shapes than mpi_messaging's and
# mpi_collective's own five ranks on one host: fewer and more ranks, between pretended hosts
# (NBSGD_HOSTS), with a progress thread; then bad ends: the launcher's exit code is the cause's, and
# nobody hangs.
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
tests=${BUILD:-build/release}/tests mpirun=${MPIRUN:-mpirun} passed=0 failed=0
program=$tests/mpi_messaging sums=$tests/mpi_collective
command -v "$mpirun" >/dev/null || { echo "SKIPPED: no $mpirun"; exit 77; }
for built in "$program" "$sums"; do
    [ -x "$built" ] || { echo "SKIPPED: $built is not built"; exit 77; }
done

verdict() { # ok|bad, what, the command that repeats it
    if [ "$1" = ok ]; then
        passed=$((passed + 1))
    else
        failed=$((failed + 1))
        echo "FAILED: $2; again: $3"
    fi
}

passes() { # ranks, hosts, command: all its tests
    local ranks=$1 hosts=$2 out
    shift 2
    if out=$(NBSGD_HOSTS=$hosts timeout 300 "$mpirun" -n "$ranks" "$@" 2>&1) &&
        grep -q '^[1-9][0-9]* passed, 0 failed$' <<<"$out"; then
        verdict ok
    else
        grep -vE '\[ +(RUN|OK) +\]' <<<"$out" | tail -n 20
        verdict bad "$ranks ranks on $hosts hosts" "NBSGD_HOSTS=$hosts $mpirun -n $ranks $*"
    fi
}

end() { # code expected, words that must be said, hosts, command
    local expected=$1 words=$2 hosts=$3 out code
    shift 3
    out=$(NBSGD_HOSTS=$hosts timeout 60 "$mpirun" "$@" 2>&1)
    code=$?
    if [ $code = "$expected" ] && grep -q "$words" <<<"$out" &&
        ! grep -q 'BAD TERMINATION\|Abort(' <<<"$out"; then
        verdict ok
    else
        echo "$out"
        verdict bad "exit code $code instead of $expected, or not the words \"$words\", or noise" \
            "NBSGD_HOSTS=$hosts $mpirun $*"
    fi
}

passes 9 1 "$program" --rounds 20
passes 5 5 "$program" --rounds 20
passes 5 2 "$program" --rounds 20 --thread
passes 5 2 "$sums"
passes 6 3 "$sums" --thread
case $program in */asan/* | */tsan/*) ;; *) # these meet no code that the others don't
    passes 2 1 "$program" --rounds 20
    passes 2 2 "$program" --rounds 20
    passes 2 1 "$sums"
    passes 4 4 "$sums"
    ;;
esac
end 3 'rank [023] on .*: rank 1 is gone' 1 -n 4 "$program" --end 3
end 3 'rank [023] on .*: rank 1 is gone' 2 -n 4 "$program" --end 3
end 3 'rank 0 sent 2000 bytes with tag [0-9]* to a receive for 1000' 1 -n 2 "$program" --long
end 3 'rank 0 sent 2000 bytes with tag [0-9]* to a receive for 1000' 2 -n 2 "$program" --long
end 2 'rank 1 on .*: ends with 2' 1 -n 4 "$program" --end 2
end 5 'rank 0 on .*: rank 3 on .* sent no heartbeat' 1 -n 4 "$sums" --stop vendor
end 3 'rank [02] on .*: rank 1 on .* has died.*; this rank reads a window' 2 \
    -n 4 "$sums" --lose
# Killed: this launcher would kill all the others at once, unless a shell is between and it is
# told not to.
# shellcheck disable=SC2016
end 5 'rank [023] on .*: rank 1 is gone' 1 \
    -disable-auto-cleanup -n 4 sh -c '"$0" --kill; exit $?' "$program"

echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
