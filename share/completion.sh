#!/usr/bin/env bash
# Prints the bash completion of a program, from what it says of its options and schemes.
#
#   share/completion.sh PROGRAM >share/bash-completion/completions/nbsgd
set -euo pipefail
export LC_ALL=C
program=$1

schemes=$("$program" --print-schemes | sed -nE 's/^\| `([a-z]+)` .*/\1/p' | sort -u | paste -sd' ')

networks=$("$program" --version | sed -n 's/^networks: //p')

commands=$("$program" --help | sed -n '/^Commands/,/^$/p' | sed -nE 's/^  ([a-z]+) .*/\1/p' |
    paste -sd' ')

cat <<'END'
# bash completion of nbsgd. Generated: share/completion.sh.
_nbsgd() {
    local word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD - 1]}
    # bash splits --name=value at the =.
    if [ "$word" = = ]; then word=''; fi
    if [ "$option" = = ]; then option=${COMP_WORDS[COMP_CWORD - 2]}; fi
    case $option in
END
"$program" --print-options | awk -F'\t' -v schemes="$schemes" -v networks="$networks" '
function put(name, how) {
    if (seen[name]++) return
    printf "    --%s)\n        %s\n        return\n        ;;\n", name, how
}
function complete(how) { return "mapfile -t COMPREPLY < <(compgen " how " -- \"$word\")" }
function words(list) {
    gsub(/\|/, " ", list)
    return complete("-W '\''" list "'\''")
}
$2 == "flag" { next }
$1 == "scheme" { put($1, words(schemes)); next }
$1 == "network" { put($1, words(networks)); next }
$6 != "" { put($1, words($6)); next }
$7 == "DIR" { put($1, complete("-d")); next }
$7 == "FILE" { put($1, complete("-f")); next }
{ put($1, "COMPREPLY=()") }
END { put("config", complete("-f")) }'
echo '    esac'
cat <<END
    if [ "\$COMP_CWORD" = 1 ] && [[ \$word != -* ]]; then
        mapfile -t COMPREPLY < <(compgen -W '$commands' -- "\$word")
        return
    fi
END
printf "    local options='--help --version --config"
"$program" --print-options | awk -F'\t' '
!seen[$1]++ { printf " --%s", $1; if ($2 == "flag") printf " --no-%s", $1 }'
cat <<'END'
'
    mapfile -t COMPREPLY < <(compgen -W "$options" -- "$word")
}
complete -o bashdefault -F _nbsgd nbsgd
END
