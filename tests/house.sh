#!/usr/bin/env bash
# The laws of the house that a machine can judge. Each violation is one line: file:line, the rule, what is wrong.
#
#   tests/house.sh [RULE ...]     all rules by default; exit 0: all hold, 77: none could be judged, 1: one is broken
#
# levels   an include never runs up the levels of LAYERS, every source has a level, a .c includes its own header first
# state    no mutable file-scope variable, but in main.c and messaging/mpi.c (read from the objects in $BUILD)
# length   file <= 600 lines, scheme <= 200, function <= 60, line <= 140 columns
# guards   every header is guarded by its path in capitals
# ifdefs   at most one conditional compilation per optional library in the whole tree
# text     no path of one machine, no word for unfinished work
# format   the sources are as clang-format 14 leaves them (Debian 12's; others differ)
set -u
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C.UTF-8
build=${BUILD:-build/release}

mapfile -t sources < <(find . -name '*.[ch]' -not -path './build/*' -not -path './.*' -not -path './data/*' | sed 's|^\./||' | sort)

rule_levels() {
    awk -v all=" ${sources[*]} " '
    function folder_of(path) { sub(/[^\/]*$/, "", path); return path }
    function level(path, stem, folder) { # the most exact word of LAYERS that fits: the file, file.[ch], its folders from within
        if (path ~ /^(tests|bench)\//) return 1000
        stem = path; sub(/\.[ch]$/, "", stem)
        if (path in at) return at[path]
        if (stem in at) return at[stem]
        for (folder = folder_of(path); folder != ""; folder = folder_of(substr(folder, 1, length(folder) - 1)))
            if (folder in at) return at[folder]
        return 0
    }
    FILENAME == "LAYERS" {
        if (NF && !/^#/) for (lines++; NF; NF--) at[$NF] = lines
        next
    }
    FNR == 1 {
        mine = level(FILENAME); includes = 0
        if (!mine) print FILENAME ":1: levels: it has no level; name it in LAYERS"
    }
    match($0, /^[ \t]*#[ \t]*include[ \t]+"[^"]+"/) {
        split($0, part, "\""); theirs = level(part[2]); own = FILENAME; sub(/\.c$/, ".h", own)
        if (!includes++ && own != FILENAME && part[2] != own && index(all, " " own " "))
            print FILENAME ":" FNR ": levels: its own header, \"" own "\", comes first"
        if (mine && theirs > mine) print FILENAME ":" FNR ": levels: \"" part[2] "\" stands higher than this file"
    }' LAYERS "${sources[@]}"
}

# Symbols of writable sections. Constant tables of pointers lie in .data.rel.ro, which the loader seals.
rule_state() {
    local source object found=0
    for source in "${sources[@]}"; do
        case $source in main.c | messaging/mpi.c | tests/* | bench/* | *.h) continue ;; esac
        object=$build/${source%.c}.o
        [ -e "$object" ] || continue
        found=1
        objdump -t "$object" | awk -v source="$source" '
            $0 !~ /^[0-9a-f]+ / { next }
            { section = $(NF - 2); name = $NF; size = $(NF - 1) }
            section !~ /^(\.data|\.bss|\.tdata|\.tbss|\*COM\*|COMMON)/ || section ~ /^\.data\.rel\.ro/ { next }
            size ~ /^0*$/ || name ~ /^(__gcov|__asan|__odr_asan|\.gomp_|\.data|\.bss|\.LC)/ { next }
            { sub(/\.[0-9]+$/, "", name); print name }' |
            while read -r name; do
                line=$(grep -nwm1 -- "$name" "$source" | cut -d: -f1)
                echo "$source:${line:-1}: state: \`$name\` is mutable and outlives its function; hand it in, or make it const"
            done
    done
    [ $found = 1 ] || return 77
}

rule_length() {
    awk '
    function close_file() {
        limit = name ~ /^scheme\/.*\.c$/ ? 200 : 600
        if (name && lines > limit) print name ":" lines ": length: " lines " lines; a file has at most " limit
    }
    FNR == 1 { close_file(); name = FILENAME; before = 0; open = 0 }
    { lines = FNR }
    /^\{/ { open = before + 1 }
    /^\}/ && open {
        if (FNR - open + 1 > 60) print FILENAME ":" open ": length: a function of " FNR - open + 1 " lines; at most 60"
        open = 0
    }
    !open && (/^$/ || /^#/ || /\*\/$/ || /^\}/ || /;$/) { before = FNR }
    END { close_file() }' "${sources[@]}"
    grep -nE '^.{141,}' "${sources[@]}" /dev/null | sed -E 's/^([^:]+:[0-9]+):.*/\1: length: a line of more than 140 columns/'
}

rule_guards() {
    local headers
    mapfile -t headers < <(printf '%s\n' "${sources[@]}" | grep '\.h$')
    awk '
    function close_file() {
        if (name && (first != "#ifndef " guard || second != "#define " guard || last !~ /^#endif/))
            print name ":1: guards: wants #ifndef " guard ", #define " guard " ... #endif around all of it"
    }
    FNR == 1 {
        close_file(); name = FILENAME; first = second = last = ""
        guard = toupper(name); gsub(/[^A-Z0-9]/, "_", guard)
    }
    /^#/ { if (!first) first = $0; else if (!second) second = $0 }
    NF { last = $0 }
    END { close_file() }' "${headers[@]}"
}

rule_ifdefs() {
    grep -nE '^[[:space:]]*#[[:space:]]*(if|ifdef|ifndef|elif)\b.*\b(WITH_|HAVE_|__has_include)' "${sources[@]}" /dev/null |
        awk '{
            split($0, at, ":"); match($0, /(WITH_|HAVE_|__has_include)[A-Za-z0-9_]*/); library = substr($0, RSTART, RLENGTH)
            if (library in seen) print at[1] ":" at[2] ": ifdefs: " library " is asked for at " seen[library] " already; once is enough"
            else seen[library] = at[1] ":" at[2]
        }'
}

rule_text() {
    grep -rnIE --exclude-dir={.git,build,data,.carry} --exclude-dir='run-*' --exclude=compile_commands.json \
        -e '(^|[^.[:alnum:]_/-])/(wor[k]|far[m]|roo[t]|hom[e]|User[s]|scratc[h])/' -e '\b(TO[D]O|FIX[M]E|XX[X]|not imp[l]emented)\b' . |
        sed -E 's|^\./||; s/^([^:]+:[0-9]+):(.{0,80}).*/\1: text: a path of one machine, or a word for unfinished work: \2/'
}

rule_format() {
    local tool
    tool=$(command -v clang-format-14 || command -v clang-format) || return 77
    "$tool" --version | grep -q 'version 14\.' || return 77
    "$tool" --dry-run "${sources[@]}" 2>&1 | sed -nE 's/^([^:]+):([0-9]+):[0-9]+: warning: code should be clang-formatted.*/\1 \2/p' | uniq |
        awk '{ if (!lines[$1]++) first[$1] = $2 }
            END { for (file in lines) print file ":" first[file] ": format: `make format` would change this file: lines like this one, " lines[file] " in all" }' | sort
}

passed=0 failed=0 skipped=0
[ $# -gt 0 ] || set -- levels state length guards ifdefs text format
for rule in "$@"; do
    if ! declare -F "rule_$rule" >/dev/null; then
        echo "house: no rule \`$rule\`; there are: $(declare -F | sed -n 's/.*rule_//p' | paste -sd' ')" >&2
        exit 2
    fi
    wrong=$("rule_$rule")
    if [ $? = 77 ]; then
        echo "$rule: SKIPPED: $([ "$rule" = format ] && echo 'no clang-format 14 here (./install.sh check)' || echo "nothing is built in $build")"
        skipped=$((skipped + 1))
    elif [ -n "$wrong" ]; then
        echo "$wrong"
        failed=$((failed + 1))
    else
        passed=$((passed + 1))
    fi
done
echo "$passed passed, $failed failed, $skipped skipped"
[ $failed = 0 ] || exit 1
[ $passed -gt 0 ] || exit 77
