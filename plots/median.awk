# The median accuracy of several runs over one axis: one line of x,top1 for each of 60 steps.
#
#   awk -v axis=seconds -f bench/statistics.awk -f plots/median.awk RUN/eval.csv ... >median.csv
#
# Each run's curve is linear between its evaluations. The axis ends where the first run ends.
BEGIN { FS = "," }
FNR == 1 { run++; head = 0 }
/^#/ { next }
!head {
    for (i = 1; i <= NF; i++) column[$i] = i
    head = 1
    next
}
{ n[run]++; x[run, n[run]] = $column[axis]; y[run, n[run]] = $column["top1"] }

function curve(r, at, i, part) {
    for (i = 2; i < n[r] && x[r, i] < at; i++) continue
    part = x[r, i] > x[r, i - 1] ? (at - x[r, i - 1]) / (x[r, i] - x[r, i - 1]) : 1
    return y[r, i - 1] + (part > 1 ? 1 : part) * (y[r, i] - y[r, i - 1])
}

END {
    last = x[1, n[1]]
    for (r = 2; r <= run; r++) if (x[r, n[r]] < last) last = x[r, n[r]]
    print axis ",top1"
    for (s = 0; s <= 60; s++) {
        for (r = 1; r <= run; r++) list[r] = curve(r, last * s / 60)
        printf "%.6g,%.6g\n", last * s / 60, median(list, run)
    }
}
