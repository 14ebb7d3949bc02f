#!/usr/bin/env bash
# What bad input gets: exit code 2 and one line that names the mistake, before any training; also
# when five ranks make it.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

# One line, said once, with these words; nothing else, and no folder of results.
refuses() { # WORDS COMMAND ...
    local words=$1
    shift
    run "$@"
    if [ "$code" != 2 ]; then fails "exit code 2, and \"$words\""
    elif ! grep -qE -- "$words" <<<"$out"; then fails "\"$words\" was expected"
    elif [ "$(wc -l <<<"$out")" != 1 ] || [[ $out != 'nbsgd: '* ]]; then
        fails "one line that begins with nbsgd: was expected"
    elif [ -e results ]; then fails 'a folder of results was made'
    else passed=$((passed + 1)); fi
    rm -rf results
}

toy=("$nbsgd" --world sim --network quadratic)
net=("$nbsgd" --world sim --network resnet20 --backend ref --batch 8 --minibatches 2
    --eval-samples 8)

# names
refuses "'bacth': did you mean 'batch'" "${toy[@]}" --bacth 8
refuses "'no-augmnt': did you mean 'augment'" "${toy[@]}" --no-augmnt
refuses "'nb_inflight': did you mean 'nb-inflight'" "${toy[@]}" --nb_inflight carry
refuses "unknown option 'xyzzyxyzzyxyzzy'" "${toy[@]}" --xyzzyxyzzyxyzzy
refuses "'batch=8' stands alone" "${toy[@]}" batch=8
refuses "'-b': options begin with two dashes" "${toy[@]}" -b 8
refuses '--lr wants a value' "${toy[@]}" --lr
refuses "unknown option 'schem': did you mean 'scheme'" "${toy[@]}" --schem asgd
refuses "'-lr': options begin with two dashes" "${toy[@]}" -lr 0.1
refuses '--no-pin takes no value' "${toy[@]}" --no-pin=3

# commands
refuses "unknown command 'trian'; did you mean 'train'" "$nbsgd" trian --scheme ssgd
refuses "unknown option 'bacth': did you mean 'batch'" "$nbsgd" train --world sim --bacth 8

# numbers
for bad in nan inf -0.1 1e999 1x abc ''; do
    refuses "--lr: '$bad' is not a number" "${toy[@]}" --lr="$bad"
done
for bad in -8 2.5 1e3 99999999999999999999 ''; do
    refuses "--batch: '$bad' is not a whole number" "${toy[@]}" --batch="$bad"
done
refuses '--batch 10 is not divided by --minibatches 4' "${toy[@]}" --batch 10 --minibatches 4
refuses "--batch: '0' is not a whole number from 1 to 1048576" "${toy[@]}" --batch 0
refuses "--minibatches: '0' is not a whole number from 1" "${toy[@]}" --minibatches 0
refuses "--lr: '1e300' is not a number from 0 to 3e.38" "${toy[@]}" --lr 1e300
refuses '--epsilon 0: give a number' "${toy[@]}" --optimizer adam --epsilon 0
refuses "--momentum: '1' is not a number from 0 to below 1" "${toy[@]}" --momentum 1
refuses "--target: '101' is not a number from 0 to 100" "${toy[@]}" --target 101
refuses '--epochs 0' "${toy[@]}" --epochs 0
refuses "--epochs: '1e15' is not a number from 0 to 1000000000" "${toy[@]}" --epochs 1e15
refuses "--samples: '9223372036854775807' is not a whole number from 0 to 1000000000000000" \
    "${toy[@]}" --samples 9223372036854775807
