#!/usr/bin/env bash
# What a run leaves: its files, their columns and their sums; when it stops; that its configuration
# and its weights start it again; what happens when the loss is no longer a number, or the disk is
# full.
# shellcheck source=tests/checks.bash
. "$(dirname "$0")/checks.bash"

holds() { # A relation of numbers in awk's words
    awk "BEGIN { exit !($1) }" || { echo "not true: $1"; return 1; }
}
is() { [ "$1" = "$2" ] || { echo "'$1' is not '$2'"; return 1; }; }

# --- the files of one run
run "$mpirun" -n 5 "$nbsgd" --scheme nbssgd --network resnet20 --dataset synthetic \
    --train-samples 600 --batch 32 --minibatches 4 --samples 1500 \
    --eval-every 300 --eval-samples 80 --eval-batches 4 --threads 1 --slow 4=3 \
    --delay exponential:0.005 --thresholds 5,8,10,12,15,99 \
    --report-every 0.05 --results a
check 'a run' ends 0 'NO REAL IMAGES' \
    '^ *[0-9.]+ s +update [0-9]+ +[0-9]+/1500 samples .*images/s' '^results: a$' \
    "^workers' time: useful .*, aborted .*, dropped .*, delayed .*, vector work .*, transfer .*, " \
    'transfer [0-9.]+, waiting [0-9.]+, other [0-9.]+ %$'

columns() { is "$(grep -v '^#' "a/$1" | head -n 1)" "$2"; }
check 'how unlike the shards are' ends 0 \
    '^shards: 150 samples of 10 of 10 classes a worker; label skew 0\.[0-9]+ ' \
    '; judged by: [0-9,]+ test images$'
check 'columns of eval.csv' columns eval.csv \
    seconds,samples,updates,epoch,loss,top1,top5,training_loss,weight_norm
check 'columns of worker_losses.csv' columns worker_losses.csv \
    seconds,samples,updates,worker,rank,used,loss
check 'columns of partition.csv' columns partition.csv \
    "worker,rank,samples$(printf ',class_%d' {0..9})"
partition() { # WORKER=RANK, and whether it has all its samples in some class
    rows a/partition.csv | awk -F, '{
        n = 0
        for (i = 4; i <= NF; i++) n += $i
        print $1 "=" $2, $3 == 150 && n == 150
    }' | paste -sd' '
}
check 'partition.csv: a worker has a rank, and samples of each class' \
    is "$(partition)" '0=1 1 1=2 1 2=3 1 3=4 1'
for name in rank role host compute_s delay_s wait_s transfer_s eval_s sent_bytes received_bytes \
    samples aborted_s dropped_s other_s clock_s; do
    check "ranks.csv has a $name of each rank" is "$(column a/ranks.csv $name | grep -c .)" 5
done
check 'update_s holds the vector work of workers, too' \
    holds "$(column a/ranks.csv update_s | sed 1d | sum) > 0"
for name in scheme world network data evaluated workers servers seed samples updates seconds top1 \
    top5 loss images_per_s worker_s useful_share aborted_share dropped_share delay_share \
    update_share transfer_share wait_share other_share aborted_minibatches \
    staleness_mean minibatches_per_update minibatches_per_update_harmonic least_use starved \
    divergence tta tta_first; do
    check "summary.json has $name" json_holds a/summary.json "exists \$j->{$name}"
done
check 'events.jsonl is JSON, line by line' json_lines a/events.jsonl
known='commit: .+|date: 20.+|host: .+|cores: [0-9]+|world: mpi|network: resnet20|slow: 4=3'
config_lines() { sed '/^# This/d; s/^# //' "$1/config.ini"; } # with those that are only told
for file in eval.csv ranks.csv histograms.csv partition.csv; do
    check "$file begins with commit, host, world and network" \
        is "$(grep -cE "^# ($known)\$" a/$file)" 7
    check "$file begins with the whole configuration" \
        is "$(sed -n 's/^# \([^:]*\): /\1 = /p' a/$file | grep -Fxcf <(config_lines a))" \
        "$(config_lines a | wc -l)"
