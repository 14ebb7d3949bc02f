#!/usr/bin/env bash
# Fuzzes the reader of weight files for some seconds: clang's libFuzzer under the address and
# undefined-behaviour sanitizers.
#
#   tests/fuzz.sh [SECONDS]      5 by default; 77 where there is no clang with libFuzzer
set -u
cd "$(dirname "$0")/.." || exit 1
seconds=${1:-5} build=${BUILD:-build/release}
mkdir -p "$build" && folder=$(mktemp -d "$build/fuzz.XXXXXX") || exit 1
trap 'rm -rf "$folder"' EXIT

clang=$(command -v clang || find /usr/bin -name 'clang-[0-9]*' | sort | tail -n 1)
# shellcheck disable=SC2054 # commas of -fsanitize
options=(-std=gnu11 -g -O1 -I. -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=undefined
    -Wno-unknown-pragmas)
echo 'int LLVMFuzzerTestOneInput(const char *b, long n) { return b && n < 0; }' >"$folder/probe.c"
if [ -z "$clang" ] || ! "$clang" "${options[@]}" "$folder/probe.c" -o "$folder/probe" 2>/dev/null
then
    echo "fuzz: SKIPPED: no clang with libFuzzer here"
    exit 77
fi

"$clang" "${options[@]}" tests/fuzz_safetensors.c serialization/safetensors*.c \
    serialization/json.c model/model.c backend/*.c \
    backend/ref/*.c base/file.c base/alloc.c base/check.c base/random.c -lm -o "$folder/fuzz" ||
    exit 1
mkdir "$folder/inputs"
"$folder/fuzz" -max_total_time="$seconds" -max_len=4096 -use_value_profile=1 -verbosity=0 \
    -print_final_stats=1 \
    -artifact_prefix="$build/fuzz-" "$folder/inputs" ||
    { echo "fuzz: the input that did it is $build/fuzz-*" >&2; exit 1; }
