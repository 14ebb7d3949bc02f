# Where the seconds went: a bar a setting and a panel a case, or a bar a rank of one run.
#
#   gnuplot -c plots/time.gp OUT.svg ROWS            ROWS: figures/time.csv of nbsgd report
last_part(path) = (j = strstrt(path, "/"), j && j < strlen(path) ? last_part(path[j+1:]) : path)
here = ARG0[1:strlen(ARG0) - strlen(last_part(ARG0))]
figure = ARG1 # a file that is loaded has arguments of its own
data = ARG2
wide = 1200
high = 480
load here."report.gp"
panels = words(cases)
lines = (panels + 2) / 3
if (lines > 1) {
    high = 420 * lines + 60
    load here."report.gp"
}
set multiplot layout lines,(panels < 3 ? panels : 3) title top noenhanced font ",9"
set style data histograms
set style histogram rowstacked
set boxwidth 0.8
set ylabel said("unit")
set xlabel said("label")
set yrange [0:*]
set xtics rotate by -40 noenhanced
set key above font ",9"
array word_of[8] = ["useful", "aborted", "dropped", "delayed", "vector work", "transfer", \
    "waiting", "other"]
array paint[8] = ["#08407e", "#d55e00", "#e69f00", "#7f7f7f", "#56b4e9", "#cc79a7", "#e8e8e8", \
    "#000000"]
# a pattern where two greys would be alike; 3 is solid
array pattern[8] = [3, 2, 1, 3, 4, 5, 3, 3]
do for [c=1:panels] {
    set title panels > 1 ? word(cases, c) : "" noenhanced
    plot for [k=1:8] rows index c - 1 using k + 1:xtic(1) lc rgb paint[k] \
        fs pattern pattern[k] border rgb "black" title word_of[k]
}
unset multiplot
