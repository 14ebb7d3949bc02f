# Accuracy of several settings over several seeds: each run a thin line, each setting's median a
# thick one, against seconds of the training clock and against samples.
#
#   gnuplot -c plots/compare.gp OUT.png DIR 'NAME NAME ..' 'SEED SEED ..' ['TITLE']
#
# DIR has NAME-SEED/eval.csv, NAME.seconds.csv and NAME.samples.csv (plots/median.awk), as
# bench/compare leaves them. Under the title stands what they ran on (plots/head.gp). Colours
# and dashes differ, so that it can be read in grey.
set terminal pngcairo size 1200,470 font "sans,11" linewidth 1.3
names = ARG3
seeds = ARG4
caption = strlen(ARG5) ? ARG5."\n" : ""
array colour[6] = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9"]
hue(i) = colour[(i - 1) % 6 + 1]
last_part(path) = (j = strstrt(path, "/"), j && j < strlen(path) ? last_part(path[j+1:]) : path)
here = ARG0[1:strlen(ARG0) - strlen(last_part(ARG0))]
run(name, seed) = ARG2."/".name."-".seed."/eval.csv"
array heads[words(names) * words(seeds)]
count = 0
do for [name in names] { do for [seed in seeds] {
    count = count + 1
    heads[count] = run(name, seed)
} }
load here."head.gp"
set output path(ARG1)
set multiplot layout 1,2 title caption.footer noenhanced font ",9"
set grid lc rgb "#dddddd"
set border 3
set tics nomirror
set key bottom right noenhanced
set yrange [0:*]
set ylabel "top-1 of the ".images." images, %"
do for [axis in "seconds samples"] {
    set xlabel axis eq "seconds" ? "seconds of the training clock" : "samples used, all workers"
    plot for [i=1:words(names)] for [seed in seeds] path(run(word(names, i), seed)) \
             using axis:"top1" with lines lw 0.6 dt i lc rgb "#80".hue(i)[2:] notitle, \
         for [i=1:words(names)] path(ARG2."/".word(names, i).".".axis.".csv") \
             using axis:"top1" with lines lw 3 dt i lc rgb hue(i) title word(names, i)
}
unset multiplot
