# What a run's workers have done: the training loss of each, the samples of each that were used, and
# the norm of the weights, against seconds of the training clock.
#
#   gnuplot -c plots/workers.gp OUT.svg ROWS         ROWS: figures/workers.csv of nbsgd report
last_part(path) = (j = strstrt(path, "/"), j && j < strlen(path) ? last_part(path[j+1:]) : path)
here = ARG0[1:strlen(ARG0) - strlen(last_part(ARG0))]
figure = ARG1 # a file that is loaded has arguments of its own
data = ARG2
wide = 1400
high = 480
load here."report.gp"
workers = int(said("workers"))
set multiplot layout 1,3 title top noenhanced font ",9"
set xlabel "seconds of the training clock"
set style data linespoints
set pointsize (workers > 16 ? 0 : 0.7)
name(k) = workers > 16 ? "" : sprintf("worker %d", k - 1)
set key top right
set ylabel "training loss of each worker's mini-batches, nats"
plot for [k=1:workers] rows index k using 1:2 dt dash(k) pt mark(k) lc rgb hue(k) title name(k)
unset key
set yrange [0:*]
set ylabel "samples of each worker that updates used"
plot for [k=1:workers] rows index k using 1:3 dt dash(k) pt mark(k) lc rgb hue(k)
set yrange [*:*]
set ylabel "norm of the weights"
plot rows index 0 using 1:2 pt 7 lc rgb hue(1)
unset multiplot
