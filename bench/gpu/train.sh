# Does it train? ResNet-50 on CIFAR-10 with serial, ssgd, nbssgd and asgd, four workers and a server
# on one GPU: each for so many seconds of the training clock, or (--full) for thirty passes.
# train.csv, and each run's files in train/SCHEME. One seed, rates that are usual and not tuned: it
# shows that they learn, not who wins.
# shellcheck shell=bash disable=SC2154

schemes='serial ssgd nbssgd asgd'
# the rest is for the start and the last evaluation
run_s=$((train_s / 4 > 15 ? train_s / 4 - 8 : 8))

commands_train() {
    local scheme rate until=(--seconds "$run_s" --epochs 1000 --eval-every 100000)
    if [ "$mode" = --full ]; then until=(--epochs 30 --eval-every 50000); fi
    if [ "$mode" = --rehearse ]; then
        until=(--seconds 0.3 --epochs 100000 --eval-every 1000 --eval-samples 32)
    fi
    for scheme in $schemes; do
        case $scheme in asgd) rate=0.1 ;; nbssgd) rate=0.3 ;; *) rate=0.4 ;; esac
        job_is "train $scheme" "$([ "$scheme" = serial ] && echo 1 || echo 5)" "$scheme" \
            --lr $rate --warmup 0.15 "${until[@]}" \
            --eval-batches 4 --thresholds 80,90,93,94 --results "$out/train/$scheme"
    done
}

# at FOLDER PERCENT: seconds to that accuracy; never: nothing.
at() { sed -nE "s/^ *\"tta\": .*\"$2\": ([0-9.]+).*/\1/p" "$1/summary.json"; }

part_train() {
    local scheme folder bad=0 best
    {
        cat "$out/head.txt"
        echo 'scheme,top1,seconds,images_per_s,to_90_s,to_93_s,data'
    } >"$out/train.csv"
    for scheme in $schemes; do
        folder=$out/train/$scheme
        rm -rf "$folder"
        mkdir -p "$out/train"
        if [ "$(left)" -lt 5 ]; then echo "$scheme: left out: no time is left"; bad=1; continue; fi
        run "train $scheme" "$([ "$mode" = --full ] && left || echo $((run_s + 60)))" "$tmp/log" ||
            { echo "$scheme: FAILED: $(why $? "$tmp/log")"; bad=1; continue; }
        best=$(fact_of "$folder" best_top1)
        echo "$scheme,$best,$(fact_of "$folder" seconds),$(
            fact_of "$folder" images_per_s),$(at "$folder" 90),$(at "$folder" 93),$(
            sed -nE 's/^# data: //p' "$folder/eval.csv" | tr ',' ';')" >>"$out/train.csv"
        printf '%-8s top-1 %6s %% after %s s at %s images/s\n' "$scheme" "$best" \
            "$(fact_of "$folder" seconds)" "$(fact_of "$folder" images_per_s)"
    done
    [ $bad = 0 ]
}
