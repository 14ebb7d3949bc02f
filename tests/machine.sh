#!/usr/bin/env bash
# The file that test.s writes is one that the simulator takes: links measured between two pretended
# hosts, then a run on them.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
cluster=$(dirname "$nbsgd")/cluster
[ -x "$cluster" ] || skip "no $cluster (make $cluster)"

has() { # KEYS ...: each once, with a number above 0
    local key
    for key in "$@"; do
        [ "$(grep -cE "^$key = [0-9.e+-]*[1-9]" machine.ini)" = 1 ] && continue
        echo "no $key in: $(cat machine.ini)"
        return 1
    done
}

run env NBSGD_HOSTS=2 "$mpirun" -n 4 "$cluster" --machine machine.ini
check 'a cluster of two hosts is measured' ends 0 'within a host: latency' \
    'between hosts: latency' '2 ranks of a host at once' 'Sums of vectors'
check 'its file has every link' has ranks_per_host cores_per_host latency_s bandwidth_bytes_per_s \
    host_bandwidth_bytes_per_s local_latency_s local_bandwidth_bytes_per_s \
    vector_bandwidth_bytes_per_s step_bandwidth_bytes_per_s copy_bandwidth_bytes_per_s
sed -i /cores_per_host/d machine.ini # whatever this machine has

tiny=(--scheme ssgd --network resnet20 --dataset synthetic --train-samples 200 --batch 16
    --minibatches 2 --updates 3 --eval-samples 20
    --eval-batches 1 --threads 1 --workers 3)
run "$nbsgd" --world sim --machine machine.ini "${tiny[@]}" --results a
check 'without compute times it is refused by the key' \
    ends 2 "machine.ini.*'resnet20 cifar 8 f32 1 = "
printf '[minibatch_s]\nresnet20 cifar 8 f32 1 = 0.25\n[rank 2]\nspeed = 0.5\n' >>machine.ini
run "$nbsgd" --world sim --machine machine.ini "${tiny[@]}" --results b
check 'with them it runs' ends 0
near() { # SECONDS WANTED
    awk "BEGIN { exit !($1 > $2 - 0.001 && $1 < $2 + 0.05) }" && return
    echo "$1 is not about $2"
    return 1
}
check 'a rank computes as long as the file says' \
    near "$(column b/ranks.csv compute_s | sed -n 2p)" 1.5
check 'one of speed 0.5 twice as long' near "$(column b/ranks.csv compute_s | sed -n 3p)" 3
check 'hosts have names' [ "$(column b/ranks.csv host | paste -sd' ')" = 'sim-0 sim-0 sim-1 sim-1' ]

# A pull within a host costs one copy at local_bandwidth, whatever sums of vectors run at: 1,000
# floats, 1 s each, 3 updates.
cat >toy.ini <<'END'
ranks_per_host = 4
local_latency_s = 0
local_bandwidth_bytes_per_s = 4000
vector_bandwidth_bytes_per_s = 4e6
[minibatch_s]
quadratic cifar 32 f32 1 = 0.1
END
toy=(--world sim --workers 3 --scheme ssgd --network quadratic --updates 3 --threads 1)
run "$nbsgd" "${toy[@]}" --machine toy.ini --results pulls
check 'a toy on that machine runs' ends 0
check 'a pull is charged once, as a copy within the host' \
    near "$(column pulls/ranks.csv transfer_s | sed -n 3p)" 4
# Workers who sum among themselves read and write 8 / 3 vectors each, all at once, at the same rate:
# two vectors per second.
summed() { # METHOD: of the second worker, who begins with a pull
    run "$nbsgd" "${toy[@]}" --scheme allreduce --allreduce "$1" --machine toy.ini --results sums \
        --overwrite
    check "$1 sums on that machine" ends 0
    sum_s=$(column sums/ranks.csv transfer_s | sed -n 3p)
}
summed direct
check 'a direct sum is charged as copies within the host' near "$sum_s" 5.008
summed ring
check 'a ring likewise' near "$sum_s" 6.004
sed -i 's/ranks_per_host = 4/latency_s = 0\nbandwidth_bytes_per_s = 1e12/' toy.ini
run "$nbsgd" "${toy[@]}" --machine toy.ini --results pulls2
check 'between hosts as vector work; links of no time' \
    near "$(column pulls2/ranks.csv transfer_s | sed -n 3p)" 0.008
