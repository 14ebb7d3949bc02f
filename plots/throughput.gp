# Throughput against the straggler's factor: of each setting the median of its runs, and its
# interval (order statistics).
#
#   gnuplot -c plots/throughput.gp OUT.svg ROWS      ROWS: figures/throughput.csv of nbsgd report
last_part(path) = (j = strstrt(path, "/"), j && j < strlen(path) ? last_part(path[j+1:]) : path)
here = ARG0[1:strlen(ARG0) - strlen(last_part(ARG0))]
figure = ARG1 # a file that is loaded has arguments of its own
data = ARG2
wide = 800
high = 520
load here."report.gp"
set title top noenhanced font ",9"
set xlabel "how many times as long the slowest worker computes (--slow)"
set ylabel "images used a second"
set yrange [0:*]
set key outside right
set offsets graph 0.05, graph 0.05, 0, 0
plot for [k=1:count] rows index k - 1 using 1:2:3:4 with yerrorlines lw 1.6 \
    dt dash(k) pt mark(k) ps 0.9 lc rgb hue(k) title word(settings, k)
