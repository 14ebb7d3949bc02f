#!/usr/bin/env bash
# All about a GPU in one go, under ten minutes: is what it computes right, how fast is it beside
# PyTorch, does it train. Rows, figure and a README with what was reached beside what was aimed at
# go to results/DATE_gpu.
#
#   bench/gpu.sh                     all of it, by programs that `make CUDA=1 gpu` builds
#   bench/gpu.sh --full              the main job without a limit of time: 93 % and higher
#   bench/gpu.sh --dry-run           prints every command and has its program check the options;
#                                    needs no GPU, runs nothing
#   bench/gpu.sh --rehearse          all of it on the CPU with small networks: tests this script,
#                                    and says nothing about a GPU
#
#   PARTS='tests steps ranks train'  those alone (bench/gpu/NAME.sh); '': only the README and the
#                                    figure, anew, from the rows in OUT
#   OUT=DIR BUILD=build/release      where the rows go; where the programs are
#   DATA=DIR                         the folder of CIFAR-10; without it data/, else generated images
#   PYTHON=python3                   the Python that has torch; without one ours is measured alone
#   MPIRUN='mpiexec.hydra -iface lo' how ranks are started (mpirun)
#   PREFIX=DIR                       MPI's run time, unpacked there from its packages (DIR/usr/bin,
#                                    DIR/usr/lib): neither compiler nor network is needed then
#   ARGS='--server-device gpu'       added to every command of the whole program
#   TESTS_S STEPS_S RANKS_S TRAIN_S  seconds of each part; BACKEND=cudnn THREADS (of a rank)
#
# Exit code: 0: every part did its work (what was reached is in the README, not in here); 1: one
# failed, the others ran nevertheless; 2: wrongly called, a program is missing, or refuses a word of
# its command; 77: no CUDA device, everything else was checked.
set -u -o pipefail
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C.UTF-8
nproc() { env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc; } # it obeys what is for threads
unset OMP_NUM_THREADS OMP_THREAD_LIMIT MKL_NUM_THREADS
all='tests steps ranks train' mode=''
[ $# -le 1 ] || { echo "gpu.sh: one word at most: --full, --dry-run or --rehearse" >&2; exit 2; }
case ${1:-} in
'' | --full | --dry-run | --rehearse) mode=${1:-} ;;
*) echo "gpu.sh: $1: there are --full, --dry-run and --rehearse" >&2; exit 2 ;;
esac
parts=${PARTS-$all} build=${BUILD:-build/release} out=${OUT:-results/$(date +%Y-%m-%d)_gpu}
python=${PYTHON:-python3}
case $mode in
--rehearse) BACKEND=${BACKEND:-openblas} limits=(120 60 60 60) THREADS=${THREADS:-1} ;;
*) BACKEND=${BACKEND:-cudnn} limits=(110 280 60 110) ;;
esac
# shellcheck disable=SC2034 # read by name, and by the parts
tests_s=${TESTS_S:-${limits[0]}} steps_s=${STEPS_S:-${limits[1]}} ranks_s=${RANKS_S:-${limits[2]}}
train_s=${TRAIN_S:-${limits[3]}}
# shellcheck disable=SC2034
if [ "$mode" = --full ]; then train_s=${TRAIN_S:-100000}; fi
if [ -n "${PREFIX:-}" ]; then
    libraries=$PREFIX/usr/lib:$(printf '%s:' "$PREFIX"/usr/lib/*-linux-gnu \
        "$PREFIX"/usr/lib/*-linux-gnu/openblas-*)
    export PATH=$PREFIX/usr/bin:$PATH LD_LIBRARY_PATH=$libraries${LD_LIBRARY_PATH:-} \
        UCX_TLS=${UCX_TLS:-self,sm}
fi
if [ -z "${MPIRUN:-}" ]; then
    MPIRUN=$(command -v mpirun >/dev/null && echo mpirun || echo 'mpiexec.hydra -iface lo')
fi
# shellcheck disable=SC2034
read -ra mpirun <<<"$MPIRUN"
# shellcheck disable=SC2034 # the parts read it
threads=${THREADS:-$(($(nproc) > 5 ? $(nproc) / 5 : 1))}

# ------------------------------------------------------------------ commands: each has a name, and
# is known before the first one runs
declare -A line=() pid=()
order=()

# command NAME WORDS ...: what NAME is to run.
command_is() {
    local name=$1
    shift
    order+=("$name")
    line[$name]=$(printf '%q ' "$@")
}

# Sets `words` to the words of NAME.
words_of() { eval "words=(${line[$1]})"; }

# Has the program of NAME judge its words, or says why it cannot.
judge() {
    local words i
    words_of "$1"
    for i in "${!words[@]}"; do
        case ${words[i]} in
        */nbsgd) "${words[@]:i}" --print-schemes >/dev/null || return ;;
        */bench/step) "${words[@]:i}" --check || return ;;
        bench/pytorch.py)
            # no peer, and nobody to ask
            if [ "$torch" = none ] && ! command -v "$python" >/dev/null; then return 0; fi
            "${words[@]:i-1}" --check || return
            ;;
        */tests/*) [ -x "${words[i]}" ] || { echo "no ${words[i]}" >&2; return 1; } ;;
        esac
    done
    command -v "${words[0]}" >/dev/null || { echo "no ${words[0]}" >&2; return 1; }
}

# run NAME SECONDS FILE: what it says goes to FILE. Its exit code; 124: it had no end.
run() {
    local words
    words_of "$1"
    { timeout -k 10 "$(($2 > 1 ? $2 : 1))" "${words[@]}" >"$3" 2>&1 </dev/null; } 2>/dev/null
}

# why CODE FILE: why a program ended, in a line: its own words, else how.
why() {
    local said
    said=$(grep -E '^(nbsgd|\[[0-9]+\] nbsgd):' "$2" | tail -n 1)
    case $1 in
    124 | 137) echo "no end within its time" ;;
    *) echo "${said:-exit code $1: $(grep -v '^ *$' "$2" | tail -n 1)}" ;;
    esac
}

now_s() { echo "$((${EPOCHREALTIME/[.,]/} / 1000000))"; }
began_s=$(now_s)
until_s=0 # of the part under way
left() { echo $((until_s - $(now_s))); }
calc() { awk "BEGIN { printf \"$1\", $2 }"; }

for program in nbsgd bench/step; do
    [ -x "$build/$program" ] || {
        echo "gpu.sh: no $build/$program; \`make CUDA=1 gpu\` builds it (or BUILD=DIR)" >&2
        exit 2
    }
done
# shellcheck disable=SC2034
kernels=$build/bench/kernels-gpu # the choices that were timed
# shellcheck source=bench/turns.bash
. bench/turns.bash
for part in $all; do
    # shellcheck source=/dev/null
    . "bench/gpu/$part.sh"
done
. bench/gpu/report.sh
for part in $parts; do
    [[ " $all " == *" $part "* ]] || {
        echo "gpu.sh: PARTS: no $part; there are: $all" >&2
        exit 2
    }
done
version=$("$build/nbsgd" --version) || exit 2
torch=$(timeout 120 "$python" -c 'import torch; print(torch.__version__)' 2>/dev/null) || torch=none
tmp=$(mktemp -d)
end_all() {
    local name
    for name in "${!pid[@]}"; do kill "${pid[$name]}" 2>/dev/null; done
    rm -rf "$tmp"
}
trap end_all EXIT
trap 'exit 130' INT TERM
trap '' PIPE # a program that ended shows in what it doesn't answer

# ------------------------------------------------------------------ what can be checked anywhere
for part in $parts; do "commands_$part"; done
refused=0
for name in "${order[@]}"; do
    if [ "$mode" = --dry-run ]; then echo "$name: ${line[$name]}"; fi
    said=$(judge "$name" 2>&1) && continue
    echo "gpu.sh: $name: refused: ${said##*$'\n'}; its command: ${line[$name]}" >&2
    refused=$((refused + 1))
done
if [ $refused -gt 0 ]; then exit 2; fi
if [ "$mode" = --dry-run ]; then
    echo "gpu.sh: ${#order[@]} commands, none refused, none run"
    exit 0
fi
if [ "$BACKEND" = cudnn ] && ! [[ $version =~ cudnn\ \([^\)]*f32\ yes ]]; then
    case $version in
    *cudnn*) why='no CUDA device here' ;;
    *) why="$build was built without CUDA=1" ;;
    esac
    echo "gpu.sh: $why: ${#order[@]} commands were checked, none was run" >&2
    exit 77
fi

# ------------------------------------------------------------------ the parts
mkdir -p "$out" || exit 2
out=$(cd "$out" && pwd)
if [ -n "$parts" ]; then
    head=$(head_lines)
    printf '%s\n' "$head"
    printf '%s\n' "$head" >"$out/head.txt"
fi
for part in $parts; do
    for name in "${order[@]}"; do
        if [[ $name == "$part "* ]]; then echo "$name: ${line[$name]}"; fi
    done | sed "s|$tmp|TMP|g; s|$out|OUT|g; s|$PWD/||g${DATA:+; s|$DATA|DATA|g}" \
        >"$out/commands-$part.txt"
done
case " $parts " in *' steps '*) warm_peers ;; esac
failed=''
for part in $parts; do
    printf '\n%s (%s s so far)\n' "$part" $(($(now_s) - began_s))
    limit=${part}_s
    until_s=$(($(now_s) + ${!limit}))
    "part_$part" || failed="$failed $part"
done
report
echo
echo "rows: $out, after $(($(now_s) - began_s)) s${failed:+; failed:$failed}"
[ -z "$failed" ]