done
used() { # OWNERS: options of a run: those of all runs, and its members'
    "$nbsgd" --print-options | awk -F'\t' -v owners="$1" \
        '$5 != "Print and exit" && (!$8 || index(owners, $8)) { print $1 }' | sort
}
owners='--scheme nbssgd, --network resnet*, --dataset synthetic, --world mpi,'
owners+=' --optimizer sgd or nesterov, --backend cudnn'
check "config.ini holds the options that the run used" \
    is "$(config_lines a | sed 's/ =.*//' | sort)" "$(used "$owners")"

check 'jq reads the summary' is "$(jq -r '.scheme, .workers' a/summary.json | paste -sd' ')" \
    'nbssgd 4'
check 'a set of one leaves no candidates.csv' [ ! -e a/candidates.csv ]
quartiles() { # of the numbers that come: the median, the first quartile, the greatest
    awk "$(<"$home/bench/statistics.awk")"'
        { v[NR] = $1 }
        END { print median(v, NR), quantile(v, NR, 0.25), v[NR], median(none, 0) "." }'
}
check 'bench/statistics.awk' is "$(printf '%s\n' 9 10 -1 2 | quartiles)" '5.5 1.25 10 .'

# --- the sums of that run
value() { json a/summary.json "\$j->{$1}"; }
total() { column a/ranks.csv "$1" | sum; }
check 'samples: of the ranks, and of the summary' \
    holds "$(total samples) >= $(value samples) && $(total samples) <= $(value samples) + 4 * 32"
check 'samples are mini-batches' holds "$(total samples) == 8 * $(total minibatches)"
check 'aborted mini-batches' \
    holds "$(total aborted_minibatches) == $(value aborted_minibatches)"
check 'they took part of the computing' \
    holds "$(total aborted_s) > 0 && $(total aborted_s) < 0.5 * $(total compute_s)"
check 'what was sent was received' is "$(total sent_bytes) $(total sent_messages)" \
    "$(total received_bytes) $(total received_messages)"
check 'images per second' \
    holds "($(value images_per_s) * $(value seconds) / $(value samples) - 1) ^ 2 < 1e-8"
share_of() { # ACCOUNT_S: of the workers' clocks
    column a/ranks.csv "$1" | paste -d' ' - <(column a/ranks.csv clock_s) |
        awk 'NR > 1 { part += $1; all += $2 } END { print part / all }'
}
for name in wait transfer update delay aborted dropped; do
    check "the $name share of the workers" \
        holds "($(share_of ${name}_s) - $(value ${name}_share)) ^ 2 < 1e-8"
done
check 'shares add to one' json_holds a/summary.json \
    'abs(eval { my $s = -1;
        $s += $j->{$_ . "_share"} for qw(useful aborted dropped delay update transfer wait other);
        $s }) < 1e-5'
check 'updates: of the server, and as events' is "$(value updates) $(value updates)" \
    "$(column a/ranks.csv updates | head -n 1) $(grep -c '"event": "update"' a/events.jsonl)"
check 'a worker accounts for its seconds' awk -F, -v trained="$(value seconds)" '
    $2 != "worker" { next }
    { s = $4 + $5 + $6 + $7 + $9; all = $(NF - 1) } # clock_s, then slow_met
    s < 0.98 * all || s > 1.0001 * all || all < 0.98 * trained {
        print "rank " $1 ": " s " of " all " s, training took " trained " s"
        bad = 1
    }
    END { exit bad }' <(rows a/ranks.csv)
check 'every rank took part in the evaluations' \
    holds "$(column a/ranks.csv eval_s | sort -g | head -n 1) > 0"
check 'the delayed rank was delayed' holds "$(column a/ranks.csv delay_s | tail -n 1) > 0"
# computing alone would say 1: it sleeps the rest
met=$(json a/summary.json '$j->{slow_met}{4}')
check 'what was met of --slow: in the summary and of the rank' \
    holds "$met == $(column a/ranks.csv slow_met | tail -n 1) && $met > 1.2"
