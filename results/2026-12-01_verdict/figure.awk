# Rows for figure.gp from report.csv: of each case a block, of each setting a line: its place, its
# name, the ratio of its time to ssgd's, the interval. -v target=86.32; never is the edge, 4.
#   awk -F, -v target=86.32 -f figure.awk report.csv >figure.csv
function label(setting) { # nbssgd's, by what differs from today's default
    if (setting !~ /^nbssgd/) return setting
    return "nbssgd" (setting ~ /carry/ ? " carry" : "") (setting ~ /reset/ ? "" : " keep")
}
function within(x) { return x == "inf" || x > 4 ? 4 : x < 0.25 ? 0.25 : x + 0 }
$1 == "time_ratio" && $5 == "ssgd" && $7 == target {
    value[$3, $4] = within($9); low[$3, $4] = within($10); high[$3, $4] = within($11)
    if (!($3 in seen)) { seen[$3] = 1; cases[++n] = $3 }
    if (!($4 in sum)) { names[++m] = $4 }
    sum[$4] += log(value[$3, $4])
}
END {
    for (i = 2; i <= m; i++) # the soonest is the last, and so on top
        for (j = i; j > 1 && sum[names[j]] > sum[names[j - 1]]; j--) {
            t = names[j]; names[j] = names[j - 1]; names[j - 1] = t
        }
    for (k = 1; k <= n; k++) {
        print "# " cases[k]
        for (j = 1; j <= m; j++)
            printf "%d,%s,%.4f,%.4f,%.4f\n", j, label(names[j]), value[cases[k], names[j]],
                low[cases[k], names[j]], high[cases[k], names[j]]
        printf "\n\n"
    }
}