refuses "--deadline: '0' is not a number above 0 and at most" "${toy[@]}" --deadline 0
refuses "--workers: '0' is not a whole number from 1 to 100000" "${toy[@]}" --workers 0
refuses "--servers: '65' is not a whole number from 1 to 64" "${toy[@]}" --servers 65
refuses "--threads: '2000' is not a whole number from 0 to 1024" "${toy[@]}" --threads 2000
refuses '--evaluate val: nothing is held out' "${toy[@]}" --network lenet5 --evaluate val
refuses '--val-split: quadratic has no images' "${toy[@]}" --val-split 0.1
refuses "--norm-samples: '-1' is not a whole number from 0" "${toy[@]}" --norm-samples -1
refuses '--norm-samples 0 judges a file' "${toy[@]}" --norm-samples 0
refuses '--norm-samples 0 judges a file' "${toy[@]}" --norm-samples 0 --init weights
refuses "--sim-bandwidth: '0' is not a number above 0" "${toy[@]}" --sim-bandwidth 0
refuses "--milestones '0.5,2'" "${toy[@]}" --schedule step --milestones 0.5,2
refuses "--thresholds: '0,50'" "${toy[@]}" --thresholds 0,50
refuses '--batch 4 is not divided by --minibatches 8' "$nbsgd" --print-network --batch 4

# words
refuses "unknown scheme 'nbsgd'; did you mean 'nbssgd'" "${toy[@]}" --scheme nbsgd
refuses "unknown network 'resnet21'; known are .*resnet20" "${toy[@]}" --network resnet21
refuses "unknown network 'resnet21'" "$nbsgd" --check-options --network resnet21 --stem imagenet
refuses '--print-network: quadratic has no units' "$nbsgd" --print-network --network quadratic
refuses "--backend: 'onedn' .*did you mean 'onednn'" "${toy[@]}" --backend onedn
refuses "--compress: 'f23' .*did you mean 'f32'" "${toy[@]}" --compress f23
refuses "--tf32 .*--backend cudnn" "${net[@]}" --tf32
refuses "--server-device: 'cuda' is not one of cpu.gpu" "${toy[@]}" --server-device cuda
refuses '--server-device gpu: no server steps in allreduce' "${toy[@]}" --scheme allreduce \
    --server-device gpu
refuses '--compress int8: nothing is pushed to a server in hogwild' "${toy[@]}" --scheme hogwild \
    --compress int8
for scheme in allreduce eager; do
    refuses '--compress int8: --allreduce vendor moves floats as they are' "${toy[@]}" \
        --scheme $scheme --compress int8 --allreduce vendor
done
refuses 'topology one-peer-exponential wants a power of two: 4 or 8, not 6' "${toy[@]}" \
    --scheme dpsgd --topology hypercube --workers 6
refuses '--topology directed-ring: edges go one way.*; take ring' "${toy[@]}" --scheme dpsgd \
    --topology directed-ring
refuses '--topology one-peer-ring: it changes from step to step' "${toy[@]}" --scheme nbgossip \
    --topology one-peer-ring
refuses '--allreduce ring: dpsgd sums among all workers only with --outer-every' "${toy[@]}" \
    --scheme dpsgd --allreduce ring
refuses '--topology belongs to a scheme whose workers mix with neighbours' "${toy[@]}" \
    --topology ring
refuses '--topology ring of 5 workers is not bipartite.*; take --topology path' "${toy[@]}" \
    --scheme adpsgd --workers 5
refuses '--overlap-steps belongs to --scheme osgp' "${toy[@]}" --scheme sgp --overlap-steps 2
refuses "--servers 2: hogwild's weights lie with rank 0 alone" "${toy[@]}" --scheme hogwild \
    --servers 2
refuses '--backup-workers 4 leaves none of 4 workers' "${toy[@]}" --scheme backup --backup-workers 4
refuses '--nb-payload weights: weights would not survive --compress sign' "${toy[@]}" \
    --scheme nbssgd --nb-payload weights --compress sign
refuses '--nb-drop-late 0.5: a racing server waits for nobody; leave it out' "${toy[@]}" \
    --scheme nbssgd --nb-drop-late 0.5 --nb-server racing
refuses "--compress-ratio: '0' is not a number above 0 and at most 1" "${toy[@]}" --compress topk \
    --compress-ratio 0
refuses '--optimizer adam: workers of easgd step by sgd' "${toy[@]}" --scheme easgd --optimizer adam
refuses '--optimizer adamw: workers of eamsgd step by nesterov' "${toy[@]}" --scheme eamsgd \
    --optimizer adamw
refuses '--clip with --servers 2: in asgd none of them knows the norm' "${toy[@]}" --scheme asgd \
    --clip 1 --servers 2
