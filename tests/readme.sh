#!/usr/bin/env bash
# README and docs/schemes.md say what the program says: their tables of schemes are the list's (make
# readme writes them), --help has the same schemes, and no option is in README, DESIGN, docs,
# results or run.s that the program doesn't know.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

help=$("$nbsgd" --help)
table() { sed -n '/^<!-- the table of schemes/,/^<!-- end of the table/p' "$1" | grep -v '^<!--'; }
same_table() {
    if ! diff <(table "$home/README.md") <("$nbsgd" --print-schemes | sed '/^$/,$d') ||
        ! diff <(table "$home/docs/schemes.md") <("$nbsgd" --print-schemes); then
        echo 'make readme brings them up to date'
        return 1
    fi
}
check "the tables of schemes in README and docs are the program's" same_table

deviates() { "$nbsgd" --print-schemes | grep -qE "^- \`$1\` .*: [A-Za-z]"; }
every_scheme_deviates_or_not() {
    local scheme
    for scheme in $(in_table); do
        deviates "$scheme" || { echo "no word on $scheme and its paper"; return 1; }
    done
}

in_table() { table "$home/README.md" | sed -nE 's/^\| `([a-z]+)` .*/\1/p' | awk '!seen[$0]++'; }
in_help() { sed -nE '/^Schemes:/,/^$/s/^  ([a-z]+)( .*)?$/\1/p' <<<"$help"; }
same_list() { [ "$(in_table | wc -l)" -ge 3 ] && diff <(in_table) <(in_help); }
check 'and --help lists the same schemes' same_list
check 'docs/schemes.md says of each what it does otherwise' every_scheme_deviates_or_not

named() {
    grep -ohE '(^|[ (`"])--[a-z][a-z0-9-]+' "$home"/{README,DESIGN,docs/cuda,docs/schemes}.md \
        "$home"/results/*/README.md "$home"/run.s |
        grep -oE '[a-z].*' | sed 's/^no-//' | sort -u
}
known() {
    local command
    {
        grep -oE '^ +(-[a-zA-Z], +)?--[a-z][a-z0-9-]+' <<<"$help"
        for command in study tune folds pack topology report advise; do
            "$nbsgd" "$command" --help
        done
        cat "$home"/{test.s,run.s} "$home"/bench/{step.c,pytorch.py,gpu.sh,gpu/tests.sh,lan}
    } | grep -oE -- '--[a-z][a-z0-9-]+' | sed 's/^--//' | sort -u
}
all_known() {
    local strangers
    strangers=$(comm -23 <(named | grep -v '^nb$') <(known))
    [ -z "$strangers" ] || { echo "not known to the program: $strangers"; return 1; }
}
check 'every option that README, DESIGN and results name exists' all_known

finish