check 'and in the closing lines' \
    is "$(grep -- '--slow' <<<"$out" | tail -n 1)" "--slow 4=3: rank 4 took $(
        json a/summary.json 'sprintf "%.1f", $j->{slow_met}{4}') times as long as the others"
run taskset -c 0 "$mpirun" -n 3 "$nbsgd" --network quadratic --samples 1 --results crowd
check 'ranks that outnumber cores: one line, from rank 0' \
    is "$code $(grep -c '^nbsgd: 3 ranks share the 1 core of ' <<<"$out")" '0 1'
check 'seconds and samples of eval.csv rise' \
    awk -F, '$1 < s || $2 < n { exit 1 } { s = $1; n = $2 }' <(rows a/eval.csv)
check 'the last row is the summary' is "$(rows a/eval.csv | tail -n 1 \
    | awk -F, '{ printf "%d %d %.4f %.4f %.4f", $2, $3, $5, $6, $7 }')" \
    "$(json a/summary.json 'sprintf "%d %d %.4f %.4f %.4f",
        @$j{qw(samples updates loss top1 top5)}')"

# Time to accuracy, computed again from the rows: linear between the evaluation that reached it and
# the one before; the first crossing, and the first that the next evaluation confirms.
tta_again() { # FOLDER
    perl -MJSON::PP -e '
        my $j = do { local (@ARGV, $/) = "$ARGV[0]/summary.json"; decode_json(<>) };
        my @rows = map { [split /,/] } grep { /^\d/ } do { local @ARGV = "$ARGV[0]/eval.csv"; <> };
        my $reached = 0;
        for my $threshold (keys %{$j->{tta}}) {
            my ($first, $at);
            for my $i (0 .. $#rows) {
                my ($before, $row, $next) = ($i ? $rows[$i - 1] : undef, @rows[$i, $i + 1]);
                next if $row->[5] < $threshold;
                my $from = $before && $before->[5] < $threshold ? $before : undef;
                my $part = $from ? ($threshold - $from->[5]) / ($row->[5] - $from->[5]) : 1;
                my $s = $from ? $from->[0] + $part * ($row->[0] - $from->[0]) : $row->[0];
                $first //= $s;
                $at //= $s if $next && $next->[5] >= $threshold;
            }
            for ([tta => $at], [tta_first => $first]) {
                my ($name, $found) = @$_;
                my $said = $j->{$name}{$threshold};
                die "$name $threshold %: said @{[$said // q(never)]}, " .
                    "found @{[$found // q(never)]}\n" if defined $found != defined $said
                    || defined $found && abs($found - $said) > 1e-4;
            }
            $reached += defined $at;
        }
        die "not one threshold of several was reached between two evaluations\n"
            unless $reached > $ARGV[1];
    ' "$1" "$2"
}
toy=("$nbsgd" --world sim --workers 4 --network quadratic --scheme ssgd --batch 128 --minibatches 4)
run "${toy[@]}" --samples 40960 --eval-every 2048 --thresholds 5,10,20,30,40,55.5,80,90,99.99 \
    --results tta
check 'a run to measure time to accuracy on' ends 0
check 'time to accuracy, interpolated' tta_again tta 4
check 'time to accuracy of a real run' tta_again a 0
check 'null for what was never reached' json_holds a/summary.json '!defined $j->{tta}{99}'

