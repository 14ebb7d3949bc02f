# Sensitivity to the learning rate: a panel a case, a point a trial of nbsgd tune.
#
#   gnuplot -c plots/sensitivity.gp OUT.svg ROWS     ROWS: figures/sensitivity.csv of nbsgd report
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
set logscale x
set format x "%g"
set xlabel "learning rate (--lr)"
set ylabel "best held-out top-1 of a trial, %"
set xrange [said("least") / 1.5:said("most") * 1.5]
set yrange [0:100]
set key bottom left
do for [c=1:panels] {
    set title panels > 1 ? word(cases, c) : "" noenhanced
    plot for [k=1:count] rows index (c - 1) * count + k - 1 using 1:2 smooth unique with \
        linespoints lw 0.6 dt dash(k) pt mark(k) ps 1 lc rgb hue(k) title word(settings, k)
    unset key
}
unset multiplot
