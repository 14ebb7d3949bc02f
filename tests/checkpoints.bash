# shellcheck shell=bash
# What the tests of checkpoints look at, beside tests/checks.bash.

newest() { find "$1" -maxdepth 1 -name 'samples-*' | sort | tail -n "${2:-1}" | head -n 1; }
count_of() { find "$1" -maxdepth 1 -name 'samples-*' | wc -l; }
any_middle() { # FOLDER: neither the last one nor those near the end
    local list
    mapfile -t list < <(find "$1" -maxdepth 1 -name 'samples-*' | sort)
    echo "${list[RANDOM % ((${#list[@]} + 1) / 2)]}"
}

# Of each tensor: its digest, type and name.
tensors() { # CHECKPOINT RANK
    perl -MJSON::PP -MDigest::MD5=md5_hex -0777 -e '
        open my $f, "<:raw", $ARGV[0] or die "$ARGV[0]: $!"; my $all = <$f>;
        my $length = unpack "Q<", $all; my $j = decode_json(substr $all, 8, $length);
        for my $name (sort grep { $_ ne "__metadata__" } keys %$j) {
            my ($from, $to) = @{$j->{$name}{data_offsets}};
            print md5_hex(substr $all, 8 + $length + $from, $to - $from),
                " $j->{$name}{dtype} $name\n" }' "$1/rank-$2.safetensors"
}

# Rank 0 and a worker agree on what it has given, but for what is under way: so many mini-batches
# at most, and, where its weights are its own, what it has not exchanged yet.
counts_once() { # NAME MINIBATCHES
    json_holds "$(newest "$1/checkpoints")/manifest.json" 'do {
        my ($f, $bad) = ($j->{files}, 0);
        my $taken = $f->{"rank-0.safetensors"}{numbers}{"server/taken"};
        for my $w (0 .. $#$taken) {
            my $own = $f->{"rank-" . ($w + 1) . ".safetensors"}{numbers};
            my $more = $own->{"node/next"} - $taken->[$w];
            $bad++ if $more < 0 || $more > '"$2"' + ($own->{"worker.steps"} // 0);
        }
        !$bad }'
}

learns() { # NAME SAMPLES [PART]: the last loss is below that part of the first one, by default half
    json_holds "$1/summary.json" '$j->{samples} >= '"$2" &&
        column "$1/eval.csv" loss |
        awk -v part="${3:-0.5}" 'NR == 1 { first = $1 } END { exit !($1 < first * part) }'
}

train() { # NAME RANKS OPTION ...
    local name=$1 ranks=$2
    shift 2
    # shellcheck disable=SC2154 # checks.bash's
    if [ "$ranks" = 1 ]; then run "$nbsgd" "$@" --results "$name"
    else run "$mpirun" -n "$ranks" "$nbsgd" "$@" --results "$name"; fi
}
