# Top-1 of each setting in each case: mean, deviation, and how many seeds, of a study.csv.
#   awk -F, -f table.awk study.csv
/^#/ || $4 != "done" { next }
!n[$1 " " $2] { name[++names] = $1 " " $2 }
{ k = $1 " " $2; n[k]++; sum[k] += $15; squares[k] += $15 * $15 }
END {
    for (i = 1; i <= names; i++) {
        k = name[i]
        mean = sum[k] / n[k]
        left = squares[k] - n[k] * mean * mean # rounding may make it negative
        deviation = n[k] > 1 && left > 0 ? sqrt(left / (n[k] - 1)) : 0
        printf("%-34s %6.2f %6.2f  %d\n", k, mean, deviation, n[k])
    }
}
