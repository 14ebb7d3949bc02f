# Programs that measure interleaved, by turns.h: started, asked for turn after turn, ended. Sourced.
#
# Who asks sets `row`, `a_start` and `a_turn`, which say in $out/turns.csv what a figure belongs to.
# shellcheck shell=bash disable=SC2154

declare -A to=() from=() ready=() # and pid, who sources this

# last_words FILE: what a program ended with, in one line. Python's error, which PyTorch lets advice
# follow, or the last line that is not empty.
last_words() {
    awk '/^[[:alnum:]_.]+(Error|Exception): ./ { error = $0 } /[^ ]/ { last = $0 }
        END { print error == "" ? last : error }' "$1"
}

# start NAME COMMAND...: a program that takes turns in measuring; fails with its own last words in
# $tmp/NAME.err.
start() { launch "$@" && await "$1"; }

launch() {
    local name=$1 in out_
    shift
    rm -f "$tmp/$name".{in,out}
    mkfifo "$tmp/$name.in" "$tmp/$name.out"
    "$@" <"$tmp/$name.in" >"$tmp/$name.out" 2>"$tmp/$name.err" &
    # shellcheck disable=SC2004 # an associative array
    pid[$name]=$!
    exec {in}>"$tmp/$name.in" {out_}<"$tmp/$name.out"
    to[$name]=$in from[$name]=$out_
}

# await NAME: until it says that it is ready, at most ready_s seconds; else it is ended.
await() {
    local limit=${ready_s:-600}
    read -r -t "$limit" -u "${from[$1]}" "ready[$1]" && return
    [ $? -le 128 ] || echo "not ready after $limit s" >>"$tmp/$1.err"
    kill "${pid[$1]}" 2>/dev/null
    stop "$1"
    return 1
}

stop() {
    local name=$1 in=${to[$1]} out_=${from[$1]}
    printf 'end\n' 1>&"$in" 2>/dev/null
    exec {in}>&- {out_}<&-
    wait "${pid[$name]}" 2>/dev/null
    unset "pid[$name]" "to[$name]" "from[$name]"
}

# hear NAME SECONDS: one turn; sets `answer` to its figures.
hear() {
    printf '%s\n' "$2" 1>&"${to[$1]}" 2>/dev/null &&
        read -r -t "${turn_limit_s:-600}" -u "${from[$1]}" answer
}

# ask NAME SECONDS: one turn; its figures go to turns.csv as rows "row,start,turn,name,figure".
ask() {
    local answer figure
    hear "$@" || return 1
    for figure in $answer; do echo "$row,$a_start,$a_turn,$1,$figure"; done >>"$out/turns.csv"
}

# a number that NAME gave when it was ready
fact() { sed -nE "s/.* $2=([^ ]*).*/\1/p" <<<"${ready[$1]} "; }
