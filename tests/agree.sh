#!/usr/bin/env bash
# Ranks that do not mean the same run: nothing begins, and one line names the rank, its host, the
# option and both values; at once. What is a rank's own affair may differ. Rank 0 reads files of
# options for all.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
limit=60
toy=(--network quadratic --scheme ssgd --updates 2 --threads 1 --batch 8 --minibatches 2)

one_line() { # the last run ended with 2 and one line of ours with these words, and made no folder
    local made=0
    if [ -e results ]; then made=1; fi
    rm -rf results
    ends 2 "$1" && [ "$(grep -c nbsgd: <<<"$out")" = 1 ] && [ "$made" = 0 ]
}

# Rank 0 with the first words beside those of all, two others with the second.
began=0 took=0 refused=0
differs() { # WORDS OF-RANK-0 OF-OTHERS
    local words=$1 first others
    read -ra first <<<"$2"
    read -ra others <<<"$3"
    began=${EPOCHREALTIME/[.,]/}
    run "$mpirun" -n 1 "$nbsgd" "${toy[@]}" "${first[@]}" : -n 2 "$nbsgd" "${toy[@]}" \
        "${others[@]}"
    took=$((took + ${EPOCHREALTIME/[.,]/} - began)) refused=$((refused + 1))
    check "'$2' and '$3'" one_line "$words"
}
both() { echo "rank 1 on $(uname -n) has $2, rank 0 has $1; give all ranks the same"; }

differs "$(both '--scheme hogwild' '--scheme ssgd')" '--scheme hogwild' '--scheme ssgd'
differs "$(both '--scheme ssgd' '--scheme allreduce')" '' '--scheme allreduce'
differs "$(both '--seed 1' '--seed 2')" '--seed 1' '--seed 2'
differs "$(both '--batch 8' '--batch 16')" '' '--batch 16'
differs "$(both '--servers 1' '--servers 2')" '' '--servers 2'
differs "$(both '--world mpi' '--world sim')" '' '--world sim'
differs "$(both '--world sim' '--world mpi')" '--world sim' ''
differs "$(both '--slow .*' '--slow 2=4')" '' '--slow 2=4'
differs "$(both '--compress f32' '--compress topk')" '' '--compress topk --compress-ratio 0.5'
differs 'rank [12]: --workers 8: under a launcher .* here 2 of 3' '' '--workers 8'
differs 'nbsgd: --workers 8: under a launcher .* here 2 of 3' '--workers 8' ''
differs "rank [12]: unknown option 'sed'" '' '--sed 2'
differs "nbsgd: unknown option 'sed'" '--sed 2' ''
differs "$(both 'command train' 'command check options')" '' '--check-options'
differs "$(both '--batch 8' '--batch 9')" '' '--batch 9'
began=${EPOCHREALTIME/[.,]/}
run "$mpirun" -n 3 "$nbsgd" "${toy[@]}" --check-options --workers 2
check 'ranks that agree, with the workers that there are' ends 0
begun=$((${EPOCHREALTIME/[.,]/} - began))
check "no rank waits for another one's words (us: $took for $refused, $begun for one)" \
    [ $((took / refused)) -lt $((begun + 2000000)) ]

run "$mpirun" -n 1 "$nbsgd" "${toy[@]}" : -n 1 "$nbsgd" --version
check 'one rank that only prints' ends 2 'rank 1 on .* has command print, rank 0 has command train'
run "$mpirun" -n 1 "$nbsgd" --version : -n 1 "$nbsgd" "${toy[@]}"
check 'all but one only print' ends 2 'rank 1 on .* has command train, rank 0 has command print'
run "$mpirun" -n 2 "$nbsgd" --print-schemes
check 'all of them print' ends 0 'nbssgd'
run "$mpirun" -n 1 env NBSGD_HOSTS=2 "$nbsgd" "${toy[@]}" : -n 2 "$nbsgd" "${toy[@]}"
check 'other pretended hosts' one_line 'has NBSGD_HOSTS .*, rank 0 has NBSGD_HOSTS 2'

run "$mpirun" -n 1 "$nbsgd" "${toy[@]}" --results own --threads 1 --no-pin : \
    -n 2 "$nbsgd" "${toy[@]}" --results other --threads 2 --deadline 50
check 'what is a rank'"'"'s own may differ' ends 0
check 'the record has the workers that there were' grep -qx 'workers = 2' own/config.ini

# files of options
mkdir here there
printf 'updates = 5\nseed = 7\n' >here/mine.ini
run bash -c "printf 'updates = 5\nseed = 7\n' | '$mpirun' -n 3 '$nbsgd' --network quadratic \
    --scheme ssgd --threads 1 --config /dev/stdin --results stdin"
