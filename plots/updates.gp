# Staleness of the pushes, and mini-batches an update: in percent, all runs of a setting together.
#
#   gnuplot -c plots/updates.gp OUT.svg ROWS         ROWS: figures/updates-CASE.csv of nbsgd report
last_part(path) = (j = strstrt(path, "/"), j && j < strlen(path) ? last_part(path[j+1:]) : path)
here = ARG0[1:strlen(ARG0) - strlen(last_part(ARG0))]
figure = ARG1 # a file that is loaded has arguments of its own
data = ARG2
wide = 1200
high = 480
load here."report.gp"
set multiplot layout 1,2 title top noenhanced font ",9"
set style data linespoints
set yrange [0:*]
set xrange [-0.5:*]
set ylabel "percent of the pushes"
set xlabel "staleness, updates (".said("most").": that or more)"
set key top right
plot for [k=1:count] rows index k - 1 using 1:2 lw 1.6 dt dash(k) pt mark(k) ps 0.8 lc rgb hue(k) \
    title word(settings, k)
unset key
set ylabel "percent of the updates"
set xlabel "mini-batches of an update (".said("most").": that or more)"
plot for [k=1:count] rows index k - 1 using 1:3 lw 1.6 dt dash(k) pt mark(k) ps 0.8 lc rgb hue(k)
unset multiplot
