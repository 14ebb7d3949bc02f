# shellcheck shell=bash disable=SC2034
# For the scripts that run the whole program; they source this file.
#
# It moves to an empty folder of its own, where nothing is found by chance (no data/, no plots/),
# and counts checks. After run COMMAND ..., $code is its exit code and $out what it said. Each check
# says what does not hold, what was said, and what repeats it.
set -u
home=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd) || exit 1
cd "$home" || exit 1
export LC_ALL=C.UTF-8
skip() { echo "SKIPPED: $1"; exit 77; }
nbsgd=$(realpath -q "${NBSGD:-${BUILD:-build/release}/nbsgd}")
[ -x "$nbsgd" ] || skip 'the program is not built (make)'
case $nbsgd in */build/asan/* | */build/tsan/*) sanitized=1 ;; *) sanitized=0 ;; esac
export sanitized
mpirun=${MPIRUN:-mpirun}
command -v "$mpirun" >/dev/null || skip "no $mpirun"
cifar=${DATA:-}
export NBSGD_DATADIR=none # no figures: they take longer than most runs
unset DATA NBSGD_HOSTS NBSGD_LIVE "${!PMI_@}" "${!OMPI_@}" "${!SLURM_@}"

folder=$(mktemp -d) && cd "$folder" || exit 1
tidy() { cd / && rm -rf "$folder"; }
trap tidy EXIT
trap 'exit 1' INT TERM

passed=0 failed=0 skipped=0 code=0 out='' again=''

fails() { # WHAT: says why
    failed=$((failed + 1))
    printf 'FAILED: %s\n' "$1"
    [ -z "$again" ] || printf 'exit code %s of: %s\n%s\n' "$code" "$again" \
        "$(tail -n 30 <<<"$out" | cut -c 1-400)"
}

check() { # WHAT COMMAND ...: counts whether the command succeeds
    local what=$1
    shift
    if "$@"; then passed=$((passed + 1)); else fails "$what"; fi
}

passes_over() { # WHY
    skipped=$((skipped + 1))
    echo "SKIPPED: $1"
}

run() { # COMMAND ...
    again="cd DIR && ${*/#$folder/DIR}"
    out=$(timeout --kill-after=5 "${limit:-120}" "$@" 2>&1 </dev/null)
    code=$?
}

ends() { # CODE [WORDS ...]: the last run ended so, and said that
    local wanted=$1 words
    shift
    if [ "$code" != "$wanted" ]; then echo "exit code $wanted was expected"; return 1; fi
    for words in "$@"; do
        if ! grep -qE -- "$words" <<<"$out"; then echo "not said: $words"; return 1; fi
    done
}

# How perl sees a JSON file: $j is its value; a file that is no JSON makes it fail. perl comes with
# git.
json() {
    perl -MJSON::PP -0777 \
        -e 'open my $f, "<", shift or die; my $j = decode_json(<$f>); my $v = eval shift;
            die $@ if $@; print $v // "null", "\n"' "$@"
}
json_is() { # FILE EXPRESSION VALUE
    local found
    found=$(json "$1" "$2") && [ "$found" = "$3" ] && return
    echo "$1: $2 is ${found:-no JSON}, not $3"
    return 1
}
json_holds() { # FILE EXPRESSION
    json_is "$1" "($2) ? 1 : 0" 1
}
json_lines() { # FILE: each line is a JSON object with an event and its seconds
    perl -MJSON::PP \
        -ne 'my $j = decode_json($_); die "line $.: no event\n" unless $j->{event} &&
            defined $j->{seconds}; END { die "empty\n" unless $. }' "$1"
}
# A whole safetensors file: a header that is JSON, and every tensor's bytes.
whole() { # FILE
    perl -MJSON::PP -e '
        open my $f, "<:raw", shift or die "cannot open\n"; local $/; my $b = <$f>;
        my $n = unpack "Q<", $b; my $j = decode_json(substr $b, 8, $n); my $end = 0;
        for my $t (grep { ref eq "HASH" && $_->{data_offsets} } values %$j) {
            $end = $t->{data_offsets}[1] if $t->{data_offsets}[1] > $end }
        exit !($end > 0 && length($b) == 8 + $n + $end)' "$1" 2>/dev/null
}
scheme_names() { # as --help lists them
    "$nbsgd" --help | sed -n '/^Schemes:/,/^$/p' | sed -nE 's/^  ([a-z]+)( .*)?$/\1/p'
}
rows() { grep -v '^#' "$1" | tail -n +2; } # of a CSV
column() { # FILE NAME: of a CSV, without its name
    grep -v '^#' "$1" | awk -F, -v name="$2" \
        'NR == 1 { for (i = 1; i <= NF; i++) if ($i == name) at = i; if (!at) exit 1; next }
            { print $at }'
}
same_rows() { # FILE FILE [COLUMNS]: of two CSVs, as cut counts them
    [ -n "$(rows "$1")" ] && diff <(rows "$1" | cut -d, -f "${3:-1-}") \
        <(rows "$2" | cut -d, -f "${3:-1-}")
}
sum() { awk '{ s += $1 } END { printf "%.6f\n", s }'; }

finish() {
    echo "$passed passed, $failed failed, $skipped skipped"
    [ "$failed" = 0 ]
    exit
}