summed direct
check 'a sum likewise' near "$sum_s" 0.01

# A signal may be on its way for longer than all that comes after it: its worker stays until it has
# read it.
printf 'latency_s = 5e-5\nbandwidth_bytes_per_s = 1e8\n[link 1 2]\nlatency_s = 0.5
[minibatch_s]\nquadratic cifar 32 f32 1 = 0.1\n' >slow.ini
for inflight in finish carry; do
    run "$nbsgd" --world sim --network quadratic --workers 3 --slow 2=1.5 --updates 9 \
        --scheme nbssgd --nb-inflight $inflight --machine slow.ini \
        --results slow-$inflight
    check "a signal on a slow link is read before the end, $inflight" ends 0
done

# Times of mini-batches that vary: keyed by the seed, their mean and deviation as the file says.
sed -i 's/ = 0.25$/ = 0.25 0.2/' machine.ini
varied=(--world sim --machine machine.ini "${tiny[@]}" --eval-every 1000000 --updates)
run "$nbsgd" "${varied[@]}" 20 --results s1
check 'with a jitter it runs' ends 0
run "$nbsgd" "${varied[@]}" 2 --results s2
run "$nbsgd" "${varied[@]}" 2 --results s3
run "$nbsgd" "${varied[@]}" 2 --results s4 --seed 2
second() { column "$1/ranks.csv" "$2" | sed -n 2p; } # FOLDER COLUMN: of rank 1
check 'times vary as the file says' \
    awk "BEGIN { s = $(second s1 minibatch_deviation_s) / 0.25; exit !(s > 0.14 && s < 0.26) }"
check 'around the same mean' \
    awk "BEGIN { m = $(second s1 compute_s) / 40; exit !(m > 0.235 && m < 0.265) }"
times() { column "$1/ranks.csv" compute_s && column "$1/ranks.csv" wait_s; }
check 'the same again with the same seed' [ "$(times s2)" = "$(times s3)" ]
check 'with another seed others' \
    [ "$(column s3/ranks.csv compute_s)" != "$(column s4/ranks.csv compute_s)" ]
check 'without one they are all alike' [ "$(second b minibatch_deviation_s)" = 0.000000 ]

# The quadratic takes its line as a network does, and the file stands for all of --sim-*.
printf 'latency_s = 0\nbandwidth_bytes_per_s = 1e9\n[rank 2]\nspeed = 0.5
[minibatch_s]\nquadratic cifar 16 f32 1 = 0.25 0.2\n' >quadratic.ini
quadratic=("$nbsgd" --world sim --network quadratic --workers 2 --scheme ssgd --threads 1
    --machine quadratic.ini --batch 32 --updates 50)
run "${quadratic[@]}" --minibatches 2 --results q
check 'a quadratic on a machine runs' ends 0
check 'its mini-batches take what the file says' \
    awk "BEGIN { m = $(second q compute_s) / 100; exit !(m > 0.235 && m < 0.265) }"
check 'with the scatter that it says' \
    awk "BEGIN { s = $(second q minibatch_deviation_s) / 0.25; exit !(s > 0.14 && s < 0.26) }"
check 'at the speed of the rank' awk "BEGIN { m = $(column q/ranks.csv compute_s | sed -n 3p) / 100
    exit !(m > 0.47 && m < 0.53) }"