refuses '--clip with --servers 2: a racing server does not know the norm' "${toy[@]}" \
    --scheme nbssgd --nb-server racing --clip 1 --servers 2
refuses '--clip: no device takes norms; take --server-device cpu' "${toy[@]}" --scheme ssgd \
    --clip 1 --server-device gpu
refuses '--replay: speeds decide how many steps --dylu makes' "${toy[@]}" --scheme dnesterov \
    --dylu --replay order
refuses '--record: when a worker is stopped' "${toy[@]}" --scheme ringmaster --ringmaster-stops \
    --record order
refuses '--server-momentum worker: --momentum 0 remembers nothing' "${toy[@]}" --scheme ringmaster \
    --momentum 0 --server-momentum worker
refuses '--server-momentum worker: an update of --softsync' "${toy[@]}" --scheme asgd \
    --softsync 2 --server-momentum worker
refuses "--dropcompute-tau: '0' is not auto, inf or a number of seconds above 0" "${toy[@]}" \
    --scheme dropcompute --dropcompute-tau 0
refuses '--stale-lr inverse scales the gradients of a sum, which adam' "${toy[@]}" --scheme asgd \
    --softsync 2 --stale-lr inverse --optimizer adam
refuses '--stale-lr rescaled: the moments of adam' "${toy[@]}" --scheme asgd \
    --stale-lr rescaled --optimizer adam
refuses '--stale-lr rescaled: --clip would undo' "${toy[@]}" --scheme asgd \
    --stale-lr rescaled --clip 1
refuses "--optimizer lars: a layer's norm needs all of it" "${toy[@]}" --scheme ssgd \
    --optimizer lars --servers 2
refuses '--optimizer lamb: hogwild steps on parts of layers' "${toy[@]}" --scheme hogwild \
    --optimizer lamb
refuses '--ema: in hogwild nobody sees the weights of one update' "${toy[@]}" \
    --scheme hogwild --ema 0.9
"$nbsgd" --version | grep -q 'cudnn ([^)]*f32 yes' ||
    refuses '--server-device gpu: .* choose cpu' "${toy[@]}" --scheme ssgd --server-device gpu
refuses "--dtype: 'f16' is not one of f32.bf16" "${toy[@]}" --dtype f16
refuses "--world: 'simm' .*did you mean 'sim'" "$nbsgd" --world simm
refuses "--optimizer: 'sdg' .*did you mean 'sgd'" "${toy[@]}" --optimizer sdg
refuses "--schedule: 'cosin' .*did you mean 'cosine'" "${toy[@]}" --schedule cosin
refuses "--nb-inflight: 'abrot' .*did you mean 'abort'" "${toy[@]}" --nb-inflight abrot
refuses "--augment: 'maybe' is neither yes nor no" "${toy[@]}" --augment=maybe
for bad in gauss:1,2 constant constant:-1 constant:nan uniform:2,1 stall:2,1 'constant:1;' \
    constant:1@9
do
    refuses "--delay '$bad': .*known forms: constant:SECONDS" "${toy[@]}" --delay "$bad"
done
for bad in 9=2 1 1=0.5 1=2,1=3 1=nan; do
    refuses "--slow '$bad': .*known forms: RANK=FACTOR" "${toy[@]}" --slow "$bad"
done
refuses '--slow: rank 0 is a server' "${toy[@]}" --slow 0=2
refuses '--delay: rank 1 is a server' "${toy[@]}" --servers 2 --delay constant:1@1

# options of other members, and of other worlds
refuses '--backup-workers belongs to --scheme backup and has no effect' "${toy[@]}" --scheme ssgd \
    --backup-workers 1
refuses '--backup-workers belongs to --scheme backup' "${toy[@]}" --scheme ssgd --backups 1
refuses '--beta1 belongs to --optimizer adam, adamw or lamb, --optimizer accumadam' "${toy[@]}" \
    --beta1 0.5
refuses '--optimizer accumadam: no device has it' "${toy[@]}" --optimizer accumadam \
    --server-device gpu
refuses '--epsilon belongs to --optimizer adam, adamw or lamb, --optimizer accumadam' \
    "${toy[@]}" --epsilon 1
