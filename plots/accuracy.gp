# Accuracy of several settings: each run a thin line, each setting's median a thick one in a band
# (order statistics), against seconds of the training clock, samples and updates; and the loss.
#
#   gnuplot -c plots/accuracy.gp OUT.svg ROWS        ROWS: figures/accuracy-CASE.csv of nbsgd report
last_part(path) = (j = strstrt(path, "/"), j && j < strlen(path) ? last_part(path[j+1:]) : path)
here = ARG0[1:strlen(ARG0) - strlen(last_part(ARG0))]
figure = ARG1 # a file that is loaded has arguments of its own
data = ARG2
wide = 1200
high = 840
load here."report.gp"
set multiplot layout 2,2 title top noenhanced font ",9"
runs = said("runs")
array axes[4] = ["seconds of the training clock", "samples used, all workers together", "updates", \
    "seconds of the training clock"]
block(panel, k) = (panel - 1) * count + k - 1
set yrange [0:*]
do for [panel=1:4] {
    column_of = panel == 4 ? 1 : panel
    value = panel == 4 ? 5 : 4
    set xlabel axes[panel]
    set ylabel panel == 4 ? "loss on the ".images." images, nats" : \
        "top-1 of the ".images." images, %"
    if (panel == 1) { set key bottom right } else { unset key }
    plot for [k=1:count] rows index block(panel, k) using 1:3:4 with filledcurves \
             fc rgb "#d8".hue(k)[2:] notitle, \
         for [r=1:words(runs)] rows index 4 * count + r - 1 using column_of:value with lines \
             lw 0.5 dt dash(word(runs, r)) lc rgb "#80".hue(word(runs, r))[2:] notitle, \
         for [k=1:count] rows index block(panel, k) using 1:2 with lines lw 2.5 dt dash(k) \
             lc rgb hue(k) title word(settings, k)
}
unset multiplot
