# The paired difference of runs given as A B A B ..: one line. See bench/paired.
#
#   awk -v kind=samples|seconds|target|end -v at=N -f statistics.awk -f paired.awk EVAL.CSV ...
BEGIN { FS = "," }
FNR == 1 {
    run++
    head = 0
}
/^#/ { next }
!head {
    for (i = 1; i <= NF; i++) column[$i] = i
    head = 1
    next
}
{
    n[run]++
    x[run, n[run]] = $column[kind == "samples" ? "samples" : "seconds"]
    y[run, n[run]] = $column["top1"]
}

# top-1 there; "" where the run had ended
function top1_at(r, i, part) {
    if (kind == "end") return y[r, n[r]]
    if (x[r, n[r]] < at) return ""
    for (i = 2; i < n[r] && x[r, i] < at; i++) continue
    part = x[r, i] > x[r, i - 1] ? (at - x[r, i - 1]) / (x[r, i] - x[r, i - 1]) : 1
    return y[r, i - 1] + part * (y[r, i] - y[r, i - 1])
}

# seconds to the target; "": never
function time_to(r, i, part) {
    if (y[r, 1] >= at) return x[r, 1]
    for (i = 2; i <= n[r] && y[r, i] < at; i++) continue
    if (i > n[r]) return ""
    part = (at - y[r, i - 1]) / (y[r, i] - y[r, i - 1])
    return x[r, i - 1] + part * (x[r, i] - x[r, i - 1])
}

END {
    for (r = 1; r < run; r += 2) {
        a = kind == "target" ? time_to(r) : top1_at(r)
        b = kind == "target" ? time_to(r + 1) : top1_at(r + 1)
        missing_a += a == ""
        missing_b += b == ""
        if (a == "" || b == "") continue
        list[++count] = a - b
        better += kind == "target" ? a < b : a > b
    }
    name = kind == "target" ? "seconds to " at " %" : \
        kind == "end" ? "top-1 at the end" : "top-1 at " at " " kind
    line = count < 2 ? "no difference can be told" : sprintf("%+.2f +- %.2f, better in %d of %d", \
        mean(list, count), half_width95(list, count), better, count)
    if (missing_a || missing_b)
        line = line sprintf("; never: %d and %d", missing_a, missing_b)
    print name ": " line
}
