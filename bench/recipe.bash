# How accuracy is measured: a network, its recipe, its images. Sourced; the settings are those of
# bench/parity.
# shellcheck shell=bash disable=SC2034

network=${NETWORK:-resnet20} passes=${PASSES:-2} threads=${THREADS:-1} batch=128 pass=50000
common=(--scheme serial --workers 1 --network "$network" --batch "$batch" --minibatches 1
    --threads "$threads" --prefetch 0)
recipe=(--optimizer sgd --lr 0.1 --momentum 0.9 --weight-decay 5e-4 --schedule cosine
    --warmup 0.05 --epochs "$passes" --eval-every "$pass")

find_cifar() { # PROGRAM: sets `data`, or ends it
    data=${DATA:-data}
    [ -f "$data/data_batch_1.bin" ] || data=$data/cifar-10-batches-bin
    [ -f "$data/data_batch_1.bin" ] && return
    echo "$1: no CIFAR-10 in ${DATA:-data}: set DATA (data_loader/fetch cifar10 data)" >&2
    exit 2
}
