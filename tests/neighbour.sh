#!/usr/bin/env bash
# Threads that wait sleep soon, so that a busy neighbour costs no more than its core: how libgomp is
# told so. What it brings is measured by bench/parts/neighbour.sh.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

# What a run's environment says of waiting threads, as libgomp read it when it was loaded.
waiting_of() { # VARIABLE=VALUE ...
    local child found=''
    env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT "$@" "$nbsgd" --world sim --network quadratic \
        --samples 1000000000 --eval-every 1000000000 --results run >/dev/null 2>&1 &
    child=$!
    for ((i = 0; i < 100; i++)); do
        if [ -e run/eval.csv ]; then # it has begun
            found=$(tr '\0' '\n' <"/proc/$child/environ" | grep -E '^(OMP_WAIT|GOMP_SPIN)')
            cp "/proc/$child/comm" name
            break
        fi
        sleep 0.1
    done
    kill -9 "$child"
    wait "$child" 2>/dev/null
    rm -rf run
    echo "$found"
}
is() { [ "$1" = "$2" ] || { printf 'found: %s\nwanted: %s\n' "$1" "$2"; return 1; }; }

check 'threads sleep soon' is "$(waiting_of)" GOMP_SPINCOUNT=1000
check 'its name stays what it is' is "$(cat name)" "$(basename "$nbsgd")"
check 'unless they are told how to wait' is "$(waiting_of OMP_WAIT_POLICY=active)" \
    OMP_WAIT_POLICY=active
check 'or how long to spin' is "$(waiting_of GOMP_SPINCOUNT=7)" GOMP_SPINCOUNT=7
run env -u OMP_WAIT_POLICY -u GOMP_SPINCOUNT "$nbsgd" train --world sim --network quadratic \
    --updates 3 --results "a folder"
check 'its words stay what they are' ends 0 'results: a folder'

finish