refuses '--gamma belongs to --schedule step, --schedule exponential' "${toy[@]}" --gamma 0.5
refuses '--sim-latency belongs to --world sim' "$nbsgd" --scheme serial --network quadratic \
    --sim-latency 1
refuses '--link-delay belongs to --world sim' "$nbsgd" --scheme serial --network quadratic \
    --link-delay constant:1
refuses '--link-burst belongs to --world sim' "$nbsgd" --scheme serial --network quadratic \
    --link-burst 0.1,8,20
refuses "--link-delay 'constant:1@9': no such rank among 5" "${toy[@]}" --link-delay constant:1@9
refuses "--link-burst '0.1,8': no ','" "${toy[@]}" --link-burst 0.1,8
run "${toy[@]}" --scheme allreduce --sim-model-sums 1 --link-burst 0.1,8,20
check 'sums that are charged as a whole know no slow links' \
    ends 2 '^nbsgd: --link-burst: sums of 4 workers are charged as a whole'
rm -rf results # it is found when the world is open
refuses '--machine belongs to --world sim' "$nbsgd" --scheme serial --network quadratic \
    --machine file
refuses '--workers 2: under a launcher .*here 1 of 2; .*mpirun -n 3' "$mpirun" -n 2 "$nbsgd" \
    --network quadratic --workers 2

# what --save can't replace, before training
ln -s gone link
refuses '--save link: that is a link to nothing' "${net[@]}" --save link
refuses '--save /dev/full: that is a device or a pipe' "${net[@]}" --save /dev/full

# files of options
printf '[what]\n# the rate\nlr = 0.1\nbacth = 8\n' >key.ini
printf 'lr = fast\n' >value.ini
printf 'batch 8\n' >form.ini
printf 'config = key.ini\n' >nested.ini
refuses "key.ini:4: unknown option 'bacth': did you mean 'batch'" "${toy[@]}" --config key.ini
refuses "value.ini:1: --lr: 'fast' is not a number" "${toy[@]}" --config value.ini
refuses "nested.ini:1: unknown option 'config'" "${toy[@]}" --config nested.ini
grep -q "did you mean 'config'" <<<"$out" && fails 'what no file may hold is not proposed'
refuses "form.ini:1: neither 'name = value' nor" "${toy[@]}" --config form.ini
printf 'lr = 0.1\nbatch = 8\n\nlr = 0.2\n' >twice.ini
printf 'rate = 0.1\nlr = 0.2\n' >alias.ini
printf '[data\n' >section.ini
printf 'lr = 0.1\0\n' >zero.ini
refuses "twice.ini:4: 'lr' is already set in line 1" "${toy[@]}" --config twice.ini
refuses "alias.ini:2: 'lr' is already set in line 1" "${toy[@]}" --config alias.ini
refuses "section.ini:1: neither 'name = value' nor" "${toy[@]}" --config section.ini
refuses 'zero.ini:1: a zero byte' "${toy[@]}" --config zero.ini
refuses 'cannot read gone.ini \(No such file' "${toy[@]}" --config gone.ini
refuses 'cannot read .* \(Is a directory\)' "${toy[@]}" --config .

# data: five good files and one bad one of each kind
mkdir good truncated foreign labels
perl -e 'print chr($_ % 10), "\0" x 3072 for 0 .. 9999' >good/data_batch_1.bin
for name in data_batch_2 data_batch_3 data_batch_4 data_batch_5 test_batch; do
    ln good/data_batch_1.bin "good/$name.bin"
