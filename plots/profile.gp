# Performance profiles: in which part of the cases a setting's median time to a threshold is within
# a ratio of the best setting's. A panel a threshold. Higher is better; at 1 the part that it wins.
#
#   gnuplot -c plots/profile.gp OUT.svg ROWS         ROWS: figures/profile.csv of nbsgd report
last_part(path) = (j = strstrt(path, "/"), j && j < strlen(path) ? last_part(path[j+1:]) : path)
here = ARG0[1:strlen(ARG0) - strlen(last_part(ARG0))]
figure = ARG1 # a file that is loaded has arguments of its own
data = ARG2
wide = 1200
high = 480
load here."report.gp"
panels = words(targets)
set multiplot layout 1,panels title top noenhanced font ",9"
set xlabel "ratio to the best setting's time"
set ylabel "part of the cases"
set xrange [1:4]
set yrange [0:1.02]
set key bottom right
do for [t=1:panels] {
    set title "to ".word(targets, t)." %"
    plot for [k=1:count] rows index (t - 1) * count + k - 1 using 1:2 with steps lw 2 dt dash(k) \
        lc rgb hue(k) title word(settings, k)
    unset key
}
unset multiplot
