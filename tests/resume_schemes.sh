#!/usr/bin/env bash
# Every scheme of the list goes on from a checkpoint, over real ranks and with as many workers, with
# fewer, with more. With as many: a scheme whose run is a function of its seed is the run that never
# ended, bit for bit; of the others each sample counts once, updates are counted on, and they learn
# on. With another number (some over MPI, all on the simulated network) the weights, what rules
# remember, the samples and the rate are those of the checkpoint, and it learns on.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"
# shellcheck source=tests/checkpoints.bash
. "$home/tests/checkpoints.bash"
RANDOM=${CHECKPOINT_SEED:=$((RANDOM + 1))}
echo "CHECKPOINT_SEED=$CHECKPOINT_SEED repeats this"

samples=900 every=(--checkpoint-every 97 --checkpoint-keep 0)
toy=(--network quadratic --batch 16 --minibatches 2 --threads 1 --deadline 10 --lr 0.1
    --momentum 0.5 --schedule cosine --warmup 0)
calm=(--delay constant:0.002) # so that no worker runs away

own() { # SCHEME: what only this one takes; steps are few, and what can be made exact is
    case $1 in
    anytime) echo --anytime-seconds 0.01 ;;
    dnesterov) echo --local-steps 2 --outer-lr 0.3 --outer-momentum 0.5 ;;
    localsgd | diloco | asynclocal | easgd | eamsgd) echo --local-steps 2 ;;
    dropcompute) echo --dropcompute-tau inf ;;
    adpsgd) echo --topology path ;;
    backup) echo --backup-workers 0 ;;
    quorum) echo --grace inf ;;
    esac
}
is_exact() { # SCHEME, with these options
    [[ " serial ssgd backup quorum localsgd diloco allreduce dropcompute \
        local dpsgd sgp osgp dsgt dinno " == *" $1 "* ]]
}

same_state() { # CHECKPOINT CHECKPOINT RANK ...: all vectors that both have, and there are some
    local a=$1 b=$2 rank
    shift 2
    for rank in "$@"; do
        awk -v rank="$rank" '$2 != "F32" { next }
            { name = substr($0, index($0, $3)) }
            NR == FNR { digest[name] = $1; next }
            name in digest { print "both" }
            name in digest && digest[name] != $1 { print "rank " rank " has another " name }' \
            <(tensors "$a" "$rank") <(tensors "$b" "$rank")
    done >state
    grep -q both state && ! grep another state
}
same_facts() { # CHECKPOINT CHECKPOINT: as the manifests say
    local fact
    for fact in samples version epoch seconds; do
        json_is "$2/manifest.json" "\$j->{$fact}" "$(json "$1/manifest.json" "\$j->{$fact}")" ||
            return 1
    done
}
counts_on() { # NAME: updates only grow
    column "$1/eval.csv" updates | awk '$1 <= last { bad = 1 } { last = $1 } END { exit bad }' \
        last=-1
}

resumes() { # SCHEME RANKS OPTION ...: with as many workers
    local scheme=$1 ranks=$2 from
    shift 2
    train "$scheme" "$ranks" "$@" --samples $samples "${every[@]}"
    check "$scheme" ends 0
    from=$(any_middle "$scheme/checkpoints")
    train "$scheme-1" "$ranks" "$@" --samples $samples "${every[@]}" --resume "$from"
    check "$scheme goes on from $(basename "$from")" ends 0 'goes on from'
    check "$scheme: it learns on" learns "$scheme-1" $samples 1
    check "$scheme: updates are counted on" counts_on "$scheme-1"
    if is_exact "$scheme"; then
        check "$scheme: the rows of a run that never ended" same_rows "$scheme/eval.csv" \
            "$scheme-1/eval.csv" 2-9
        check "$scheme: bit for bit" same_state "$(newest "$scheme/checkpoints")" \
            "$(newest "$scheme-1/checkpoints")" $(seq 0 $((ranks - 1)))
    fi
    [ "$ranks" = 1 ] || check "$scheme: each sample once" counts_once "$scheme-1" 10
}

# With another number of workers: it has done already what it is told to do.
resized() { # SCHEME RANKS WORDS OPTION ...: WORDS are said
    local scheme=$1 ranks=$2 words=$3 from both=(0 1) name=$1-of-$2
    shift 3
    from=$(any_middle "$scheme/checkpoints")
    [ "$scheme" != serial ] || ranks=1 both=(0)
    train "$name" "$ranks" "$@" --checkpoint-every 97 --resume "$from" \
        --samples "$(json "$from/manifest.json" '$j->{samples}')"
    check "$scheme, $words" ends 0 "goes on with $words"
    check "$scheme, $words: weights and what rules remember" same_state "$from" \
        "$(newest "$name/checkpoints")" "${both[@]}"
    check "$scheme, $words: samples, updates, clock" same_facts "$from" \
        "$(newest "$name/checkpoints")"
}

