# Tables of the study, in Markdown.
#
#   cd results/2026-11-30_nbssgd_choices && \
#       awk -F, -f ../../bench/statistics.awk -f report.awk final.csv
#
# Top-1 in percent, mean over the seeds with its 95 % interval: after all 12,800 samples, and at the
# moment at which asgd's workers, who never wait, have used them. Curves are linear between
# evaluations; a run that ended early, as it diverged, counts as 10 %. Beside the mean stands the
# setting's rate. Differences are paired by seed.
FNR == 1 { next }
{
    key = $1 "," $3 "," $4 "," $2
    if (!((key, $6) in n)) {
        if (!(key in seeds)) lr[key] = $5
        seeds[key]++
        seed_of[key, seeds[key]] = $6
    }
    i = ++n[key, $6]
    seconds[key, $6, i] = $7
    top1[key, $6, i] = $10
    samples[key, $6] = $8
    updates[key, $6] = $9
}

function at_time(key, seed, t, i, last, part) {
    last = n[key, seed]
    if (samples[key, seed] < 12800) return 10
    for (i = 2; i < last && seconds[key, seed, i] < t; i++) continue
    part = (t - seconds[key, seed, i - 1]) / (seconds[key, seed, i] - seconds[key, seed, i - 1])
    if (part > 1) part = 1
    return top1[key, seed, i - 1] + part * (top1[key, seed, i] - top1[key, seed, i - 1])
}

function at_end(key, seed) {
    return samples[key, seed] < 12800 ? 10 : top1[key, seed, n[key, seed]]
}

# "mean +- half (rate)" of a setting; of its differences from another, where one is given
function cell(key, timed, t, from, i, seed, m, v) {
    m = 0
    for (i = 1; i <= seeds[key]; i++) {
        seed = seed_of[key, i]
        v = timed ? at_time(key, seed, t) : at_end(key, seed)
        if (from) {
            if (!((from, seed) in n)) continue
            v -= timed ? at_time(from, seed, t) : at_end(from, seed)
        }
        list[++m] = v
    }
    if (!m) return "-"
    return sprintf(from ? "%+.1f +- %.1f" : "%.1f +- %.1f", mean(list, m), half_width95(list, m))
}

function table(w, timed, t, of, k, kinds, kind, b, batches, line, i, key) {
    kinds = split("asgd,-|ssgd,-|abort,finished|abort,full|abort,samples|abort,capped|" \
        "carry,finished|carry,full|carry,samples|carry,capped|" \
        "finish,finished|finish,full|finish,samples|finish,capped", kind, "|")
    batches = split("1 4 8 16", b, " ")
    print "\n| " w " workers, " of " | 1 mini-batch a batch | 4 | 8 | 16 |\n|---|---|---|---|---|"
    for (k = 1; k <= kinds; k++) {
        line = kind[k]
        sub(",-", "", line)
        sub(",", ", ", line)
        line = "| " line " |"
        for (i = 1; i <= batches; i++) {
            key = w "," kind[k] "," b[i]
            line = line " " (key in seeds ? cell(key, timed, t) ", " lr[key] : "") " |"
        }
        print line
    }
}

function asgd_seconds(w, key, i, t) {
    key = w ",asgd,-,1"
    for (i = 1; i <= seeds[key]; i++) t += seconds[key, seed_of[key, i], n[key, seed_of[key, i]]]
    return seeds[key] ? t / seeds[key] : 0
}

function differences(w, timed, t, of, kind, kinds, k, line, b) {
    print "\n| " w " workers, " of ": from abort, finished | 4 | 8 | 16 |\n|---|---|---|---|"
    kinds = split("abort,full|abort,samples|abort,capped|carry,finished|carry,full|" \
        "carry,samples|carry,capped|finish,finished|finish,full|finish,samples|finish,capped", \
        kind, "|")
    for (k = 1; k <= kinds; k++) {
        line = kind[k]
        sub(",", ", ", line)
        line = "| " line " |"
        for (b = 4; b <= 16; b *= 2)
            line = line " " cell(w "," kind[k] "," b, timed, t, w ",abort,finished," b) " |"
        print line
    }
}

# Beside ssgd with as many mini-batches an update in the mean: a batch of w for w workers.
function beside_ssgd(w, t, kind, kinds, k) {
    print "\n| " w " workers, " w " mini-batches an update: from ssgd | samples | time |"
    print "|---|---|---|"
    kinds = split("finished full samples capped", kind, " ")
    for (k = 1; k <= kinds; k++)
        print "| abort, " kind[k] " | " cell(w ",abort," kind[k] "," w, 0, t, w ",ssgd,-,1") " | " \
            cell(w ",abort," kind[k] "," w, 1, t, w ",ssgd,-,1") " |"
}

END {
    for (w = 4; w <= 16; w += 12) {
        t = asgd_seconds(w)
        if (!t) continue
        table(w, 0, 0, "at equal samples")
        table(w, 1, t, sprintf("after %.1f s", t))
        differences(w, 0, 0, "at equal samples")
        differences(w, 1, t, sprintf("after %.1f s", t))
        beside_ssgd(w, t)
    }
}
