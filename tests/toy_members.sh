#!/usr/bin/env bash
# Members describe themselves: a scheme with an option of its own, a codec, a model and a data set,
# each one file and one line in its family's list, in a copy of the tree that is built and run.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

build=${nbsgd#"$home/"} build=${build%/nbsgd} mode=${build##*/}
case $mode in release | debug | asan | tsan) ;; *) mode=release ;; esac
make=(env -u MAKEFLAGS -u MFLAGS make -s "MODE=$mode" "BUILD=$build")
"${make[@]}" -C "$home" same-flags >/dev/null 2>&1 ||
    skip 'built with other settings than these (CC, CUDA, CFLAGS)'

# The copy takes the objects along, so that only what the members touch is compiled.
mkdir copy
tar -C "$home" -cf - --exclude=./build --exclude=./.git --exclude=./data --exclude=./results \
    --exclude=./nbsgd . | tar -C copy -xf -
objects() { # of the program; and the files that say how they were made
    find "$build" -path '*/tests/*' -prune -o \
        \( -name '*.[od]' -o -name flags -o -name datadir \) -print
}
(cd "$home" && objects | tar -cf - -T -) | tar -C copy -xf -

member() { # KIND NAME FILE LIST: puts it into the family: one file, one line at the list's end
    cp "$home/tests/toy/$1.c" "copy/$3"
    awk -v name="$2" '
        /^ +X\([a-z0-9_]+\) *\\?$/ { listed = 1; last = $0; hold = hold $0 "\n"; next }
        listed == 1 {
            sub(/\n$/, "", hold)
            if (hold !~ /\\$/) hold = hold " \\"
            print hold "\n    X(" name ")"
            listed = 2
        }
        { print }' "copy/$4" >list.new && mv list.new "copy/$4"
}
member scheme toyscheme scheme/toyscheme.c scheme/scheme.c
member codec toycodec serialization/toycodec.c serialization/kinds.h
member model toymodel model/toymodel.c problem/models.c
member dataset toydata data_loader/toydata.c data_loader/kinds.h
lines() { grep -rlw "$1" copy --include='*.[ch]' --exclude-dir=tests | wc -l; }
for name in toyscheme toycodec toymodel toydata; do
    check "$name: its file and one other know it" [ "$(lines $name)" = 2 ]
done

limit=600
run env -C copy "${make[@]}" -j2 nbsgd
check 'the copy builds' ends 0
check 'without a warning' [ "$(grep -c warning <<<"$out")" = 0 ]
run env -C copy tests/house.sh levels guards ifdefs
check 'and keeps the order of modules' ends 0

toy=$folder/copy/$build/nbsgd
run "$toy" --help
check '--help lists all four, and the own option' ends 0 '--toy-scale=X' \
    'toyscheme +ssgd, each update scaled' 'toycodec' 'toydata' 'toymodel +one dense layer'
common=(--backend ref --threads 1 --batch 12 --minibatches 2 --lr 0.05 --samples 2000
    --eval-every 500 --network toymodel --dataset toydata)
sim=("$toy" --world sim --workers 3 "${common[@]}")
run "${sim[@]}" --scheme ssgd --results plain
check 'ssgd on the toy model and data' ends 0 'stripes of three kinds'
check 'learns' json_holds plain/summary.json '$j->{top1} > 90'
run "${sim[@]}" --scheme toyscheme --compress toycodec --results own
check 'the toy scheme with the toy codec' ends 0
check 'does what ssgd does' same_rows plain/eval.csv own/eval.csv 2-8
run "$mpirun" -n 4 "$toy" "${common[@]}" --scheme toyscheme --compress toycodec --results mpi
check 'over MPI, too' same_rows plain/eval.csv mpi/eval.csv 2-8
run "${sim[@]}" --scheme toyscheme --toy-scale 0 --results none
check 'its option is heard: no update changes anything' \
    [ "$(column none/eval.csv loss | sort -u | wc -l)" = 1 ]
check 'and is in the results' grep -q '^toy-scale = 0' none/config.ini
run "${sim[@]}" --scheme ssgd --toy-scale 2
check 'but belongs to its scheme' ends 2 'toy-scale belongs to --scheme toyscheme'
finish