same_until() { # SAMPLES NAME NAME: the rows up to that, which they have
    local until='$2 <= most { print } $2 == most { found = 1 } END { exit !found }'
    local first second
    first=$(rows "$2/eval.csv" | cut -d, -f 1-9 | awk -F, -v most="$1" "$until") &&
        second=$(rows "$3/eval.csv" | cut -d, -f 1-9 | awk -F, -v most="$1" "$until") &&
        diff <(echo "$first") <(echo "$second")
}
same_rate() { # CHECKPOINT NAME: the first update has the one that was the next
    local lr
    lr=$(grep -m 1 "\"version\": $(($(json "$1/manifest.json" '$j->{version}') + 1))," \
        "$2/events.jsonl" | sed -E 's/.*"lr": ([0-9.e+-]+).*/\1/')
    awk -v a="$lr" -v b="$(json "$1/manifest.json" '$j->{lr}')" \
        'BEGIN { exit !(a > 0 && a / b < 1.00001 && b / a < 1.00001) }' ||
        { echo "the rate is $lr"; return 1; }
}

# The same on the simulated network, where it trains on; and from a checkpoint of that.
resized_simulated() { # SCHEME OPTION ...
    local scheme=$1 workers from
    shift
    set -- --world sim --sim-minibatch 0.004 "$@" --eval-every 97
    train "$scheme-sim" 1 "$@" --workers 4 --samples $samples "${every[@]}"
    check "$scheme, simulated" ends 0
    for _ in {1..100}; do # one that was judged: a disk that is busy puts checkpoints off
        from=$(any_middle "$scheme-sim/checkpoints")
        column "$scheme-sim/eval.csv" samples | grep -qx "$(json "$from/manifest.json" \
            '$j->{samples}')" && break
    done
    for workers in 2 6; do
        train "$scheme-sim-$workers" 1 "$@" --workers $workers --samples $samples \
            "${every[@]}" --resume "$from"
        check "$scheme, simulated, $workers for 4" ends 0 "goes on with $workers workers in place"
        check "$scheme, simulated, $workers for 4: it learns on" \
            learns "$scheme-sim-$workers" $samples 1
        check "$scheme, simulated, $workers for 4: the rate" same_rate "$from" \
            "$scheme-sim-$workers"
        check "$scheme, simulated, $workers for 4: updates are counted on" \
            counts_on "$scheme-sim-$workers"
        check "$scheme, simulated, $workers for 4: judged where it goes on, it has those weights" \
            same_until "$(json "$from/manifest.json" '$j->{samples}')" "$scheme-sim" \
            "$scheme-sim-$workers"
        check "$scheme, simulated, $workers for 4: the rate" same_rate "$from" \
            "$scheme-sim-$workers"
        check "$scheme, simulated, $workers for 4: updates are counted on" \
            counts_on "$scheme-sim-$workers"
        check "$scheme, simulated, $workers for 4: the rows so far" \
            [ "$(rows "$scheme-sim/eval.csv" | head -n 2)" = \
                "$(rows "$scheme-sim-$workers/eval.csv" | head -n 2)" ]
    done
    train "$scheme-sim-again" 1 "$@" --workers 6 --samples $samples "${every[@]}" \
        --resume "$(newest "$scheme-sim-6/checkpoints" 3)"
    check "$scheme, simulated, again" ends 0 'goes on from'
    check "$scheme, simulated, again: it learns on" learns "$scheme-sim-again" $samples 1
}

mapfile -t schemes < <(scheme_names)
check 'the list has the schemes' [ ${#schemes[@]} -ge 24 ]
for scheme in "${schemes[@]}"; do
    read -ra words <<<"$(own "$scheme")"
    words+=(--scheme "$scheme" "${toy[@]}")
    resized_simulated "$scheme" "${words[@]}"
    words+=("${calm[@]}")
    if [ "$scheme" = serial ]; then
        resumes serial 1 "${words[@]}" --workers 3
        resized serial 1 '2 workers in place of 3' "${words[@]}" --workers 2
        continue
    fi
    resumes "$scheme" 4 "${words[@]}"
    case $scheme in
    ssgd | nbssgd | ringleader | ssp | dnesterov | easgd | allreduce | dpsgd | osgp | dinno)
        resized "$scheme" 3 '2 workers in place of 3' "${words[@]}"
        resized "$scheme" 6 '5 workers in place of 3' "${words[@]}"
        ;;
    esac
done
finish
