# What each rank did when, in a window of a run with --trace: bars of accounts, aborted mini-batches
# hatched, arrows of pushes, replies, signals and messages among workers. Bars differ in height and
# grey, arrows in dashes and heads (Okabe and Ito's colours).
#
#   gnuplot -c plots/gantt.gp OUT.png DIR [FROM TO]       .png or .svg; DIR has a trace.csv; seconds
last_part(path) = (j = strstrt(path, "/"), j && j < strlen(path) ? last_part(path[j+1:]) : path)
here = ARG0[1:strlen(ARG0) - strlen(last_part(ARG0))]
array heads[1] = [ARG2."/trace.csv"]
file = (ARG2[1:1] eq "/" ? "" : "./").heads[1]
figure = ARG1 # a file that is loaded has arguments of its own
folder = ARG2
from = ARG3
to = ARG4
load here."head.gp"
ranks = number("shown ranks")
tall = 190 + (ranks < 6 ? 90 * ranks : ranks < 14 ? 45 * ranks + 270 : 20 * ranks + 620)
if (figure[strlen(figure) - 2:] eq "svg") {
    set terminal svg size 1300,tall font "sans,11" background rgb "white" noenhanced
} else {
    set terminal pngcairo size 1300,tall font "sans,11" noenhanced
}
set output path(figure)
left = from eq "" ? number("from") : real(from)
right = to eq "" ? number("to") : real(to)
set title last_part(folder).": ".said("scheme").", what each rank did when". \
    (number("ranks") > ranks ? sprintf("; the first %d of %s ranks", ranks, said("ranks")) : ""). \
    "\n".footer noenhanced
set border 3
set tics nomirror
set xlabel "seconds since the trace began (evaluations included)" offset 0,0.6
set xrange [left:right]
set yrange [ranks - 0.4:-0.6]
set ytics 1
set ylabel "rank"
set key outside bottom center horizontal Left reverse maxrows 3 samplen 3

# Bars end where the figure does; rows of another kind lie outside it. What has no row has no key.
is(kind) = strcol(1) eq kind
outside = right + 10 * (right - left)
low(kind) = is(kind) && $4 > left && $3 < right ? ($3 < left ? left : $3) : outside
# of an arrow, which the figure's edge may cut
start(kind) = low(kind) == outside ? outside : $3
high(kind) = low(kind) == outside ? outside : $4 > right ? right : $4
has(kind) = strstrt(" ".said("kinds")." ", " ".kind." ") > 0
among = "sum neighbour pair norm"
has_among = has("sum") || has("neighbour") || has("pair") || has("norm")

array kinds[8] = ["wait", "delay", "compute", "transfer", "update", "mini-batch", "aborted", \
    "evaluation"]
array titles[8] = ["wait", "delay", "compute", "transfer", "update, vector work", "mini-batch", \
    "mini-batch that was aborted", "evaluation"]
array half[8] = [0.03, 0.12, 0.3, 0.2, 0.36, 0.3, 0.3, 0.4] # of a bar's height
array colour[8] = ["#999999", "#cccccc", "#a6d5ee", "#c07800", "#000000", "#0072b2", "#d55e00", \
    "#555555"]
mid(x) = x < left ? left : x > right ? right : x
key(k) = has(kinds[k]) ? titles[k] : ""

set style arrow 1 head filled size screen 0.008,18 lw 1.1 lc rgb "#000000"
set style arrow 2 head empty size screen 0.008,18 lw 1.0 lc rgb "#7f7f7f" dt (6,4)
set style arrow 3 head filled size screen 0.010,22 lw 1.8 lc rgb "#cc3311" dt (2,2)
set style arrow 4 head empty size screen 0.008,18 lw 1.0 lc rgb "#5d3a9b" dt (8,3,2,3)

plot for [k=1:5] file using (mid($3)):2:(low(kinds[k])):(high(kinds[k])):($2 - half[k]): \
        ($2 + half[k]) with boxxyerror fs solid border fc rgb colour[k] title key(k), \
    file using (mid($3)):2:(low(kinds[6])):(high(kinds[6])):($2 - half[6]):($2 + half[6]) \
        with boxxyerror fs empty border lc rgb colour[6] title key(6), \
    for [k=7:8] file using (mid($3)):2:(low(kinds[k])):(high(kinds[k])):($2 - half[k]): \
        ($2 + half[k]) with boxxyerror fs transparent pattern 4 border fc rgb colour[k] \
        title key(k), \
    file using (start("reply")):2:($4 - $3):($5 - $2) with vectors arrowstyle 2 \
        title has("reply") ? "reply" : "", \
    file using (start("push")):2:($4 - $3):($5 - $2) with vectors arrowstyle 1 \
        title has("push") ? "push" : "", \
    file using (strstrt(among, strcol(1)) ? $3 : outside):2:($4 - $3):($5 - $2) \
        with vectors arrowstyle 4 title has_among ? "among workers" : "", \
    file using (start("signal")):2:($4 - $3):($5 - $2) with vectors arrowstyle 3 \
        title has("signal") ? "signal" : ""
