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
