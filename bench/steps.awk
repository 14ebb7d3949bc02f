# A row of the table of steps from its turns: the row of steps.csv is appended to `csv`, what the
# terminal shows is printed. bench/parts/steps.sh says what is compared.
#
#   awk -F, -v row=.. -v csv=.. -v backend=.. -v rss=.. -v flops=.. -v needed=.. -v moved=.. \
#       -v traffic=.. -v want_plain=.. -v want_tuned=.. -v want_share=.. -v want_floor=.. \
#       -f statistics.awk -f steps.awk turns.csv

function conclude(list, n) { # sets mid, low, high
    mid = low = high = ""
    if (!n) return 0
    mid = median(list, n); low = list[1]; high = list[n]
    return n
}

function of_turn(turn, who, i, list) { # its median
    for (i = 1; i <= count[turn, who]; i++) list[i] = figure[turn, who, i]
    return median(list, count[turn, who])
}

function speed(who, n, t, i, list) { # over all figures
    for (t = 1; t <= turns; t++)
        for (i = 1; i <= count[t, who]; i++) list[++n] = figure[t, who, i]
    return conclude(list, n)
}

function ratio(who, scale, n, t, list) { # ours / who, turn by turn
    for (t = 1; t <= turns; t++)
        if (count[t, who]) list[++n] = scale * of_turn(t, "ours") / of_turn(t, who)
    return conclude(list, n)
}

# images/s that nobody passes in this turn: the slower of arithmetic and memory, which can work at
# the same time
function most_of_turn(t, arithmetic, memory) {
    arithmetic = 1e9 * of_turn(t, "peak") / needed
    memory = 1e9 * of_turn(t, "memory") / moved
    bound[arithmetic < memory ? "arithmetic" : "memory"]++
    return arithmetic < memory ? arithmetic : memory
}

function most(n, t, list) {
    for (t = 1; t <= turns; t++)
        if (count[t, "peak"] && count[t, "memory"]) list[++n] = most_of_turn(t)
    return conclude(list, n)
}

function share_of_floor(n, t, list) { # percent
    for (t = 1; t <= turns; t++)
        if (count[t, "peak"] && count[t, "memory"])
            list[++n] = 100 * of_turn(t, "ours") / most_of_turn(t)
    return conclude(list, n)
}

function verdict(want) {
    return want == "-" || mid == "" ? "-" : mid >= want + 0 ? "yes" : "NO"
}

function put(text) { line = line "," text }

function put_middle() { put(mid); put(low); put(high) }

function put_ratio(want, width) {
    put_middle(); put(want); put(verdict(want))
    if (mid == "") return sprintf("| %-" width "s", "-")
    text_of = sprintf("%.2f (%.2f..%.2f)", mid, low, high)
    if (want != "-") text_of = text_of " >=" want " " verdict(want)
    return sprintf("| %-" width "s", text_of)
}

function put_share(want) {
    if (mid != "") {
        text = text sprintf(" %.0f (%.0f..%.0f)", mid, low, high)
        if (want != "-") text = text " >=" want " " verdict(want)
    } else text = text " -"
    put_middle(); put(want); put(verdict(want))
}

$1 == row {
    if (!(($2, $3) in number)) number[$2, $3] = ++turns
    t = number[$2, $3]
    figure[t, $4, ++count[t, $4]] = $5
}

END {
    split(row, part, " ")
    line = row; gsub(/ /, ",", line); put(backend)
    text = sprintf("%-8s %-8s %3d %d %-4s", part[1], part[2], part[3], part[4], part[5])
    split("ours pytorch tuned", who, " ")
    for (i = 1; i <= 3; i++) {
        speed(who[i]); put_middle()
        text_of = mid == "" ? "-" : sprintf("%.1f (%.1f..%.1f)", mid, low, high)
        text = text sprintf(" %-22s", text_of)
    }
    ratio("pytorch", 1); text = text put_ratio(want_plain, 30)
    ratio("tuned", 1); text = text put_ratio(want_tuned, 30)
    speed("peak"); put(mid); peak = mid
    ratio("peak", 100e-9 * flops); text = text "|"; put_share(want_share)
    ratio("peak", 100e-9 * needed); put(mid); put(rss)
    speed("compiled"); put_middle()
    ratio("compiled", 1); put_middle()
    if (mid != "") text = text sprintf(" | compiled: %.2f (%.2f..%.2f)", mid, low, high)
    speed("memory"); put(mid); memory = mid
    if (most()) {
        is = bound["arithmetic"] > bound["memory"] ? "arithmetic" : "memory"
        text = text sprintf(" | floor: %.0f GFLOP/s, %.0f GB/s: %.0f images/s by %s; of it, %%:", \
            peak, memory, mid, is)
        put(mid); put(is)
        share_of_floor(); put_share(want_floor)
    } else put(",,,,,-,-")
    step_mb = traffic ? traffic * part[3] / 1e6 : "" # 0: the backend does not know
    least_mb = moved * part[3] / 1e6
    if (step_mb) text = text sprintf(" | a step moves %.0f MB, at least %.0f", step_mb, least_mb)
    put(step_mb); put(least_mb)
    print text
    print line >>csv
}