# --- when it stops: ssgd on 4 workers uses 512 samples per update
trains() { # COMMAND ...: into the folder b, which was not there before
    rm -rf b
    run "$@" --results b
    [ "$code" = 0 ] || fails 'a run'
}
trains "${toy[@]}" --samples 4096 --eval-every 1024
check '--eval-every' is "$(column b/eval.csv samples | paste -sd' ')" '0 1024 2048 3072 4096'
check '--samples' json_is b/summary.json '$j->{samples}' 4096
trains "${toy[@]}" --updates 7
check '--updates' json_is b/summary.json '"$j->{updates} $j->{samples}"' '7 3584'
trains "${toy[@]}" --seconds 3
check '--seconds' json_holds b/summary.json '$j->{seconds} >= 3 && $j->{seconds} < 3.5'
trains "${toy[@]}" --epochs 0.05
check '--epochs' json_is b/summary.json '$j->{samples}' 2560
trains "${toy[@]}" --target 60 --eval-every 512
check '--target' holds "$(column b/eval.csv top1 | tail -n 1) >= 60"
check '--target: not before' holds "$(column b/eval.csv top1 | tail -n 2 | head -n 1) < 60"
check '--target: finished' json_is b/summary.json '$j->{status}' finished
for scheme in ssgd allreduce eager; do
    trains "${toy[@]}" --scheme $scheme --samples 40960 --target 60 --eval-seconds 0.5
    check "$scheme: --target at a moment of --eval-seconds" json_holds b/summary.json \
        '$j->{top1} > 59 && $j->{updates} < 60'
done
for scheme in serial ssgd nbssgd ssp hogwild localsgd easgd eager; do
    trains "${toy[@]}" --scheme $scheme --target 0.1
    check "$scheme: a target that is reached before all training" json_is b/summary.json \
        '"$j->{updates} $j->{status}"' '0 finished'
done
trains "$mpirun" -n 4 "$nbsgd" --network quadratic --scheme asgd --servers 2 --target 0.1
check 'and over MPI' json_is b/summary.json '"$j->{updates} $j->{status}"' '0 finished'

# --- what is no training: the end of a straggler's last batch, who has departed, weights on their
# way to an evaluation
for servers in 1 2; do
    trains "${toy[@]}" --scheme asgd --servers $servers --samples 20000 --slow $((3 + servers))=16
    check "seconds end with the last update, $servers servers" \
        holds "$(json b/summary.json '$j->{seconds}') == $(column b/eval.csv seconds | tail -n 1)"
    check "and before the straggler's batch, $servers servers" \
        holds "$(column b/ranks.csv compute_s | tail -n 1) > 1.1 * $(jq .seconds b/summary.json)"
    check "for which nobody waits, $servers servers" json_holds b/summary.json \
        '$j->{wait_share} < 0.001'
done
trains "${toy[@]}" --samples 8192 --depart 2=2,3=2,4=2
check 'who has departed does not wait' json_holds b/summary.json '$j->{wait_share} < 0.001'
trains "${toy[@]}" --samples 8192 --depart 1=6,2=6,3=6,4=6 --eval-every 8192
check 'weights that everybody has left are evaluated' \
    is "$(column b/eval.csv updates | tail -n 1)" "$(json b/summary.json '$j->{updates}')"
trains "${toy[@]}" --samples 8192 --scheme asgd --stale-lr inverse --lr 0.12 --schedule constant \
    --warmup 0
check 'an event has the rate that was taken' grep -Eq '"staleness": 3, "lr": 0.04[,}]' \
    b/events.jsonl
for options in 'easgd --slow 4=4' 'eamsgd --slow 4=4' 'downpour --n-push 3' ringleader \
    'ringmaster --ringmaster-stops --slow 4=9'; do
    # shellcheck disable=SC2086
    trains "${toy[@]}" --samples 8192 --scheme $options
    check "$options: what was computed was used or dropped" \
        is "$(column b/ranks.csv samples | awk '{ n += $1 } END { print n }')" \
        "$(json b/summary.json '$j->{samples} + $j->{dropped_samples}')"
    check "$options: and some was dropped" json_holds b/summary.json '$j->{dropped_samples} > 0'
done
run timeout -s KILL 2 "${toy[@]}" --samples 1000000000 --results b --overwrite
check "a killed run does not end with an earlier one's files" is "$(ls b)" \
    "$(printf 'config.ini\neval.csv\nevents.jsonl')"
