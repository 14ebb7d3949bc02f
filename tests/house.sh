#!/usr/bin/env bash
# The laws of the house that a machine can judge. Each violation is one line: file:line, the rule, what is wrong.
#
#   tests/house.sh [RULE ...]     all rules by default; exit 0: all hold, 77: none could be judged, 1: one is broken
#
# levels   an include never runs up LAYERS, enters a module by its front door, and a .c includes its own header first
# top      on the top level stands what a user touches, nothing else
# state    no mutable file-scope variable, but in main.c and messaging/mpi/mpi.c (read from the objects in $BUILD)
# length   file <= 600 lines, scheme <= 200, function <= 60, line <= 100 columns
# guards   every header is guarded by its path in capitals
# ifdefs   at most one conditional compilation per optional library in the whole tree
# text     no path of one machine, no word for unfinished work
# format   the sources are as clang-format 14 leaves them (Debian 12's; others differ)
set -u
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C.UTF-8
build=${BUILD:-build/release}

mapfile -t sources < <(find . -name '*.[ch]' -not -path './build/*' -not -path './.*' -not -path './data/*' | sed 's|^\./||' | sort)

# A module is a folder of LAYERS. From outside only its front door NAME/NAME.h may be included (of base/: any header).
rule_levels() {
    awk -v all=" ${sources[*]} " '
    function module_of(path) { return path ~ /\// ? substr(path, 1, index(path, "/") - 1) : path }
    FILENAME == "LAYERS" {
        if (NF && !/^#/) level[$1] = ++levels
        next
    }
    FNR == 1 {
        mine = module_of(FILENAME); free = mine ~ /^(tests|bench)$/; includes = 0
        if (!free && !(mine in level)) print FILENAME ":1: levels: module " mine " is not in LAYERS"
    }
    match($0, /^[ \t]*#[ \t]*include[ \t]+"[^"]+"/) {
        split($0, part, "\""); theirs = module_of(part[2]); own = FILENAME; sub(/\.c$/, ".h", own)
        if (!includes++ && own != FILENAME && part[2] != own && index(all, " " own " "))
            print FILENAME ":" FNR ": levels: its own header, \"" own "\", comes first"
        if (free || theirs == mine) next
        if (!(theirs in level)) print FILENAME ":" FNR ": levels: \"" part[2] "\" is of no module in LAYERS"
        else if (level[theirs] > level[mine]) print FILENAME ":" FNR ": levels: module " theirs " is above " mine
        else if (theirs != "base" && part[2] != theirs "/" theirs ".h")
            print FILENAME ":" FNR ": levels: \"" part[2] "\" is private to " theirs "; include \"" theirs "/" theirs ".h\""
    }' LAYERS "${sources[@]}"
}

# What a user touches stands on top; all else has a folder.
rule_top() {
    local known=' .ci .clang-format .clang-tidy .gitattributes .gitignore CHANGELOG.md CITATION.cff CONTRIBUTING.md DESIGN.md LAYERS LICENSE '
    known+='Makefile README.md install.sh main.c run.s test.s '
    git ls-files 2>/dev/null | grep -v / | while read -r file; do
        [[ $known == *" $file "* ]] || echo "$file:1: top: no file of the top level; give it a folder"
    done
}

# Symbols of writable sections. Constant tables of pointers lie in .data.rel.ro, which the loader seals.
rule_state() {
    local source object found=0
    for source in "${sources[@]}"; do
        case $source in main.c | messaging/mpi/mpi.c | tests/* | bench/* | *.h) continue ;; esac
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
    grep -nE '^.{101,}' "${sources[@]}" /dev/null | sed -E 's/^([^:]+:[0-9]+):.*/\1: length: a line of more than 100 columns/'
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
[ $# -gt 0 ] || set -- levels top state length guards ifdefs text format
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
