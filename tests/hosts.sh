#!/usr/bin/env bash
# Several hosts, with names and addresses of their own and nothing but a network between them
# (bench/lan makes them on this machine): the messages hold their contract, a run gives the
# simulator's bits, and nothing is left of the hosts, however they end.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

lan=$home/bench/lan build=${nbsgd%/*}
run "$lan" hostname
[ "$code" != 77 ] || skip "$out"
check 'a host each' ends 0
check 'names of their own' eval '[ "$(sort <<<"$out" | paste -sd" ")" = "host1 host2" ]'
run "$lan" --hosts 3 -n 5 sh -c 'ip -brief -4 address show lan0'
check 'five ranks on three hosts' ends 0 10.77.0.1 10.77.0.2 10.77.0.3
run "$lan" sh -c 'exit 7'
check 'the exit code is the program'\''s' ends 7
run "$lan" --rate nonsense true
check 'a rate that is none' ends 77 'lan: no host 1'
run "$lan" --hosts 0 true
check 'no hosts' ends 2 usage

gone() { # no process is left in these namespaces
    local space left
    for _ in {1..50}; do
        left=''
        for space in "$@"; do
            if readlink /proc/[0-9]*/ns/net 2>/dev/null | grep -qxF "$space"; then left=$space; fi
        done
        [ -n "$left" ] || return 0
        sleep 0.1
    done
    echo "a process is left in $left"
    return 1
}
run "$lan" readlink /proc/self/ns/net
mapfile -t spaces <<<"$out"
networks_differ() {
    [ ${#spaces[@]} = 2 ] && [ "${spaces[0]}" != "${spaces[1]}" ] &&
        [ "${spaces[0]}" != "$(readlink /proc/self/ns/net)" ]
}
check 'networks of their own' networks_differ
check 'nothing is left' gone "${spaces[@]}"
again='' out=''
"$lan" sh -c 'readlink /proc/self/ns/net; exec sleep 100' >spaces 2>/dev/null &
for _ in {1..50}; do [ "$(wc -l <spaces)" = 2 ] && break; sleep 0.1; done
mapfile -t spaces <spaces
check 'two hosts to be ended' [ ${#spaces[@]} = 2 ]
kill $!
wait $! 2>/dev/null
check 'nothing is left of what was ended' gone "${spaces[@]}"

for program in mpi_messaging mpi_collective; do
    if [ -x "$build/tests/$program" ]; then
        run "$lan" --hosts 2 --rate 10gbit -n 5 "$build/tests/$program"
        check "$program on two hosts" ends 0 '^[1-9][0-9]* passed, 0 failed$'
    fi
done

net=(--network resnet20 --backend ref --threads 1 --dataset synthetic --train-samples 64 --batch 4
    --minibatches 2 --updates 2
    --eval-samples 4 --eval-batches 1 --scheme ssgd)
run "$nbsgd" --world sim --workers 4 "${net[@]}" --save sim.safetensors --results sim
check 'ssgd on sim' ends 0
for progress in poll thread; do
    run "$lan" --hosts 2 -n 5 "$nbsgd" "${net[@]}" --no-pin --progress $progress \
        --save $progress.safetensors --results $progress
    check "ssgd on two hosts, $progress" ends 0
    check "ssgd on two hosts, $progress: the bits of sim" cmp sim.safetensors $progress.safetensors
    names=$(column $progress/ranks.csv host | sort -u | paste -sd' ')
    check "ssgd on two hosts, $progress: their names" [ "$names" = 'host1 host2' ]
done

finish