value_of() { jq ".$2" "$1/summary.json"; }
for scheme in allreduce eager; do
    trains "${toy[@]}" --scheme $scheme --samples 8192 --eval-every 8192 --sim-bandwidth 1e5
    seldom=$(json b/summary.json '$j->{seconds}')
    trains "${toy[@]}" --scheme $scheme --samples 8192 --eval-every 512 --sim-bandwidth 1e5
    check "$scheme: evaluations take no training time" \
        holds "$(value_of b seconds) < 1.01 * $seldom"
    check "$scheme: it was evaluated after nearly each update" \
        holds "$(rows b/eval.csv | wc -l) > 0.8 * $(value_of b updates)"
    check "$scheme: bytes of sums are counted" json_holds b/summary.json \
        '$j->{compressed_bytes} > 4000 * $j->{updates}'
done
like_shares() { # each worker's samples that counted are within a third of the mean
    column b/ranks.csv samples | awk '
        NR > 1 { n[NR] = $1; sum += $1 }
        END { mean = sum / (NR - 1)
              for (i in n) if (n[i] < mean * 2 / 3 || n[i] > mean * 4 / 3) bad = 1
              exit bad || !mean }' && return
    column b/ranks.csv samples
    return 1
}
for bandwidth in 1e5 1.25e9; do
    trains "$nbsgd" --world sim --network quadratic --workers 8 --scheme nbssgd --batch 32 \
        --minibatches 1 --lr 0.05 --sim-minibatch 0.02 --sim-bandwidth $bandwidth --updates 500
    check "nbssgd, $bandwidth bytes per second: replies share the link" like_shares
done
trains "$mpirun" -n 3 "$nbsgd" --network quadratic --scheme ssgd --seconds 0.5 --delay constant:0.01
check '--seconds of the real clock' json_holds b/summary.json \
    '$j->{seconds} >= 0.5 && $j->{seconds} < 20 && $j->{samples} < 500000'
trains env NBSGD_LIVE=1 "${toy[@]}" --updates 2
check 'one live line, written over' ends 0 $'\r'
run "${toy[@]}" --updates 2
check 'a folder of its own without --results' ends 0 \
    '^results: results/run-20[0-9]{6}-[0-9]{6}-ssgd'
run "${toy[@]}" --updates 2
check "and another one, be it in the same second" \
    is "$(find results -maxdepth 1 -name 'run-*' | wc -l)" 2
check 'and all files in it' ls \
    results/run-*-ssgd/{config.ini,eval.csv,ranks.csv,histograms.csv,events.jsonl,summary.json} \
    >/dev/null

# --- a worker's report may be sent while others evaluate already
rises() { # FILE: the training clock of its updates
    jq -r 'select(.event == "update") | .seconds' "$1" |
        awk '$1 < last { print $1 " s after " last " s"; bad = 1 } { last = $1 }
             END { exit bad || !last }'
}
trains "$mpirun" -n 3 "$nbsgd" --network lenet5 --backend ref --dataset synthetic \
    --train-samples 100 --batch 8 --minibatches 1 --updates 60 --scheme allreduce --threads 1 \
    --eval-samples 40 --eval-batches 1 --eval-seconds 0.03
check '--eval-seconds: the clock of a decentralised run never falls' rises b/events.jsonl

# --- threads and evaluation samples
trains "$mpirun" -n 2 "$nbsgd" --network resnet20 --backend ref --dataset synthetic \
    --train-samples 40 --batch 4 --minibatches 1 --updates 1 \
    --eval-samples 20 --eval-batches 1 --threads 2 --scheme ssgd
check '--threads' json_holds b/summary.json '$j->{computes} =~ /ref f32, 2 threads per rank/'
check '--eval-samples 20: top-1 in steps of 5 %' awk '$1 % 5 != 0 { exit 1 } END { exit !NR }' \
    <(column b/eval.csv top1)

# --- the configuration starts the same run again
long=$(printf 'long/%.0s' {1..60})
run "${toy[@]}" --scheme nbssgd --updates 9 --slow 3=2.5 --delay 'uniform:0,0.3 ; stall:0.2,1@2' \
    --seed 7 --lr 0.123456789 --results "$long/c"
check 'a run with an involved configuration' ends 0
run "$nbsgd" --config "$long/c/config.ini" --results d
check 'config.ini starts it again' ends 0
check 'it is the same run' same_rows "$long/c/eval.csv" d/eval.csv
differences() { diff "$1" "$2" | grep '^[<>]' | cut -c 1-11 | paste -sd' '; }
check 'and the same configuration' \
    is "$(differences "$long/c/config.ini" d/config.ini)" '< # results > # results'
