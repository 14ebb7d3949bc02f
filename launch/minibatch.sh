# How long a mini-batch takes on the ranks that `launch` starts. For test.s and bench/validate.
#
#   minibatch_time PROGRAM FOLDER OPTION ...   prints "SECONDS JITTER": the mean over the workers'
#       mini-batches in ten seconds, and how much each worker's own differ, standard deviation /
#       mean. The OPTIONs name --network, --batch (one mini-batch) and what else matters. The run's
#       results and log are left in FOLDER.
# shellcheck shell=bash disable=SC2154

minibatch_time() {
    local program=$1 folder=$2 unlimited=1000000000
    shift 2
    mkdir -p "$folder"
    "${launch[@]}" "$program" --scheme ssgd --dataset synthetic --minibatches 1 --seconds 10 \
        --samples $unlimited --eval-every $unlimited --eval-samples 32 --eval-batches 1 \
        --results "$folder/run" "$@" >"$folder/log" 2>&1 || { cat "$folder/log" >&2; return 1; }
    # Columns have names.
    awk -F, '
        /^#/ { next }
        !head++ { for (i = 1; i <= NF; i++) at[$i] = i; next }
        $at["role"] == "worker" {
            s += $at["compute_s"]; n += $at["minibatches"]
            v += $at["minibatches"] * $at["minibatch_deviation_s"] ^ 2
        }
        END {
            if (!n) { print "no compute times" >"/dev/stderr"; exit 1 }
            printf "%.4g %.3f\n", s / n, sqrt(v / n) / (s / n)
        }' "$folder/run/ranks.csv"
}
