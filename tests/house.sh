#!/usr/bin/env bash
# The rules of the house that a machine can check. A violation is one line: file:line, rule, what.
#
#   tests/house.sh [RULE ...]     all rules by default
#
# levels   an include never runs up LAYERS and enters a module by its front door; a .c file includes
#          its own header first
# top      on the top level is what a user touches, nothing else
# state    no mutable file-scope variable outside main.c and messaging/mpi/ (read from the objects
#          in $BUILD)
# length   a file, a scheme, a test, a function, README.md have at most so many lines (see `most`)
# structs  a struct outside backend/ has at most so many fields
# columns  no line has more than 100 columns: sources, scripts, Markdown with its tables
# work     a scheme's vector work goes through node_step(), node_sum() and so on, which take its
#          time and count it
# guards   every header is guarded by its path in capitals
# library  the program calls nothing that glibc 2.28 (RHEL 8) does not have
# ifdefs   at most one conditional compilation per optional library in the whole tree
# locale   a script sets LC_ALL, by itself or by launch/launch.sh: numbers have a point everywhere
# text     no path of one machine, no word for unfinished work
# format   the sources are as clang-format 14 leaves them (Debian 12's; others differ)
#
# Exit code 0: all hold; 1: one is broken; 77: none could be checked.
set -u
cd "$(dirname "$0")/.." || exit 1
export LC_ALL=C.UTF-8
build=${BUILD:-build/release}
declare -A most=([file]=500 [scheme]=200 [function]=60 [readme]=200 [fields]=25)

files() { # PATTERN ...: of the tree, without what was built, fetched or written by runs
    local names=() pattern
    for pattern in "$@"; do names+=(-o -name "$pattern"); done
    find . \( -path ./build -o -path ./data -o -path ./.git -o -name 'run-*' \) -prune -o \
        -type f \( "${names[@]:1}" \) -print | sed 's|^\./||' | sort
}
mapfile -t sources < <(files '*.c' '*.h')
mapfile -t kernels < <(files '*.cu' '*.cuh' '*.inc')