run "${quadratic[@]}" --minibatches 4 --results q4
check 'without its line it is refused' ends 2 "quadratic.ini .*'quadratic cifar 8 f32 1 = "
# A perceptron's variant are its widths, as the message says.
mlp=("$nbsgd" --world sim --network mlp --hidden '20,10' --dataset synthetic --workers 2 --threads 1
    --scheme ssgd --machine quadratic.ini --batch 16 --minibatches 2 --updates 4 --eval-samples 32)
run "${mlp[@]}" --results m1
check 'a perceptron without its line is refused' ends 2 "wants a line 'mlp 20,10 8 f32 1 = "
echo 'mlp 20,10 8 f32 1 = 0.5' >>quadratic.ini
run "${mlp[@]}" --results m2
check 'with that line it runs' ends 0
run "${mlp[@]/20,10/20, 10}" --results m2b
check 'however its widths are written' ends 0

# test.s names each time as the simulator asks for it, whatever distinguishes networks of one name.
# The links are those above; some mini-batches are enough.
cat >links <<'END'
#!/bin/sh
case $1 in
--machine) sed '/minibatch_s/,$d' quadratic.ini >"$2" ;;
--cores) echo 2 ;;
esac
END
cat >start <<END
#!/bin/sh
case \$1 in */links) exec "\$@" ;; esac
exec "$mpirun" -n 2 "\$@"
END
cat >quick <<END
#!/bin/sh
case \$* in *--print-machine-key*) exec "$nbsgd" "\$@" ;; esac
exec "$nbsgd" "\$@" --seconds 0.3
END
chmod +x links start quick
times() { # NETWORKS OPTION ...: as test.s writes them
    local networks=$1
    shift
    run env CLUSTER="$PWD/links" NBSGD="$PWD/quick" LAUNCH="$PWD/start" SAMPLES=8 \
        NETWORKS="$networks" OPTIONS="$*" bash "$home/test.s" --machine times.ini
    keys=$(sed -n '/minibatch_s/,$s/ = .*//p' times.ini | paste -sd' ')
}
times 'resnet20 lenet5'
check 'networks by their stem, or by nothing' \
    [ "$keys" = 'resnet20 cifar 8 f32 1 lenet5 cifar 8 f32 1' ]
times resnet20 --norm group
check 'by their norm' [ "$keys" = 'resnet20 cifar-group 8 f32 1' ]
times mlp --hidden 20,10
check 'by their widths' [ "$keys" = 'mlp 20,10 8 f32 1' ]
run "${mlp[@]/quadratic.ini/times.ini}" --results m3
check 'and what it has written runs' ends 0
run bash "$home/test.s" --help
check 'test.s --help says what it does, and runs nothing' ends 0 '^Is this cluster fit' NETWORKS=
check 'and no more' [ "$(grep -cE '^test.s:|home=|SBATCH' <<<"$out")" = 0 ]
run bash "$home/test.s" --machin times.ini
check 'an unknown option' ends 2 'test.s: --machin: it takes --machine'

for given in latency bandwidth minibatch; do
    run "${quadratic[@]}" --minibatches 2 --sim-$given 0.5
    check "--machine and --sim-$given" ends 2 "--sim-$given: --machine quadratic.ini says that"
done

run env NBSGD_HOSTS=1 "$mpirun" -n 3 "$cluster" --machine machine.ini
check 'one host alone' ends 0 'of their times they have'
check 'two workers of a host are measured together' has crowded_bandwidth_bytes_per_s
check 'and what their times have in common' grep -qE '^host_jitter_share = [01][.]' machine.ini
printf '[minibatch_s]\nresnet20 cifar 8 f32 1 = 0.25\n' >>machine.ini
run "$nbsgd" --world sim --machine machine.ini "${tiny[@]}" --results c
check 'more ranks than were measured are refused' ends 2 'latency_s is missing: of 4 ranks'
run "$mpirun" -n 2 "$cluster" --machine /nowhere/machine.ini
check 'a file that cannot be written' ends 1 'cannot write /nowhere/machine.ini'
finish