done
for bad in truncated foreign labels; do
    for file in good/*; do ln "$file" "$bad/"; done
    rm "$bad/test_batch.bin"
done
head -c 30729999 good/test_batch.bin >truncated/test_batch.bin
truncate -s 30730000 foreign/test_batch.bin # as long, but all zeros
{
    head -c $((3073 * 700)) good/test_batch.bin && printf '\012' &&
        tail -c +$((3073 * 700 + 2)) good/test_batch.bin
} >labels/test_batch.bin
refuses '--data gone: no cifar10 is found there \(No such file' "${net[@]}" --dataset cifar10 \
    --data gone
refuses '--data gone: no data set is found there .*; known are: cifar-10-batches-bin of cifar10' \
    "${net[@]}" --data gone
mkdir empty python archive above
touch python/data_batch_1 archive/cifar-10-binary.tar.gz
ln -s ../good above/cifar
refuses 'DATA=empty: no data set is found there \(it is empty\)' env DATA=empty "${net[@]}"
refuses 'DATA: the folder.s name has a control character .code 10. in it' env DATA=$'go\nod' \
    "${net[@]}"
refuses 'DATA=python: .*data_batch_1 is the version for Python of CIFAR-10; the binary' \
    env DATA=python "${net[@]}"
refuses '--data archive: .*not unpacked: tar -xzf cifar-10-binary.tar.gz' "${net[@]}" --data archive
refuses 'archive/cifar-10-binary.tar.gz: .*it is an archive: unpack it' "${net[@]}" \
    --data archive/cifar-10-binary.tar.gz
refuses '--data above: .*cifar10 is in above/cifar: name that' "${net[@]}" --data above
refuses 'truncated/test_batch.bin: 30,730,000 bytes expected, 30,729,999 found' "${net[@]}" \
    --data truncated
refuses 'foreign/test_batch.bin: images of all 10 classes expected, none of class 1' "${net[@]}" \
    --data foreign
refuses 'labels/test_batch.bin: labels 0 to 9 expected, 10 in record 700' "${net[@]}" --data labels
refuses 'no cifar-10-batches-bin' "${net[@]}" --dataset cifar10
# pipes that nobody writes into
mkdir pipes digits shards
for name in data_batch_{1,2,3,4,5} test_batch; do mkfifo "pipes/$name.bin"; done
for name in train-images-idx3 train-labels-idx1 t10k-images-idx3 t10k-labels-idx1; do
    mkfifo "digits/$name-ubyte"
done
mkfifo shards/train-000.tar shards/train-00000.shard pipe
refuses 'pipes/data_batch_1.bin: .* no plain file found' "${net[@]}" --data pipes
refuses 'digits/train-images-idx3-ubyte: it is no plain file' "${net[@]}" --data digits
refuses 'shards/train-000.*: ' "${net[@]}" --dataset shards --data shards
refuses "'pipe': it is no file" "${net[@]}" --dataset synthetic --train-samples 64 --init pipe
refuses '--train-samples' "${net[@]}" --dataset synthetic --train-samples 3
refuses '5 training samples are too few for 6 workers' "${net[@]}" --dataset synthetic \
    --train-samples 5 --workers 6

refuses "--partition: 'lable' .*did you mean 'label'" "${net[@]}" --partition lable
refuses '--partition dirichlet: worker [0-9]+ of 0 .. 15 would have no sample: .*larger' \
    "${net[@]}" --dataset synthetic --partition dirichlet --dirichlet 0.001 --workers 16
refuses '--dirichlet 0: take' "${net[@]}" --dataset synthetic --partition dirichlet --dirichlet 0
refuses 'the quadratic toy has no samples to part' "${toy[@]}" --partition label

# weights
synthetic=(--dataset synthetic --train-samples 64 --updates 1 --eval-batches 1)
run "${net[@]}" "${synthetic[@]}" --save good.safetensors --results run
check 'weights to spoil' ends 0
head -c 100000 good.safetensors >cut.safetensors
refuses "'cut.safetensors': .*truncated" "${net[@]}" "${synthetic[@]}" --init cut.safetensors
refuses "'key.ini': .*no safetensors file|'key.ini': .*truncated" "${net[@]}" "${synthetic[@]}" \
    --init key.ini
refuses "'gone': No such file" "${net[@]}" "${synthetic[@]}" --init gone
refuses "'good': it is no file" "${net[@]}" "${synthetic[@]}" --init good
refuses "'good.safetensors': tensor .*resnet32" "${net[@]}" "${synthetic[@]}" --network resnet32 \
    --init good.safetensors
refuses 'the quadratic toy has no weights' "${toy[@]}" --save toy.safetensors
refuses 'cannot write into the folder gone' "${net[@]}" "${synthetic[@]}" --save gone/weights
refuses 'that is a folder' "${net[@]}" "${synthetic[@]}" --save good

printf 'version https://git-lfs.github.com/spec/v1\noid sha256:0\n' >pointer
printf '\n<!DOCTYPE html>\n<html>' >page
printf 'PK\003\004torch' >torch
: >nothing
refuses "'pointer': it is a Git LFS pointer, .*git lfs pull" "${net[@]}" "${synthetic[@]}" \
    --init pointer
refuses "'page': it is a web page" "${net[@]}" "${synthetic[@]}" --init page
refuses "'torch': it is a zip archive, as torch.save" "${net[@]}" "${synthetic[@]}" --init torch
refuses "'nothing': it is empty" "${net[@]}" "${synthetic[@]}" --init nothing
{ cat good.safetensors && printf 1234; } >longer
refuses "'longer': 4 bytes after .*, the last tensor, belong to none" "${net[@]}" \
    "${synthetic[@]}" --init longer
# The last bytes are those of fc.bias: the third number from the end becomes a NaN.
{ head -c -12 good.safetensors && printf '\000\000\300\177' && tail -c 8 good.safetensors; } >nan
refuses "'nan': tensor fc.bias: a weight is NaN at \[7\]" "${net[@]}" "${synthetic[@]}" --init nan
perl -0777 -pe 's/^.{8}//s; s/"(?=(conv|bn|layer|fc))/"module./g; s/\}\} */}}/; /\}\}/;
    print pack("Q<", $+[0])' good.safetensors >wrapped
