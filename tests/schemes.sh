#!/usr/bin/env bash
# Every scheme of the list, as --help has it, over MPI with five ranks and LeNet-5, for a second
# or two each: it ends, the loss is a number and falls, the counters add up. Then: on pretended
# hosts, every codec, a worker that departs, and a replay that gives the same bits on other
# ranks' timing and on the simulated network.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

if [ -n "$cifar" ]; then
    images=(--data "$cifar" --train-samples 2000)
else
    passes_over 'no real CIFAR-10 (DATA): generated images instead'
    images=(--dataset synthetic --train-samples 2000)
fi
batch=16 samples=1600 evaluated=200 compute_s=0.02 network=lenet5
# ten times slower: the schemes' own code, on a problem that costs nothing
if [ "$sanitized" = 1 ]; then
    batch=8 samples=160 evaluated=40 compute_s=0.1 network=quadratic images=()
fi
if [ ${#images[@]} -gt 0 ]; then
    images+=(--no-augment --eval-samples "$evaluated" --eval-batches 4)
fi
common=(--network "$network" --batch "$batch" --minibatches 2 --lr 0.03 --momentum 0
    --threads 1 --samples "$samples" --eval-every "$samples" --schedule constant --warmup 0
    --chance-samples 1000000) # a few updates of LeNet-5 are hardly better than guessing
mapfile -t schemes < <(scheme_names)

own() { # SCHEME STEPS: what only this scheme takes
    case $1 in
        anytime) echo "--anytime-seconds $compute_s" ;;
        localsgd | diloco | dnesterov | easgd | eamsgd) echo "--local-steps $2" ;;
        asynclocal) echo "--local-steps 2 --lr 0.01" ;; # moves add up
    esac
}

# How many mini-batches an update has is the workers' timing, and with it whether a few updates of
# LeNet-5 lower the loss: these are asked on a problem without noise to speak of.
by_timing() { case $1 in anytime | malenia | ringleader) ;; *) false ;; esac; }

falls() { # FILE: the last loss is a number below the first
    awk -F, 'NR == 1 { first = $5 } { last = $5 }
        END { exit !(NR > 1 && last > 0 && last < first) }' <(rows "$1")
}
# NAME: what the workers used is what the server took, but for what was dropped at the end
adds_up() {
    json_holds "$1/summary.json" \
        "\$j->{samples} >= $samples && exists(\$j->{divergence}) && !defined(\$j->{divergence})" ||
        return 1
    [ "$(column "$1/ranks.csv" samples | awk '{ n += $1 } END { print n }')" -ge "$samples" ]
}