check 'standard input, which rank 0 alone has' ends 0
check 'all take what it says' grep -qx 'updates = 5' stdin/config.ini
mine=(--network quadratic --scheme ssgd --threads 1 --config mine.ini --results "$folder/mine")
# shellcheck disable=SC2016
run "$mpirun" -n 1 bash -c 'cd here && exec "$@"' - "$nbsgd" "${mine[@]}" : \
    -n 2 bash -c 'cd there && exec "$@"' - "$nbsgd" "${mine[@]}"
check 'a file that rank 0 alone has' ends 0
check 'is the file of all' grep -qx 'seed = 7' mine/config.ini
printf 'sed = 7\n' >wrong.ini
run "$mpirun" -n 3 "$nbsgd" "${toy[@]}" --config wrong.ini
check 'a mistake in it is said once' one_line "wrong.ini:1: unknown option 'sed'"
run "$mpirun" -n 3 "$nbsgd" "${toy[@]}" --config none.ini
check 'a file that is not there is said once' one_line 'cannot read none.ini'
differs "rank [12]: --config wrong.ini: rank 0 has no file in this place" '' '--config wrong.ini'
printf 'workers = 8\n' >workers.ini
run "$mpirun" -n 3 "$nbsgd" "${toy[@]}" --config workers.ini
check 'workers of a file, too, are those that there are' one_line '--workers 8: under a launcher'

# data
mkdir good other
perl -e 'print chr($_ % 10), "\0" x 3072 for 0 .. 9999' >good/data_batch_1.bin
for name in data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
    ln good/data_batch_1.bin "good/$name.bin"
done
for file in good/*; do ln "$file" other/; done
rm other/test_batch.bin && cp good/test_batch.bin other/
printf '\1' | dd of=other/test_batch.bin bs=1 seek=$((3073 * 8000 + 9)) conv=notrunc 2>/dev/null
net=(--network lenet5 --backend ref --scheme ssgd --updates 1 --threads 1 --batch 8 --minibatches 1
    --eval-samples 8000)
run "$mpirun" -n 1 env DATA=good "$nbsgd" "${net[@]}" : -n 2 "$nbsgd" "${net[@]}"
check 'data at rank 0 alone' one_line \
    'rank 1 on .* has data set synthetic .*, rank 0 has data set cifar10 \(from good\)'
net+=(--eval-samples 8001)
run "$mpirun" -n 1 env DATA=good "$nbsgd" "${net[@]}" : -n 1 env DATA=other "$nbsgd" "${net[@]}"
check 'one byte of one image' one_line \
    'rank 1 on .* has digest of all images .* from other\), rank 0 has .* from good\)'
run "$mpirun" -n 1 "$nbsgd" "${net[@]}" --data good : -n 1 "$nbsgd" "${net[@]}" --data here
check 'a rank whose data are not there is named by rank 0' one_line 'rank 1: --data here: no data'

# weights: each of two servers reads its own file
net=(--network lenet5 --backend ref --dataset synthetic --train-samples 16 --eval-samples 8
    --threads 1 --batch 8 --minibatches 1 --updates 1 --eval-batches 1)
for seed in 1 2; do
    run "$nbsgd" --world sim --workers 1 --scheme ssgd "${net[@]}" --seed $seed \
        --save here/w$seed --results "w$seed"
done
mv here/w2 there/w1
# shellcheck disable=SC2016
run "$mpirun" -n 1 bash -c 'cd here && exec "$@"' - "$nbsgd" --servers 2 "${net[@]}" --init w1 : \
    -n 2 bash -c 'cd there && exec "$@"' - "$nbsgd" --servers 2 "${net[@]}" --init w1
check 'two servers with other files of weights' one_line \
    'rank 1 on .* has digest of the weights of --init .*, rank 0 has'

# launchers of other sizes: each process is a world of its own
for size in PMI_SIZE OMPI_COMM_WORLD_SIZE MV2_COMM_WORLD_SIZE SLURM_STEP_NUM_TASKS; do
    run env $size=5 "$nbsgd" --world sim "${toy[@]}"
    check "$size=5 of one process" one_line "5 processes of 1 rank \($size=5\)"
done
run env OMPI_COMM_WORLD_SIZE=5 OMPI_COMM_WORLD_RANK=0 "$nbsgd" --world sim "${toy[@]}"
check 'a launcher of Open MPI, a library that is alone' [ "$code" = 2 ]
run env SLURM_STEP_NUM_TASKS=1 "$nbsgd" --world sim "${toy[@]}" --results alone
check 'a step of one task' ends 0
finish
