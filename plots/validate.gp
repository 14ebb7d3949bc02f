# Seconds that the simulator predicted against those that mpirun took: one point per scheme and case
# (workers, place, optimizer, stragglers), and the errors by scheme.
#
#   gnuplot -c plots/validate.gp OUT.png DIR
#
# DIR has a validate.csv, as bench/validate writes it.
set terminal pngcairo size 1400,640 font "sans,11" linewidth 1.4
last_part(path) = (j = strstrt(path, "/"), j && j < strlen(path) ? last_part(path[j+1:]) : path)
here = ARG0[1:strlen(ARG0) - strlen(last_part(ARG0))]
array heads[1] = [ARG2."/validate.csv"]
load here."head.gp"
set output path(ARG1)
set datafile missing "NaN"
file = path(heads[1])
# every case has a row for each scheme, in one order
cases = ""
schemes = ""
note(case, scheme) = (cases = with_line(cases, case), schemes = with_line(schemes, scheme), 0)
stats file using (note(strcol(3), strcol(1))) nooutput
case(i) = word(cases, i)
of_case(i, value) = strcol(3) eq case(i) ? value : NaN
# The row's number among those of its case.
row = 0
place(i) = (row = column(0) == 0 ? -1 : row, row = strcol(3) eq case(i) ? row + 1 : row, row)
# What stands behind "NAME=" or "NAME ".
value_in(text, name) = (k = strstrt(text, name), k ? word(text[k + strlen(name) + 1:], 1) : "")
set multiplot layout 1,2 title value_in(said("options"), "network")."; mpi on ".said("host"). \
    "; simulated network; runs of each: ".value_in(said("command"), "RUNS") noenhanced font ",9"
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
    for [i=1:words(cases)] file using (of_case(i, column("measured_s"))):"predicted_s" \
        title case(i) noenhanced pt 4 + i ps 1.1 lt i
unset xrange
unset yrange
set autoscale
unset key
set xlabel ""
set ylabel "predicted / measured - 1, %"
set xtics rotate by -50 ()
do for [i=1:words(schemes)] { set xtics add (word(schemes, i) i - 1) }
set xrange [-1:*]
plot 5 with lines lc rgb "#aaaaaa" dt 2, -5 with lines lc rgb "#aaaaaa" dt 2, \
    12 with lines lc rgb "#aaaaaa", -12 with lines lc rgb "#aaaaaa", \
    for [i=1:words(cases)] file using (place(i)):(of_case(i, column("error_percent"))) \
        pt 4 + i ps 1.1 lt i
unset multiplot
