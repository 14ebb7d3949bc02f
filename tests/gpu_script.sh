#!/usr/bin/env bash
# bench/gpu.sh, as far as it goes without a GPU: its commands' words, its exit codes, and a
# rehearsal on the CPU with a stand-in for PyTorch, so that each ratio is known.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
[ $sanitized = 0 ] || skip 'measures speed: not under sanitizers'
build=$(dirname "$nbsgd")
[ -x "$build/bench/step" ] || skip "no $build/bench/step (make $build/bench/step)"
"$nbsgd" --version | grep -q 'openblas (' || skip 'OpenBLAS is not built in'
mkdir -p a/tests/cuda a/bench
for program in nbsgd bench/step; do ln -s "$build/$program" "a/$program"; done
for name in $(cd "$home/tests" && printf '%s\n' cuda/test_*.c | sed 's/\.c$//') test_backends; do
    printf '#!/bin/sh\necho "[  PASSED  ] 3 test(s)."\n' >"a/tests/$name"
    chmod +x "a/tests/$name"
done
cat >peer <<'END'
#!/bin/bash
[ "$1" != -c ] || { echo stand-in; exit; }
[[ $* != *--check* ]] || exec python3 "$@"
[[ $* != *reduce-overhead* ]] || { echo "no graphs here" >&2; exit 1; }
read -r go
[ "$go" = go ] || exit 1
echo "ready backend=stand-in parameters=${PARAMETERS:-269722} loss=2"
while read -r seconds && [ "$seconds" != end ]; do
    if [[ $* == *compile* ]]; then echo 300 250 10000; else echo 100; fi
done
END
chmod +x peer
script=(env BUILD="$folder/a" PYTHON="$folder/peer" OUT="$folder/out" OMP_WAIT_POLICY=passive
    TESTS="$folder/a/tests/test_backends" "$home/bench/gpu.sh")

run "${script[@]}" --dry-run
check 'every command is taken by its program' ends 0 '[0-9][0-9] commands, none refused, none run' \
    'train nbssgd: .*mpirun.* -n 5 .*--scheme nbssgd' \
    'steps imagenet 224 128 graphs: .*--side 224 .*--compile reduce-overhead' \
    'tests step bf16: .*--dtype bf16 .*--backend cudnn'
check 'and nothing is left' [ ! -e out ]
run env PARTS=ranks MPIRUN='no_such_launcher -n 9' "${script[@]}" --dry-run
check 'a launcher that is missing' ends 2 'ranks 2: refused: no no_such_launcher'
run "${script[@]}" --full --dry-run
check 'two words' ends 2 'one word at most'
run env PARTS='tests dance' "${script[@]}"
check 'a part that is none' ends 2 'no dance; there are: tests steps ranks train'
run env BUILD="$folder/nowhere" "$home/bench/gpu.sh"
check 'no programs' ends 2 'no .*/nowhere/nbsgd; .make CUDA=1 gpu. builds it'
mkdir b
cp -r a/* b
rm b/nbsgd b/tests/cuda/test_plans
cat >b/nbsgd <<END
#!/bin/sh
case "\$*" in *--zero-gamma*) echo "nbsgd: unknown option" >&2; exit 2 ;; esac
exec $nbsgd "\$@"
END
chmod +x b/nbsgd
run env PARTS='tests train' "${script[@]/$folder\/a/$folder/b}"
check 'a program that refuses a word, and one that is missing' ends 2 \
    'train asgd: refused: nbsgd: unknown option' 'test_plans: refused: no '
if "$nbsgd" --version | grep -q 'cudnn ([^)]*f32 yes'; then
    passes_over 'a CUDA device is here: bench/gpu.sh would begin'
else
    run "${script[@]}"
    check 'no device' ends 77 \
        '(no CUDA device here|built without CUDA=1): [0-9][0-9] commands were checked, none was run'
    check 'is one line' [ "$(wc -l <<<"$out")" = 1 ]
    check 'and leaves nothing' [ ! -e out ]
fi

run "${script[@]}" --rehearse
check 'a rehearsal' ends 0 'two runs +1 passed' 'step f32 +1 passed' 'test_backends +3 passed' \
    'graphs left out: no graphs here' 'asgd +top-1' 'rows: '
# FILE: each quotient is that of the figures; eager answers 100, compiled 300 in the middle
ratio() {
    awk -F, '
        function near(a, b) { return a > 0.99 * b && a < 1.01 * b }
        /^cifar,8,4,f32/ {
            n++
            right += near($10, $5 / 100) && near($13, $5 / 300) && near($16, $5 / 1000) &&
                $7 == 100 && $8 == 300 && $9 == "-" && $12 == ($10 >= 0.1 ? "yes" : "NO") &&
                $15 == ($13 >= 1.2 ? "yes" : "NO") && $18 == ($16 >= 75 ? "yes" : "NO")
        }
        END { exit !(n == 1 && right == 1) }' "$1" || { cat "$1"; return 1; }
}
check 'its ratios are those of the figures' ratio out/steps.csv
rows_are() { # TESTS RANKS TRAIN
    local found
    found=$(for part in tests ranks train; do rows "out/$part.csv" | wc -l; done | paste -sd' ')
    [ "$found" = "$*" ]
}
check 'every part left its rows' rows_are 5 2 4
wanted='^\| (two runs|cifar|3|nbssgd) \||^    train asgd: mpirun|REHEARSAL ON THE CPU, no'
check 'the README has them and the commands' [ "$(grep -cE "$wanted" out/README.md)" = 6 ]
cp out/README.md before
sed -i 's/^nbssgd,/nbssgd again,/' out/train.csv
run env PARTS='' "${script[@]}" --rehearse
check 'the README can be made anew from the rows' [ \
    "$code $(diff before out/README.md | grep -c 'nbssgd again')" = '0 1' ]

run env PARTS='ranks train' MPIRUN=false "${script[@]}" --rehearse
check 'a part that fails does not stop the next, nor a run the next run' ends 1 \
    '3 ranks: FAILED: exit code 1' 'serial +top-1' 'asgd: FAILED' 'failed: ranks train'
run env PARTS=steps PARAMETERS=7 "${script[@]}" --rehearse
check 'a peer with another network' ends 1 'eager has 7 parameters, ours 269722: not one network' \
    'failed: steps'
run env PARTS=steps "${script[@]/PYTHON=*/PYTHON=no_such_python}" --rehearse
check 'without Python ours is measured alone' ends 0 'no torch in no_such_python: ours alone' \
    '/ eager - >=0.1 -'
finish
