# Time to accuracy: a panel a case; of each setting and threshold the median, and its interval
# (order statistics). A point at the upper edge was never reached by the median run. Where not all
# runs got there, how many did stands at the point.
#
#   gnuplot -c plots/tta.gp OUT.svg ROWS             ROWS: figures/tta.csv of nbsgd report
last_part(path) = (j = strstrt(path, "/"), j && j < strlen(path) ? last_part(path[j+1:]) : path)
here = ARG0[1:strlen(ARG0) - strlen(last_part(ARG0))]
# the number of panels is known when the head has been read
figure = ARG1 # a file that is loaded has arguments of its own
data = ARG2
wide = 1200
high = 600
load here."report.gp"
panels = words(cases)
columns = panels < 3 ? panels : 3
lines = (panels + columns - 1) / columns
high = 420 * lines + 60
if (lines > 1) { load here."report.gp" }
set multiplot layout lines,columns title top noenhanced font ",9"
number_of_targets = words(targets)
edge = said("top") + 0
set xrange [-0.6:count - 0.4]
set yrange [0:1.04 * edge]
set xtics rotate by -40 noenhanced ()
do for [k=1:count] { set xtics add (word(settings, k) k - 1) }
set ylabel "seconds of the training clock"
shift(t) = number_of_targets < 2 ? 0 : 0.5 * (t - 1) / (number_of_targets - 1) - 0.25
do for [c=1:panels] {
    set title word(cases, c) noenhanced
    if (c == 1) { set key top left Left reverse opaque } else { unset key }
    plot edge with lines lc rgb "#aaaaaa" dt 3 title "never", \
        for [t=1:number_of_targets] rows index (c - 1) * number_of_targets + t - 1 \
            using ($1 + shift(t)):2:3:4 with yerrorbars lc rgb hue(t) pt mark(t) ps 0.9 lw 1.4 \
            title word(targets, t)." %", \
        for [t=1:number_of_targets] rows index (c - 1) * number_of_targets + t - 1 \
            using ($1 + shift(t)):2:5 with labels offset 0,-0.8 font ",8" notitle
}
unset multiplot
