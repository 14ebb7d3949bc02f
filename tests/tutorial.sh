#!/usr/bin/env bash
# Every command of docs/tutorial.md, in its order, as it stands there, on an experiment with fewer
# trials, seeds and seconds: each ends well, and the last has a verdict. Getting the sources and
# building them is not repeated.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
[ "$sanitized" = 0 ] || skip 'its programs are tested one by one'

ln -s "$nbsgd" nbsgd
ln -s "$home/data_loader" "$home/install.sh" "$home/Makefile" .
mkdir experiments
shorter=(-e 's/^seconds = .*/seconds = 3/' -e 's/^seeds = 1-10/seeds = 1-2/'
    -e 's/^trials = .*/trials = 2/' -e 's/^repeats = .*/repeats = 2/')
if [ -n "$cifar" ] && [ -d "$cifar/fashion-mnist" ]; then
    ln -s "$cifar" data
else
    passes_over 'no Fashion-MNIST (DATA): generated images instead'
    shorter+=(-e 's/^dataset = .*/dataset = synthetic/')
fi
sed "${shorter[@]}" "$home/experiments/tutorial.ini" >experiments/tutorial.ini

try() { # LINE: a command of the tutorial
    local line=$1 words
    line=${line/--seconds 10/--seconds 1}
    [ -d data ] || line=${line/--dataset fashion-mnist/--dataset synthetic}
    read -ra words <<<"$line"
    case $line in
    git\ * | cd\ *) return ;;
    make) check 'the Makefile is there' [ -s Makefile ] && return ;;
    ./install.sh\ *)
        check "install.sh knows ${words[1]}" grep -q "${words[1]}" install.sh
        return
        ;;
    data_loader/fetch\ *)
        check 'fetch knows the data set' grep -q "^    ${words[1]})" data_loader/fetch
        return
        ;;
    mpirun\ *) words[0]=$mpirun ;;
    esac
    run "${words[@]}"
    check "$line" ends 0
}

count=0
while read -r line; do
    try "$line"
    count=$((count + 1))
done < <(
    # a line that ends with a backslash goes on in the next
    sed -E ':more /\\$/ { N; s/ *\\\n */ /; b more }' "$home/docs/tutorial.md" |
        sed -nE 's!^    ((git|cd|make|mpirun|cat|data_loader/|\./).*)!\1!p' |
        awk '!seen[$0]++'
)
check 'the tutorial has its commands' [ $count -ge 14 ]
check 'it ends with a page' [ -s results/tutorial/report.html ]
check 'each scheme got its rate in each case' \
    [ "$(grep -c '^\[setting .* in ' results/tutorial/tuned.ini)" = 8 ]
check 'and all runs have ended' \
    [ "$(rows results/tutorial/study.csv | grep -c ',done,')" = 16 ]
named() { grep -q "^| $1 | 2 of 2 |" results/tutorial/report.md; }
for scheme in ssgd nbssgd asgd localsgd; do check "the report has $scheme" named $scheme; done
finish
