#!/usr/bin/env bash
# Every command in README.md and in experiments/ can be given as it is there. What prints and
# exits runs as it is. What trains has its options checked, and then runs shortened: a toy network,
# three updates. Of `make` the target is looked for, of other scripts the file.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

# The programs that a command may name by their place in the source tree.
ln -s "$nbsgd" nbsgd
for name in run.s test.s launch bench experiments data_loader plots; do
    ln -s "$home/$name" $name
done
export NBSGD=$nbsgd

# Lines of indented blocks that begin as a command does; comments and "..." are taken off.
commands() { # FILE: README.md, or experiments/NAME.ini, where they are in comments
    local begins='mpirun|make|bash|sbatch|gnuplot|bench/|data_loader/|\./'
    sed -nE "s!^(    |#   )(($begins).*)!\2!p" "$1" |
        sed -E 's/ +#.*//; s/  +.*//; s/ \.\.\.//g; s/ +$//'
}

target() { grep -qE "^$1:" "$home/Makefile"; }

try() { # COMMAND WORD ...
    local words=("$@") short=(--network quadratic --partition split --updates 3 --results short)
    case "$*" in
    make\ *) check "$*: the target exists" target "$2" && return ;;
    *--print-* | *--help* | *--version* | */nbsgd\ topology\ *)
        run "$@"
        check "$*" ends 0 && return
        ;;
    esac
    case "$1 ${2:-}" in
    mpirun\ *) words[0]=$mpirun ;;
    ./nbsgd\ study | ./nbsgd\ tune | ./nbsgd\ folds)
        sed -E 's/^dataset = .*/dataset = synthetic/' "$3" >short.ini # data may not be there
        run ./nbsgd "$2" short.ini --check
        check "$* --check" ends 0 'cells: '
        return
        ;;
    bash\ run.s) ;;
    ./nbsgd\ *) ;;
    bash\ * | sbatch\ *)
        check "$*: the script exists" [ -e "$2" ]
        return
        ;;
    *)
        check "$*: the program exists" command -v "$1"
        return
        ;;
    esac
    run "${words[@]}" --dataset synthetic --check-options
    check "$* --check-options" ends 0
    rm -rf short
    run "${words[@]}" "${short[@]}"
    check "$*, shortened" ends 0 'results: short'
}

count=0
for file in README.md experiments/*.ini; do
    while read -ra command; do
        try "${command[@]}"
        count=$((count + 1))
    done < <(commands "$home/$file")
done
check 'README.md and experiments have commands' [ $count -ge 12 ]

named() { grep -ohE 'experiments/[a-z0-9_-]+\.ini' "$home"/README.md "$home"/run.s | sort -u; }
for file in $(named); do check "$file exists" [ -e "$file" ]; done
for file in experiments/*.ini; do
    if grep -q '^\[study\]' "$file"; then continue; fi # commands() has it
    run ./nbsgd --config "$file" --check-options
    check "$file is valid" ends 0
done

# --print-network is of the images that --dataset has, which need not be there.
has() { # PARAMETERS NETWORK DATASET [OPTION ..]
    local parameters=$1 network=$2 data=$3
    shift 3
    run ./nbsgd --print-network --network "$network" --dataset "$data" "$@"
    check "$network on $data has $parameters parameters" ends 0 "units, $parameters parameters"
}
has 61706 lenet5 mnist
has 28440 dinno fashion-mnist
has 1199882 optml_mnist mnist
has 2122186 optml_cifar cifar10
has 199210 mlp mnist
has 11220132 resnet18 cifar100
has 132863336 vgg11 synthetic --synthetic-classes 1000 --synthetic-side 224
finish