# A module is a folder of LAYERS. From outside only its front door NAME/NAME.h may be included (of
# base/: any header).
rule_levels() {
    awk -v all=" ${sources[*]} " '
    function module_of(path) { return path ~ /\// ? substr(path, 1, index(path, "/") - 1) : path }
    function wrong(what) { print FILENAME ":" FNR ": levels: " what }
    FILENAME == "LAYERS" {
        if (NF && !/^#/) level[$1] = ++levels
        next
    }
    FNR == 1 {
        mine = module_of(FILENAME); free = mine ~ /^(tests|bench)$/; includes = 0
        if (!free && !(mine in level)) wrong("module " mine " is not in LAYERS")
    }
    match($0, /^[ \t]*#[ \t]*include[ \t]+"[^"]+"/) {
        split($0, part, "\""); theirs = module_of(part[2]); own = FILENAME; sub(/\.c$/, ".h", own)
        if (!includes++ && own != FILENAME && part[2] != own && index(all, " " own " "))
            wrong("its own header, \"" own "\", comes first")
        if (free || theirs == mine) next
        if (!(theirs in level))
            wrong("\"" part[2] "\" is of no module in LAYERS")
        else if (level[theirs] > level[mine])
            wrong("module " theirs " is above " mine)
        else if (theirs != "base" && part[2] != theirs "/" theirs ".h")
            wrong("\"" part[2] "\" is private to " theirs "; include \"" theirs "/" theirs ".h\"")
    }' LAYERS "${sources[@]}"
}

# What a user touches is on top; all else has a folder.
rule_top() {
    local known=' .ci .clang-format .clang-tidy .gitattributes .gitignore .shellcheckrc '
    known+='CHANGELOG.md CITATION.cff CONTRIBUTING.md DESIGN.md LAYERS LICENSE Makefile README.md '
    known+='install.sh main.c run.s test.s '
    git ls-files 2>/dev/null | grep -v / | while read -r name; do
        if [[ $known != *" $name "* ]]; then
            echo "$name:1: top: no file of the top level; give it a folder"
        fi
    done
}

# Symbols of writable sections. Constant tables of pointers lie in .data.rel.ro, which the loader
# seals.
rule_state() {
    local source object found=0
    for source in "${sources[@]}"; do
        case $source in main.c | messaging/mpi/mpi.c | tests/* | bench/* | *.h) continue ;; esac
        object=$build/${source%.c}.o
        [ -e "$object" ] || continue
        found=1
        objdump -t "$object" | awk '
            $0 !~ /^[0-9a-f]+ / { next }
            { section = $(NF - 2); name = $NF; size = $(NF - 1) }
            section !~ /^(\.data|\.bss|\.tdata|\.tbss|\*COM\*|COMMON)/ { next }
            section ~ /^\.data\.rel\.ro/ || size ~ /^0*$/ { next }
            name ~ /^(__gcov|__asan|__odr_asan|\.gomp_|\.data|\.bss|\.LC)/ { next }
            { sub(/\.[0-9]+$/, "", name); print name }' |
            while read -r name; do
                line=$(grep -nwm1 -- "$name" "$source" | cut -d: -f1)
                echo "$source:${line:-1}: state: \`$name\` is mutable and outlives its function;" \
                    "hand it in, or make it const"
            done
    done
    [ $found = 1 ] || return 77
}

rule_length() {
    awk -v file="${most[file]}" -v scheme="${most[scheme]}" \
        -v function_most="${most[function]}" '
    function close_file(limit) {
        limit = name ~ /^scheme\/.*\.c$/ ? scheme : file
        if (name && lines > limit)
            print name ":" lines ": length: " lines " lines; a file has at most " limit
    }
    function close_function(length_of) {
        length_of = FNR - open + 1
        if (length_of > function_most)
            print FILENAME ":" open ": length: a function of " length_of " lines; at most " \
                function_most
        open = 0
    }
    FNR == 1 { close_file(); name = FILENAME; before = 0; open = 0 }
    { lines = FNR }
    /^\{/ { open = before + 1 }
    /^\}/ && open { close_function() }
    !open && (/^$/ || /^#/ || /\*\/$/ || /^\}/ || /;$/) { before = FNR }
    END { close_file() }' "${sources[@]}" "${kernels[@]}"
    awk -v most="${most[readme]}" 'END {
        if (NR > most) print "README.md:" NR ": length: " NR " lines; at most " most }' README.md
}

# Fields of a struct: its declarators, a nested struct counts as one (and is judged by itself).
rule_structs() {
    local judged
    mapfile -t judged < <(printf '%s\n' "${sources[@]}" | grep -v ^backend/)
    perl -0777 -e '
    my $most = shift;
    for my $file (@ARGV) {
        open my $f, "<", $file or die "$file: $!"; my $text = <$f>;
        $text =~ s{(/\*.*?\*/|//[^\n]*)|"(?:\\.|[^"\\])*"|\x27(?:\\.|[^\x27\\])+\x27}
            {(my $blank = $&) =~ s/[^\n]/ /g; $blank}gse;
        while ($text =~ /\bstruct\s*(\w*)\s*\{/g) {
            my ($name, $from, $i) = ($1 || "without a name", pos $text, pos $text);
            my ($depth, $round, $fields) = (1, 0, 0);
            for (; $depth && $i < length $text; $i++) {
                my $c = substr $text, $i, 1;
                if ($c eq "{") { $depth++ } elsif ($c eq "}") { $depth-- }
                elsif ($c =~ /[(\[]/) { $round++ } elsif ($c =~ /[)\]]/) { $round-- }
                elsif ($depth == 1 && !$round && $c =~ /[;,]/) { $fields++ }
            }
            my $line = 1 + substr($text, 0, $from) =~ tr/\n//;
            print "$file:$line: structs: struct $name has $fields fields; at most $most\n"
                if $fields > $most;
        }
    }' "${most[fields]}" "${judged[@]}"
}

# Sources, and whatever says that it is a script.
rule_columns() {
    local texts
    mapfile -t texts < <({
        files '*.md' '*.s' '*.sh' '*.bash' '*.gp' '*.awk' '*.py' Makefile LAYERS
        grep -rlI -m1 '^#!' .ci bench data_loader experiments share tests 2>/dev/null
    } | sort -u)
    awk 'length > 100 {
        print FILENAME ":" FNR ": columns: a line of " length " columns; at most 100"
    }' "${sources[@]}" "${kernels[@]}" "${texts[@]}"
}

rule_work() {
    grep -nE '\b(vector_(sum|add|copy)|optimizer_(step|sum|accumulate)[a-z_]*)\(' scheme/*.c |
        sed -E 's/^([^:]+:[0-9]+):.*\b((vector|optimizer)_\w+)\(.*/\1: work: \2() is in no account:/
            s|$| take the node_*() of its name (node/node.h)|'
}

rule_guards() {
    local headers
    mapfile -t headers < <(printf '%s\n' "${sources[@]}" | grep '\.h$')
    awk '
    function close_file() {
        if (name && (first != "#ifndef " guard || second != "#define " guard || last !~ /^#endif/))
            print name ":1: guards: wants #ifndef and #define " guard ", and #endif at the end"
    }
    FNR == 1 {
        close_file(); name = FILENAME; first = second = last = ""
        guard = toupper(name); gsub(/[^A-Z0-9]/, "_", guard)
    }
    /^#/ { if (!first) first = $0; else if (!second) second = $0 }
    NF { last = $0 }
    END { close_file() }' "${headers[@]}"
}

rule_library() {
    local newer='sigabbrev_np|sigdescr_np|strerror(name|desc)_np|close_range|closefrom|mallinfo2'
    newer+='|(sem|pthread_(cond|mutex|rwlock))_clock(wait|lock|rdlock|wrlock)|gettid|tgkill|_Fork'
    newer+='|twalk_r|strlc(py|at)|arc4random\w*|epoll_pwait2|execveat|getcpu|thrd_\w+|SYS_pidfd\w+'
    printf '%s\n' "${sources[@]}" | grep -vE '^(tests|bench)/' |
        xargs grep -nwE "($newer)" |
        sed -E "s/^([^:]+:[0-9]+):.*\\b($newer)\\b.*/\1: library: \2 is newer than glibc 2.28/"
}

rule_ifdefs() {
    awk '
    !/^[ \t]*#[ \t]*(if|ifdef|ifndef|elif)/ { next }
    match($0, /(WITH_|HAVE_|__has_include)[A-Za-z0-9_]*/) {
        library = substr($0, RSTART, RLENGTH); here = FILENAME ":" FNR
        if (library in seen)
            print here ": ifdefs: " library " is asked for at " seen[library] " already"
        else seen[library] = here
    }' "${sources[@]}"
}

rule_locale() {
    local scripts
    mapfile -t scripts < <(grep -rlI -m1 '^#!.*bash' --exclude-dir={build,data,.git} \
        --exclude-dir='run-*' --exclude='*.md' . | sed 's|^\./||' | sort)
    grep -LE '^(export LC_ALL=C|\. .*(launch/launch\.sh|checks\.bash))' "${scripts[@]}" |
        sed 's/$/:1: locale: says neither `export LC_ALL=C` nor sources a file that does/'
}

rule_text() {
    local paths='(^|[^.[:alnum:]_/-])/(wor[k]|far[m]|roo[t]|hom[e]|User[s]|scratc[h])/'
    grep -rnIE --exclude-dir={.git,build,data,.carry} --exclude-dir='run-*' \
        --exclude={.git,compile_commands.json} \
        -e "$paths" -e '\b(TO[D]O|FIX[M]E|XX[X]|not imp[l]emented)\b' . |
        sed -E 's|^\./||; s/^([^:]+:[0-9]+):(.{0,60}).*/\1: text: a path, or unfinished work: \2/'
}

rule_format() {
    local tool
    tool=$(command -v clang-format-14 || command -v clang-format) || return 77
    "$tool" --version | grep -q 'version 14\.' || return 77
    "$tool" --dry-run "${sources[@]}" 2>&1 |
        sed -nE 's/^([^:]+):([0-9]+):[0-9]+: warning: code should be clang-.*/\1 \2/p' | uniq |
        awk '
            { if (!lines[$1]++) first[$1] = $2 }
            END {
                for (file in lines)
                    print file ":" first[file] ": format: `make format` would change " \
                        lines[file] " lines of this file"
            }' | sort
}

passed=0 failed=0 skipped=0
[ $# -gt 0 ] || set -- levels top state length structs columns work guards library ifdefs locale \
    text format
for rule in "$@"; do
    if ! declare -F "rule_$rule" >/dev/null; then
        known=$(declare -F | sed -n 's/.*rule_//p' | paste -sd' ')
        echo "house: no rule \`$rule\`; there are: $known" >&2
        exit 2
    fi
    wrong=$("rule_$rule")
    if [ $? = 77 ]; then
        case $rule in
        format) echo "format: SKIPPED: no clang-format 14 here (./install.sh check)" ;;
        *) echo "$rule: SKIPPED: nothing is built in $build" ;;
        esac
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
