# Seconds that the simulator predicted against those that mpirun took: one point per scheme and case
# (workers, place, optimizer, stragglers), and the errors by scheme.
#
#   gnuplot -c plots/validate.gp OUT.png DIR
#
# DIR has a validate.csv, as bench/validate writes it.
set terminal pngcairo size 1400,640 font "sans,11" linewidth 1.4
set output ARG1
set datafile separator ","
set datafile columnheaders
set datafile missing "NaN"
file = ARG2."/validate.csv"
# every case has a row for each scheme, in one order
rows = "grep -v '^#' ".file
cases = system(rows." | awk -F, 'NR > 1 && !seen[$3]++ { print $3 }' | paste -sd' '")
rows_of(i) = "< grep -E '^(scheme|[^,#]*,[^,]*,".word(cases, i).")' ".file
# its head: what both ran on
said(name, pattern) = system("sed -nE 's/^# ".name.": ".pattern."/\\1/p' ".file)
set multiplot layout 1,2 title said("options", ".*network[ =]+([^ ]+).*")."; mpi on ". \
    said("host", "(.*)")."; simulated network; runs of each: ". \
    said("command", ".*RUNS=([0-9]+).*") noenhanced font ",9"
set border 3
set tics nomirror
set grid lc rgb "#dddddd"
set key top left
set xlabel "measured, seconds of the training clock (mpirun)"
set ylabel "predicted (simulated network)"
stats file using "measured_s" name "M" nooutput
stats file using "predicted_s" name "P" nooutput
most = M_max > P_max ? M_max : P_max
set xrange [0:1.15 * most]
set yrange [0:1.15 * most]
plot x with lines lc rgb "#aaaaaa" title "as measured", \
    for [i=1:words(cases)] rows_of(i) using "measured_s":"predicted_s" \
        title word(cases, i) pt 4 + i ps 1.1 lt i
unset xrange
unset yrange
set autoscale
unset key
set xlabel ""
set ylabel "predicted / measured - 1, %"
set xtics rotate by -50
set xrange [-1:*]
plot 5 with lines lc rgb "#aaaaaa" dt 2, -5 with lines lc rgb "#aaaaaa" dt 2, \
    12 with lines lc rgb "#aaaaaa", -12 with lines lc rgb "#aaaaaa", \
    for [i=1:words(cases)] rows_of(i) using 0:"error_percent":xtic(1) pt 4 + i ps 1.1 lt i
unset multiplot
