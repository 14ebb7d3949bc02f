# Is it right? The device's tests, every unit against the reference in f32 and bf16, a whole step of
# ResNet-50 beside a CPU's, two runs whose weights must be the same bytes, and the memory checker.
# tests.csv. On a device nothing may be passed over.
# shellcheck shell=bash disable=SC2154

step_words=(--network resnet50 --stem cifar --batch 16 --warm 3 --seconds 0.001)
if [ "$mode" = --rehearse ]; then
    step_words=(--network resnet20 --batch 4 --side 8 --warm 3 --seconds 0.001)
fi

# The programs; a prepared tree may lack some, which then fail.
test_programs() {
    local name
    if [ "$mode" = --rehearse ]; then
        printf '%s\n' "${TESTS:-$build/tests/test_device}"
        return
    fi
    for name in tests/cuda/test_*.c; do
        name=$build/${name%.c}
        # that one is built where NCCL is
        if [ -x "$name" ] || [ "${name##*/}" != test_nccl ]; then echo "$name"; fi
    done
    echo "$build/tests/test_backends"
}

# A CPU's backend to compare with: the first of these that is built in and is not the one that is
# tried.
other_backend() {
    local name
    for name in onednn openblas ref; do
        if [ "$name" != "$BACKEND" ] && [[ $version =~ [\ \;]$name\ \( ]]; then
            echo "$name" && return
        fi
    done
}

sanitizer() {
    command -v compute-sanitizer || ls "${CUDA_HOME:-/usr/local/cuda}/bin/compute-sanitizer" \
        2>/dev/null
}

commands_tests() {
    local program dtype checker name samples=2048
    if [ "$mode" = --rehearse ]; then samples=16; fi
    for program in $(test_programs); do command_is "tests ${program##*/}" "$program"; done
    command_is 'tests step elsewhere' "$build/bench/step" "${step_words[@]}" --dtype f32 \
        --backend "$(other_backend)" --threads "$(nproc)"
    for dtype in f32 bf16; do
        command_is "tests step $dtype" "$build/bench/step" "${step_words[@]}" --dtype $dtype \
            --backend "$BACKEND" --cache "$kernels"
    done
    for name in first second; do
        job_is "tests run $name" 1 serial --samples "$samples" --eval-samples 32 --eval-batches 1 \
            --save "$tmp/$name" --results "$tmp/run-$name"
    done
    checker=$(sanitizer)
    [ -n "$checker" ] && [ "$mode" != --rehearse ] || return 0
    for program in kernels kernels_pools vectors device device_optimizer problem; do
        command_is "tests memcheck $program" "$checker" --tool memcheck --error-exitcode 9 \
            "$build/tests/cuda/test_$program"
    done
}

# verdict NAME PASSED FAILED SKIPPED WORDS: a row.
verdict() {
    printf '%-26s %4s passed %4s failed %4s skipped  %s\n' "$1" "$2" "$3" "$4" "$5"
    printf '%s,%s,%s,%s,%s\n' "$1" "$2" "$3" "$4" "$(tr ',"' '; ' <<<"$5")" >>"$out/tests.csv"
    if [ "$3" != 0 ]; then tests_failed=$((tests_failed + 1)); fi
}

loss_of() { sed -nE 's/^ready .* loss=([^ ]+)$/\1/p' "$1"; }

# One that the memory checker runs may take a hundred times as long: cut short, it is said, and
# counts for nothing.
check_memory() {
    local name code said
    if [ -z "$(sanitizer)" ]; then verdict memcheck 0 0 1 'no compute-sanitizer here'; fi
    for name in "${order[@]}"; do
        [[ $name == 'tests memcheck '* ]] || continue
        if [ "$(left)" -lt 10 ]; then
            verdict "${name#tests }" 0 0 1 'no time was left'
            continue
        fi
        run "$name" "$(left)" "$out/memcheck.txt"
        code=$?
        said=$(grep -E 'ERROR SUMMARY|Error|error' "$out/memcheck.txt" | tail -n 1)
        case $code in
        0) verdict "${name#tests }" 1 0 0 "$said" ;;
        124 | 137) verdict "${name#tests }" 0 0 1 'no end within the time of this part' ;;
        *) verdict "${name#tests }" 0 1 0 "exit code $code: $said" ;;
        esac
    done
}

check_step() {
    local dtype truth is allowed off
    run 'tests step elsewhere' "$(left)" "$tmp/truth" || {
        verdict 'step elsewhere' 0 1 0 "$(why $? "$tmp/truth")"
        return
    }
    truth=$(loss_of "$tmp/truth")
    for dtype in f32 bf16; do
        allowed=$([ $dtype = f32 ] && echo 1e-3 || echo 3e-2)
        if ! [[ $version =~ $BACKEND\ \([^\)]*$dtype\ yes ]] && [ "$mode" = --rehearse ]; then
            verdict "step $dtype" 0 0 1 "$BACKEND does not run $dtype here"
            continue
        fi
        run "tests step $dtype" "$(left)" "$tmp/is" || {
            verdict "step $dtype" 0 1 0 "$(why $? "$tmp/is")"
            continue
        }
        is=$(loss_of "$tmp/is")
        off=$(calc %.1e "($is > $truth ? $is - $truth : $truth - $is) / $truth")
        if [ "$(calc %d "$off <= $allowed")" = 1 ]; then
            verdict "step $dtype" 1 0 0 "third loss $is, $truth on the CPU: off by $off of $allowed"
        else
            verdict "step $dtype" 0 1 0 \
                "third loss $is, $truth on the CPU: off by $off, more than $allowed"
        fi
    done
}

check_repeats() {
    local name
    for name in first second; do
        run "tests run $name" "$(left)" "$tmp/$name.log" || {
            verdict 'two runs' 0 1 0 "$(why $? "$tmp/$name.log")"
            return
        }
    done
    if cmp -s "$tmp/first" "$tmp/second"; then
        verdict 'two runs' 1 0 0 'the same weights, byte for byte'
    else verdict 'two runs' 0 1 0 'their weights differ'; fi
}

part_tests() {
    local name words passed failed skipped log=$tmp/log counts
    tests_failed=0
    { cat "$out/head.txt"; echo 'test,passed,failed,skipped,words'; } >"$out/tests.csv"
    check_step
    check_repeats
    for name in "${order[@]}"; do
        [[ $name == 'tests test_'* ]] || continue
        words_of "$name"
        TEST_TIMEOUT=$(($(left) > 10 ? $(left) : 10)) BUILD=$build MPIRUN=${mpirun[0]} tests/run \
            "${words[0]}" >"$log" 2>&1
        counts=$(tail -n 1 "$log" |
            sed -nE 's/^([0-9]+) passed, ([0-9]+) failed, ([0-9]+) skipped$/\1 \2 \3/p')
        read -r passed failed skipped <<<"${counts:-0 1 0}"
        if [ "$BACKEND" = cudnn ] && grep -q 'SKIPPED: no CUDA device' "$log"; then
            failed=$((failed + skipped))
        fi
        if [ "$failed" != 0 ]; then cat "$log"; fi
        verdict "${words[0]##*/}" "$passed" "$failed" "$skipped" ''
    done
    check_memory
    [ "$tests_failed" = 0 ]
}
