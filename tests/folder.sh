#!/usr/bin/env bash
# Training on class folders by the whole program, over MPI: two colours, told apart after some
# updates; the same run for any threads that decode; and what is said of folders that are wrong.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

# 16 x 24 pixels each
red=/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1td
red+=hbWGkJ6jq62rZ4C8ybqmx5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSk
red+=pKSkpKSkpKSkpKSkpKSkpKSkpKSkpKT/wAARCAAYABADASIAAhEBAxEB/8QAFgABAQEAAAAAAAAAAAAAAAAAAwAF/8QA
red+=FRABAQAAAAAAAAAAAAAAAAAAAAL/xAAWAQEBAQAAAAAAAAAAAAAAAAAAAQP/xAAWEQEBAQAAAAAAAAAAAAAAAAAAAQL/
red+=2gAMAwEAAhEDEQA/AMKSSOSStbYHJJSKYf/Z
green=/9j/4AAQSkZJRgABAQAAAQABAAD/2wBDABsSFBcUERsXFhceHBsgKEIrKCUlKFE6PTBCYFVlZF9VXVtqeJmBanGQc1td
green+=hbWGkJ6jq62rZ4C8ybqmx5moq6T/2wBDARweHigjKE4rK06kbl1upKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSkpKSk
green+=pKSkpKSkpKSkpKSkpKSkpKSkpKSkpKT/wAARCAAYABADASIAAhEBAxEB/8QAFgABAQEAAAAAAAAAAAAAAAAAAAQF/8QA
green+=FRABAQAAAAAAAAAAAAAAAAAAABP/xAAWAQEBAQAAAAAAAAAAAAAAAAAEAQL/xAAYEQEAAwEAAAAAAAAAAAAAAAAAARES
green+=E//aAAwDAQACEQMRAD8A2aFEtCjGF5pqFAJqC6h//9k=
for half in train val; do
    mkdir -p "data/$half/ein Rot" "data/$half/grün"
    for i in 1 2 3 4 5 6 7 8; do
        base64 -d <<<"$red" >"data/$half/ein Rot/$i.jpg"
        base64 -d <<<"$green" >"data/$half/grün/$i.jpg"
    done
done

trains() { # RESULTS OPTION ...
    local results=$1
    shift
    run "$mpirun" -n 3 "$nbsgd" --data "${data:-data}" --network resnet20 --scheme ssgd \
        --image-size 16 --batch 4 --minibatches 1 --samples 64 --lr 0.02 --backend ref --threads 1 \
        --eval-every 32 --results "$results" "$@"
}

trains one --decode-threads 1
if grep -q 'was built without libjpeg' <<<"$out"; then skip 'built without libjpeg-turbo'; fi
check 'it trains on class folders, which are recognised' ends 0 'data: data/train, 16 files'
check 'and tells two colours apart' json_holds one/summary.json '$j->{top1} == 100'
check 'and says how long a step waited' ends 0 'waiting for the data loader'
trains three --decode-threads 3 --prefetch 5
check 'with three threads' ends 0
check 'it is the same run' same_rows one/eval.csv three/eval.csv 2-7
trains plain --dataset folder --no-augment
check 'without augmentation' ends 0
check 'it is another' eval '! same_rows one/eval.csv plain/eval.csv 2-7 >diff'
trains wrong --short-side 8
check 'a side that cannot be' ends 2 '--short-side 8 is less than --image-size 16'
run "$nbsgd" --world sim --workers 1 --dataset synthetic --decode-threads 2
check 'decoding nothing' ends 2 '--decode-threads belongs to --dataset folder'

run "$nbsgd" pack data packed
check 'they are packed' ends 0 'packed/train-00000.shard: 1 of 1, 16 images'
mkdir disk
data=packed trains shards --preload disk
check 'shards are recognised, and copied once a host' ends 0 'data: packed, 16 images in 1 shards'
check 'and said so' test "$(grep -c 'preload: .* GB in disk/' <<<"$out")" = 2 # train and val
check 'the run on them is the same' same_rows one/eval.csv shards/eval.csv 2-7
check 'nothing is left of the copies' test -z "$(ls -A disk)"
run "$nbsgd" pack data
check 'one folder' ends 2 'two folders are expected, 1'
run "$nbsgd" pack --shard-size no data more
check 'a size that is none' ends 2 'pack --shard-size no: a number from 1'

printf 'no image' >"data/train/ein Rot/9.jpg"
trains broken --no-overwrite
check 'a broken file ends the run when it is met' ends 2 \
    'data/train/ein Rot/9.jpg: it is no image' '--unreadable check'
trains checked --unreadable check
check 'or before' ends 2 '1 of 17 files cannot be read, as data/train/ein Rot/9.jpg'
trains skipped --unreadable skip
check 'or it is left out' ends 0 '1 of 17 files are left out, as data/train/ein Rot/9.jpg'
check 'and the run is that without it' same_rows one/eval.csv skipped/eval.csv 2-7
rm "data/train/ein Rot/9.jpg"
rm -r data/val
trains none
check 'no images to judge by' ends 2 'neither val/ nor test/ has class folders'
trains held --val-split 0.25 --evaluate val
check 'a part of the others' ends 0 '4 held out'

finish