run "${net[@]}" "${synthetic[@]}" --init wrapped --results run2
check 'names with "module." before them' ends 0 "its names begin with 'module.', which is taken off"
refuses 'nothing would learn; take mini-batches of more images' "$nbsgd" --world sim \
    --network resnet18 --stem imagenet --backend ref --batch 1 --minibatches 1 "${synthetic[@]}"
run "$nbsgd" --world sim --network resnet18 --stem imagenet --backend ref --batch 2 \
    --minibatches 1 --eval-samples 8 --workers 1 "${synthetic[@]}" --results run3
check 'two values a channel' \
    ends 0 'two values a channel, .*hardly learns; take mini-batches of more'

# results
refuses 'cannot make the folder key.ini/run' "${toy[@]}" --results key.ini/run
refuses 'key.ini is no folder' "${toy[@]}" --results key.ini

# ranks: each mistake said once, and nobody is left waiting
refuses 'nbssgd needs a server and at least one worker, .*mpirun -n 5' "$nbsgd" --network quadratic
refuses 'serial runs in one process' "$mpirun" -n 3 "$nbsgd" --scheme serial --network quadratic
refuses '--servers 2 leaves no worker among 2 ranks: .*mpirun -n 3' "$mpirun" -n 2 "$nbsgd" \
    --servers 2 --network quadratic
refuses '--world sim: .*without a launcher' "$mpirun" -n 2 "${toy[@]}"
five=("$mpirun" -n 5 "$nbsgd")
refuses "did you mean 'batch'" "${five[@]}" --bacth 8
refuses 'key.ini:4: unknown option' "${five[@]}" --config key.ini
refuses '--batch 10 is not divided' "${five[@]}" --batch 10 --minibatches 4
refuses "'nbsgd'; did you mean 'nbssgd'" "${five[@]}" --scheme nbsgd
refuses 'no such rank among 5' "${five[@]}" --network quadratic --slow 5=2
refuses 'truncated/test_batch.bin: 30,730,000 bytes expected' "${five[@]}" --network resnet20 \
    --data truncated
refuses "'cut.safetensors': .*truncated" "${five[@]}" --network resnet20 "${synthetic[@]}" \
    --batch 8 --minibatches 2 --init cut.safetensors
refuses 'cannot make the folder key.ini/run' "${five[@]}" --network quadratic --results key.ini/run
refuses "rank 1: .*did you mean 'batch'" "$mpirun" -n 1 "$nbsgd" --network quadratic : -n 1 \
    "$nbsgd" --network quadratic --bacth 8
refuses 'NBSGD_HOSTS=two is no number of hosts' env NBSGD_HOSTS=two "$mpirun" -n 2 "$nbsgd" \
    --network quadratic

finish