run "$nbsgd" --config "$long/c/config.ini" --results d --overwrite --seed 8
check 'the command line wins' grep -qx 'seed = 8' d/config.ini
check 'another seed is another run' eval '! same_rows "$long/c/eval.csv" d/eval.csv >/dev/null'

# --- the weights, too
net=(--network resnet20 --backend ref --threads 1 --dataset synthetic --train-samples 64 --batch 8
    --minibatches 2 --eval-samples 16 --eval-batches 1
    --scheme ssgd --lr 0.01)
marks() { rows "$1" | cut -d, -f 5-7; } # loss, top-1, top-5
run "$mpirun" -n 2 "$nbsgd" "${net[@]}" --updates 2 --save weights --results e
check 'a run that saves' ends 0
run "$mpirun" -n 2 "$nbsgd" "${net[@]}" --updates 1 --init weights --results f
check 'one that starts with them' ends 0
check 'its first evaluation is the last one of the other' is "$(marks f/eval.csv | head -n 1)" \
    "$(marks e/eval.csv | tail -n 1)"
check 'which was not the first of that' \
    [ "$(marks e/eval.csv | head -n 1)" != "$(marks e/eval.csv | tail -n 1)" ]

# --- the norm of the weights, each worker's losses
label=("$nbsgd" --world sim --network lenet5 --backend ref --dataset synthetic --threads 1
    --synthetic-channels 1 --synthetic-side 16 --train-samples 60 --batch 4 --minibatches 2
    --eval-samples 20 --eval-every 24 --samples 96 --schedule constant --warmup 0 --lr 0.05
    --partition label)
norm_of() { # SAFETENSORS
    perl -e 'undef $/; binmode STDIN; $_ = <STDIN>; my $sum = 0;
        $sum += $_ ** 2 for unpack "f<*", substr $_, 8 + unpack "Q<", $_;
        printf "%.6g", sqrt $sum' <"$1"
}
sums_up() { # FOLDER: over the workers, the samples and the mean loss of each row of eval.csv
    awk -F, '/^[#s]/ { next }
        NR == FNR { used[$2] += $6; sum[$2] += $6 * $7; next }
        $2 { n++; mean = sum[$2] / used[$2]; }
        $2 && (used[$2] != $2 - last || (mean - $8) ^ 2 > 1e-10) {
            print "after " $2 ": " used[$2] " samples of a mean loss of " mean; bad = 1
        }
        { last = $2 }
        END { exit bad || n < 2 }' "$1/worker_losses.csv" "$1/eval.csv"
}
for scheme in serial ssgd 'asgd --servers 2 --slow 3=3' dpsgd nbgossip 'localsgd --local-steps 2' \
    hogwild; do
    # shellcheck disable=SC2086
    trains "${label[@]}" --workers 2 --scheme $scheme --save b.weights --overwrite
    check "$scheme: the norm is that of the weights" \
        is "$(column b/eval.csv weight_norm | tail -n 1)" "$(norm_of b.weights)"
    check "$scheme: which have moved" \
        is "$(column b/eval.csv weight_norm | uniq | wc -l)" "$(rows b/eval.csv | wc -l)"
    check "$scheme: losses of the workers, in all" sums_up b
    check "$scheme: of each one, which differ" awk -F, '
        { seen[$4] = 1; if ($2 == last && $7 != loss) differ = 1; last = $2; loss = $7 }
        END { exit !(seen[0] && seen[1] && differ) }' <(rows b/worker_losses.csv)
done

# --- no longer a number
is_nan() { # FOLDER ROWS: what such a run leaves
    json_is "$1/summary.json" '$j->{status}' nan && json_lines "$1/events.jsonl" &&
        grep -q '"event": "nan"' "$1/events.jsonl" &&
        is "$(rows "$1/eval.csv" | wc -l)" "$2" && ! rows "$1/eval.csv" | grep -qiE 'nan|inf'
}
run "$mpirun" -n 5 "$nbsgd" --network quadratic --scheme ssgd --lr 1e20 --warmup 0 \
    --schedule constant --results g
