#!/usr/bin/env bash
# MNIST by LeNet-5, four workers: run.sh DATA OUT. DATA/mnist has the files. The last two runs are
# over MPI, the others on the simulated network.
set -eu
export LC_ALL=C
one() { # SCHEME LR MOMENTUM NAME [OPTION ...]
    "${NBSGD:-./nbsgd}" --world sim --workers 4 --threads 1 --scheme "$1" --network lenet5 \
        --dataset mnist --data "$data" --batch 64 --minibatches 2 --epochs 5 --eval-every 60000 \
        --lr "$2" --momentum "$3" --seed 1 --results "$out/$4" "${@:5}"
}
over_mpi() { # LR NAME [OPTION ...]
    "${MPIRUN:-mpirun}" -n 5 "${NBSGD:-./nbsgd}" --threads 1 --scheme asgd --network lenet5 \
        --dataset mnist --data "$data" --batch 64 --minibatches 2 --epochs 10 --eval-every 60000 \
        --lr "$1" --momentum 0 --seed 1 --results "$out/$2" "${@:3}"
}
data=$1 out=$2
for scheme in serial ssgd nbssgd; do one "$scheme" 0.1 0.9 "$scheme"; done
one asgd 0.005 0.9 asgd-0.005-0.9
one asgd 0.01 0.9 asgd-0.01-0.9
one asgd 0.05 0 asgd-0.05-0
one asgd 0.1 0 asgd-0.1-0-val --val-split 0.1 --evaluate val
one asgd 0.2 0 asgd-0.2-0-val --val-split 0.1 --evaluate val
over_mpi 0.05 asgd-mpi-0.05
over_mpi 0.1 asgd-mpi-0.1-clip --clip 1
