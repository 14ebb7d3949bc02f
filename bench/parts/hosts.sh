# A push and a pull of 94 MB between hosts, beside MPI's ping-pong of as much in the same minute:
# hosts made on this machine (bench/lan), links of a given rate. hosts.csv has every program's
# lines.
# shellcheck shell=bash disable=SC2154

# MB/s on the link, heads included
of_rate() { awk -v rate="$1" 'BEGIN { printf "%.1f", rate * (rate ~ /gbit/ ? 1000 : 1) / 8 }'; }

race_hosts() {
    local hosts=$1 rate=$2 progress=$3 words=() log=$tmp/hosts what mpi
    [ "$progress" = poll ] || words+=(--thread)
    MPIRUN=$mpirun timeout 120 bench/lan --hosts "$hosts" --rate "$rate" "$build/bench/hosts" \
        --turns 5 "${words[@]}" >"$log" 2>&1
    case $? in
    0) ;;
    77) echo "hosts: left out: $(last_words "$log")"; return 1 ;;
    *) echo "hosts: FAILED: $(last_words "$log")"; return 1 ;;
    esac
    speed() { sed -nE "s/^$1 .* ([0-9.]+) MB\/s/\1/p" "$log"; }
    local row="^(.{40}) +([0-9.]+) ms \( *([0-9.]+) \.\. +([0-9.]+)\) +([0-9.]+) MB/s"
    sed -nE "s|$row|$hosts,$rate,$progress,\1,\2,\3,\4,\5|p" "$log" |
        sed -E 's/ +,/,/' >>"$out/hosts.csv"
    mpi=$(speed 'MPI ping-pong')
    if [ "$progress" = poll ]; then
        limit "hosts: MPI ping-pong, $hosts hosts, $rate" "$mpi" MB/s "$(of_rate "$rate")" link -
    fi
    for what in push pull; do
        limit "hosts: $what, $hosts hosts, $rate, $progress" "$(speed $what)" MB/s "$mpi" \
            'MPI ping-pong' "v>=0.9*$mpi"
    done
}

part_hosts() {
    {
        printf '%s\n' "$head"
        echo 'hosts,rate,progress,what,ms,least_ms,greatest_ms,mb_s'
    } >"$out/hosts.csv"
    local hosts rate progress
    while read -r hosts rate; do
        for progress in poll thread; do race_hosts "$hosts" "$rate" $progress || return; done
    done <<'END'
2 1gbit
2 2500mbit
3 2500mbit
END
}
