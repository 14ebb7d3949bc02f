# The verdict in one figure: seconds to 86.32 % beside ssgd's, pairs by seed.
#   gnuplot figure.gp                                figure.csv is figure.awk's
set terminal pngcairo size 1000,620 font "sans,11" linewidth 1.3 noenhanced
set output "figure.png"
set datafile separator ","
set title "seconds to 86.3 % top-1 / those of ssgd: median, 95 % interval of ten pairs by seed\n" \
    ."an MLP on Fashion-MNIST; simulated network (machine.ini); 4 workers; seeds 1 to 10" font ",10"
set logscale x 2
set xrange [0.25:4.3]
set xtics ("1/4" 0.25, "1/2" 0.5, "1: ssgd" 1, "2" 2, "4, or never" 4)
set xlabel "<- sooner than ssgd                                later than ssgd ->"
stats "figure.csv" index 0 using 1 nooutput
set yrange [0.4:STATS_max + 0.6]
set ytics ()
set border 3
set tics nomirror
set grid x lc rgb "#dddddd"
set key bottom left opaque
set arrow from 1, graph 0 to 1, graph 1 nohead lc rgb "#777777" dt 2
plot "figure.csv" index 0 using 3:($1 + 0.22):4:5:ytic(2) with xerrorbars lc rgb "#0072b2" pt 7 \
        ps 1.1 title "all workers equal", \
    "" index 1 using 3:1:4:5 with xerrorbars lc rgb "#d55e00" pt 4 ps 1.1 \
        title "one 2.35 times as slow", \
    "" index 2 using 3:($1 - 0.22):4:5 with xerrorbars lc rgb "#009e73" pt 9 ps 1.1 \
        title "heavy-tailed delays"
