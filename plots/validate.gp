# Seconds that the simulator predicted against those that mpirun took: one point per scheme and kind
# of stragglers.
#
#   gnuplot -c plots/validate.gp OUT.png DIR
#
# DIR has a validate.csv, as bench/validate writes it.
set terminal pngcairo size 1200,560 font "sans,11" linewidth 1.6
set output ARG1
set datafile separator ","
set datafile columnheaders
file = ARG2."/validate.csv"
kinds = "none slow delays"
set multiplot layout 1,2
set border 3
set tics nomirror
set grid lc rgb "#dddddd"
set key top left
set xlabel "measured, seconds of the training clock (mpirun)"
set ylabel "predicted (simulated network)"
stats file using "measured_s" nooutput
set xrange [0:1.15 * STATS_max]
set yrange [0:1.15 * STATS_max]
plot x with lines lc rgb "#aaaaaa" title "as measured", \
    for [k=1:3] file \
        using (strcol("stragglers") eq word(kinds, k) ? column("measured_s") : NaN):"predicted_s" \
        title "stragglers: ".word(kinds, k) pt 7 ps 1.2 lt k
unset xrange
unset yrange
set autoscale
set key bottom right
set xlabel ""
set ylabel "predicted / measured - 1, %"
set style data histograms
set style histogram clustered gap 1
set style fill solid 0.7 border -1
set xtics rotate by -40
plot for [k=1:3] "< grep -E '^[a-z]+,(stragglers|".word(kinds, k)."),' ".file \
    using "error_percent":xtic(1) title "stragglers: ".word(kinds, k) lt k
unset multiplot
