# What is written above every row, and the README with the figure, made from the rows that are
# there.
# shellcheck shell=bash disable=SC2154,SC2016

head_lines() {
    local gpu cpu mode_is=''
    gpu=$(nvidia-smi --query-gpu=name,driver_version,memory.total \
        --format=csv,noheader 2>/dev/null | sort | uniq -c | sed -E 's/^ *([0-9]+) /\1 x /' |
        paste -sd';')
    cpu=$(sed -nE 's/^model name[[:space:]]*: (.*)/\1/p' /proc/cpuinfo 2>/dev/null | head -n 1)
    if [ "$mode" = --rehearse ]; then mode_is='A REHEARSAL ON THE CPU, '; fi
    cat <<END
# date: $(date '+%Y-%m-%d %H:%M:%S %z')
# program: $(head -n 1 <<<"$version")
# host: $(uname -srm), $cpu
# cores: $(nproc)
# gpu: ${gpu:-unknown to nvidia-smi}
# $(grep '^messages:' <<<"$version")
# $(grep '^backends:' <<<"$version")
# pytorch: $torch
# gpu.sh: ${mode_is}backend $BACKEND, parts: $parts
END
}

# table FILE TITLES ...: the rows of a CSV in Markdown, quotes off.
table() {
    local file=$1
    shift
    printf '| %s ' "$@"
    printf '|\n'
    printf '|---%.0s' "$@"
    printf '|\n'
    grep -v '^#' "$file" | tail -n +2 | sed 's/"//g; s/,/ | /g; s/^/| /; s/$/ |/'
    echo
}

middles() { # of ranks.csv: a median for each number of ranks, and its ratio to one
    grep -v '^#' "$out/ranks.csv" | awk -F, "$(<bench/statistics.awk)"'
        NR == 1 { next }
        { v[$2, ++n[$2]] = $4 }
        function median_of(r, i, list) {
            for (i = 1; i <= n[r]; i++) list[i] = v[r, i]
            return median(list, n[r])
        }
        END {
            print "ranks,workers,images_per_s,of_one,rounds"
            kinds = split("1 2 3 4 5 5+", name, " ")
            for (i = 1; i <= kinds; i++) if (n[r = name[i]]) {
                m = median_of(r); if (r == 1) one = m
                printf("%s,%d,%.0f,%s,%d\n", r, (r + 0 > 1 ? r - 1 : 1), m,
                    (one ? sprintf("%.2f", m / one) : "-"), n[r])
            }
        }'
}

draw() {
    local curves=() scheme
    for scheme in $schemes; do
        if [ -e "$out/train/$scheme/eval.csv" ]; then curves+=("$scheme=$out/train/$scheme"); fi
    done
    [ ${#curves[@]} -gt 0 ] || return
    if gnuplot -c plots/run.gp "$out/figure.png" "${curves[@]}" 2>/dev/null; then
        echo '![accuracy and loss](figure.png)'
    else
        echo "No gnuplot was there to draw the curves of train/: where there is one," \
            "\`PARTS='' OUT=${out#"$PWD/"} bench/gpu.sh\` does."
    fi
}

report() {
    local file
    {
        printf '# On a GPU%s\n\n' "$([ "$mode" = --rehearse ] &&
            echo ': A REHEARSAL ON THE CPU, no figure of a GPU')"
        sed -E 's/^# ?/    /' "$out/head.txt" 2>/dev/null
        printf '\nMade by `bench/gpu.sh%s`. `NO` in a table: not reached.\n' "${mode:+ $mode}"
        if [ -e "$out/tests.csv" ]; then
            printf '\n## Is it right\n\nLosses of the third step of ResNet-50 are compared with '
            printf 'those of the CPU; a skipped test has not been made.\n\n'
            table "$out/tests.csv" test passed failed skipped ''
        fi
        if [ -e "$out/steps.csv" ]; then
            printf '\n## A training step beside PyTorch, images/s\n\n'
            printf 'Medians; ratios are medians over turns.'
            printf ' Compiled: the faster of `torch.compile` as it is and with CUDA graphs. '
            printf 'The floor is computed from bytes and FLOPs of an H200.\n\n'
            table "$out/steps.csv" stem side batch type ours 'without update' eager compiled \
                'with graphs' 'ours / eager' '>=' '' \
                'ours / compiled' '>=' '' '% of the floor' '>=' ''
        fi
        if [ -e "$out/ranks.csv" ]; then
            printf '\n## Ranks on one GPU (ssgd; 1: serial; 5+: the server on the GPU, too)\n\n'
            middles >"$tmp/middles"
            table "$tmp/middles" ranks workers images/s 'of one process' rounds
        fi
        if [ -e "$out/train.csv" ]; then
            printf '\n## The main job: ResNet-50 on CIFAR-10, 4 workers and a server, one seed\n\n'
            printf 'To reach: 93 %%.\n\n'
            table "$out/train.csv" scheme 'best top-1, %' seconds images/s 's to 90 %' 's to 93 %' \
                data
            draw
        fi
        printf '\n## Commands\n\n'
        for file in "$out"/commands-*.txt; do
            if [ -e "$file" ]; then sed 's/^/    /' "$file"; fi
        done
    } >"$out/README.md"
}