check 'loss NaN: exit code 4, step and rank' ends 4 \
    'the loss of rank [1-4] is no longer a number at update [0-9]+ .*best top-1 so far 9.50 %'
check 'loss NaN: what is left' is_nan g 1
run "$mpirun" -n 3 "$nbsgd" "${net[@]}" --scheme nbssgd --lr 1e20 --warmup 0 --schedule constant \
    --eval-every 1000 --samples 2000 --init weights --save nan --results h
check 'loss NaN of a network: exit code 4, step and rank' ends 4 \
    'the loss of rank [12] is no longer a number at update [0-9]+ .* is kept in h/best.safetensors'
check 'loss NaN of a network: what is left' is_nan h 1
run "$mpirun" -n 2 "$nbsgd" "${net[@]}" --updates 1 --init h/best.safetensors --results f2
check 'loss NaN of a network: the best weights' is "$(marks f2/eval.csv | head -n 1)" \
    "$(marks e/eval.csv | tail -n 1)"
check 'loss NaN of a network: nothing was learned, nothing is saved' [ ! -e nan ]
run "${toy[@]}" --lr 3e38 --momentum 0 --warmup 0 --schedule constant --updates 1 --results g2
check 'NaN in an evaluation: exit code 4' ends 4 \
    "the evaluation's loss is no longer a number at update 1 "
check 'NaN in an evaluation: what is left' is_nan g2 1
perl -0777 -pe 'substr($_, -4000) = pack("f<", "nan") x 1000' weights >spoilt
run "$mpirun" -n 2 "$nbsgd" "${net[@]}" --updates 5 --init spoilt --results g3
check 'NaN in the first weights: exit code 2, before anything is written' ends 2 \
    "weights 'spoilt': tensor .* a weight is NaN"
check 'NaN in the first weights: no folder' [ ! -e g3 ]

# --- a full disk is said once and at the end, and training goes on to its end
full() { # WHAT FILE ...: the last run trained to its end all the same
    check "$1: it trains on" ends 7 '^ssgd: 5120 samples, 10 updates'
    check "$1: said once" is "$(grep -c 'cannot write' <<<"$out")" 1
    check "$1: and at the end" ends 7 "^nbsgd: NOT WRITTEN, or not in full: $2"
}
for file in eval.csv events.jsonl ranks.csv histograms.csv summary.json; do
    rm -rf i && mkdir i && ln -s /dev/full "i/$file"
    run "${toy[@]}" --updates 10 --eval-every 1000 --results i --overwrite
    full "no room for $file" "$file "
    check "no room for $file: which" ends 7 "cannot write i/$file .No space left"
done
rm -rf i && mkdir i && ln -s /dev/full i/events.jsonl
run "$mpirun" -n 3 "$nbsgd" --network quadratic --scheme ssgd --updates 10 --results i --overwrite
check 'over MPI, too, all ranks end with one code' ends 7 '10 updates' 'NOT WRITTEN.*events.jsonl'
mkdir tiny
if mount -t tmpfs -o size=12k tmpfs tiny 2>/dev/null; then
    tidy() { cd / && umount "$folder/tiny" && rm -rf "$folder"; }
    run "${toy[@]}" --updates 10 --eval-every 1000 --results tiny/run
    full 'a full disk' '.*summary.json'
    cp weights tiny/room 2>/dev/null # nothing is left now
    run "$mpirun" -n 2 "$nbsgd" "${net[@]}" --updates 3 --eval-every 8 --save tiny/weights \
        --results j
    check 'no room for the weights: it trains on' ends 7 '3 updates' 'NOT WRITTEN.* tiny/weights '
    check 'no room for the weights: said once' \
        is "$(grep -c 'cannot write the weights to tiny/weights .No space left' <<<"$out")" 1
    check 'no room for the weights: the best are in the folder of results' [ -s j/best.safetensors ]
    check 'no room for the weights: nothing half written is left' \
        is "$(find tiny -maxdepth 1 -name '*part*' | wc -l)" 0
