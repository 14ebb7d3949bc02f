# The table of bench/parity from its rows, and the verdict.
#
#   awk -f statistics.awk -f parity.awk parity.csv
#
# Welch's interval: the two programs' variances may differ.
BEGIN { FS = ","; most = 1.5 }
/^#/ || /^program/ { next }
{
    n[$1]++
    top1[$1, n[$1]] = $3
    loss[$1, n[$1]] = $4
}

function take(program, i) {
    delete list
    for (i = 1; i <= n[program]; i++) list[i] = top1[program, i]
    return n[program]
}

function show(program, i, line, count, losses) {
    for (i = 1; i <= n[program]; i++) {
        line = line sprintf(" %.2f (%.3f)", top1[program, i], loss[program, i])
        losses += loss[program, i]
    }
    count = take(program)
    printf "%-8s%s; mean %.2f %%, deviation %.2f, training loss %.3f\n", program, line, \
        mean(list, count), sqrt(variance(list, count)), losses / count
}

END {
    if (n["nbsgd"] < 2 || n["pytorch"] < 2) {
        print "no verdict: two seeds of each are wanted"
        exit
    }
    show("nbsgd")
    show("pytorch")
    count = take("nbsgd")
    a = mean(list, count)
    va = variance(list, count) / count
    da = count - 1
    count = take("pytorch")
    b = mean(list, count)
    vb = variance(list, count) / count
    db = count - 1
    df = va + vb > 0 ? (va + vb) ^ 2 / (va ^ 2 / da + vb ^ 2 / db) : da + db
    half = student95(df) * sqrt(va + vb)
    printf "nbsgd - pytorch: %+.2f +- %.2f points (Welch, 95 %%)\n", a - b, half
    inside = (a > b ? a - b : b - a) <= half
    print inside && half < most ? "PASS" : "FAIL: " (inside ? "the interval is too wide" : \
        "the means differ")
}