check 'the list has the schemes of the papers' [ ${#schemes[@]} -ge 16 ]
for scheme in "${schemes[@]}"; do
    launch=("$mpirun" -n 5)
    [ "$scheme" != serial ] || launch=()
    # shellcheck disable=SC2046
    run "${launch[@]}" "$nbsgd" --scheme "$scheme" "${common[@]}" "${images[@]}" \
        $(own "$scheme" 4) --results "$scheme"
    check "$scheme ends" ends 0 "^$scheme: [0-9]+ samples"
    judged=$scheme
    if by_timing "$scheme"; then
        judged=$scheme-quadratic
        # shellcheck disable=SC2046
        run "${launch[@]}" "$nbsgd" --scheme "$scheme" "${common[@]/$network/quadratic}" \
            $(own "$scheme" 4) --results "$judged"
        check "$scheme ends on the quadratic" ends 0
    fi
    [ "$sanitized" = 1 ] || check "$scheme: the loss falls" falls "$judged/eval.csv"
    check "$scheme: samples add up" adds_up "$scheme"
done

few=(--network resnet20 --dataset synthetic --train-samples 200 --batch 8 --minibatches 2
    --lr 0.02 --momentum 0 --threads 1
    --samples 160 --eval-samples 20 --eval-batches 1)
for scheme in asgd hogwild allreduce eager; do
    run env NBSGD_HOSTS=2 "$mpirun" -n 5 "$nbsgd" --scheme "$scheme" "${few[@]}" \
        --results "hosts-$scheme"
    check "$scheme on two hosts" ends 0
done
[ "$sanitized" = 0 ] || finish # the rest is theirs on the simulated network
for codec in bf16 f16 int8 topk randk sign; do
    run "$mpirun" -n 3 "$nbsgd" --scheme asgd "${few[@]}" --compress $codec --results "codec-$codec"
    check "--compress $codec" ends 0
    check "--compress $codec sends less" \
        json_holds "codec-$codec/summary.json" \
            '$j->{compressed_bytes} < 0.8 * $j->{uncompressed_bytes}'
done
for scheme in allreduce eager; do
    for codec in bf16 topk; do
        run env NBSGD_HOSTS=2 "$mpirun" -n 4 "$nbsgd" --scheme "$scheme" "${few[@]}" \
            --compress $codec --results "$scheme-$codec"
        check "$scheme --compress $codec on two hosts" ends 0
        check "$scheme --compress $codec sends less" \
            json_holds "$scheme-$codec/summary.json" \
                '$j->{compressed_bytes} < 0.8 * $j->{uncompressed_bytes}'
    done
done
run env NBSGD_HOSTS=2 "$mpirun" -n 4 "$nbsgd" --scheme ringmaster --ringmaster-r 1 \
    --ringmaster-stops "${few[@]}" --slow 3=3 --results stops
check 'ringmaster stops who is late' ends 0
check 'who was stopped is counted' json_holds stops/summary.json '$j->{aborted_share} > 0'
run "$mpirun" -n 4 "$nbsgd" --scheme backup "${few[@]}" --depart 2=3 --results depart
check 'the others go on without one that departs' ends 0
check 'who departed has done its part' [ "$(column depart/ranks.csv minibatches | sed -n 3p)" \
    -le 4 ]

exact=(--network resnet20 --backend ref --threads 1 --dataset synthetic --train-samples 64
    --batch 4 --minibatches 1 --samples 32 --eval-samples 4
    --eval-batches 1)
small=("${exact[@]/resnet20/lenet5}") # computed in no time
for scheme in asgd dcasgd ssp; do
    these=("${exact[@]}")
    [ $scheme = asgd ] || these=("${small[@]}")
    run "$mpirun" -n 4 "$nbsgd" --scheme $scheme "${these[@]}" --record "$scheme-order" \
        --save $scheme-1 --delay exponential:0.02 --results $scheme-a
    check "$scheme is recorded" ends 0
    run "$mpirun" -n 4 "$nbsgd" --scheme $scheme "${these[@]}" --replay "$scheme-order" \
        --save $scheme-2 --delay uniform:0,0.05 --results $scheme-b
    check "$scheme: replayed by other timing" ends 0
    check "$scheme: the same bits" cmp $scheme-1 $scheme-2
    run "$nbsgd" --world sim --workers 3 --scheme $scheme "${these[@]}" --replay "$scheme-order" \
        --save $scheme-3 --results $scheme-c
    check "$scheme: replayed on the simulated network" ends 0
    check "$scheme: the same bits there" cmp $scheme-1 $scheme-3
done
# each server has its order and its end; weights are written when both have ended
two=("${small[@]}" --servers 2 --eval-every 16)
for scheme in asgd ssp; do
    run "$mpirun" -n 5 "$nbsgd" --scheme $scheme "${two[@]}" --record $scheme-two \
        --save $scheme-two-1 --delay exponential:0.02 --slow 3=3 --results $scheme-two-a
    check "$scheme, 2 servers: recorded" ends 0
    run "$mpirun" -n 5 "$nbsgd" --scheme $scheme "${two[@]}" --replay $scheme-two \
        --save $scheme-two-2 --delay uniform:0,0.05 --slow 4=3 --results $scheme-two-b
    check "$scheme, 2 servers: replayed" ends 0
    check "$scheme, 2 servers: the same bits" cmp $scheme-two-1 $scheme-two-2
    check "$scheme, 2 servers: the same number of updates" json_is $scheme-two-b/summary.json \
        '$j->{updates}' "$(json $scheme-two-a/summary.json '$j->{updates}')"
done
sim=("$nbsgd" --world sim --workers 2 --scheme asgd --schedule constant --warmup 0 --results no
    --overwrite)
run "${sim[@]}" "${small[@]}" --samples 4 --partition speed --record speed
check 'shards by speed are recorded' ends 0
run "${sim[@]}" "${small[@]}" --samples 4 --partition speed --replay speed --slow 2=3
check 'other speeds with shards by speed are refused' ends 2 "there 'slow = ', here 'slow = 2=3'"
run "${sim[@]}" --network quadratic --batch 8 --minibatches 1 --seconds 1 --warmup 0.1 \
    --record clock
check 'a rate that follows the clock is refused' ends 2 'the rate would follow the clock'
run "$mpirun" -n 3 "$nbsgd" --scheme asgd "${exact[@]}" --replay asgd-order --results never
check 'the record of another run is refused' ends 2 'record of another run'
run "$mpirun" -n 3 "$nbsgd" --scheme nbssgd "${exact[@]}" --record order --results never
check 'a scheme that cannot be replayed says so' ends 2 "can't be replayed"
check 'before anything is written' [ ! -e never ]

finish
