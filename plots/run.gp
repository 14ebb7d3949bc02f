# Accuracy and loss of one or several runs, against seconds of the training clock and against
# samples.
#
#   gnuplot -c plots/run.gp OUT.png DIR [DIR ...]
#   gnuplot -c plots/run.gp OUT.png NAME=DIR [NAME=DIR ...]
#
# Each DIR has an eval.csv. Without a NAME a run is named by its folder's last part. A NAME has no
# '/', so a folder such as lr=0.1 is written ./lr=0.1. A line at the top says what the runs ran on
# (plots/head.gp).
set terminal pngcairo size 1200,800 font "sans,11" linewidth 1.6
sign(a) = (e = strstrt(a, "="), s = strstrt(a, "/"), s && s < e ? 0 : e) # after a NAME
folder(i) = (a = value(sprintf("ARG%d", i)), k = sign(a), k ? a[k+1:] : a)
last_part(path) = (j = strstrt(path, "/"), j && j < strlen(path) ? last_part(path[j+1:]) : path)
here = ARG0[1:strlen(ARG0) - strlen(last_part(ARG0))]
title_of(i) = (a = value(sprintf("ARG%d", i)), k = sign(a), \
               k ? a[1:k-1] : last_part(a))
array heads[ARGC - 1]
do for [i=2:ARGC] { heads[i - 1] = folder(i)."/eval.csv" }
load here."head.gp"
rows(i) = path(heads[i - 1])
set output path(ARG1)
set multiplot layout 2,2 title footer noenhanced font ",9"
set grid lc rgb "#dddddd"
set border 3
set tics nomirror
set style data linespoints
set pointsize 0.7
set key bottom right noenhanced
set ylabel "top-1 of the ".images." images, %"
set xlabel "seconds of the training clock"
plot for [i=2:ARGC] rows(i) using "seconds":"top1" title title_of(i) lt i-1 pt 7
set xlabel "samples used, all workers together"
plot for [i=2:ARGC] rows(i) using "samples":"top1" title title_of(i) lt i-1 pt 7
set key top right noenhanced
set ylabel "loss on the ".images." images, nats"
set logscale y
set xlabel "seconds of the training clock"
plot for [i=2:ARGC] rows(i) using "seconds":"loss" title title_of(i) lt i-1 pt 7
set xlabel "samples used, all workers together"
plot for [i=2:ARGC] rows(i) using "samples":"loss" title title_of(i) lt i-1 pt 7
unset multiplot
