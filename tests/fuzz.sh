#!/usr/bin/env bash
# Each reader of bytes from outside under its corpus and keyed mutations of that, by our own driver
# (tests/fuzz/driver.c); `make fuzz` has libFuzzer's. Each must take some inputs and refuse others.
#
#   MUTATIONS=N   of most, more of small inputs, fewer of large ones; by default some seconds in all
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build/release} most=${MUTATIONS:-2000} passed=0 failed=0
for source in tests/fuzz/*.c; do
    name=$(basename "$source" .c)
    case $name in
    fuzz | driver | configuration | peers) continue ;; # what harnesses share
    bitmap) # needs libraries of images
        [ -x "$build/tests/fuzz/$name" ] || continue
        mutations=$((5 * most))
        ;;
    cifar) mutations=$((most / 50)) ;;                 # 30 MB each
    choices) mutations=$((most / 4)) ;;
    codec | slowness) mutations=$((5 * most)) ;;
    *) mutations=$most ;;
    esac
    if [ ! -x "$build/tests/fuzz/$name" ]; then
        echo "SKIPPED: $build/tests/fuzz/$name is not built (make fuzzers)"
        exit 77
    fi
    if ! said=$("$build/tests/fuzz/$name" "$mutations" 2>&1); then
        printf 'FAILED: %s\n%s\n' "$name" "$said"
        failed=$((failed + 1))
    elif [ "$name" != choices ] && grep -E ' 0 (taken|refused)' <<<"$said"; then
        echo "FAILED: $name has lost its point: $said"
        failed=$((failed + 1))
    else
        echo "$name: $said"
        passed=$((passed + 1))
    fi
done
echo "$passed passed, $failed failed, 0 skipped"
[ $failed = 0 ]
