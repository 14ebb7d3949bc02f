# Accuracy of several settings over several seeds, a line a run, a colour a setting: against seconds of the training clock and samples.
#
#   gnuplot -c plots/compare.gp OUT.png DIR         DIR has compare.csv and NAME-SEED/eval.csv, as bench/compare writes them
set terminal pngcairo size 1200,450 font "sans,11" linewidth 1.4
set output ARG1
set datafile separator ","
set datafile columnheaders
rows = "grep -v '^#' '".ARG2."/compare.csv' | tail -n +2 | cut -d, -f"
names = system(rows."1 | awk '!seen[$0]++'")
runs = system(rows."1,2 --output-delimiter=-")
name_of(run) = run[1:strlen(run) - strstrt(system("echo '".run."' | rev"), "-")]
colour(run) = int(system("echo '".names."' | tr ' ' '\\n' | grep -nxF -- '".name_of(run)."' | cut -d: -f1"))
file(run) = ARG2."/".run."/eval.csv"
set multiplot layout 1,2
set grid lc rgb "#dddddd"
set border 3
set tics nomirror
set key bottom right noenhanced
set ylabel "top-1 of the test images, %"
do for [column in "seconds samples"] {
    set xlabel column eq "seconds" ? "seconds of the training clock" : "samples used, all workers together"
    plot for [run in runs] file(run) using column:"top1" with lines lt colour(run) notitle, \
         for [i=1:words(names)] NaN with lines lt i lw 2 title word(names, i)
}
unset multiplot