else
    passes_over 'no file system of 12 KiB can be mounted here'
fi

# --- the figure
if command -v gnuplot >/dev/null; then
    run env NBSGD_DATADIR="$home" "${toy[@]}" --updates 5 --results "$folder/k"
    check 'a figure' ends 0 '^figure: .*/k/figure.png'
    run gnuplot -c "$home/plots/partition.gp" partition.png a
    check 'a figure of the partition' is "$code $(head -c 4 partition.png | tail -c 3)" '0 PNG'
    check 'which is an image' is "$(head -c 8 k/figure.png | od -An -tx1 | tr -d ' ')" \
        89504e470d0a1a0a
    says_where() { # SCRIPT FILE ARGUMENT ...: another figure, when FILE says another machine
        gnuplot -c "$home/plots/$1.gp" here.png "${@:3}" &&
            sed -i 's/^# \(network\|host\): .*/# \1: another/' "$2" &&
            gnuplot -c "$home/plots/$1.gp" there.png "${@:3}" && ! cmp -s here.png there.png
    }
    mkdir -p many/x-1 && cp k/eval.csv many/x-1
    grep -v '^#' k/eval.csv | tee many/x.seconds.csv >many/x.samples.csv
    printf '%s\n' '# host: here' scheme,stragglers,case,measured_s,predicted_s,error_percent \
        ssgd,none,one,1,1.1,10 asgd,none,one,2,1.9,-5 >many/validate.csv
    says_which() { # SCRIPT FILE ARGUMENT ...: another figure, when FILE says other images
        gnuplot -c "$home/plots/$1.gp" here.png "${@:3}" &&
            sed -i 's/^# evaluate: test/# evaluate: val/' "$2" &&
            gnuplot -c "$home/plots/$1.gp" there.png "${@:3}" && ! cmp -s here.png there.png
    }
    check 'a figure says which images were judged' says_which run k/eval.csv k
    check 'so does one of a comparison' says_which compare many/x-1/eval.csv many x 1
    check 'a figure says on what its runs were made' says_where run k/eval.csv k
    check 'so does that of a partition' says_where partition a/partition.csv a
    check 'so does a comparison' says_where compare many/x-1/eval.csv many x 1
    check 'so does a validation' says_where validate many/validate.csv many
else
    passes_over 'no gnuplot, no figure'
fi

# --- a run that goes wrong says so
wrong=(--network resnet20 --dataset synthetic --train-samples 64 --batch 8 --minibatches 1
    --eval-samples 20 --eval-batches 1
    --eval-every 16 --schedule constant --warmup 0 --threads 1)
run "$mpirun" -n 3 "$nbsgd" "${wrong[@]}" --scheme asgd --lr 3 --momentum 0.9 --samples 96 \
    --results diverging
check 'a loss that rises is said, with its likely cause' ends 0 \
    'the loss stays above that of the first weights' 'Likely cause: .*--momentum'
check 'and recorded' json_holds diverging/summary.json '$j->{divergence} eq "diverging"'
check 'and an event' grep -q '"event": "divergence".*"what": "diverging"' diverging/events.jsonl
run "${toy[@]}" --lr 3 --momentum 0 --warmup 0 --schedule constant --updates 2 --eval-seconds 0.01 \
    --results twice
check 'two versions that are judged often are not many' json_holds twice/summary.json \
    '!defined $j->{divergence}'
losses=$(column twice/eval.csv loss | sed -n '1p;$p' | paste -sd'<')
check 'though both have a greater loss than the first weights' holds "$losses"
run "$mpirun" -n 3 "$nbsgd" "${wrong[@]}" --scheme asgd --lr 0 --samples 96 --chance-samples 32 \
    --results at_chance
check 'an accuracy at chance is said' ends 0 'the accuracy is still what guessing gives' \
    'a greater --lr'
check 'and recorded, too' json_holds at_chance/summary.json '$j->{divergence} eq "at_chance"'

finish
