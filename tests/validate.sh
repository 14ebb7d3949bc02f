#!/usr/bin/env bash
# bench/validate: which runs it makes, what it compares, when it says that the simulator is right. A
# program in nbsgd's place says how long its runs took.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
command -v jq >/dev/null || skip 'no jq'

# Real runs take 10 s, 11 s and 30 s, by the seed, for 3,000 samples; they make a half more. A
# simulated one takes what $OFF says of 11 s, dcasgd 8 % more. easgd refuses adam.
cat >fake <<'END'
#!/usr/bin/env bash
while [ $# -gt 0 ]; do
    case $1 in
    --scheme) scheme=$2 ;;
    --seed) seed=$2 ;;
    --world) world=sim ;;
    --optimizer) optimizer=$2 ;;
    --results) results=$2 ;;
    --machine) grep -q '^resnet20' "$2" && grep -q '^vector' "$2" || exit 3 ;;
    --version) echo fake && exit ;;
    --cores) echo 2 && exit ;;
    esac
    shift
done
echo "${world:-real} $scheme $seed $optimizer" >>"$FAKE_LOG"
if [ "$scheme $optimizer" = 'easgd adam' ]; then echo 'leave it out'; exit 2; fi
seconds=$((seed == 1 ? 10 : seed == 2 ? 11 : 30))
[ "${world:-}" != sim ] || seconds=$(awk -v off="$OFF" -v scheme="$scheme" \
    'BEGIN { print 11 * off * (scheme == "dcasgd" ? 1.08 : 1) }')
samples=3000
[ "${world:-}" = sim ] || samples=4500 seconds=$(awk -v s="$seconds" 'BEGIN { print 1.5 * s }')
mkdir -p "$results"
echo "{\"seconds\": $seconds, \"samples\": $samples, \"updates\": 7, \"wait_share\": 0.1," \
    "\"transfer_share\": 0.2}" >"$results/summary.json"
END
printf '#!/bin/sh\n[ "$1" = --version ] && echo HYDRA && exit\nshift 2\nexec "$@"\n' >fake_mpirun
chmod +x fake fake_mpirun
mkdir machines
for round in 1 2 3; do
    echo "resnet20 cifar 32 f32 1 = 0.$round 0.03" >machines/times-host-$round.ini
done
echo vector_bandwidth_bytes_per_s = 1e9 >machines/2-host.ini
export FAKE_LOG=$PWD/log MACHINES=$PWD/machines
export NBSGD=$PWD/fake CLUSTER=$PWD/fake MPIRUN=$PWD/fake_mpirun
export CASES='2:host:momentum:none 2:host:adam:slow' SCHEMES='ssgd dcasgd easgd'
: >log


run env OFF=1 "$home/bench/validate" out
check 'errors within the limits' ends 0 '^2:host:adam:slow +easgd +refused$' \
    '^2:host:momentum:none +ssgd +11\.00 s +11\.00 s +\+0\.0 %$' \
    '^2:host:adam:slow +2 schemes: mean error 4\.0 %, with its sign \+4\.0 %$' \
    '^mean error 3\.2 % .* worst \+8\.0 % .*: dcasgd, 2:host:momentum:none; it holds$'
check 'three real runs of each, one of what is refused, one simulated' \
    [ "$(grep -c ^real log),$(grep -c '^real easgd . adam' log),$(grep -c ^sim log)" = 16,1,5 ]
check 'the median of the times of all rounds' \
    grep -q '^resnet20 cifar 32 f32 1 = 0.2 0.03$' out/2-host.ini
check 'rows have names' [ "$(column out/validate.csv predicted_s | paste -sd' ')" = \
    '11 11.88 11 11 11.88 NaN' ]
run env OFF=1 "$home/bench/validate" out
check 'what is there is not run again' [ "$(wc -l <log)" = 21 ]
run env OFF=1.05 "$home/bench/validate" worst
check 'an error beyond 12 %' ends 1 'worst \+13\.4 % .*; it does not hold$'
run env OFF=0.9 "$home/bench/validate" mean
check 'a mean beyond 5 %' ends 1 '^mean error 7\.1 % .* worst -10\.0 % .*; it does not hold$'
run env OFF=1 CASES=2:nowhere:adam:none "$home/bench/validate" wrong
check 'a case that is none' ends 2 "'2:nowhere:adam:none' is not WORKERS:PLACE:OPTIMIZER:STRAGGLERS"
finish
