# Statistics for awk programs: put before their text, `awk "$(<bench/statistics.awk)"'...'`, or
# before their file, `awk -f bench/statistics.awk -f NAME.awk`.
#
# A list is list[1 .. n], of numbers; it comes back sorted. Of an empty one all of this is "".

function sort_numbers(list, n, i, k, v) {
    for (i = 2; i <= n; i++) {
        v = list[i]
        for (k = i - 1; k >= 1 && list[k] + 0 > v + 0; k--) list[k + 1] = list[k]
        list[k + 1] = v
    }
}

# The value that a part q (0 .. 1) of the list does not exceed: linear between neighbours, so that
# q = 0.5 is the median.
function quantile(list, n, q, at, below) {
    if (!n) return ""
    sort_numbers(list, n)
    at = 1 + q * (n - 1)
    below = int(at)
    return below == n ? list[n] : list[below] + (at - below) * (list[below + 1] - list[below])
}

function median(list, n) {
    if (!n) return ""
    sort_numbers(list, n)
    return n % 2 ? list[(n + 1) / 2] : (list[n / 2] + list[n / 2 + 1]) / 2
}

function mean(list, n, i, sum) {
    if (!n) return ""
    for (i = 1; i <= n; i++) sum += list[i]
    return sum / n
}

# of the values, n - 1 in the denominator
function variance(list, n, i, m, sum) {
    if (n < 2) return ""
    m = mean(list, n)
    for (i = 1; i <= n; i++) sum += (list[i] - m) ^ 2
    return sum / (n - 1)
}

# Student's t that 2.5 % lie above, for so many degrees of freedom, also fractions: the usual table,
# linear in 1 / df between its rows.
function student95(df, table, row, value, count, i) {
    count = split("1 12.706 2 4.3027 3 3.1824 4 2.7764 5 2.5706 6 2.4469 7 2.3646 8 2.3060 " \
        "9 2.2622 10 2.2281 12 2.1788 15 2.1314 20 2.0860 30 2.0423 60 2.0003 1e9 1.9600",
        table, " ")
    for (i = 1; i < count; i += 2) {
        row[++row[0]] = table[i]
        value[row[0]] = table[i + 1]
    }
    for (i = 2; i < row[0] && row[i] < df; i++) continue
    return value[i] + (value[i - 1] - value[i]) * (1 / df - 1 / row[i]) / \
        (1 / row[i - 1] - 1 / row[i])
}

# Half of the 95 % interval of the mean.
function half_width95(list, n) {
    return n < 2 ? "" : student95(n - 1) * sqrt(variance(list, n) / n)
}
